//! Versions of a published month: a new one only when its content differs, the earlier ones stay (guarantee 5).

use std::collections::BTreeMap;

use shikaku_schemas::tables::Table;

use crate::error::{Error, Result};
use crate::lake::read::Reader;
use crate::lake::row::{Cell, ContentDigest, Row};
use crate::store::Stage;
use crate::time::Month;

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

/// Sorts the rows as they will stand and compares them with the newest version.
pub fn next(reader: &Reader, table: &Table, month: Month, rows: &mut [Row]) -> Result<Versioned> {
    let order: Vec<usize> = table.key.iter().map(|k| table.at(k)).collect();
    rows.sort_by_cached_key(|row| (order.iter().map(|i| row[*i].clone()).collect::<Vec<Cell>>(), row.clone()));
    let mut digest = ContentDigest::new(table);
    for row in rows.iter() {
        digest.add(row);
    }
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
pub fn rows(reader: &Reader, table: &'static Table, month: Month, version: u32) -> Result<Vec<Row>> {
    let partition = partition(month, version);
    let mut rows = Vec::new();
    for generation in reader.snapshot.all(table).into_iter().filter(|g| g.partition == partition) {
        for row in reader.rows(table, generation, None)? {
            rows.push(row?);
        }
    }
    Ok(rows)
}

/// Writes a version's table and, for a later one, the list of what differs from the one before.
pub fn write(
    stage: &mut Stage<'_>,
    reader: &Reader,
    table: &'static Table,
    month: Month,
    version: u32,
    rows_now: Vec<Row>,
    folder: &str,
) -> Result<()> {
    if version > 1 {
        let before = rows(reader, table, month, version - 1)?;
        let name = format!("{folder}/diff_v{version}.csv");
        stage.outbox(&name, &difference(table, &before, &rows_now)?)?;
    }
    stage.write_rows(table, &partition(month, version), rows_now)
}

/// Columns whose values may leave the lake in a difference report (guarantee 6).
const NEVER_SHOWN: [&str; 2] = ["link_no", "serial"];

fn show(cell: &Cell) -> String {
    match cell {
        Cell::Null | Cell::Bytes(_) => String::new(),
        Cell::Text(text) => text.clone(),
        Cell::Int(n) => n.to_string(),
        Cell::Date(_) => cell.as_date().map(|d| d.to_string()).unwrap_or_default(),
        Cell::Timestamp(_) => cell.as_timestamp().map(|t| t.to_string()).unwrap_or_default(),
        Cell::List(items) => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

/// `項目,変更前,変更後` behind the key, one row per changed cell; UTF-8 with BOM.
fn difference(table: &Table, before: &[Row], now: &[Row]) -> Result<Vec<u8>> {
    let key: Vec<usize> = table.key.iter().map(|k| table.at(k)).collect();
    let by_key = |rows: &[Row]| -> BTreeMap<Vec<Cell>, Row> {
        rows.iter().map(|r| (key.iter().map(|i| r[*i].clone()).collect(), r.clone())).collect()
    };
    let (before, now) = (by_key(before), by_key(now));
    let failed = |e: csv::Error| Error::failed(e.to_string());
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(b"\xef\xbb\xbf".to_vec());
    let names = key.iter().map(|i| table.columns[*i].ja());
    writer.write_record(names.chain(["項目", "変更前", "変更後"])).map_err(failed)?;
    let mut keys: Vec<&Vec<Cell>> = before.keys().chain(now.keys()).collect();
    keys.sort();
    keys.dedup();
    for own in keys {
        let cell = |rows: &BTreeMap<Vec<Cell>, Row>, i: usize| rows.get(own).map(|r| show(&r[i])).unwrap_or_default();
        for (i, column) in table.columns.iter().enumerate() {
            let gone = before.contains_key(own) != now.contains_key(own);
            let (old, new) = (cell(&before, i), cell(&now, i));
            if key.contains(&i) || (old == new && !gone) || NEVER_SHOWN.contains(&column.name()) {
                continue;
            }
            let names = own.iter().map(show);
            writer.write_record(names.chain([column.ja().to_owned(), old, new])).map_err(failed)?;
        }
    }
    writer.into_inner().map_err(|e| Error::failed(e.to_string()))
}
