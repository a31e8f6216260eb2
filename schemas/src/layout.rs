//! Layouts of delimited files: one declaration that the parser, the checks, the generator and the documents read.

use std::sync::LazyLock;

use serde::Deserialize;

pub(crate) const FILES: &[(&str, &str)] = crate::embed!("layouts":
    "chk_01", "institutions_01", "insurers_01", "lnkp_01", "lnkr_01", "lnku_01", "reqm_01", "sub_01",
);

/// What a field holds. Each kind has its own form rule and its own length rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Half-width digits, `max` of them at most or `len` exactly.
    Digits,
    /// Characters, `max` of them at most, or `max_bytes` bytes of CP932.
    Text,
    /// A value of the code list `codes`.
    Code,
    /// `YYYYMMDD`.
    Date,
    /// `YYYYMMDDhhmmss`, JST.
    Timestamp,
    /// 被保険者枝番: 16 digits, the last one Luhn mod 10.
    MemberNo,
    /// 保険者番号: 8 digits, the last one a check digit (weights 2, 1, …).
    InsurerNo,
    /// 保険者コード: 8 letters or digits.
    InsurerCode,
    /// Certificate serial: up to 20 octets in hex, normalised to lower case without leading zeros.
    Serial,
}

/// What the 個人番号 guard does when a field of free text holds a likely number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The whole file is quarantined (`900001`).
    File,
    /// The record is rejected (`900002`), unless the insurer definition allows it.
    Record,
}

/// One field of a layout.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub name: String,
    /// 和名, as it stands in messages.
    pub ja: String,
    /// Name in messages, where the known wording differs from the 和名.
    pub message_ja: Option<String>,
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Most characters.
    pub max: Option<usize>,
    /// Most bytes in CP932.
    pub max_bytes: Option<usize>,
    /// Exact number of characters.
    pub len: Option<usize>,
    /// Name of the code list of a `code` field.
    pub codes: Option<String>,
    #[serde(default)]
    pub required: bool,
    /// Required when the field named first holds one of the other values.
    #[serde(default)]
    pub required_if: Vec<String>,
    /// Must be blank when the field named first holds one of the other values.
    #[serde(default)]
    pub blank_if: Vec<String>,
    /// 制度 codes for which the field may be set; empty = all.
    #[serde(default)]
    pub schemes: Vec<String>,
    #[serde(default)]
    pub unique: bool,
    #[serde(default)]
    pub not_after_created: bool,
    pub guard: Option<Guard>,
    /// A warning when there is no full-width space in it.
    #[serde(default)]
    pub spaced: bool,
    /// Text that may hold printable ASCII only.
    #[serde(default)]
    pub ascii: bool,
    #[serde(default)]
    pub personal: bool,
}

/// Where the origin of a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A 保険者コード of the insurer master.
    Insurer,
    /// The constant `origin_value`.
    Fixed,
    /// A master file: a heading row instead of H and E lines.
    Master,
}

/// One layout: kind and version of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    pub kind: String,
    pub version: String,
    pub ja: String,
    /// Second digit of this layout's field codes.
    pub digit: u8,
    pub origin: Origin,
    pub origin_value: Option<String>,
    /// Fixed encoding, where the origin does not choose one.
    pub encoding: Option<String>,
    pub source: String,
    /// Most D lines of a file.
    pub max_rows: u64,
    /// Most bytes of a file.
    pub max_bytes: u64,
    #[serde(rename = "field")]
    pub fields: Vec<Field>,
}

impl Layout {
    /// Position of a field, counted from 0 after the line's letter.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// Position of a field that the program names. Panics when the declaration lost it (found by every test that reads).
    pub fn at(&self, name: &str) -> usize {
        match self.index(name) {
            Some(index) => index,
            None => panic!("layout {} has no field {name}", self.kind),
        }
    }
}

static LAYOUTS: LazyLock<Vec<Layout>> =
    LazyLock::new(|| FILES.iter().map(|(stem, text)| crate::parse(stem, text)).collect());

/// All layouts in file-name order.
pub fn all() -> &'static [Layout] {
    &LAYOUTS
}

/// The layout of that kind and version, if there is one.
pub fn find(kind: &str, version: &str) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|l| l.kind == kind && l.version == version)
}

/// The current layout of a kind that the program names.
pub fn of(kind: &str) -> &'static Layout {
    match LAYOUTS.iter().rev().find(|l| l.kind == kind) {
        Some(layout) => layout,
        None => panic!("no layout {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_fields_name_a_list_and_no_other_field_does() {
        for layout in all() {
            for field in &layout.fields {
                assert_eq!(field.kind == FieldType::Code, field.codes.is_some(), "{}.{}", layout.kind, field.name);
                if let Some(codes) = &field.codes {
                    crate::codes::list(codes);
                }
            }
        }
    }

    #[test]
    fn digits_and_text_have_a_limit_and_conditions_name_fields() {
        for layout in all() {
            for field in &layout.fields {
                if matches!(field.kind, FieldType::Digits | FieldType::Text) {
                    let limits = [field.max, field.max_bytes, field.len].iter().flatten().count();
                    assert_eq!(limits, 1, "{}.{}", layout.kind, field.name);
                }
                for condition in [&field.required_if, &field.blank_if] {
                    if let Some(other) = condition.first() {
                        assert!(layout.index(other).is_some(), "{}.{}", layout.kind, field.name);
                    }
                }
            }
        }
    }

    #[test]
    fn layout_digits_are_unique() {
        let mut digits: Vec<u8> = all().iter().map(|l| l.digit).collect();
        digits.sort_unstable();
        digits.dedup();
        assert_eq!(digits.len(), all().len());
    }

    #[test]
    fn subscriber_layout_has_the_34_fields_of_the_contract() {
        let sub = of("SUB");
        assert_eq!(sub.fields.len(), 34);
        assert_eq!((sub.at("coverage_seq"), sub.at("elderly_copay"), sub.at("updated_at")), (13, 32, 33));
    }
}
