//! The catalogue of result codes (処理結果詳細コード): fixed messages and the field rules every layout derives.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::codes;
use crate::files;
use crate::layout::{self, Field, FieldType, Layout};

/// How a code counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// 区分 1.
    Ok,
    /// 区分 3; the record is accepted.
    Warning,
    /// 区分 1; the record is known already and counts as duplicate.
    Duplicate,
    /// The file stays in the inbox.
    Held,
    /// 区分 2; the record or file is rejected.
    Error,
}

impl Severity {
    /// As it stands in the ledger and in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Duplicate => "duplicate",
            Self::Held => "held",
            Self::Error => "error",
        }
    }
}

/// What a code speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Record,
    File,
}

/// One entry of the catalogue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    pub code: String,
    pub severity: Severity,
    pub scope: Scope,
    pub name: String,
    /// Message to the sender, in Japanese, saying what to do.
    pub ja: String,
    pub source: String,
}

/// Rules that any field may break; the number is the last two digits of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldRule {
    Required,
    MustBeBlank,
    TooLong,
    Characters,
    Date,
    Code,
    CheckDigit,
    Undecodable,
    Unique,
    Control,
    Future,
    Scheme,
    Spacing,
    Gaiji,
    /// 記号 or 番号 that cannot stand in a receipt: no CP932 form, or nothing left of it to compare by.
    Unusable,
}

impl FieldRule {
    pub const ALL: [Self; 15] = [
        Self::Required,
        Self::MustBeBlank,
        Self::TooLong,
        Self::Characters,
        Self::Date,
        Self::Code,
        Self::CheckDigit,
        Self::Undecodable,
        Self::Unique,
        Self::Control,
        Self::Future,
        Self::Scheme,
        Self::Spacing,
        Self::Gaiji,
        Self::Unusable,
    ];

    /// Last two digits of the rule's codes.
    pub fn number(self) -> u8 {
        (1..).zip(Self::ALL).find(|(_, rule)| *rule == self).map_or(0, |(number, _)| number)
    }

    /// Whether a field's declaration lets this rule be broken at all.
    pub fn applies_to(self, field: &Field) -> bool {
        use FieldType as T;
        let text = field.kind == T::Text;
        match self {
            Self::Required => field.required || !field.required_if.is_empty(),
            Self::MustBeBlank => !field.blank_if.is_empty(),
            Self::TooLong => {
                (text || field.kind == T::Digits) && (field.max.is_some() || field.max_bytes.is_some())
                    || field.kind == T::Serial
            }
            Self::Characters => !text && field.kind != T::Date || field.ascii,
            Self::Date => matches!(field.kind, T::Date | T::Timestamp),
            Self::Code => field.kind == T::Code,
            Self::CheckDigit => matches!(field.kind, T::MemberNo | T::InsurerNo),
            // Bytes that decode to no character can stand anywhere.
            Self::Undecodable | Self::Control => true,
            Self::Unique => field.unique,
            Self::Future => field.not_after_created,
            Self::Scheme => !field.schemes.is_empty(),
            Self::Spacing => field.spaced,
            Self::Gaiji => text && !field.ascii,
            Self::Unusable => text && field.max_bytes.is_some(),
        }
    }
}

/// The code of a field rule: `1`, layout digit, field number from 1 (2 digits), rule (2 digits).
pub fn field_code(layout: &Layout, field: usize, rule: FieldRule) -> String {
    format!("1{}{:02}{:02}", layout.digit, layout.fields[field].number, rule.number())
}

#[derive(Deserialize)]
struct RuleTemplate {
    rule: String,
    name: String,
    severity: Severity,
    ja: String,
}

#[derive(Deserialize)]
struct RuleFile {
    source: String,
    rule: Vec<RuleTemplate>,
}

#[derive(Deserialize)]
struct CatalogueFile {
    message: Vec<Message>,
}

fn limit_ja(field: &Field) -> String {
    match (field.max, field.max_bytes, field.kind) {
        (_, Some(bytes), _) => format!("{bytes}バイト"),
        (_, _, FieldType::Serial) => "20オクテット".to_owned(),
        (Some(max), _, FieldType::Digits) => format!("{max}桁"),
        (Some(max), _, _) => format!("{max}文字"),
        _ => String::new(),
    }
}

fn form_ja(field: &Field) -> String {
    match field.kind {
        FieldType::Digits => match (field.len, field.min) {
            (Some(len), _) => format!("半角数字{len}桁"),
            (None, Some(min)) => format!("{min}以上の半角数字"),
            (None, None) => "半角数字".to_owned(),
        },
        FieldType::MemberNo => "半角数字16桁".to_owned(),
        FieldType::InsurerNo => "半角数字8桁".to_owned(),
        FieldType::InsurerCode => "半角英数字8文字".to_owned(),
        FieldType::Serial => "半角16進数(0以外の正の数)".to_owned(),
        FieldType::Timestamp => "半角数字14桁".to_owned(),
        FieldType::Code if field.codes.as_deref().is_some_and(|list| codes::list(list).is_digits()) => {
            "半角数字".to_owned()
        }
        FieldType::Code | FieldType::Text | FieldType::Date => "半角英数字".to_owned(),
    }
}

/// One file of messages.
pub(crate) fn file(name: &str) -> &'static str {
    files::MESSAGES.iter().find(|(stem, _)| *stem == name).map_or("", |(_, text)| text)
}

/// Codes that are no field rules: the shared ones, and those that layouts bring, in code order.
pub fn fixed() -> impl Iterator<Item = &'static Message> {
    FIXED.iter()
}

static FIXED: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let shared: CatalogueFile = crate::parse("messages/catalogue", file("catalogue"));
    let of_layouts = layout::all().iter().flat_map(|layout| layout.messages.iter().cloned());
    let mut fixed: Vec<Message> = shared.message.into_iter().chain(of_layouts).collect();
    fixed.sort_by(|a, b| a.code.cmp(&b.code));
    fixed
});

static CATALOGUE: LazyLock<BTreeMap<String, Message>> = LazyLock::new(|| {
    let rules: RuleFile = crate::parse("messages/field_rules", file("field_rules"));
    let mut all: BTreeMap<String, Message> = fixed().map(|m| (m.code.clone(), m.clone())).collect();
    for layout in layout::all() {
        for (index, field) in layout.fields.iter().enumerate() {
            for rule in FieldRule::ALL.into_iter().filter(|r| r.applies_to(field)) {
                let Some(template) = rules.rule.iter().find(|t| t.rule == format!("{:02}", rule.number())) else {
                    panic!("messages/field_rules: no rule {rule:?}");
                };
                let name = field.message_ja.as_ref().unwrap_or(&field.ja);
                let ja = template.ja.replace("{ja}", name).replace("{max}", &limit_ja(field));
                let code = field_code(layout, index, rule);
                let message = Message {
                    code: code.clone(),
                    severity: template.severity,
                    scope: Scope::Record,
                    name: format!("{}_{}_{}", layout.kind.to_lowercase(), field.name, template.name),
                    ja: ja.replace("{form}", &form_ja(field)),
                    source: format!("{}; {}", layout.source, rules.source),
                };
                all.insert(code, message);
            }
        }
    }
    all
});

/// The whole catalogue in code order.
pub fn all() -> impl Iterator<Item = &'static Message> {
    CATALOGUE.values()
}

/// The entry of a code that the program raises. Panics on one that is not in the catalogue (found by tests).
pub fn of(code: &str) -> &'static Message {
    match CATALOGUE.get(code) {
        Some(message) => message,
        None => panic!("code {code} is not in the catalogue"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_wordings_stand_as_the_contract_has_them() {
        let sub = layout::of("SUB");
        let name = of(&field_code(sub, sub.at("name"), FieldRule::TooLong));
        assert_eq!((name.code.as_str(), name.ja.as_str()), ("100503", "「氏名」は100文字以内で設定してください。"));
        let date = of(&field_code(sub, sub.at("acquired_on"), FieldRule::Date));
        assert_eq!(date.ja, "「資格取得日」に有効な年月日を設定してください。");
        let sex = of(&field_code(sub, sub.at("sex"), FieldRule::Characters));
        assert_eq!(sex.ja, "「性別」は半角数字で設定してください。");
    }

    #[test]
    fn codes_are_six_digits_with_unique_names() {
        let mut names: Vec<&str> = Vec::new();
        for message in all() {
            assert!(message.code.len() == 6 && message.code.bytes().all(|b| b.is_ascii_digit()), "{}", message.code);
            assert!(!message.ja.contains('{'), "{}", message.code);
            // Result files join their fields as they are.
            assert!(!message.ja.contains([',', '"', '\r', '\n']), "{}", message.code);
            names.push(&message.name);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
