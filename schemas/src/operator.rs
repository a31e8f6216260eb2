//! Texts for whoever runs the night, in one place: Japanese where operators read it, English beside it. Placeholders stand in
//! braces; nothing personal is ever put into them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::LazyLock;

use serde::Deserialize;

/// Language of what commands print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    #[default]
    En,
    Ja,
}

impl Language {
    /// Of a locale as the environment names it (`ja_JP.UTF-8`).
    pub fn of_locale(locale: &str) -> Self {
        if locale.starts_with("ja") { Self::Ja } else { Self::En }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    text: Vec<Text>,
    cause: Vec<CauseText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    key: String,
    en: String,
    ja: String,
}

/// Why the bytes of a CRL cannot be used: the reader's English words, and what the operator and the CA are told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CauseText {
    en: String,
    ja: String,
}

static FILE: LazyLock<File> =
    LazyLock::new(|| crate::parse("messages/operator.toml", crate::messages::file("operator")));
static TEXTS: LazyLock<BTreeMap<&str, &Text>> =
    LazyLock::new(|| FILE.text.iter().map(|text| (text.key.as_str(), text)).collect());
static CAUSES: LazyLock<BTreeMap<&str, &str>> =
    LazyLock::new(|| FILE.cause.iter().map(|c| (c.en.as_str(), c.ja.as_str())).collect());

/// The text of that key, which the program names, with its placeholders filled.
pub fn text(language: Language, key: &str, values: &[(&str, &dyn Display)]) -> String {
    let Some(own) = TEXTS.get(key) else { panic!("operator.toml has no text {key}") };
    let template = match language {
        Language::En => &own.en,
        Language::Ja => &own.ja,
    };
    values.iter().fold(template.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), &value.to_string()))
}

/// A reader's words on bytes that it cannot use, in Japanese.
pub fn cause(english: &str) -> &str {
    CAUSES.get(english).copied().unwrap_or(english)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_the_same_placeholders_and_no_key_stands_twice() {
        assert_eq!(TEXTS.len(), FILE.text.len());
        assert_eq!(CAUSES.len(), FILE.cause.len());
        let holes = |text: &str| {
            let mut names: Vec<String> =
                text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
            names.sort();
            names
        };
        for text in &FILE.text {
            assert_eq!(holes(&text.en), holes(&text.ja), "{}", text.key);
        }
        for cause in &FILE.cause {
            assert!(!cause.ja.is_ascii() && !cause.ja.contains([',', '"']), "{}", cause.en);
        }
    }
}
