//! Bitemporal tables: one base and deltas, each sorted by key and `recorded_from`.
//!
//! A delta holds whole rows. Of rows with equal key and `recorded_from` the newest generation's holds. A row whose two
//! recorded times are equal was taken back in the night that wrote it and does not count. A row ends where the next one of
//! its key begins, so that a change writes the new state alone; a key that is gone has its last row repeated with
//! `recorded_to` set.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono::NaiveDateTime;
use shikaku_schemas::tables::Table;

use super::read::{Prune, Reader};
use super::row::{Cell, Row};
use crate::error::Result;
use crate::time::to_millis;

/// Positions of key and recorded times in a history table.
#[derive(Clone)]
pub struct Columns {
    pub key: Vec<usize>,
    pub from: usize,
    pub to: usize,
}

impl Columns {
    pub fn of(table: &Table) -> Self {
        let key = table.key.iter().map(|k| table.at(k)).collect();
        Self { key, from: table.at("recorded_from"), to: table.at("recorded_to") }
    }

    pub fn key_of(&self, row: &[Cell]) -> Vec<Cell> {
        self.key.iter().map(|i| row[*i].clone()).collect()
    }

    /// Whether the row was known at the moment just before `cutoff`.
    pub fn known_before(&self, row: &[Cell], cutoff: NaiveDateTime) -> bool {
        let cutoff = to_millis(cutoff);
        let (Cell::Timestamp(from), to) = (&row[self.from], &row[self.to]) else { return false };
        *from < cutoff && !matches!(to, Cell::Timestamp(to) if *to < cutoff)
    }

    /// Whether the row is the current state.
    pub fn is_open(&self, row: &[Cell]) -> bool {
        row[self.to] == Cell::Null
    }
}

/// Key, recorded_from, newest generation first, row.
type Next = (Vec<Cell>, Cell, Reverse<usize>, Row);

/// Resolved rows of a history table in (key, recorded_from) order; memory is one batch per generation.
pub struct HistoryScan {
    columns: Columns,
    streams: Vec<Box<dyn Iterator<Item = Result<Row>>>>,
    heap: BinaryHeap<Reverse<Next>>,
    /// The row to hand out once the one after it is known.
    held: Option<(Vec<Cell>, Row)>,
}

impl HistoryScan {
    pub fn new(reader: &Reader, table: &'static Table, prune: Option<&Prune<'_>>) -> Result<Self> {
        let mut streams: Vec<Box<dyn Iterator<Item = Result<Row>>>> = Vec::new();
        let generations = reader.snapshot.current(table);
        let reader = reader.for_merge_of(generations.len());
        for generation in generations {
            streams.push(Box::new(reader.rows(table, generation, prune)?));
        }
        Self::over(table, streams)
    }

    /// The same over rows of each generation, older ones first: all rows of the keys that they have, in order.
    pub fn over(table: &Table, streams: Vec<Box<dyn Iterator<Item = Result<Row>>>>) -> Result<Self> {
        let mut scan = Self { columns: Columns::of(table), streams, heap: BinaryHeap::new(), held: None };
        for index in 0..scan.streams.len() {
            scan.pull(index)?;
        }
        Ok(scan)
    }

    fn pull(&mut self, index: usize) -> Result<()> {
        if let Some(row) = self.streams[index].next().transpose()? {
            let entry = (self.columns.key_of(&row), row[self.columns.from].clone(), Reverse(index), row);
            self.heap.push(Reverse(entry));
        }
        Ok(())
    }

    /// The next row that counts, its end not yet cut.
    fn next_counted(&mut self) -> Result<Option<(Vec<Cell>, Row)>> {
        while let Some(Reverse((key, from, Reverse(index), row))) = self.heap.pop() {
            self.pull(index)?;
            // Older generations of the same row follow directly; they are superseded.
            while let Some(Reverse((next_key, next_from, Reverse(older), _))) = self.heap.peek() {
                if (next_key, next_from) != (&key, &from) {
                    break;
                }
                let older = *older;
                self.heap.pop();
                self.pull(older)?;
            }
            if row[self.columns.to] != row[self.columns.from] {
                return Ok(Some((key, row)));
            }
        }
        Ok(None)
    }

    fn next_resolved(&mut self) -> Result<Option<Row>> {
        if self.held.is_none() {
            self.held = self.next_counted()?;
        }
        let Some((key, mut row)) = self.held.take() else { return Ok(None) };
        self.held = self.next_counted()?;
        if let Some((next_key, next)) = &self.held
            && *next_key == key
        {
            let (from, to) = (&next[self.columns.from], self.columns.to);
            if row[to] == Cell::Null || row[to] > *from {
                row[to] = from.clone();
            }
        }
        Ok(Some(row))
    }
}

impl Iterator for HistoryScan {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_resolved().transpose()
    }
}

/// A stored row of which little more than its key and recorded times was read.
pub trait Narrow {
    fn same_key(&self, other: &Self) -> bool;
    /// `recorded_from` in milliseconds.
    fn from(&self) -> i64;
    /// `recorded_to`.
    fn to(&mut self) -> &mut Option<i64>;
}

/// The rules of a [`HistoryScan`] on narrow rows in the order of key, `recorded_from`, newest generation first: what is left
/// are the rows that count, each ending where the next one of its key begins.
pub fn resolve_narrow<R: Narrow>(rows: &mut Vec<R>) {
    rows.dedup_by(|b, a| a.same_key(b) && a.from() == b.from());
    rows.retain_mut(|row| {
        let from = row.from();
        *row.to() != Some(from)
    });
    for index in 1..rows.len() {
        let (before, after) = rows.split_at_mut(index);
        let (Some(own), Some(next)) = (before.last_mut(), after.first()) else { continue };
        if own.same_key(next) && own.to().is_none_or(|to| to > next.from()) {
            *own.to() = Some(next.from());
        }
    }
}

/// What a night must write for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NightWrite {
    /// The known row of that index again, with this end (milliseconds; `None` = open).
    Again(usize, Option<i64>),
    /// The last state, from the night on.
    New,
}

/// The row that held before a night, among the recorded times of a key's resolved rows.
pub fn before_night(spans: &[(i64, Option<i64>)], now: i64) -> Option<usize> {
    spans.iter().position(|(from, to)| *from < now && to.is_none_or(|to| to >= now))
}

/// The writes that make a key's history a function of the state before the night and the last state of the night alone,
/// however many runs the night had.
///
/// `spans` are the recorded times of the key's resolved rows; `last` tells of each row whether it says the same as the
/// state to hold from `now` on (`None` = the key is gone).
pub fn night_writes(spans: &[(i64, Option<i64>)], last: Option<impl Fn(usize) -> bool>, now: i64) -> Vec<NightWrite> {
    let before = before_night(spans, now);
    let tonight = spans.iter().position(|(from, _)| *from == now);
    let end_of = |index: usize| spans[index].1;
    let take_back = tonight.map(|index| NightWrite::Again(index, Some(now)));
    match last {
        Some(same) if before.is_some_and(&same) => {
            let reopened = before.filter(|b| end_of(*b).is_some()).map(|b| NightWrite::Again(b, None));
            reopened.into_iter().chain(take_back).collect()
        }
        Some(same) if tonight.is_some_and(|t| end_of(t).is_none() && same(t)) => Vec::new(),
        Some(_) => vec![NightWrite::New],
        None => {
            // Tonight's row may be all that ended the one before.
            let closed = before.filter(|b| end_of(*b).is_none() || tonight.is_some());
            closed.map(|b| NightWrite::Again(b, Some(now))).into_iter().chain(take_back).collect()
        }
    }
}

/// [`night_writes`] on whole rows: `rows` are the key's resolved rows, `last` the state to hold from `at` on, with any
/// recorded times; `same` compares two rows without recorded times and source.
pub fn night_rows(
    columns: &Columns,
    rows: &[Row],
    last: Option<Row>,
    at: NaiveDateTime,
    same: &dyn Fn(&[Cell], &[Cell]) -> bool,
) -> Vec<Row> {
    let millis = |cell: &Cell| match cell {
        Cell::Timestamp(at) => Some(*at),
        _ => None,
    };
    let spans: Vec<(i64, Option<i64>)> =
        rows.iter().map(|r| (millis(&r[columns.from]).unwrap_or(i64::MIN), millis(&r[columns.to]))).collect();
    let is_last = |index: usize| last.as_ref().is_some_and(|last| same(&rows[index], last));
    let writes = night_writes(&spans, last.as_ref().map(|_| &is_last), to_millis(at));
    let write = |write: NightWrite| match write {
        NightWrite::Again(index, to) => {
            let mut row = rows[index].clone();
            row[columns.to] = to.map_or(Cell::Null, Cell::Timestamp);
            Some(row)
        }
        NightWrite::New => last.clone().map(|mut row| {
            row[columns.from] = Cell::timestamp(at);
            row[columns.to] = Cell::Null;
            row
        }),
    };
    writes.into_iter().filter_map(write).collect()
}
