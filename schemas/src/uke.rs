//! Record layouts of レセプト電算 files (UKE), by 点数表 and edition. Positions are 1-based, the record id is 1.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// One record type: the number of fields and the positions that are interpreted.
#[derive(Debug, Deserialize)]
pub struct Record {
    /// Number of fields of the full record, the record id included.
    pub fields: usize,
    #[serde(flatten)]
    positions: BTreeMap<String, usize>,
}

impl Record {
    /// 1-based position of a field.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }
}

/// One edition of one 点数表.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edition {
    #[serde(skip)]
    pub name: String,
    pub ja: String,
    /// 点数表 digit, or `dpc`.
    pub fee_table: String,
    /// First 請求年月 (YYYYMM) it holds for.
    pub billing_from: String,
    /// False where the layout is not in our sources.
    pub verified: bool,
    pub source: String,
    /// Free-text fields the 個人番号 guard looks at, as `RECORD.field`.
    pub text_fields: Vec<String>,
    /// A record type that marks this edition (DPC: BU).
    pub marker: Option<String>,
    record: BTreeMap<String, Record>,
}

impl Edition {
    pub fn record(&self, id: &str) -> Option<&Record> {
        self.record.get(id)
    }

    pub fn records(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.record.iter().map(|(id, record)| (id.as_str(), record))
    }
}

static EDITIONS: LazyLock<Vec<Edition>> = LazyLock::new(|| {
    crate::files::UKE
        .iter()
        .map(|(stem, text)| Edition { name: (*stem).to_owned(), ..crate::parse(stem, text) })
        .collect()
});

/// All editions in file-name order.
pub fn all() -> &'static [Edition] {
    &EDITIONS
}

/// The edition of a 点数表 for a 請求年月 (YYYYMM): the newest one that starts no later.
pub fn edition(fee_table: &str, billing_month: &str) -> Option<&'static Edition> {
    EDITIONS
        .iter()
        .filter(|e| e.fee_table == fee_table && e.billing_from.as_str() <= billing_month)
        .max_by(|a, b| a.billing_from.cmp(&b.billing_from))
}
