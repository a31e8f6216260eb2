//! Layout-driven checks of one record: every field rule first (in field order), then the rules between fields.
//!
//! Findings carry their catalogue entry; values are typed once here and never parsed again.

pub mod between;
pub mod field;

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime};
use shikaku_schemas::code::Code;
use shikaku_schemas::layout::Layout;
use shikaku_schemas::messages::{self, FieldRule, Message, Severity};

use crate::text::cp932::Encoding;

/// A checked field; text is borrowed from the record where it could be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value<'r> {
    #[default]
    Blank,
    Text(Cow<'r, str>),
    Date(NaiveDate),
    Timestamp(NaiveDateTime),
}

impl Value<'_> {
    pub fn is_blank(&self) -> bool {
        *self == Self::Blank
    }

    /// Text of the field; empty when blank.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    pub fn owned(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone().into_owned()),
            _ => None,
        }
    }

    pub fn date(&self) -> Option<NaiveDate> {
        match self {
            Self::Date(date) => Some(*date),
            _ => None,
        }
    }

    pub fn timestamp(&self) -> Option<NaiveDateTime> {
        match self {
            Self::Timestamp(at) => Some(*at),
            _ => None,
        }
    }

    /// Number of a `digits` field (≤ 18 digits fit).
    pub fn number(&self) -> Option<i64> {
        self.text().parse().ok()
    }
}

/// One thing found in a record.
#[derive(Debug, Clone)]
pub struct Finding {
    pub message: &'static Message,
    /// The field rule that was broken, if it was one.
    pub rule: Option<FieldRule>,
    /// Where in the file, for bytes that cannot be read: line, byte offset, hex.
    pub place: Option<(u64, u64, String)>,
    /// What of it is so: dates, counts, never values of a record.
    pub detail: String,
}

impl Finding {
    pub fn of(code: Code) -> Self {
        Self::declared(code.text())
    }

    /// Of a code that a layout names.
    pub fn declared(code: &str) -> Self {
        Self { message: messages::of(code), rule: None, place: None, detail: String::new() }
    }

    /// The same with what of it is so.
    pub fn because(mut self, detail: &str) -> Self {
        // Result files join their fields as they are.
        self.detail = detail.replace([',', '"', '\r', '\n'], "、");
        self
    }

    pub fn field(layout: &Layout, index: usize, rule: FieldRule) -> Self {
        Self { rule: Some(rule), ..Self::declared(&messages::field_code(layout, index, rule)) }
    }

    /// The message with its place, as it stands in the result file.
    pub fn text(&self) -> String {
        match &self.place {
            Some((line, byte, hex)) => format!("{}({line}行目、オフセット{byte}、16進{hex})", self.message.ja),
            None if !self.detail.is_empty() => format!("{}({})", self.message.ja, self.detail),
            None => self.message.ja.clone(),
        }
    }
}

/// The worst severity among findings.
pub fn worst(findings: &[Finding]) -> Severity {
    findings.iter().map(|f| f.message.severity).max().unwrap_or(Severity::Ok)
}

/// What a check may look at besides the record.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub layout: &'static Layout,
    pub encoding: Encoding,
    /// ファイル作成日時.
    pub created: NaiveDateTime,
    /// 制度 of the origin; empty when it has none.
    pub scheme: &'a str,
    /// The insurer definition allows 12-digit numbers that pass as 個人番号 in 記号 and 番号.
    pub allow_number_like_my_number: bool,
    /// Insurer-local code values → ours, by field; applied before the code list is looked at.
    pub code_maps: Option<&'a BTreeMap<String, BTreeMap<String, String>>>,
}

impl Context<'_> {
    /// For layouts that no insurer definition touches.
    pub fn plain(layout: &'static Layout, encoding: Encoding, created: NaiveDateTime) -> Self {
        Self { layout, encoding, created, scheme: "", allow_number_like_my_number: false, code_maps: None }
    }
}
