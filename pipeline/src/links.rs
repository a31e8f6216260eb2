//! Certificate links (シリアル番号紐付): LNKP, LNKR with its request map, LNKU chains; what must wait is kept and retried.
//!
//! The order inside a night does not show: files are applied by kind and receipt number, and what waits is tried again
//! until nothing changes. Every link made is written to the acquisition log, the fee basis (domain.md §4).

pub mod resolve;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use shikaku_schemas::layout::{self, Layout};
use shikaku_schemas::messages::{FieldRule, Severity};
use shikaku_schemas::tables;

use crate::check::field::Checker;
use crate::check::{self, Context, Finding};
use crate::delimited::{self, Checked, Outcome};
use crate::error::Result;
use crate::inbox::Input;
use crate::lake::history::{Columns, HistoryScan, night_rows};
use crate::lake::layer;
use crate::lake::read::Reader;
use crate::lake::row::{Cell, Row};
use crate::outbox::{RecordKeys, ResultFile};
use crate::read::envelope::DataLines;
use crate::store::Stage;
use crate::text::cp932::Encoding;
use resolve::{Links, Made, Pending, Source, Verdict as LinkVerdict};

/// Kinds in the order they are applied: what names a person first.
const KINDS: [&str; 4] = ["LNKP", "REQM", "LNKR", "LNKU"];
/// Insurer of a person who has none or is unknown.
pub const UNKNOWN_INSURER: &str = "99999999";

/// Takes in link files and tries what waits; with no files it only tries.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    stage.store.check_business_date(stage.date)?;
    let reader = stage.store.reader()?;
    let inspected = delimited::inspect_all(stage.store, inputs, &KINDS, &|_| Some(Encoding::Cp932))?;
    let mut good = delimited::admit(stage, inspected)?;
    good.sort_by_key(|f| {
        let header = f.header.as_ref();
        let kind = header.and_then(|h| KINDS.iter().position(|k| *k == h.kind));
        (kind, header.map(|h| h.receipt_no), f.input.sha256.clone())
    });
    let mut links = load(stage, &reader, &good)?;
    for file in &good {
        let outcome = apply_file(file, &mut links)?;
        delimited::accept(stage, file, outcome)?;
    }
    for (pending, code) in links.settle() {
        // The record was accepted in its own night; its conflict is this run's (answers.md).
        stage.reject(&pending.source.file, code, "error", 1);
    }
    write(stage, &reader, links)
}

/// Whether any link waits; if none does, a retry run has nothing to do.
pub fn any_waiting(reader: &Reader) -> Result<bool> {
    Ok(!reader.current(tables::of("pending_link"))?.is_empty())
}

/// 発行者鍵識別子 of serials in link files, which name none: the configured one.
fn issuer_key_id(stage: &Stage<'_>) -> Result<String> {
    let config = &stage.store.config;
    if !config.links.issuer_key_id.is_empty() {
        return Ok(config.links.issuer_key_id.to_ascii_lowercase());
    }
    match config.crl.ca_files.first() {
        Some(file) => Ok(crate::crl::ca::load(file)?.key_id),
        None => Ok("-".to_owned()),
    }
}

fn serial_fields(layout: &Layout) -> Vec<usize> {
    layout.fields.iter().enumerate().filter(|(_, f)| f.kind == layout::FieldType::Serial).map(|(i, _)| i + 1).collect()
}

/// Loads what the night can touch: serials it names, what waits, and the whole chains of persons behind them.
fn load(stage: &Stage<'_>, reader: &Reader, files: &[Checked]) -> Result<Links> {
    let mut links = Links { issuer: issuer_key_id(stage)?, ..Links::default() };
    for row in reader.current(tables::of("pending_link"))? {
        let pending = Pending::from_row(&row, stage.date.0);
        links.pending.insert(pending.key(), pending);
    }
    for row in reader.current(tables::of("request_map"))? {
        links.requests.insert(row[0].as_text().unwrap_or_default().to_owned(), row);
    }
    let mut wanted: BTreeSet<String> = links.pending.values().flat_map(Pending::serials).collect();
    for file in files {
        let Some(header) = &file.header else { continue };
        let fields = serial_fields(layout::of(&header.kind));
        let mut lines = DataLines::open(&file.input.path, layout::of(&header.kind))?;
        while let Some(record) = lines.next_line()? {
            for field in &fields {
                let text = String::from_utf8_lossy(record.field(*field));
                wanted.extend(crate::text::normal::serial(&text));
            }
        }
    }
    let table = tables::of("serial_link");
    let (serial, link) = (table.at("serial"), table.at("link_no"));
    let mut persons = BTreeSet::new();
    for row in HistoryScan::new(reader, table, None)? {
        let row = row?;
        if wanted.contains(row[serial].as_text().unwrap_or_default()) {
            persons.extend(row[link].as_int());
        }
    }
    if persons.is_empty() {
        return Ok(links);
    }
    for row in HistoryScan::new(reader, table, None)? {
        let row = row?;
        if row[link].as_int().is_some_and(|l| persons.contains(&l)) {
            links.known(row);
        }
    }
    Ok(links)
}

fn apply_file(file: &Checked, links: &mut Links) -> Result<Outcome> {
    let Some(header) = &file.header else { return Ok(Outcome::default()) };
    let layout = layout::of(&header.kind);
    let checker = Checker::new(Context::plain(layout, file.encoding, header.created));
    let mut outcome = Outcome::default();
    let mut result = ResultFile::new(file.answer, Some(header));
    let mut seen = BTreeSet::new();
    let mut lines = DataLines::open(&file.input.path, layout)?;
    while let Some(record) = lines.next_line()? {
        let mut findings = Vec::new();
        let values = checker.fields(&record, 1, &mut findings);
        if !values[0].is_blank() && !seen.insert(values[0].text().to_owned()) {
            findings.push(Finding::field(layout, 0, FieldRule::Unique));
        }
        if check::worst(&findings) < Severity::Error {
            let source = Source {
                file: file.input.source_file(),
                record: values[0].number().unwrap_or(0),
                created: header.created,
            };
            let text = |i: usize| values[i].text().to_owned();
            let verdict = match header.kind.as_str() {
                "LNKP" => links.person(&text(1), values[2].number().unwrap_or(0), source, "LNKP"),
                "REQM" => links.request(&text(1), values[2].number().unwrap_or(0), &source),
                "LNKR" => links.by_request(&text(1), &text(2), source),
                _ => links.reissue(&text(1), &text(2), source),
            };
            match verdict {
                LinkVerdict::Done => {}
                LinkVerdict::Waits => findings.push(Finding::of("300201")),
                LinkVerdict::Known => findings.push(Finding::of("300205")),
                LinkVerdict::Conflict(code) => findings.push(Finding::of(code)),
            }
        }
        result.record(RecordKeys { record_no: values[0].text(), ..RecordKeys::default() }, &findings);
        outcome.count(&findings);
    }
    outcome.result = result.finish();
    Ok(outcome)
}

/// Writes links, what waits, the request map and the acquisition log, each only if it changed.
fn write(stage: &mut Stage<'_>, reader: &Reader, links: Links) -> Result<()> {
    let table = tables::of("serial_link");
    let columns = Columns::of(table);
    let same = |a: &[Cell], b: &[Cell]| a[..4] == b[..4];
    let mut delta = Vec::new();
    let none = Vec::new();
    for serial in &links.touched {
        let before = links.rows.get(serial).unwrap_or(&none);
        let last = links.states.get(serial).map(|s| s.to_row(&links.issuer, serial));
        delta.extend(night_rows(&columns, before, last, stage.recorded_at(), &same));
    }
    if !delta.is_empty() {
        stage.write_rows(table, layer(false), delta)?;
    }
    let date = stage.date.0;
    let pending: Vec<Row> = links.pending.values().map(|p| p.to_row(date)).collect();
    replace_if_changed(stage, reader, "pending_link", pending)?;
    let requests: Vec<Row> = links.requests.values().map(|r| with_first_seen(r, date)).collect();
    replace_if_changed(stage, reader, "request_map", requests)?;
    let acquisitions = acquisitions(reader, &links.made)?;
    if !acquisitions.is_empty() {
        stage.write_rows(tables::of("acquisition"), &format!("on_date={date}"), acquisitions)?;
    }
    Ok(())
}

fn with_first_seen(row: &Row, date: chrono::NaiveDate) -> Row {
    let mut row = row.clone();
    if row[2] == Cell::Null {
        row[2] = Cell::date(date);
    }
    row
}

fn replace_if_changed(stage: &mut Stage<'_>, reader: &Reader, name: &str, mut rows: Vec<Row>) -> Result<()> {
    let table = tables::of(name);
    let mut before = reader.current(table)?;
    before.sort();
    rows.sort();
    if before == rows { Ok(()) } else { stage.write_rows(table, "", rows) }
}

/// Rows of the acquisition log, with the person's insurer at that time: the newest 資格取得日 valid at `acquired_at`
/// (ties: smallest 保険者番号); none = 不明 (answers.md, Files in).
fn acquisitions(reader: &Reader, made: &[Made]) -> Result<Vec<Row>> {
    if made.is_empty() {
        return Ok(Vec::new());
    }
    let persons: BTreeSet<i64> = made.iter().map(|m| m.link_no).collect();
    let table = tables::of("coverage");
    let columns = Columns::of(table);
    let at = |name: &str| table.at(name);
    let mut coverages: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    for row in HistoryScan::new(reader, table, None)? {
        let row = row?;
        if let Some(link) = row[at("link_no")].as_int().filter(|l| persons.contains(l) && columns.is_open(&row)) {
            coverages.entry(link).or_default().push(row);
        }
    }
    let insurer_at = |link_no: i64, when: NaiveDateTime| {
        let date = Cell::date(when.date());
        let own = coverages.get(&link_no)?;
        let valid = own
            .iter()
            .filter(|r| r[at("acquired_on")] <= date && (r[at("lost_on")] == Cell::Null || r[at("lost_on")] > date));
        valid
            .max_by(|a, b| {
                let newest = a[at("acquired_on")].cmp(&b[at("acquired_on")]);
                newest.then_with(|| b[at("insurer_no")].cmp(&a[at("insurer_no")]))
            })
            .map(|r| (r[at("insurer_code")].clone(), r[at("insurer_no")].clone()))
    };
    Ok(made
        .iter()
        .map(|m| {
            let unknown = (Cell::text(UNKNOWN_INSURER), Cell::Null);
            let (code, number) = insurer_at(m.link_no, m.source.created).unwrap_or(unknown);
            vec![
                Cell::timestamp(m.source.created),
                Cell::text(m.kind),
                Cell::text(&m.serial),
                Cell::Int(m.link_no),
                code,
                number,
                Cell::text(&m.source.file),
                Cell::Int(m.source.record),
            ]
        })
        .collect())
}
