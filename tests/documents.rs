//! What the pages cite is there: every `page.md §n` and every link of the documents. `002 L…` names a line of a source that is
//! not part of the repository (docs/sources.md); its form alone is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, endings, found);
        } else if path.extension().is_some_and(|own| endings.iter().any(|e| own == *e)) {
            found.push(path);
        }
    }
}

/// Texts of the project, but for what is not written here: build folders, public files.
fn texts() -> Vec<(PathBuf, String)> {
    let mut found = vec![root().join("README.md"), root().join("README.ja.md")];
    for dir in ["pipeline", "jobs", "schemas", "xtask", "tests", "benches", "docs"] {
        files(&root().join(dir), &["rs", "toml", "md", "sql", "py"], &mut found);
    }
    found.retain(|path| !path.ends_with("tests/documents.rs"));
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Pages by name, with the numbers of their sections.
fn pages() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = vec![root().join("README.md"), root().join("README.ja.md"), root().join("data-samples/README.md")];
    files(&root().join("docs"), &["md"], &mut found);
    let page = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let sections =
            text.lines().filter_map(|line| line.strip_prefix("## §")).map(digits).map(str::to_owned).collect();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), sections)
    };
    found.into_iter().map(page).collect()
}

fn digits(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_digit).count()]
}

#[test]
fn every_cited_page_and_section_is_there() {
    let pages = pages();
    let mut wrong = BTreeSet::new();
    for (path, text) in texts() {
        for (at, _) in text.match_indices(".md") {
            let is_name = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            let name: String =
                text[..at].chars().rev().take_while(is_name).collect::<Vec<_>>().into_iter().rev().collect();
            let rest = &text[at + 3..];
            if name.is_empty() || rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '`' && name == "*") {
                continue;
            }
            let Some(sections) = pages.get(&format!("{name}.md")) else {
                wrong.insert(format!("{}: no page {name}.md", path.display()));
                continue;
            };
            if let Some(number) = rest.strip_prefix(" §").map(digits)
                && !sections.contains(number)
            {
                wrong.insert(format!("{}: {name}.md has no §{number}", path.display()));
            }
        }
        for (at, _) in text.match_indices(" L") {
            let number = text[..at].rsplit(char::is_whitespace).next().unwrap_or_default();
            let number = number.trim_start_matches(['(', '`', '"', '/', '*']);
            let rest = &text[at + 2..];
            let named = rest.starts_with('…') || !digits(rest).is_empty();
            if matches!(number, "000" | "001" | "002" | "003" | "004") && !named {
                wrong.insert(format!("{}: {number} is cited without a line", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut wrong = Vec::new();
    for (path, text) in texts().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "md")) {
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if !file.contains("://") && !file.is_empty() && !path.parent().unwrap().join(file).exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
