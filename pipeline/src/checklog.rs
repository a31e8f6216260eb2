//! Eligibility check logs (資格確認ログ): each inquiry counted once for ever, and the daily partials that months are summed from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::Timelike;
use shikaku_schemas::layout;
use shikaku_schemas::messages::Severity;
use shikaku_schemas::tables::{self, ColumnType};

use crate::check::field::Checker;
use crate::check::{self, Context, Finding, Value};
use crate::delimited::{self, Checked, Outcome};
use crate::error::Result;
use crate::inbox::Input;
use crate::lake::read::{Prune, Reader};
use crate::lake::row::{Cell, Row};
use crate::outbox::{RecordKeys, ResultFile};
use crate::read::envelope::DataLines;
use crate::store::Stage;
use crate::text::cp932::Encoding;

/// Key of an axis value that is not known.
pub const UNKNOWN: &str = "-";
/// Columns that say what a check was; the last two say where it came from.
const CONTENT: usize = 13;

/// Takes in check logs.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    let reader = stage.store.reader()?;
    let inspected = delimited::inspect_all(stage.store, inputs, &["CHK"], &|_| Some(Encoding::Utf8))?;
    let good = delimited::admit(stage, inspected)?;
    let mut known = known_inquiries(&reader, &good)?;
    let mut by_date: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for file in &good {
        let (outcome, rows) = read_file(file, stage.dir(), &mut known)?;
        for row in rows {
            let date = row[1].as_timestamp().map(|t| t.date().to_string()).unwrap_or_default();
            by_date.entry(date).or_default().push(row);
        }
        delimited::accept(stage, file, outcome)?;
    }
    for (date, rows) in by_date {
        let partition = format!("on_date={date}");
        let daily = daily(&rows);
        note_late(stage, &date)?;
        stage.write_rows(tables::of("check_log"), &partition, rows)?;
        stage.write_rows(tables::of("check_daily"), &partition, daily)?;
    }
    Ok(())
}

/// Rows of a month whose fees were closed already: `status` lists them until the next version.
fn note_late(stage: &mut Stage<'_>, date: &str) -> Result<()> {
    let month = date.get(..7).unwrap_or_default().to_owned();
    if stage.store.ledger.fact("closed", &format!("fees/{month}"))?.is_some() {
        stage.fact("late", &format!("checks/{month}"), stage.date.to_string());
    }
    Ok(())
}

/// Content of every stored check whose 照会通番 the files name.
fn known_inquiries(reader: &Reader, files: &[Checked]) -> Result<BTreeMap<String, Vec<Cell>>> {
    let mut wanted = BTreeSet::new();
    for file in files {
        let mut lines = DataLines::open(&file.input, layout::of("CHK"))?;
        while let Some(record) = lines.next_line()? {
            wanted.insert(String::from_utf8_lossy(record.field(1)).into_owned());
        }
    }
    let table = tables::of("check_log");
    let mut known = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(known);
    }
    let ascending: Vec<&str> = wanted.iter().map(String::as_str).collect();
    for generation in reader.snapshot.current(table) {
        let prune = Prune { column: "inquiry_no", wanted: &ascending };
        for row in reader.rows(table, generation, Some(&prune))? {
            let mut row = row?;
            let number = row[0].as_text().unwrap_or_default().to_owned();
            if wanted.contains(&number) {
                row.truncate(CONTENT);
                known.insert(number, row);
            }
        }
    }
    Ok(known)
}

fn read_file(file: &Checked, dir: &Path, known: &mut BTreeMap<String, Vec<Cell>>) -> Result<(Outcome, Vec<Row>)> {
    let Some(header) = &file.header else { return Ok((Outcome::default(), Vec::new())) };
    let layout = layout::of("CHK");
    let checker = Checker::new(Context::plain(layout, file.encoding, header.created));
    let mut outcome = Outcome::default();
    let mut rows = Vec::new();
    let mut result = ResultFile::spooled(file.answer, Some(header), Some(dir));
    let mut lines = DataLines::open(&file.input, layout)?;
    let source = file.input.source_file();
    let (serial, validity) = (layout.at("serial"), layout.at("validity"));
    let mut line_no = 0i64;
    while let Some(record) = lines.next_line()? {
        line_no += 1;
        let mut findings = Vec::new();
        let values = checker.fields(&record, 1, &mut findings);
        if !values[validity].is_blank() && record.field(serial + 1).is_empty() {
            findings.push(Finding::of("200501"));
        }
        if check::worst(&findings) < Severity::Error {
            let mut row = cells(&values);
            let number = values[0].text().to_owned();
            match known.get(&number) {
                Some(own) if *own == row => findings.push(Finding::of("300502")),
                Some(_) => findings.push(Finding::of("300501")),
                None => {
                    known.insert(number, row.clone());
                    row.extend([Cell::text(&source), Cell::Int(line_no)]);
                    rows.push(row);
                }
            }
        }
        // The log has no record number; its place in the file stands for it.
        let (record_no, insurer_code) = (line_no.to_string(), values[layout.at("insurer_code")].text());
        result.record(RecordKeys { record_no: &record_no, insurer_code, ..RecordKeys::default() }, &findings)?;
        outcome.count(&findings);
    }
    outcome.result = result.finish()?;
    Ok((outcome, rows))
}

/// Cells of a checked record in the order of the table, which is the order of the layout.
fn cells(values: &[Value<'_>]) -> Row {
    let table = tables::of("check_log");
    table.columns[..CONTENT]
        .iter()
        .zip(values)
        .map(|(column, value)| match (column.kind(), value) {
            (_, Value::Blank) => Cell::Null,
            (ColumnType::Int64, _) => value.number().map_or(Cell::Null, Cell::Int),
            (_, Value::Timestamp(at)) => Cell::timestamp(*at),
            (_, Value::Date(date)) => Cell::date(*date),
            (_, Value::Text(text)) => Cell::text(text.as_ref()),
        })
        .collect()
}

/// Counts of one day's new checks by insurer, institution and hour.
fn daily(rows: &[Row]) -> Vec<Row> {
    let mut counts: BTreeMap<Vec<Cell>, i64> = BTreeMap::new();
    for row in rows {
        let hour = row[1].as_timestamp().map_or(0, |t| t.hour());
        let insurer = row[10].as_text().unwrap_or(UNKNOWN);
        let institution = row[2].as_text().unwrap_or(UNKNOWN);
        let hour = format!("{hour:02}");
        for (axis, key) in [("insurer", insurer), ("institution", institution), ("hour", hour.as_str())] {
            let key = vec![Cell::text(axis), Cell::text(key), row[3].clone(), row[8].clone(), row[12].clone()];
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .map(|(mut key, count)| {
            key.push(Cell::Int(count));
            key
        })
        .collect()
}
