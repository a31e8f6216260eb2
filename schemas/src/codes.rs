//! Code lists (コード表): the values a coded field may hold.

use std::sync::LazyLock;

use serde::Deserialize;

pub(crate) const FILES: &[(&str, &str)] = crate::embed!("codes":
    "access_kind", "axis", "bearer_kind", "card_kind", "copay", "dependent", "eligibility", "fee_table", "householder",
    "loss_reason", "not_confirmed_reason", "operation", "outcome", "payer", "prefecture", "revocation_reason", "scheme",
    "sex", "validity",
);

/// One code list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeList {
    #[serde(skip)]
    pub name: String,
    /// Japanese name (和名).
    pub ja: String,
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

    pub fn contains(&self, value: &str) -> bool {
        self.values.iter().any(|v| v.0 == value)
    }

    /// The Japanese name of a value, if the list has it.
    pub fn ja_of(&self, value: &str) -> Option<&str> {
        self.values.iter().find(|v| v.0 == value).map(|v| v.2.as_str())
    }
}

static LISTS: LazyLock<Vec<CodeList>> = LazyLock::new(|| {
    FILES.iter().map(|(stem, text)| CodeList { name: (*stem).to_owned(), ..crate::parse(stem, text) }).collect()
});

/// All code lists in name order.
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
