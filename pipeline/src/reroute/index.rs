//! Coverages known at the cut-off, found by what a receipt says and by person.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{BinaryArray, Date32Array, Int64Array, RecordBatch, StringArray};
use chrono::{NaiveDate, NaiveDateTime};
use shikaku_schemas::tables;

use crate::base::config::{Config, LossDay};
use crate::base::error::Result;
use crate::base::time::Day;
use crate::lake::history::{HistoryScan, Spans, known_before};
use crate::lake::read::Reader;
use crate::lake::tables::{coverage, member};
use crate::lake::typed::{Bytes, Date, Kind as _, Text};
use crate::masters::Masters;
use crate::masters::cover::end_of_cover;
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

    /// Preference among coverages of one day: newest 資格取得日, newest recorded, then the smallest keys (rules.md).
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
        let persons = persons(reader, claims, cutoff)?;
        let mut coverages = Vec::new();
        for batch in HistoryScan::new(reader, tables::of("coverage"), Some(&COLUMNS))? {
            let batch = batch?;
            let columns = Columns::of(&batch)?;
            for row in 0..batch.num_rows() {
                if persons.contains(&columns.link_no.value(row)) && known_before(columns.spans.at(row), cutoff.into()) {
                    let code = columns.insurer_code.value(row);
                    coverages.push(columns.held(row, masters.loss_day(config, code)));
                }
            }
        }
        let members = load_members(reader, &coverages, cutoff)?;
        for held in &mut coverages {
            if let Some(keys) = members.get(&(held.insurer_code.clone(), held.member_no.clone())) {
                held.birth_date = keys.birth_date;
                held.sex.clone_from(&keys.sex);
                held.kana_key.clone_from(&keys.kana_key);
            }
        }
        Ok(Self::new(coverages))
    }
}

/// Persons behind the claimed coverages.
fn persons(reader: &Reader, claims: &BTreeSet<ClaimKey>, cutoff: NaiveDateTime) -> Result<HashSet<i64>> {
    const COLUMNS: [&str; 4] =
        [coverage::LINK_NO.name, coverage::INSURER_NO.name, coverage::SYMBOL_KEY.name, coverage::NUMBER_KEY.name];
    let mut persons = HashSet::new();
    for batch in HistoryScan::new(reader, tables::of("coverage"), Some(&COLUMNS))? {
        let batch = batch?;
        let (links, insurers) = (coverage::LINK_NO.of(&batch)?, coverage::INSURER_NO.of(&batch)?);
        let (symbols, numbers) = (coverage::SYMBOL_KEY.of(&batch)?, coverage::NUMBER_KEY.of(&batch)?);
        let spans = Spans::of(&batch)?;
        for row in 0..batch.num_rows() {
            let text = |values: &StringArray| values.value(row).to_owned();
            let claimed = || claims.contains(&(text(insurers), text(symbols), text(numbers)));
            if known_before(spans.at(row), cutoff.into()) && claimed() {
                persons.insert(links.value(row));
            }
        }
    }
    Ok(persons)
}

/// Columns of `coverage` that a decision looks at; a scan adds the recorded times.
const COLUMNS: [&str; 14] = [
    coverage::INSURER_CODE.name,
    coverage::MEMBER_NO.name,
    coverage::COVERAGE_SEQ.name,
    coverage::LINK_NO.name,
    coverage::INSURER_NO.name,
    coverage::SYMBOL_KEY.name,
    coverage::NUMBER_KEY.name,
    coverage::BRANCH_NO.name,
    coverage::ACQUIRED_ON.name,
    coverage::LOST_ON.name,
    coverage::LOSS_REASON.name,
    coverage::CARD_RETURNED_ON.name,
    coverage::SYMBOL_RAW.name,
    coverage::NUMBER_RAW.name,
];

/// [`COLUMNS`] of a batch.
struct Columns<'b> {
    insurer_code: &'b StringArray,
    member_no: &'b StringArray,
    coverage_seq: &'b Int64Array,
    link_no: &'b Int64Array,
    insurer_no: &'b StringArray,
    symbol_key: &'b StringArray,
    number_key: &'b StringArray,
    branch_no: &'b StringArray,
    acquired_on: &'b Date32Array,
    lost_on: &'b Date32Array,
    loss_reason: &'b StringArray,
    card_returned_on: &'b Date32Array,
    symbol_raw: &'b BinaryArray,
    number_raw: &'b BinaryArray,
    spans: Spans,
}

impl<'b> Columns<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self> {
        Ok(Self {
            insurer_code: coverage::INSURER_CODE.of(batch)?,
            member_no: coverage::MEMBER_NO.of(batch)?,
            coverage_seq: coverage::COVERAGE_SEQ.of(batch)?,
            link_no: coverage::LINK_NO.of(batch)?,
            insurer_no: coverage::INSURER_NO.of(batch)?,
            symbol_key: coverage::SYMBOL_KEY.of(batch)?,
            number_key: coverage::NUMBER_KEY.of(batch)?,
            branch_no: coverage::BRANCH_NO.of(batch)?,
            acquired_on: coverage::ACQUIRED_ON.of(batch)?,
            lost_on: coverage::LOST_ON.of(batch)?,
            loss_reason: coverage::LOSS_REASON.of(batch)?,
            card_returned_on: coverage::CARD_RETURNED_ON.of(batch)?,
            symbol_raw: coverage::SYMBOL_RAW.of(batch)?,
            number_raw: coverage::NUMBER_RAW.of(batch)?,
            spans: Spans::of(batch)?,
        })
    }

    /// A coverage under its insurer's rule; what identifies its member is still to come.
    fn held(&self, row: usize, rule: LossDay) -> Held {
        let text = |values: &StringArray| values.value(row).to_owned();
        let date = |values: &Date32Array| <Option<Date>>::get(values, row).map(Day::date);
        let bytes = |values: &BinaryArray| <Option<Bytes>>::get(values, row).unwrap_or_default().into_owned();
        let acquired_on = Date::get(self.acquired_on, row).date();
        Held {
            insurer_code: text(self.insurer_code),
            member_no: text(self.member_no),
            coverage_seq: self.coverage_seq.value(row),
            link_no: self.link_no.value(row),
            insurer_no: text(self.insurer_no),
            symbol_key: text(self.symbol_key),
            number_key: text(self.number_key),
            branch_no: <Option<Text>>::get(self.branch_no, row).map(Cow::into_owned),
            acquired_on,
            end: date(self.lost_on).map(|lost| end_of_cover(acquired_on, lost, rule)),
            died: <Option<Text>>::get(self.loss_reason, row).as_deref() == Some("02"),
            card_returned_on: date(self.card_returned_on),
            recorded_from: self.spans.at(row).0.at(),
            birth_date: None,
            sex: None,
            kana_key: None,
            symbol_raw: bytes(self.symbol_raw),
            number_raw: bytes(self.number_raw),
        }
    }
}

struct MemberKeys {
    birth_date: Option<NaiveDate>,
    sex: Option<String>,
    kana_key: Option<String>,
}

fn load_members(
    reader: &Reader,
    coverages: &[Held],
    cutoff: NaiveDateTime,
) -> Result<BTreeMap<(String, String), MemberKeys>> {
    let wanted: BTreeSet<(&str, &str)> = coverages.iter().map(|h| (&*h.insurer_code, &*h.member_no)).collect();
    let columns = [member::BIRTH_DATE.name, member::SEX.name, member::KANA.name];
    let mut members = BTreeMap::new();
    for batch in HistoryScan::new(reader, tables::of("member"), Some(&columns))? {
        let batch = batch?;
        let (codes, numbers) = (member::INSURER_CODE.of(&batch)?, member::MEMBER_NO.of(&batch)?);
        let spans = Spans::of(&batch)?;
        let (births, sexes, kanas) =
            (member::BIRTH_DATE.of(&batch)?, member::SEX.of(&batch)?, member::KANA.of(&batch)?);
        for row in 0..batch.num_rows() {
            let key = (codes.value(row), numbers.value(row));
            if !wanted.contains(&key) || !known_before(spans.at(row), cutoff.into()) {
                continue;
            }
            let keys = MemberKeys {
                birth_date: <Option<Date>>::get(births, row).map(Day::date),
                // 3 未設定 says nothing.
                sex: <Option<Text>>::get(sexes, row).filter(|s| s != "3").map(Cow::into_owned),
                kana_key: <Option<Text>>::get(kanas, row).as_deref().map(normal::kana_key),
            };
            members.insert((key.0.to_owned(), key.1.to_owned()), keys);
        }
    }
    Ok(members)
}
