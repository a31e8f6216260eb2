//! Who insured a person when a link was acquired: the newest 資格取得日 that is valid then (rules.md §2).

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use chrono::NaiveDate;
use rayon::prelude::*;
use shikaku_schemas::tables;

use crate::base::config::Config;
use crate::base::error::Result;
use crate::base::time::{Moment, from_days};
use crate::lake::history::{self, Spans, resolve};
use crate::lake::read::{Group, Reader};
use crate::lake::tables::coverage as table;
use crate::masters::Masters;
use crate::masters::cover::end_of_cover;

/// Columns that decide; the rest of a coverage is not read.
const COLUMNS: [&str; 9] = [
    table::INSURER_CODE.name,
    table::MEMBER_NO.name,
    table::COVERAGE_SEQ.name,
    table::LINK_NO.name,
    table::INSURER_NO.name,
    table::ACQUIRED_ON.name,
    table::LOST_ON.name,
    table::RECORDED_FROM.name,
    table::RECORDED_TO.name,
];
const KEY: [&str; 5] = [
    table::INSURER_CODE.name,
    table::MEMBER_NO.name,
    table::COVERAGE_SEQ.name,
    table::RECORDED_FROM.name,
    table::RECORDED_TO.name,
];

/// Key of a coverage.
type Key = (String, String, i64);

/// One stored row of a wanted person, or of a key that such a row has.
#[derive(Clone)]
struct Stored {
    key: Key,
    from: Moment,
    to: Option<Moment>,
    rank: usize,
    /// `None` in rows that only show what became of a key.
    cover: Option<Cover>,
}

#[derive(Clone)]
struct Cover {
    link_no: i64,
    insurer_no: String,
    acquired_on: NaiveDate,
    lost_on: Option<NaiveDate>,
}

/// 保険者コード and 保険者番号.
pub type Insurer = (String, String);

/// Coverages, as they are known now, of the persons that links were made for.
#[derive(Default)]
pub struct Insurers {
    /// By 紐付番号: 資格取得日, first day without cover, insurer.
    held: BTreeMap<i64, Vec<(NaiveDate, Option<NaiveDate>, Insurer)>>,
}

impl Insurers {
    /// Reads the coverages of these persons.
    pub fn of(reader: &Reader, masters: &Masters, config: &Config, persons: &HashSet<i64>) -> Result<Self> {
        let mut insurers = Self::default();
        if persons.is_empty() {
            return Ok(insurers);
        }
        let groups = reader.groups(tables::of("coverage"), None)?;
        let found: Vec<Vec<Stored>> = groups.par_iter().map(|group| rows_of(group, persons)).collect::<Result<_>>()?;
        let mut rows: Vec<Stored> = found.into_iter().flatten().collect();
        // A newer generation may have given a coverage to somebody else, or ended it: a row of its key then tells.
        let keys: HashSet<Key> = rows.iter().map(|row| row.key.clone()).collect();
        let oldest = groups.iter().map(|group| group.rank).min();
        let newer: Vec<Vec<Stored>> = groups
            .par_iter()
            .filter(|group| Some(group.rank) != oldest)
            .map(|group| keys_of(group, &keys))
            .collect::<Result<_>>()?;
        rows.extend(newer.into_iter().flatten());
        for row in current(rows) {
            let Some(cover) = row.cover else { continue };
            let rule = masters.loss_day(config, &row.key.0);
            let end = cover.lost_on.map(|lost| end_of_cover(cover.acquired_on, lost, rule));
            let own = insurers.held.entry(cover.link_no).or_default();
            own.push((cover.acquired_on, end, (row.key.0, cover.insurer_no)));
        }
        Ok(insurers)
    }

    /// The insurer on a day: the newest 資格取得日 wins, then the smallest 保険者番号.
    pub fn on(&self, link_no: i64, day: NaiveDate) -> Option<&Insurer> {
        let own = self.held.get(&link_no)?.iter();
        let valid = own.filter(|(acquired, end, _)| *acquired <= day && end.is_none_or(|end| day < end));
        let newest = valid.max_by(|a, b| a.0.cmp(&b.0).then_with(|| (&b.2.1, &b.2.0).cmp(&(&a.2.1, &a.2.0))));
        newest.map(|(_, _, insurer)| insurer)
    }
}

impl history::Stored for Stored {
    fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    fn from(&self) -> Moment {
        self.from
    }

    fn to(&mut self) -> &mut Option<Moment> {
        &mut self.to
    }
}

/// The open row of each key, if it has one.
fn current(mut rows: Vec<Stored>) -> Vec<Stored> {
    // Of the same row read twice the one with its coverage stands first.
    rows.sort_unstable_by(|a, b| {
        let order = |s: &Stored| (s.from, std::cmp::Reverse(s.rank), s.cover.is_none());
        a.key.cmp(&b.key).then_with(|| order(a).cmp(&order(b)))
    });
    resolve(&mut rows);
    rows.retain(|row| row.to.is_none());
    rows
}

/// Rows of wanted persons: their places by one narrow column, then what decides.
fn rows_of(group: &Group, persons: &HashSet<i64>) -> Result<Vec<Stored>> {
    let (mut places, mut offset) = (Vec::new(), 0);
    for batch in group.read(Some(&[table::LINK_NO.name]), None)? {
        let batch = batch?;
        let links = table::LINK_NO.of(&batch)?;
        places.extend((0..links.len()).filter(|row| persons.contains(&links.value(*row))).map(|row| offset + row));
        offset += links.len();
    }
    let mut rows = Vec::with_capacity(places.len());
    if places.is_empty() {
        return Ok(rows);
    }
    for batch in group.read(Some(&COLUMNS), Some(&places))? {
        let batch = batch?;
        let keys = Keys::of(&batch)?;
        let (links, numbers) = (table::LINK_NO.of(&batch)?, table::INSURER_NO.of(&batch)?);
        let (acquired, lost) = (table::ACQUIRED_ON.of(&batch)?, table::LOST_ON.of(&batch)?);
        for row in 0..batch.num_rows() {
            let cover = Cover {
                link_no: links.value(row),
                insurer_no: numbers.value(row).to_owned(),
                acquired_on: from_days(acquired.value(row)),
                lost_on: (!lost.is_null(row)).then(|| from_days(lost.value(row))),
            };
            rows.push(Stored { cover: Some(cover), ..keys.stored(row, group.rank) });
        }
    }
    Ok(rows)
}

/// Rows of these keys, without what they say.
fn keys_of(group: &Group, wanted: &HashSet<Key>) -> Result<Vec<Stored>> {
    let mut rows = Vec::new();
    for batch in group.read(Some(&KEY), None)? {
        let batch = batch?;
        let keys = Keys::of(&batch)?;
        let stored = (0..batch.num_rows()).map(|row| keys.stored(row, group.rank));
        rows.extend(stored.filter(|row| wanted.contains(&row.key)));
    }
    Ok(rows)
}

struct Keys<'b> {
    codes: &'b StringArray,
    members: &'b StringArray,
    seqs: &'b Int64Array,
    spans: Spans,
}

impl<'b> Keys<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self> {
        Ok(Self {
            codes: table::INSURER_CODE.of(batch)?,
            members: table::MEMBER_NO.of(batch)?,
            seqs: table::COVERAGE_SEQ.of(batch)?,
            spans: Spans::of(batch)?,
        })
    }

    fn stored(&self, row: usize, rank: usize) -> Stored {
        let key = (self.codes.value(row).to_owned(), self.members.value(row).to_owned(), self.seqs.value(row));
        let (from, to) = self.spans.at(row);
        Stored { key, from, to, rank, cover: None }
    }
}
