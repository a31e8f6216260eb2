//! Certificate links (シリアル番号紐付): LNKP, LNKR with its request map, LNKU chains; what must wait is kept and retried.
//!
//! The order inside a night does not show: files are applied by kind and receipt number, and what waits is tried again
//! until nothing changes. Every link made is written to the acquisition log, the fee basis (domain.md §4).
//!
//! Serials that a reissue, a 処理通番 or something that waits names are *bound*: what becomes of them depends on others, so
//! they are loaded and gone through by [`resolve`]. All other serials stand alone; [`night`] streams them.

pub mod insurers;
pub mod night;
pub mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::Date32Array;
use arrow::compute::concat_batches;
use chrono::NaiveDate;
use serde::Serialize;
use shikaku_schemas::code::Code;
use shikaku_schemas::layout::{self, FieldType, Layout};
use shikaku_schemas::messages::{FieldRule, Severity};
use shikaku_schemas::tables;

use crate::base::error::{Error, Result};
use crate::base::time::Day;
use crate::intake::answers::{RecordKeys, ResultFile};
use crate::intake::delimited::{self, Checked, Outcome};
use crate::intake::{Days, Intake, nothing_more};
use crate::lake::columns::batch_of;
use crate::lake::lookup;
use crate::lake::order;
use crate::lake::read::Reader;
use crate::lake::schema::{arrow_schema, named};
use crate::lake::sort::Sorter;
use crate::lake::tables::{pending_link, request_map, serial_link};
use crate::lake::typed::Record;
use crate::ledger::InputState;
use crate::masters::Masters;
use crate::read::envelope::DataLines;
use crate::rules::field::Checker;
use crate::rules::{self, Context, Finding};
use crate::store::Stage;
use crate::store::commit::RunReport;
use crate::store::input::Input;
use crate::store::run::Call;
use crate::text::cp932::Encoding;
use night::{Claim, FileOf, Night};
use resolve::{Links, Pending, Request, Source, Verdict};

/// The kind of input.
pub const INTAKE: Intake = Intake {
    name: "links",
    folder: "links",
    kinds: &KINDS,
    days: Days::Business,
    needs: &[],
    reads: "LNKP, LNKR, REQM, LNKU files",
    writes: "serial_link, pending_link, request_map, acquisition",
    take_in,
    sent_again: nothing_more,
};

/// Kinds in the order they are applied: what names a person first.
const KINDS: [&str; 4] = ["LNKP", "REQM", "LNKR", "LNKU"];
/// Kinds whose bytes are kept no longer than 処理通番 in them wait (domain.md §1).
const CONVERTED: [&str; 2] = ["LNKR", "REQM"];
/// Bytes of claims that are sorted in memory at once.
const SORT_BUDGET: usize = 256 << 20;
/// Largest record number that is told apart by a bit; layouts allow 8 digits.
const MAX_NUMBER: usize = 100_000_000;

/// Takes in link files and tries what waits; with no files it only tries.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    take_in_blocks(stage, inputs, night::BLOCK)
}

/// The same with blocks of that many serials, which bound its memory and change nothing.
pub fn take_in_blocks(stage: &mut Stage<'_>, inputs: &[Input], block: usize) -> Result<()> {
    stage.store.check_business_date(stage.date)?;
    let reader = stage.store.reader()?;
    let inspected = delimited::inspect_all(stage.store, inputs, &KINDS, &|_| Some(Encoding::Cp932))?;
    let mut good = delimited::admit(stage, inspected)?;
    good.sort_by_key(|f| {
        let header = f.header.as_ref();
        let kind = header.and_then(|h| KINDS.iter().position(|k| *k == h.kind));
        (kind, header.map(|h| h.receipt_no), f.input.sha256.clone())
    });
    let mut links = waiting(stage, &reader)?;
    let bound = bound(&links, &good)?;
    load(&mut links, &reader, &bound)?;
    let mut claims = stage.sorter(SORT_BUDGET);
    let mut told = Vec::new();
    let (persons, others) = good.split_at(good.partition_point(|f| is_kind(f, "LNKP")));
    for (number, file) in persons.iter().enumerate() {
        told.push(claim_file(file, number, &bound, &mut links, &mut claims)?);
    }
    for file in others {
        let outcome = apply_file(file, stage.dir(), &mut links)?;
        delimited::accept(stage, file, outcome)?;
    }
    for (pending, code) in links.settle() {
        // The record was accepted in its own night; its conflict is this run's (rules.md).
        let sha256 = digest_of(stage, &pending.source.file)?;
        stage.reject(&sha256, code, 1);
    }
    let files: Vec<FileOf> = persons.iter().filter_map(file_of).collect();
    let masters = Masters::load(&reader)?;
    let night = Night::new(stage, &reader, &masters, &links, &files);
    night.run(stage, claims.finish()?, block, &mut |claim, verdict| {
        let line = usize::try_from(claim.line).unwrap_or(usize::MAX);
        if let Some(slot) = told.get_mut(claim.file).and_then(|lines: &mut Vec<Told>| lines.get_mut(line)) {
            *slot = Told::of(verdict);
        }
    })?;
    for (file, told) in persons.iter().zip(told) {
        let outcome = answer_claims(file, stage.dir(), &told)?;
        delimited::accept(stage, file, outcome)?;
    }
    write(stage, &reader, &links)
}

/// The job that tries every night what waits.
pub const WAITING: &str = "waiting-links";

/// A run that takes nothing in and tries what waits.
pub fn retry(call: &Call<'_>) -> Result<RunReport> {
    call.run(WAITING, BTreeMap::new(), &[], |stage| take_in(stage, &[]))
}

/// Whether any link waits; if none does, a retry run has nothing to do.
pub fn any_waiting(reader: &Reader) -> Result<bool> {
    Ok(reader.current(tables::of("pending_link"))?.iter().any(|batch| batch.num_rows() > 0))
}

/// 発行者鍵識別子 of serials in link files, which name none: the configured one.
fn issuer_key_id(stage: &Stage<'_>) -> Result<String> {
    let config = &stage.store.config;
    if !config.links.issuer_key_id.is_empty() {
        return Ok(config.links.issuer_key_id.to_ascii_lowercase());
    }
    match config.crl.ca_files.first() {
        Some(file) => Ok(crate::pki::ca::load(file)?.key_id),
        None => Ok("-".to_owned()),
    }
}

fn is_kind(file: &Checked, kind: &str) -> bool {
    file.header.as_ref().is_some_and(|h| h.kind == kind)
}

fn file_of(file: &Checked) -> Option<FileOf> {
    file.header.as_ref().map(|h| FileOf { source_file: file.input.source_file(), created: h.created })
}

fn serial_fields(layout: &Layout) -> Vec<usize> {
    layout.fields.iter().enumerate().filter(|(_, f)| f.kind == FieldType::Serial).map(|(i, _)| i + 1).collect()
}

/// Serials that are bound: named by what waits and by the night's LNKR and LNKU.
fn bound(links: &Links, files: &[Checked]) -> Result<BTreeSet<String>> {
    let mut bound: BTreeSet<String> = links.pending.values().flat_map(Pending::serials).collect();
    for file in files.iter().filter(|f| is_kind(f, "LNKR") || is_kind(f, "LNKU")) {
        let Some(header) = &file.header else { continue };
        let layout = layout::of(&header.kind);
        let fields = serial_fields(layout);
        let mut lines = DataLines::open(&file.input, layout)?;
        while let Some(record) = lines.next_line()? {
            for field in &fields {
                let text = String::from_utf8_lossy(record.field(*field));
                bound.extend(crate::text::normal::serial(&text));
            }
        }
    }
    Ok(bound)
}

/// What waits, and the request map.
fn waiting(stage: &Stage<'_>, reader: &Reader) -> Result<Links> {
    let mut links = Links::default();
    links.issuer = issuer_key_id(stage)?;
    for row in reader.all::<pending_link::Row<'_>>()? {
        links.await_other(Pending::from_row(row, stage.date.0));
    }
    links.requests.extend(reader.all::<request_map::Row<'_>>()?.into_iter().map(Request::from_row));
    Ok(links)
}

/// Loads the bound serials and their successors down to the end of each chain.
fn load(links: &mut Links, reader: &Reader, bound: &BTreeSet<String>) -> Result<()> {
    let mut wanted: Vec<String> = bound.iter().cloned().collect();
    let mut asked = bound.clone();
    while !wanted.is_empty() {
        let serials: Vec<&str> = wanted.iter().map(String::as_str).collect();
        for row in lookup::rows_with::<serial_link::Row<'_>>(reader, serial_link::SERIAL.name, &serials)? {
            links.known(row);
        }
        wanted = links.successors_beyond(&asked);
        asked.extend(wanted.iter().cloned());
    }
    Ok(())
}

/// What became of a line of an LNKP file; one byte, for a nation's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It did not pass its checks.
    Unfit,
    /// It stands among the claims.
    Sorted,
    Done,
    Known,
    OfAnother,
}

impl Told {
    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Done | Verdict::Waits => Self::Done,
            Verdict::Known => Self::Known,
            Verdict::Conflict(_) => Self::OfAnother,
        }
    }

    fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Unfit | Self::Sorted => None,
            Self::Done => Some(Verdict::Done),
            Self::Known => Some(Verdict::Known),
            Self::OfAnother => Some(resolve::OF_ANOTHER),
        }
    }
}

/// Record numbers of one file, to find the one that comes twice.
#[derive(Default)]
struct Numbers {
    bits: Vec<u64>,
    /// Those that are not written as a plain number.
    odd: BTreeSet<String>,
}

impl Numbers {
    /// Whether the number is new.
    fn insert(&mut self, text: &str) -> bool {
        let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<usize>().ok().filter(|n| plain && *n < MAX_NUMBER) {
            None => self.odd.insert(text.to_owned()),
            Some(number) => {
                if self.bits.len() <= number / 64 {
                    self.bits.resize(number / 64 + 1, 0);
                }
                let (word, bit) = (&mut self.bits[number / 64], 1 << (number % 64));
                let new = *word & bit == 0;
                *word |= bit;
                new
            }
        }
    }
}

/// Checked values of a line, as text.
struct Line<'v> {
    record_no: &'v str,
    first: &'v str,
    second: &'v str,
    record: i64,
    /// The second field as a number.
    number: i64,
}

/// What is told of each line: its place, what is wrong with it, its values.
type Take<'t> = dyn FnMut(u64, Vec<Finding>, &Line<'_>) -> Result<()> + 't;

/// Goes through a file line by line.
fn each_line(file: &Checked, take: &mut Take<'_>) -> Result<()> {
    let Some(header) = &file.header else { return Ok(()) };
    let layout = layout::of(&header.kind);
    let checker = Checker::new(Context::plain(layout, file.encoding, header.created));
    let mut numbers = Numbers::default();
    let mut lines = DataLines::open(&file.input, layout)?;
    let mut at = 0;
    while let Some(record) = lines.next_line()? {
        let mut findings = Vec::new();
        let values = checker.fields(&record, 1, &mut findings);
        if !values[0].is_blank() && !numbers.insert(values[0].text()) {
            findings.push(Finding::field(layout, 0, FieldRule::Unique));
        }
        let line = Line {
            record_no: values[0].text(),
            first: values[1].text(),
            second: values[2].text(),
            record: values[0].number().unwrap_or(0),
            number: values[2].number().unwrap_or(0),
        };
        take(at, findings, &line)?;
        at += 1;
    }
    Ok(())
}

/// Claims of an LNKP file: on bound serials they are judged at once, the others go to the sorter.
fn claim_file(
    file: &Checked,
    number: usize,
    bound: &BTreeSet<String>,
    links: &mut Links,
    claims: &mut Sorter<'_>,
) -> Result<Vec<Told>> {
    let Some(own) = file_of(file) else { return Ok(Vec::new()) };
    let mut told = Vec::new();
    each_line(file, &mut |at, findings, line| {
        told.push(if rules::worst(&findings) >= Severity::Error {
            Told::Unfit
        } else if bound.contains(line.first) {
            let source = Source { file: own.source_file.clone(), record: line.record, created: own.created };
            Told::of(links.person(line.first, line.number, source, "LNKP"))
        } else {
            let (serial, link_no) = (line.first.to_owned(), line.number);
            Claim { serial, file: number, line: at, link_no, record: line.record }.push_to(claims)?;
            Told::Sorted
        });
        Ok(())
    })?;
    Ok(told)
}

/// Results of an LNKP file, now that every claim was judged.
fn answer_claims(file: &Checked, dir: &Path, told: &[Told]) -> Result<Outcome> {
    let mut told = told.iter();
    answer(file, dir, &mut |_, _| match told.next() {
        Some(Told::Unfit) => Ok(None),
        Some(told) if told.verdict().is_some() => Ok(told.verdict()),
        // Guarantee 2: no record without an answer.
        _ => Err(Error::internal("a link record was not judged")),
    })
}

fn apply_file(file: &Checked, dir: &Path, links: &mut Links) -> Result<Outcome> {
    let Some((header, own)) = file.header.as_ref().zip(file_of(file)) else { return Ok(Outcome::default()) };
    answer(file, dir, &mut |fit, line| {
        if !fit {
            return Ok(None);
        }
        let source = Source { file: own.source_file.clone(), record: line.record, created: own.created };
        Ok(Some(match header.kind.as_str() {
            "REQM" => links.request(request_no(line.first), line.number, &source),
            "LNKR" => links.by_request(line.first, request_no(line.second), source),
            _ => links.reissue(line.first, line.second, source),
        }))
    })
}

/// What is told of a line, given whether it passed its checks, and its values.
type Judge<'j> = dyn FnMut(bool, &Line<'_>) -> Result<Option<Verdict>> + 'j;

/// Results and counts of a file whose lines are judged one after the other.
fn answer(file: &Checked, dir: &Path, judge: &mut Judge<'_>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut result = ResultFile::spooled(file.answer, file.header.as_ref(), Some(dir));
    each_line(file, &mut |_, mut findings, line| {
        findings.extend(judge(rules::worst(&findings) < Severity::Error, line)?.and_then(finding));
        result.record(RecordKeys { record_no: line.record_no, ..RecordKeys::default() }, &findings)?;
        outcome.count(&findings);
        Ok(())
    })?;
    outcome.result = result.finish()?;
    Ok(outcome)
}

/// 処理通番 is a number: leading zeros do not count.
fn request_no(text: &str) -> &str {
    let digits = text.trim_start_matches('0');
    if digits.is_empty() { &text[text.len().saturating_sub(1)..] } else { digits }
}

/// Digest of the input that a `source_file` names: of this run, or of an earlier one.
fn digest_of(stage: &Stage<'_>, source_file: &str) -> Result<String> {
    match stage.inputs.iter().find(|i| i.sha256.starts_with(source_file)) {
        Some(own) => Ok(own.sha256.clone()),
        None => stage.store.ledger.input_digest(source_file),
    }
}

fn finding(verdict: Verdict) -> Option<Finding> {
    match verdict {
        Verdict::Done => None,
        Verdict::Waits => Some(Finding::of(Code::LinkWaits)),
        Verdict::Known => Some(Finding::of(Code::LinkKnown)),
        Verdict::Conflict(code) => Some(Finding::of(code)),
    }
}

/// Writes what waits and the request map, if they changed. What was converted is kept nowhere: not in an earlier generation,
/// and not in a landed file none of whose rows wait any more. One that was refused whole goes with the next run: its sender
/// has its answer, and what it held comes again or not at all.
fn write(stage: &mut Stage<'_>, reader: &Reader, links: &Links) -> Result<()> {
    let date = stage.date.0;
    let pending: Vec<pending_link::Row<'_>> = links.pending.values().map(|p| p.to_row(date)).collect();
    let requests: Vec<request_map::Row<'_>> = links.requests.iter().map(|(no, r)| r.to_row(no, date)).collect();
    let sources = pending.iter().map(|row| &row.source_file).chain(requests.iter().map(|row| &row.source_file));
    let waiting: BTreeSet<String> = sources.map(|file| file.to_string()).collect();
    let limit = stage.store.config.links.pending_warn_days;
    let own = Waiting::of(pending.iter().map(|row| row.first_seen.date()), Some(date), limit);
    if own.too_long > 0 {
        let oldest = own.oldest.map_or(0, |first| date.signed_duration_since(first).num_days());
        let (waiting, old) = (own.records, own.too_long);
        tracing::warn!(waiting, old, oldest, limit, "link records wait longer than links.pending_warn_days");
    }
    replace_if_changed(stage, reader, pending)?;
    replace_if_changed(stage, reader, requests)?;
    let tonight =
        stage.inputs.iter().filter(|i| CONVERTED.contains(&i.kind.as_str()) && i.state == InputState::Accepted);
    let tonight: Vec<(String, String)> = tonight.filter_map(|i| Some((i.sha256.clone(), i.landing.clone()?))).collect();
    for (sha256, place) in stage.store.ledger.kept_landings(&CONVERTED, "links")?.into_iter().chain(tonight) {
        if !waiting.contains(&sha256[..16]) {
            stage.drop_landing(place);
        }
    }
    Ok(())
}

/// Records that wait, and since when. No limit is given to how long they may; the operator hears of those that wait too long.
#[derive(Debug, Serialize)]
pub struct Waiting {
    pub records: usize,
    pub oldest: Option<NaiveDate>,
    /// Longer than `links.pending_warn_days`.
    pub too_long: usize,
}

impl Waiting {
    /// Of a stored table, `pending_link` or `request_map`.
    pub fn stored(reader: &Reader, table: &str, today: Option<NaiveDate>, limit: i64) -> Result<Self> {
        let mut since = Vec::new();
        for batch in reader.current(tables::of(table))? {
            let nights: &Date32Array = named(&batch, pending_link::FIRST_SEEN.name)?;
            since.extend(nights.values().iter().map(|night| Day(*night).date()));
        }
        Ok(Self::of(since.into_iter(), today, limit))
    }

    /// Of the nights in which they came, on a day; without one none waits too long.
    pub fn of(since: impl Iterator<Item = NaiveDate>, today: Option<NaiveDate>, limit: i64) -> Self {
        let since: Vec<NaiveDate> = since.collect();
        let age = |first: &NaiveDate| today.map_or(0, |now| now.signed_duration_since(*first).num_days());
        let too_long = since.iter().filter(|first| age(first) > limit).count();
        Self { records: since.len(), oldest: since.iter().min().copied(), too_long }
    }
}

fn replace_if_changed<R: Record>(stage: &mut Stage<'_>, reader: &Reader, rows: Vec<R>) -> Result<()> {
    let table = tables::of(R::TABLE);
    let before = concat_batches(&arrow_schema(table), &reader.current(table)?)?;
    let now = order::sorted(table, &batch_of(rows)?)?;
    if before == now {
        return Ok(());
    }
    stage.write_sorted(table, "", &now)?;
    stage.keep_newest(table, 1)
}
