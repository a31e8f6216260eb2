//! Code lists (コード表): the values a coded field may hold.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::{files, layout};

/// One code list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeList {
    #[serde(skip)]
    pub name: String,
    /// Japanese name (和名).
    pub ja: String,
    #[serde(default)]
    pub source: String,
    values: Vec<(String, String, String)>,
}

/// One value of a code list.
#[derive(Debug, Clone, Copy)]
pub struct Code<'a> {
    /// As it stands in files, for example `02`.
    pub value: &'a str,
    /// Lower-case English name.
    pub name: &'a str,
    pub ja: &'a str,
}

impl CodeList {
    /// All values in declared order.
    pub fn values(&self) -> impl Iterator<Item = Code<'_>> {
        self.values.iter().map(|(value, name, ja)| Code { value, name, ja })
    }

    /// Whether all its values are digits.
    pub fn is_digits(&self) -> bool {
        self.values.iter().all(|v| v.0.bytes().all(|b| b.is_ascii_digit()))
    }

    pub fn contains(&self, value: &str) -> bool {
        self.values.iter().any(|v| v.0 == value)
    }

    /// The Japanese name of a value, if the list has it.
    pub fn ja_of(&self, value: &str) -> Option<&str> {
        self.values.iter().find(|v| v.0 == value).map(|v| v.2.as_str())
    }
}

static LISTS: LazyLock<Vec<CodeList>> = LazyLock::new(|| {
    let own = files::CODES.iter().map(|(stem, text)| CodeList { name: (*stem).to_owned(), ..crate::parse(stem, text) });
    let of_layouts = layout::all().iter().flat_map(|layout| &layout.code_lists);
    let of_layouts = of_layouts.map(|(name, list)| CodeList { name: name.clone(), ..list.clone() });
    let mut lists: Vec<CodeList> = own.chain(of_layouts).collect();
    lists.sort_by(|a, b| a.name.cmp(&b.name));
    lists
});

/// All code lists in name order: shared ones, and those that one layout brings.
pub fn all() -> &'static [CodeList] {
    &LISTS
}

/// The code list of that name. Panics if a declaration names one that does not exist (found by the crate's tests).
pub fn list(name: &str) -> &'static CodeList {
    match LISTS.iter().find(|l| l.name == name) {
        Some(list) => list,
        None => panic!("no code list {name}"),
    }
}
