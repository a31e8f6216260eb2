//! Bitemporal tables: one base and deltas, each sorted by key and `recorded_from`.
//!
//! A delta holds whole rows. Of rows with equal key and `recorded_from` the newest generation's holds, so a delta closes
//! a row by repeating it with `recorded_to` set. A row whose two recorded times are equal was taken back in the night
//! that wrote it and does not count.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono::NaiveDateTime;
use shikaku_schemas::tables::Table;

use super::read::{Prune, Reader, Rows};
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
    streams: Vec<Rows>,
    heap: BinaryHeap<Reverse<Next>>,
}

impl HistoryScan {
    pub fn new(reader: &Reader, table: &'static Table, prune: Option<&Prune<'_>>) -> Result<Self> {
        let mut streams = Vec::new();
        for generation in reader.snapshot.current(table) {
            streams.push(reader.rows(table, generation, prune)?);
        }
        let mut scan = Self { columns: Columns::of(table), streams, heap: BinaryHeap::new() };
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

    fn next_resolved(&mut self) -> Result<Option<Row>> {
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
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

impl Iterator for HistoryScan {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_resolved().transpose()
    }
}

/// What a night must write for one key so that its history is a function of the state before the night and the last state
/// of the night alone, however many runs the night had.
///
/// `rows` are the key's resolved rows; `last` is the state to hold from `at` on (`None` = gone), with any recorded times;
/// `same` compares two rows without recorded times and source.
pub fn night_rows(
    columns: &Columns,
    rows: &[Row],
    last: Option<Row>,
    at: NaiveDateTime,
    same: &dyn Fn(&[Cell], &[Cell]) -> bool,
) -> Vec<Row> {
    let now = Cell::timestamp(at);
    let before = rows.iter().find(|r| r[columns.from] < now && (r[columns.to] == Cell::Null || r[columns.to] >= now));
    let tonight = rows.iter().find(|r| r[columns.from] == now);
    let mut write = Vec::new();
    let mut put = |row: &Row, to: Cell| {
        if row[columns.to] != to {
            let mut row = row.clone();
            row[columns.to] = to;
            write.push(row);
        }
    };
    let unchanged = matches!((before, &last), (Some(before), Some(last)) if same(before, last));
    if let Some(before) = before {
        put(before, if unchanged { Cell::Null } else { now.clone() });
    }
    match last.filter(|_| !unchanged) {
        Some(mut last) => {
            last[columns.from] = now;
            last[columns.to] = Cell::Null;
            if !tonight.is_some_and(|t| t[columns.to] == Cell::Null && same(t, &last)) {
                write.push(last);
            }
        }
        // What an earlier run of this night wrote is taken back.
        None => {
            if let Some(tonight) = tonight {
                put(tonight, now);
            }
        }
    }
    write
}
