//! Coverages known at the cut-off, found by what a receipt says and by person.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, NaiveDateTime};
use shikaku_schemas::tables;

use crate::config::{Config, LossDay};
use crate::error::Result;
use crate::lake::history::{Columns, HistoryScan};
use crate::lake::read::Reader;
use crate::lake::row::Row;
use crate::masters::Masters;
use crate::text::normal;

/// One coverage with what identifies its member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub insurer_code: String,
    pub member_no: String,
    pub coverage_seq: i64,
    pub link_no: i64,
    pub insurer_no: String,
    pub symbol_key: String,
    pub number_key: String,
    pub branch_no: Option<String>,
    pub acquired_on: NaiveDate,
    /// First day without cover, by the insurer's loss-day rule; none = open.
    pub end: Option<NaiveDate>,
    pub died: bool,
    pub card_returned_on: Option<NaiveDate>,
    pub recorded_from: NaiveDateTime,
    pub birth_date: Option<NaiveDate>,
    pub sex: Option<String>,
    pub kana_key: Option<String>,
    /// 記号 and 番号 as stored, in CP932.
    pub symbol_raw: Vec<u8>,
    pub number_raw: Vec<u8>,
}

impl Held {
    pub fn covers(&self, date: NaiveDate) -> bool {
        self.acquired_on <= date && self.end.is_none_or(|end| date < end)
    }

    /// 同日得喪: it exists, covers nothing.
    pub fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.acquired_on)
    }

    /// The same member under the same 保険者番号, 記号 and 番号: one right, however many rows it has.
    pub fn same_right(&self, other: &Self) -> bool {
        (&self.insurer_code, &self.member_no, &self.insurer_no, &self.symbol_key, &self.number_key)
            == (&other.insurer_code, &other.member_no, &other.insurer_no, &other.symbol_key, &other.number_key)
    }
}

/// What a receipt claims: 保険者番号, 記号 key, 番号 key.
pub type ClaimKey = (String, String, String);

/// All coverages that a set of receipts can touch.
#[derive(Debug, Default)]
pub struct CoverageIndex {
    pub coverages: Vec<Held>,
    by_claim: BTreeMap<ClaimKey, Vec<usize>>,
    by_person: BTreeMap<i64, Vec<usize>>,
}

impl CoverageIndex {
    pub fn new(coverages: Vec<Held>) -> Self {
        let mut index = Self { coverages, ..Self::default() };
        for (i, held) in index.coverages.iter().enumerate() {
            let key = (held.insurer_no.clone(), held.symbol_key.clone(), held.number_key.clone());
            index.by_claim.entry(key).or_default().push(i);
            index.by_person.entry(held.link_no).or_default().push(i);
        }
        index
    }

    /// Coverages by what the receipt says.
    pub fn claimed(&self, insurer_no: &str, symbol_key: &str, number_key: &str) -> &[usize] {
        let key = (insurer_no.to_owned(), symbol_key.to_owned(), number_key.to_owned());
        self.by_claim.get(&key).map_or(&[], Vec::as_slice)
    }

    pub fn of_person(&self, link_no: i64) -> &[usize] {
        self.by_person.get(&link_no).map_or(&[], Vec::as_slice)
    }

    pub fn same_member(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.coverages[a], &self.coverages[b]);
        (&a.insurer_code, &a.member_no) == (&b.insurer_code, &b.member_no)
    }

    /// Preference among coverages of one day: newest 資格取得日, newest recorded, then the smallest keys (answers.md).
    pub fn order(&self, a: usize, b: usize) -> Ordering {
        let (x, y) = (&self.coverages[a], &self.coverages[b]);
        let newest = (y.acquired_on, y.recorded_from).cmp(&(x.acquired_on, x.recorded_from));
        let key = |h: &'_ Held| {
            (h.insurer_no.clone(), h.symbol_key.clone(), h.number_key.clone(), h.branch_no.clone(), h.coverage_seq)
        };
        newest.then_with(|| key(x).cmp(&key(y))).then(a.cmp(&b))
    }

    /// Loads what the claims need from the history as known before the cut-off: the claimed coverages, then every
    /// coverage of the persons behind them.
    pub fn load(
        reader: &Reader,
        masters: &Masters,
        config: &Config,
        claims: &BTreeSet<ClaimKey>,
        cutoff: NaiveDateTime,
    ) -> Result<Self> {
        let coverage = tables::of("coverage");
        let columns = Columns::of(coverage);
        let at = |name: &str| coverage.at(name);
        let text = |row: &Row, i: usize| row[i].as_text().unwrap_or_default().to_owned();
        let (number, symbol_key, number_key) = (at("insurer_no"), at("symbol_key"), at("number_key"));
        let mut persons = BTreeSet::new();
        for row in HistoryScan::new(reader, coverage, None)? {
            let row = row?;
            let key = (text(&row, number), text(&row, symbol_key), text(&row, number_key));
            if columns.known_before(&row, cutoff) && claims.contains(&key) {
                persons.extend(row[at("link_no")].as_int());
            }
        }
        let mut rows = Vec::new();
        for row in HistoryScan::new(reader, coverage, None)? {
            let row = row?;
            let wanted = row[at("link_no")].as_int().is_some_and(|l| persons.contains(&l));
            if wanted && columns.known_before(&row, cutoff) {
                rows.push(row);
            }
        }
        let members = load_members(reader, &rows, cutoff)?;
        let held = rows.iter().map(|row| {
            let key = (text(row, at("insurer_code")), text(row, at("member_no")));
            let member = members.get(&key);
            let acquired_on = row[at("acquired_on")].as_date().unwrap_or_default();
            let lost_on = row[at("lost_on")].as_date();
            Held {
                coverage_seq: row[at("coverage_seq")].as_int().unwrap_or(0),
                link_no: row[at("link_no")].as_int().unwrap_or(0),
                insurer_no: text(row, number),
                symbol_key: text(row, symbol_key),
                number_key: text(row, number_key),
                branch_no: row[at("branch_no")].as_text().map(str::to_owned),
                acquired_on,
                end: lost_on.map(|lost| end_of_cover(acquired_on, lost, masters.loss_day(config, &key.0))),
                died: row[at("loss_reason")].as_text() == Some("02"),
                card_returned_on: row[at("card_returned_on")].as_date(),
                recorded_from: row[columns.from].as_timestamp().unwrap_or_default(),
                birth_date: member.and_then(|m| m.birth_date),
                sex: member.and_then(|m| m.sex.clone()),
                kana_key: member.and_then(|m| m.kana_key.clone()),
                symbol_raw: row[at("symbol_raw")].as_bytes().unwrap_or_default().to_vec(),
                number_raw: row[at("number_raw")].as_bytes().unwrap_or_default().to_vec(),
                insurer_code: key.0,
                member_no: key.1,
            }
        });
        Ok(Self::new(held.collect()))
    }
}

/// First day without cover. 取得日 = 喪失日 is empty under either rule (domain.md §2).
pub fn end_of_cover(acquired_on: NaiveDate, lost_on: NaiveDate, rule: LossDay) -> NaiveDate {
    match rule {
        LossDay::LastDayWithCover if lost_on > acquired_on => crate::time::add_days(lost_on, 1),
        _ => lost_on,
    }
}

struct MemberKeys {
    birth_date: Option<NaiveDate>,
    sex: Option<String>,
    kana_key: Option<String>,
}

fn load_members(
    reader: &Reader,
    rows: &[Row],
    cutoff: NaiveDateTime,
) -> Result<BTreeMap<(String, String), MemberKeys>> {
    let coverage = tables::of("coverage");
    let key = |table: &tables::Table, row: &Row| {
        let text = |name: &str| row[table.at(name)].as_text().unwrap_or_default().to_owned();
        (text("insurer_code"), text("member_no"))
    };
    let wanted: BTreeSet<(String, String)> = rows.iter().map(|r| key(coverage, r)).collect();
    let member = tables::of("member");
    let columns = Columns::of(member);
    let mut members = BTreeMap::new();
    for row in HistoryScan::new(reader, member, None)? {
        let row = row?;
        let own = key(member, &row);
        if wanted.contains(&own) && columns.known_before(&row, cutoff) {
            let keys = MemberKeys {
                birth_date: row[member.at("birth_date")].as_date(),
                // 3 未設定 says nothing.
                sex: row[member.at("sex")].as_text().filter(|s| *s != "3").map(str::to_owned),
                kana_key: row[member.at("kana")].as_text().map(normal::kana_key),
            };
            members.insert(own, keys);
        }
    }
    Ok(members)
}
