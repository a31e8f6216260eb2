//! Layouts of delimited files: one declaration that the parser, the checks, the generator and the documents read.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::codes::CodeList;
use crate::files;
use crate::messages::Message;

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
    /// Number in the result codes: the position from 1 in the version that brought the field, for all later and older ones,
    /// above the base of the layout.
    #[serde(skip)]
    pub number: usize,
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
    /// Least value of a `digits` field.
    pub min: Option<u64>,
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
    /// Belongs to the layout's group: set together, or not at all.
    #[serde(default)]
    pub in_group: bool,
    /// Code when the group is there and this field is blank.
    pub group_needs: Option<String>,
}

/// Fields that make one thing (資格) with a number of its own (資格通番).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub key: String,
    /// Code when the group is there without its key.
    pub needs_key: String,
    /// Code when the key is there without the group.
    pub key_alone: String,
    /// Field and values with which the key may stand alone.
    pub key_alone_if: Vec<String>,
}

/// `second` set and before `first` is an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordered {
    pub first: String,
    pub second: String,
    pub code: String,
}

/// `field` set and `needs` blank is an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Together {
    pub field: String,
    pub needs: String,
    pub code: String,
}

/// Values of a field that some 制度 may not send.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barred {
    pub field: String,
    pub values: Vec<String>,
    pub schemes: Vec<String>,
    pub code: String,
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
    /// Folder of the inbox that such files come to.
    pub inbox: String,
    /// Second digit of this layout's field codes.
    pub digit: u8,
    /// Added to the number of a field in its codes, where several layouts share a digit.
    #[serde(default)]
    pub field_base: usize,
    pub origin: Origin,
    pub origin_value: Option<String>,
    /// May also come as XML.
    #[serde(default)]
    pub xml: bool,
    /// Fixed encoding, where the origin does not choose one.
    pub encoding: Option<String>,
    pub source: String,
    /// Most D lines of a file.
    pub max_rows: u64,
    /// Most bytes of a file.
    pub max_bytes: u64,
    pub group: Option<Group>,
    #[serde(default)]
    pub ordered: Vec<Ordered>,
    #[serde(default)]
    pub together: Vec<Together>,
    #[serde(default)]
    pub barred: Vec<Barred>,
    /// A record that breaks no rule, field by field; samples and tests of a kind with no record of its own in `synth`.
    #[serde(default)]
    pub example: BTreeMap<String, String>,
    /// Code lists that this layout alone uses.
    #[serde(default, rename = "code_list")]
    pub code_lists: BTreeMap<String, CodeList>,
    /// Result codes that this kind of file alone has.
    #[serde(default, rename = "message")]
    pub messages: Vec<Message>,
    #[serde(rename = "field")]
    pub fields: Vec<Field>,
}

/// A version that is another one without some fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Older {
    kind: String,
    version: String,
    newer: String,
    without: Vec<String>,
    source: String,
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

fn load(stem: &str, text: &str) -> Layout {
    let mut layout: Layout = crate::parse(stem, text);
    for (number, field) in (layout.field_base + 1..).zip(&mut layout.fields) {
        field.number = number;
    }
    layout
}

static LAYOUTS: LazyLock<Vec<Layout>> =
    LazyLock::new(|| files::LAYOUTS.iter().map(|(stem, text)| load(stem, text)).collect());

static OLDER: LazyLock<Vec<Layout>> = LazyLock::new(|| {
    let older = |(stem, text): &(&str, &str)| {
        let older: Older = crate::parse(stem, text);
        let newer =
            files::LAYOUTS.iter().find(|(own, _)| *own == format!("{}_{}", older.kind.to_lowercase(), older.newer));
        let Some((newer, text)) = newer else { panic!("schemas/layouts/older/{stem}: no version {}", older.newer) };
        let mut layout = load(newer, text);
        layout.version = older.version;
        layout.source = older.source;
        layout.fields.retain(|f| !older.without.contains(&f.name));
        layout
    };
    files::OLDER_LAYOUTS.iter().map(older).collect()
});

/// Folders of the inbox that files with a layout come to, in name order.
pub fn inbox_folders() -> impl Iterator<Item = &'static str> {
    let mut folders: Vec<&str> = all().iter().map(|layout| layout.inbox.as_str()).collect();
    folders.sort_unstable();
    folders.dedup();
    folders.into_iter()
}

/// The current layouts in file-name order.
pub fn all() -> &'static [Layout] {
    &LAYOUTS
}

/// Older versions that are still accepted.
pub fn older() -> &'static [Layout] {
    &OLDER
}

/// The layout of that kind and version, if it is accepted.
pub fn find(kind: &str, version: &str) -> Option<&'static Layout> {
    LAYOUTS.iter().chain(OLDER.iter()).find(|l| l.kind == kind && l.version == version)
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
    fn field_numbers_of_a_digit_are_unique() {
        let numbers = all().iter().flat_map(|l| l.fields.iter().map(|f| (l.digit, f.number)));
        let mut numbers: Vec<(u8, usize)> = numbers.collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() == count && numbers.iter().all(|(_, number)| *number < 100));
    }

    #[test]
    fn an_example_names_fields_and_no_code_list_stands_twice() {
        for layout in all() {
            assert!(layout.example.keys().all(|name| layout.index(name).is_some()), "{}", layout.kind);
        }
        let names: Vec<&str> = crate::codes::all().iter().map(|list| list.name.as_str()).collect();
        assert!(names.windows(2).all(|two| two[0] != two[1]));
    }

    #[test]
    fn an_older_version_keeps_the_field_numbers() {
        let old = find("SUB", "00").unwrap();
        assert_eq!(old.fields.len(), 32);
        assert_eq!((old.index("branch_no"), old.index("card_returned_on")), (None, None));
        assert_eq!((old.at("acquired_on"), old.fields[old.at("acquired_on")].number), (17, 19));
    }

    #[test]
    fn rules_between_fields_name_fields_and_catalogued_codes() {
        for layout in all() {
            let group =
                layout.group.iter().flat_map(|g| [(g.key.as_str(), &g.needs_key), (&g.key_alone_if[0], &g.key_alone)]);
            let rules = group
                .chain(layout.ordered.iter().flat_map(|r| [(r.first.as_str(), &r.code), (&r.second, &r.code)]))
                .chain(layout.together.iter().flat_map(|r| [(r.field.as_str(), &r.code), (&r.needs, &r.code)]))
                .chain(layout.barred.iter().map(|r| (r.field.as_str(), &r.code)))
                .chain(layout.fields.iter().filter_map(|f| Some((f.name.as_str(), f.group_needs.as_ref()?))));
            for (field, code) in rules {
                assert!(layout.index(field).is_some(), "{}.{field}", layout.kind);
                assert!(crate::messages::all().any(|m| m.code == *code), "{code}");
            }
        }
    }

    #[test]
    fn subscriber_layout_has_the_34_fields_of_the_contract() {
        let sub = of("SUB");
        assert_eq!(sub.fields.len(), 34);
        assert_eq!((sub.at("coverage_seq"), sub.at("elderly_copay"), sub.at("updated_at")), (13, 32, 33));
    }
}
