//! Rows of a history table by the values of one key column: a narrow scan finds their places, only these are read whole.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec::IntoIter;

use arrow::array::{Array, RecordBatch, StringArray};
use rayon::prelude::*;
use shikaku_schemas::tables::{self, Table};

use super::history::{BatchStream, HistoryScan};
use super::read::{Group, Prune, Reader, Wanted};
use super::schema::named;
use super::typed::Recorded;
use crate::base::error::Result;

/// Most values for which Bloom filters are asked.
const FEW: usize = 64;

/// Resolved rows, in key order, of all keys whose `column` has one of the `wanted` values (ascending). `column` must be part
/// of the key, so that a key is found whole or not at all.
pub fn rows_with<R: Recorded>(reader: &Reader, column: &str, wanted: &[&str]) -> Result<Vec<R>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let table = tables::of(R::TABLE);
    let groups = reader.groups(table, Some(&Prune { column, wanted }))?;
    let found: Vec<(usize, Vec<RecordBatch>)> = groups
        .par_iter()
        .map(|group| Ok((group.rank, rows_of(group, table, column, wanted)?)))
        .collect::<Result<_>>()?;
    let mut streams: Vec<BatchStream> = Vec::new();
    let mut ranks = found.into_iter().peekable();
    while let Some((rank, mut batches)) = ranks.next() {
        while let Some((_, more)) = ranks.next_if(|(next, _)| *next == rank) {
            batches.extend(more);
        }
        streams.push(Box::new(batches.into_iter().map(Ok)));
    }
    let mut rows = Vec::new();
    for batch in HistoryScan::over(table, streams)? {
        rows.append(&mut R::read(&batch?)?);
    }
    Ok(rows)
}

/// Of rows in ascending order, those that are `Equal`; the ones before them are passed over.
pub fn next_equal<R>(rows: &mut Peekable<IntoIter<R>>, order: impl Fn(&R) -> Ordering) -> Vec<R> {
    while rows.next_if(|row| order(row) == Ordering::Less).is_some() {}
    let mut equal = Vec::new();
    while let Some(row) = rows.next_if(|row| order(row) == Ordering::Equal) {
        equal.push(row);
    }
    equal
}

fn rows_of(group: &Group, table: &Table, column: &str, wanted: &[&str]) -> Result<Vec<RecordBatch>> {
    if wanted.len() <= FEW && !group.may_hold(table, column, wanted.iter().map(|value| Wanted::Text(value)))? {
        return Ok(Vec::new());
    }
    let places = places(group, column, wanted)?;
    if places.is_empty() {
        return Ok(Vec::new());
    }
    group.read(None, Some(&places))?.map(|batch| Ok(batch?)).collect()
}

/// Places of the wanted values. Rows ascend by the column but where a column before it in the key changes.
fn places(group: &Group, column: &str, wanted: &[&str]) -> Result<Vec<usize>> {
    let (mut places, mut offset, mut next) = (Vec::new(), 0, 0);
    for batch in group.read(Some(&[column]), None)? {
        let batch = batch?;
        let values: &StringArray = named(&batch, column)?;
        for row in 0..values.len() {
            let value = values.value(row);
            if next > 0 && value <= wanted[next - 1] {
                next = 0;
            }
            while wanted.get(next).is_some_and(|own| *own < value) {
                next += 1;
            }
            if wanted.get(next) == Some(&value) {
                places.push(offset + row);
            }
        }
        offset += values.len();
    }
    Ok(places)
}
