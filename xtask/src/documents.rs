//! docs/data-dictionary.md and docs/codes.md from the declarations in schemas/.

use std::fmt::Write as _;

use shikaku_schemas::layout::{Field, FieldType};
use shikaku_schemas::tables::Layering;
use shikaku_schemas::{codes, layout, messages, tables, uke};

const NOTE: &str = "<!-- Made by `cargo xtask generate` from schemas/; do not edit. -->\n";

fn form(field: &Field) -> String {
    let mut text = match field.kind {
        FieldType::Digits => "digits".to_owned(),
        FieldType::Text => "text".to_owned(),
        FieldType::Code => format!("code `{}`", field.codes.as_deref().unwrap_or("")),
        FieldType::Date => "YYYYMMDD".to_owned(),
        FieldType::Timestamp => "YYYYMMDDhhmmss".to_owned(),
        FieldType::MemberNo => "16 digits, Luhn".to_owned(),
        FieldType::InsurerNo => "8 digits, check digit".to_owned(),
        FieldType::InsurerCode => "8 letters or digits".to_owned(),
        FieldType::Serial => "hex, ≤ 20 octets".to_owned(),
    };
    for (name, value) in [("≤", field.max), ("=", field.len), ("CP932 bytes ≤", field.max_bytes)] {
        if let Some(value) = value {
            let _ = write!(text, " {name} {value}");
        }
    }
    text
}

fn need(field: &Field) -> String {
    let mut parts = Vec::new();
    if field.required {
        parts.push("required".to_owned());
    }
    for (word, condition) in [("required", &field.required_if), ("blank", &field.blank_if)] {
        if let Some((other, values)) = condition.split_first() {
            parts.push(format!("{word} if {other} is {}", values.join(", ")));
        }
    }
    if !field.schemes.is_empty() {
        parts.push(format!("制度 {} only", field.schemes.join(", ")));
    }
    parts.join("; ")
}

/// Layouts of files in, UKE records, tables of the lake.
pub fn data_dictionary() -> String {
    let mut text = format!("{NOTE}# Data dictionary\n\n## Files in\n");
    for layout in layout::all() {
        let _ = write!(
            text,
            "\n### {} {} {}\n\n{}; at most {} rows and {} bytes.\n\n",
            layout.kind, layout.version, layout.ja, layout.source, layout.max_rows, layout.max_bytes
        );
        text.push_str("| # | name | 和名 | form | need | personal |\n|---|---|---|---|---|---|\n");
        for (number, field) in (1..).zip(&layout.fields) {
            let personal = if field.personal { "yes" } else { "" };
            let _ = writeln!(
                text,
                "| {number} | {} | {} | {} | {} | {personal} |",
                field.name,
                field.ja,
                form(field),
                need(field)
            );
        }
    }
    text.push_str("\n## UKE records that are interpreted\n");
    for edition in uke::all() {
        let verified = if edition.verified { "verified" } else { "unverified" };
        let _ = write!(
            text,
            "\n### {} ({verified})\n\n{}; from 請求年月 {}.\n\n| record | fields |\n|---|---|\n",
            edition.ja, edition.source, edition.billing_from
        );
        for (id, record) in edition.records() {
            let _ = writeln!(text, "| {id} | {} |", record.fields);
        }
    }
    text.push_str("\n## Tables of the lake\n\n`*` restricted: personal.\n");
    for table in tables::all() {
        let star = if table.restricted { " *" } else { "" };
        let layering = match table.layering {
            Layering::History => "base and deltas",
            Layering::Generation => "each generation replaces the one before",
            Layering::Append => "generations add up",
            Layering::Version => "newest version per month",
        };
        let _ = write!(
            text,
            "\n### {}{star} {}\n\nKey: {}. {layering}. {}.\n\n| column | 和名 | type | null |\n|---|---|---|---|\n",
            table.name,
            table.ja,
            table.key.join(", "),
            table.source
        );
        for column in &table.columns {
            let kind = format!("{:?}", column.kind()).to_lowercase();
            let _ = writeln!(
                text,
                "| {} | {} | {kind} | {} |",
                column.name(),
                column.ja(),
                if column.nullable() { "yes" } else { "" }
            );
        }
    }
    text
}

/// Code lists and the catalogue of result codes.
pub fn codes() -> String {
    let mut text = format!("{NOTE}# Codes\n\n## Result codes (処理結果詳細コード)\n\n");
    text.push_str("1xxxxx one field (1, layout, field, rule) · 2xxxxx fields together · 3xxxxx against what is known · 4xxxxx the file · 9xxxxx security.\n");
    text.push_str("Checks run in this order: fields in order, rules of a field in order, fields together, masters, what is known.\n\n");
    text.push_str("| code | severity | scope | name | message | source |\n|---|---|---|---|---|---|\n");
    for message in messages::all() {
        let severity = message.severity.word();
        let scope = format!("{:?}", message.scope).to_lowercase();
        let _ = writeln!(
            text,
            "| {} | {severity} | {scope} | {} | {} | {} |",
            message.code, message.name, message.ja, message.source
        );
    }
    text.push_str("\n## Code lists\n");
    for list in codes::all() {
        let _ = write!(
            text,
            "\n### {} {}\n\n{}\n\n| value | name | 名称 |\n|---|---|---|\n",
            list.name, list.ja, list.source
        );
        for code in list.values() {
            let _ = writeln!(text, "| {} | {} | {} |", code.value, code.name, code.ja);
        }
    }
    text
}
