//! Small state that later runs read: each fact is declared once, where it belongs, with the type of its value.

use std::borrow::Cow;
use std::marker::PhantomData;

use chrono::{NaiveDate, NaiveDateTime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Event, Ledger};
use crate::base::error::{Error, Result};
use crate::base::time::BusinessDate;

/// What a fact's text holds. Blank is no value: that is how a fact is taken back.
pub trait Value: Sized {
    fn parse(text: &str) -> Option<Self>;
    fn text(&self) -> Result<String>;
}

/// A value that stands as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// One fact, by name and key.
#[derive(Debug, Clone)]
pub struct Fact<T> {
    name: &'static str,
    key: Cow<'static, str>,
    value: PhantomData<fn() -> T>,
}

/// Facts of one name, by keys.
#[derive(Debug, Clone, Copy)]
pub struct Facts<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Fact<T> {
    pub const fn new(name: &'static str, key: &'static str) -> Self {
        Self { name, key: Cow::Borrowed(key), value: PhantomData }
    }
}

impl<T> Facts<T> {
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: PhantomData }
    }

    pub fn at(&self, key: impl Into<String>) -> Fact<T> {
        Fact { name: self.name, key: Cow::Owned(key.into()), value: PhantomData }
    }
}

impl<T: Value> Fact<T> {
    /// Name, key and value as they stand in the ledger; none = blank.
    pub fn row(&self, value: Option<&T>) -> Result<(String, String, String)> {
        let value = value.map(Value::text).transpose()?.unwrap_or_default();
        Ok((self.name.to_owned(), self.key.clone().into_owned(), value))
    }

    /// The event that notes it outside of a run.
    pub fn event(&self, value: Option<&T>, at: String) -> Result<Event> {
        let (name, key, value) = self.row(value)?;
        Ok(Event::Fact { name, key, value, at })
    }
}

impl Ledger {
    /// The value of a fact; one that does not read as its type is damage.
    pub fn fact<T: Value>(&self, fact: &Fact<T>) -> Result<Option<T>> {
        let sql = "SELECT value FROM fact WHERE name = $1 AND key = $2";
        let rows: Vec<(String,)> = self.rows(sql, &[fact.name, &fact.key])?;
        rows.into_iter().next().map_or(Ok(None), |row| read(fact.name, &fact.key, &row.0))
    }

    /// All facts of a name that have a value, in key order.
    pub fn facts<T: Value>(&self, facts: &Facts<T>) -> Result<Vec<(String, T)>> {
        let mut found = Vec::new();
        for (key, text) in self.fact_texts(facts.name)? {
            let value = read(facts.name, &key, &text)?;
            found.extend(value.map(|value| (key, value)));
        }
        Ok(found)
    }

    /// Keys and texts of all facts of a name, blank ones too, for digests.
    pub fn fact_texts(&self, name: &str) -> Result<Vec<(String, String)>> {
        self.rows("SELECT key, value FROM fact WHERE name = $1 ORDER BY key", &[name])
    }
}

fn read<T: Value>(name: &str, key: &str, text: &str) -> Result<Option<T>> {
    if text.is_empty() {
        return Ok(None);
    }
    let damaged = || Error::integrity(format!("the ledger's fact {name} {key} cannot be read"));
    T::parse(text).ok_or_else(damaged).map(Some)
}

impl Value for String {
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    fn text(&self) -> Result<String> {
        Ok(self.clone())
    }
}

impl Value for bool {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "1" => Some(true),
            "0" => Some(false),
            _ => None,
        }
    }
    fn text(&self) -> Result<String> {
        Ok(if *self { "1" } else { "0" }.to_owned())
    }
}

impl Value for i64 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn text(&self) -> Result<String> {
        Ok(self.to_string())
    }
}

impl Value for BusinessDate {
    fn parse(text: &str) -> Option<Self> {
        text.parse::<NaiveDate>().ok().map(Self)
    }
    fn text(&self) -> Result<String> {
        Ok(self.to_string())
    }
}

impl Value for NaiveDateTime {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn text(&self) -> Result<String> {
        Ok(self.format("%Y-%m-%dT%H:%M:%S").to_string())
    }
}

impl<T: Serialize + DeserializeOwned> Value for Json<T> {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }
    fn text(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.0)?)
    }
}

/// The lake is sealed with keys.
pub const ENCRYPTED: Fact<bool> = Fact::new("lake", "encrypted");
/// Identity of the lake, as in its file `.id`.
pub const LAKE_ID: Fact<String> = Fact::new("lake", "id");
/// Master key that wraps new data keys.
pub const CURRENT_KEY: Fact<String> = Fact::new("keys", "current");
/// Mark of the key that signs the chain.
pub const CHAIN_MARK: Fact<String> = Fact::new("key_mark", "chain");
/// Marks of master keys, by their ids.
pub const KEY_MARKS: Facts<String> = Facts::new("key_mark");
/// Newest business date of any run.
pub const BUSINESS_DATE: Fact<BusinessDate> = Fact::new("state", "business_date");
/// Newest business date of the history tables: recorded time never goes back behind it.
pub const HISTORY_DATE: Fact<BusinessDate> = Fact::new("state", "history_date");
/// Held files that an operator let go, by `intake::sequence::release_key`: when.
pub const RELEASED: Facts<String> = Facts::new("released");
