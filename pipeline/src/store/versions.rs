//! Versions of a published month: a new one only when its content differs, the earlier ones stay (guarantee 5).

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use shikaku_schemas::tables::Table;

use crate::base::error::Result;
use crate::base::table_text::{BOM, TableText};
use crate::base::time::{BusinessDate, Month};
use crate::lake::content::ContentDigest;
use crate::lake::order::Keys;
use crate::lake::read::Reader;
use crate::lake::schema::arrow_schema;
use crate::lake::show;
use crate::ledger::facts::Facts;
use crate::store::Stage;

/// Newest version of a closed month, by `<what>/<month>`.
pub const CLOSED: Facts<i64> = Facts::new("closed");
/// Months with rows that came after they were closed, by `<what>/<month>`: the night of the newest.
pub const LATE: Facts<BusinessDate> = Facts::new("late");
/// Moment up to which a version knew, by `<what>/<month>/<version>`.
pub const CUTOFFS: Facts<String> = Facts::new("cutoff");

pub enum Versioned {
    /// The newest version says the same.
    Unchanged,
    New(u32),
}

fn version_of(partition: &str) -> Option<u32> {
    partition.rsplit_once("version=").and_then(|(_, n)| n.parse().ok())
}

/// Newest version of a month, if it has one.
pub fn newest(reader: &Reader, table: &Table, month: Month) -> Option<u32> {
    let generations = reader.snapshot.partition(table, &format!("month={month}"));
    generations.iter().filter_map(|g| version_of(&g.partition)).max()
}

/// Compares rows, sorted as they will stand, with the newest version.
pub fn next(reader: &Reader, table: &Table, month: Month, rows: &RecordBatch) -> Result<Versioned> {
    let mut digest = ContentDigest::new(table);
    digest.add(rows)?;
    let digest = digest.finish();
    let Some(version) = newest(reader, table, month) else { return Ok(Versioned::New(1)) };
    let partition = partition(month, version);
    let same = reader.snapshot.all(table).iter().any(|g| g.partition == partition && g.content_digest == digest);
    Ok(if same { Versioned::Unchanged } else { Versioned::New(version + 1) })
}

pub fn partition(month: Month, version: u32) -> String {
    format!("month={month}/version={version}")
}

/// What files of a version carry in their name: nothing for the first.
pub fn suffix(version: u32) -> String {
    if version == 1 { String::new() } else { format!("_v{version}") }
}

/// Rows of one version.
pub fn rows(reader: &Reader, table: &'static Table, month: Month, version: u32) -> Result<RecordBatch> {
    let partition = partition(month, version);
    let mut batches = Vec::new();
    for generation in reader.snapshot.all(table).into_iter().filter(|g| g.partition == partition) {
        for batch in reader.batches(table, generation, None, None)? {
            batches.push(batch?);
        }
    }
    Ok(concat_batches(&arrow_schema(table), &batches)?)
}

/// Writes a version's table and, for a later one, the list of what differs from the one before.
pub fn write(
    stage: &mut Stage<'_>,
    reader: &Reader,
    table: &'static Table,
    month: Month,
    version: u32,
    rows_now: &RecordBatch,
    folder: &str,
) -> Result<()> {
    if version > 1 {
        let before = rows(reader, table, month, version - 1)?;
        let name = format!("{folder}/diff_v{version}.csv");
        stage.outbox(&name, &difference(table, &before, rows_now)?)?;
    }
    stage.write_sorted(table, &partition(month, version), rows_now)
}

/// Columns whose values may leave the lake in a difference report (guarantee 6).
const NEVER_SHOWN: [&str; 2] = ["link_no", "serial"];

/// `項目,変更前,変更後` behind the key, one row per changed value; UTF-8 with BOM.
fn difference(table: &Table, before: &RecordBatch, now: &RecordBatch) -> Result<Vec<u8>> {
    let keys = Keys::of(table)?;
    let (keys_before, keys_now) = (keys.rows(before)?, keys.rows(now)?);
    // Key → its row before and now.
    let mut rows: BTreeMap<_, [Option<usize>; 2]> = BTreeMap::new();
    for (at, keys) in [&keys_before, &keys_now].into_iter().enumerate() {
        for (row, key) in keys.iter().enumerate() {
            rows.entry(key).or_default()[at] = Some(row);
        }
    }
    let mut out = TableText::new(BOM);
    let is_key = |name: &str| table.key.iter().any(|key| key == name);
    let names = table.key.iter().filter_map(|key| table.columns.iter().find(|c| c.name() == key));
    out.row(names.map(|c| c.ja()).chain(["項目", "変更前", "変更後"]))?;
    let shown = table.columns.iter().filter(|c| !is_key(c.name()) && !NEVER_SHOWN.contains(&c.name()));
    let shown: Vec<_> = shown.collect();
    let value = |batch: &RecordBatch, row: Option<usize>, name: &str| match (batch.column_by_name(name), row) {
        (Some(array), Some(row)) => show::value(array, row),
        _ => Ok(String::new()),
    };
    for [old, new] in rows.into_values() {
        let (batch, row) = if new.is_some() { (now, new) } else { (before, old) };
        let key = table.key.iter().map(|name| value(batch, row, name)).collect::<Result<Vec<_>>>()?;
        for column in &shown {
            let (was, is) = (value(before, old, column.name())?, value(now, new, column.name())?);
            if was != is || old.is_some() != new.is_some() {
                out.row(key.iter().map(String::as_str).chain([column.ja(), &was, &is]))?;
            }
        }
    }
    out.bytes()
}
