//! Subscriber files of a night: inspected, put in order, checked record by record, applied per insurer, written as one delta.
//!
//! Insurers are independent and run in parallel; within one, files go by 受付番号 and lines in file order. Only the last
//! state of the night becomes a row (answers.md, Time and identity).

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use shikaku_schemas::layout::{self, Layout};
use shikaku_schemas::messages::{FieldRule, Severity};
use shikaku_schemas::tables;

use super::apply::{Applied, Change, MemberState, Operation, Target, apply};
use crate::check::{self, Context, Finding, Value};
use crate::delimited::{self, Checked, Outcome};
use crate::error::Result;
use crate::inbox::Input;
use crate::lake::history::{Columns, HistoryScan, night_rows};
use crate::lake::layer;
use crate::lake::read::{Prune, Reader};
use crate::lake::row::{Cell, Row};
use crate::masters::{Definition, Masters};
use crate::outbox::{RecordKeys, ResultFile, plain};
use crate::read::envelope::DataLines;
use crate::read::records::RawRecord;
use crate::store::Stage;
use crate::text::cp932::Encoding;
use crate::text::normal;

/// Insurers worked on at once; bounds memory, not results.
const INSURERS_AT_ONCE: usize = 16;

/// Takes in the night's subscriber files.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    stage.store.check_business_date(stage.date)?;
    let reader = stage.store.reader()?;
    let masters = Masters::load(&reader)?;
    let inspected = delimited::inspect_all(stage.store, inputs, &["SUB"], &|_, origin| {
        masters.schemes.contains_key(origin).then(|| masters.definition(origin).encoding)
    })?;
    let mut by_insurer: BTreeMap<String, Vec<Checked>> = BTreeMap::new();
    for file in delimited::admit(stage, inspected)? {
        let origin = file.header.as_ref().map(|h| h.origin.clone()).unwrap_or_default();
        by_insurer.entry(origin).or_default().push(file);
    }

    let work: Vec<(String, Vec<Checked>)> = by_insurer.into_iter().collect();
    if work.is_empty() {
        return Ok(());
    }
    let (members, coverages) = (tables::of("member"), tables::of("coverage"));
    let mut member_writer = stage.table(members, layer(false))?;
    let mut coverage_writer = stage.table(coverages, layer(false))?;
    for group in work.chunks(INSURERS_AT_ONCE) {
        let recorded_at = stage.recorded_at();
        let done: Vec<Result<InsurerNight>> = group
            .par_iter()
            .map(|(origin, files)| Insurer::new(origin, &masters, &reader)?.night(files, recorded_at))
            .collect();
        for ((_, files), night) in group.iter().zip(done) {
            let night = night?;
            for row in night.members {
                member_writer.push(row)?;
            }
            for row in night.coverages {
                coverage_writer.push(row)?;
            }
            for (file, outcome) in files.iter().zip(night.outcomes) {
                delimited::accept(stage, file, outcome)?;
            }
        }
    }
    stage.finish_table(members, layer(false), member_writer)?;
    stage.finish_table(coverages, layer(false), coverage_writer)
}

/// What one insurer's files of a night come to.
struct InsurerNight {
    members: Vec<Row>,
    coverages: Vec<Row>,
    outcomes: Vec<Outcome>,
}

/// One insurer while its files are applied.
struct Insurer<'a> {
    origin: &'a str,
    scheme: &'a str,
    masters: &'a Masters,
    reader: &'a Reader,
    definition: Definition,
    members: Target,
    coverages: Target,
    layout: &'static Layout,
}

impl<'a> Insurer<'a> {
    fn new(origin: &'a str, masters: &'a Masters, reader: &'a Reader) -> Result<Self> {
        Ok(Self {
            origin,
            scheme: masters.scheme(origin),
            masters,
            reader,
            definition: masters.definition(origin),
            members: Target::of("member"),
            coverages: Target::of("coverage"),
            layout: layout::of("SUB"),
        })
    }

    fn night(&self, files: &[Checked], recorded_at: chrono::NaiveDateTime) -> Result<InsurerNight> {
        let touched = self.touched(files)?;
        let member_rows = self.rows_of(&self.members, &touched)?;
        let coverage_rows = self.rows_of(&self.coverages, &touched)?;
        let mut states = self.states(&member_rows, &coverage_rows);
        let mut outcomes = Vec::new();
        for file in files {
            outcomes.push(self.file(file, &mut states)?);
        }
        let mut night = InsurerNight { members: Vec::new(), coverages: Vec::new(), outcomes };
        let (member_columns, coverage_columns) = (Columns::of(self.members.table), Columns::of(self.coverages.table));
        let same_member = |a: &[Cell], b: &[Cell]| self.members.same(a, b);
        let same_coverage = |a: &[Cell], b: &[Cell]| self.coverages.same(a, b);
        let none = Vec::new();
        for member_no in &touched {
            let mut state = states.remove(member_no).unwrap_or_default();
            let before = member_rows.get(&(member_no.clone(), 0)).unwrap_or(&none);
            night.members.extend(night_rows(&member_columns, before, state.member.take(), recorded_at, &same_member));
            let known = coverage_rows.range((member_no.clone(), i64::MIN)..=(member_no.clone(), i64::MAX));
            let seqs: BTreeSet<i64> = known.map(|((_, seq), _)| *seq).chain(state.coverages.keys().copied()).collect();
            for seq in seqs {
                let before = coverage_rows.get(&(member_no.clone(), seq)).unwrap_or(&none);
                let last = state.coverages.remove(&seq);
                night.coverages.extend(night_rows(&coverage_columns, before, last, recorded_at, &same_coverage));
            }
        }
        Ok(night)
    }

    /// Members that the files name.
    fn touched(&self, files: &[Checked]) -> Result<BTreeSet<String>> {
        let at = self.layout.at("member_no") + 1;
        let mut touched = BTreeSet::new();
        for file in files {
            let mut lines = DataLines::open(&file.input.path)?;
            while let Some(record) = lines.next_line()? {
                let member_no = plain(record.field(at));
                if !member_no.is_empty() {
                    touched.insert(member_no);
                }
            }
        }
        Ok(touched)
    }

    /// Resolved rows of the touched members, by member and 資格通番 (0 for the member itself).
    fn rows_of(&self, target: &Target, touched: &BTreeSet<String>) -> Result<BTreeMap<(String, i64), Vec<Row>>> {
        let wanted = BTreeSet::from([self.origin.to_owned()]);
        let prune = Prune { column: "insurer_code", wanted: &wanted };
        let (code, member) = (target.table.at("insurer_code"), target.table.at("member_no"));
        let seq = target.table.index("coverage_seq");
        let mut rows: BTreeMap<(String, i64), Vec<Row>> = BTreeMap::new();
        for row in HistoryScan::new(self.reader, target.table, Some(&prune))? {
            let row = row?;
            let member_no = row[member].as_text().unwrap_or_default();
            if row[code].as_text() == Some(self.origin) && touched.contains(member_no) {
                let seq = seq.and_then(|i| row[i].as_int()).unwrap_or(0);
                rows.entry((member_no.to_owned(), seq)).or_default().push(row);
            }
        }
        Ok(rows)
    }

    fn states(
        &self,
        members: &BTreeMap<(String, i64), Vec<Row>>,
        coverages: &BTreeMap<(String, i64), Vec<Row>>,
    ) -> BTreeMap<String, MemberState> {
        let open = |columns: &Columns, rows: &[Row]| rows.iter().find(|r| columns.is_open(r)).cloned();
        let (member_columns, coverage_columns) = (Columns::of(self.members.table), Columns::of(self.coverages.table));
        let mut states: BTreeMap<String, MemberState> = BTreeMap::new();
        for ((member_no, _), rows) in members {
            states.entry(member_no.clone()).or_default().member = open(&member_columns, rows);
        }
        for ((member_no, seq), rows) in coverages {
            if let Some(row) = open(&coverage_columns, rows) {
                states.entry(member_no.clone()).or_default().coverages.insert(*seq, row);
            }
        }
        states
    }

    /// Checks and applies one file; its result rows come out in file order.
    fn file(&self, file: &Checked, states: &mut BTreeMap<String, MemberState>) -> Result<Outcome> {
        let Some(header) = &file.header else { return Ok(Outcome::default()) };
        let context = Context {
            layout: self.layout,
            encoding: file.encoding,
            created: header.created,
            scheme: self.scheme,
            allow_number_like_my_number: self.definition.allow_number_like_my_number,
            code_maps: Some(&self.definition.code_maps),
        };
        let mut outcome = Outcome::default();
        let mut result = ResultFile::new(file.encoding, Some(header));
        let mut seen = BTreeSet::new();
        let mut lines = DataLines::open(&file.input.path)?;
        while let Some(record) = lines.next_line()? {
            let (values, mut findings) = check::field::check_fields(&context, &record, 1);
            let sent = |i: usize| !record.field(i + 1).is_empty();
            if record.len() == self.layout.fields.len() + 1 {
                check::subscriber::check(self.layout, &values, &sent, self.scheme, &mut findings);
            }
            if !values[0].is_blank() && !seen.insert(values[0].text().to_owned()) {
                findings.push(Finding::field(self.layout, 0, FieldRule::Unique));
            }
            self.check_master(&values, &mut findings);
            if check::worst(&findings) < Severity::Error {
                let source = file.input.source_file();
                self.apply(&values, &record, file.encoding, &source, states, &mut findings);
            }
            let keys = RecordKeys {
                record_no: plain(record.field(1)),
                insurer_code: self.origin.to_owned(),
                member_no: plain(record.field(3)),
            };
            result.record(&keys, &findings)?;
            outcome.count(&findings);
        }
        outcome.result = result.finish()?;
        Ok(outcome)
    }

    /// 3xxxxx: 保険者番号 in the master under this origin, and not abolished before the coverage began.
    fn check_master(&self, values: &[Value], findings: &mut Vec<Finding>) {
        let number = &values[self.layout.at("insurer_no")];
        if number.is_blank() {
            return;
        }
        match self.masters.insurers.get(number.text()).filter(|i| i.insurer_code == self.origin) {
            None => findings.push(Finding::of("300101")),
            Some(insurer) => {
                let acquired = values[self.layout.at("acquired_on")].date();
                if acquired.zip(insurer.abolished_on).is_some_and(|(acquired, abolished)| acquired >= abolished) {
                    findings.push(Finding::of("300102"));
                }
            }
        }
    }

    fn apply(
        &self,
        values: &[Value],
        record: &RawRecord<'_>,
        encoding: Encoding,
        source: &str,
        states: &mut BTreeMap<String, MemberState>,
        findings: &mut Vec<Finding>,
    ) {
        let value = |name: &str| &values[self.layout.at(name)];
        let Some(operation) = Operation::of(value("operation").text()) else { return };
        let raw = |name: &str| cp932_bytes(record.field(self.layout.at(name) + 1), encoding);
        let extra = |column: &str| {
            Some(match column {
                "insurer_code" => Cell::text(self.origin),
                "symbol_key" => Cell::text(normal::number_key(value("symbol").text())),
                "number_key" => Cell::text(normal::number_key(value("number").text())),
                "symbol_raw" => raw("symbol").map_or(Cell::Null, Cell::Bytes),
                "number_raw" => Cell::Bytes(raw("number").unwrap_or_default()),
                "source_file" => Cell::text(source),
                "source_record" => Cell::Int(value("record_no").number().unwrap_or(0)),
                "recorded_from" => Cell::Timestamp(0),
                _ => return None,
            })
        };
        let coverage = value("coverage_seq").number().map(|seq| (seq, self.coverages.row(self.layout, values, &extra)));
        let member = self.members.row(self.layout, values, &extra);
        let upsert = self.scheme == check::subscriber::MUNICIPAL;
        let change = Change { operation, member, coverage, upsert };
        let state = states.entry(value("member_no").text().to_owned()).or_default();
        match apply(state, change, &self.members, &self.coverages) {
            Applied::Accepted => {}
            Applied::SameImage => findings.push(Finding::of("300106")),
            Applied::AlreadyRegistered => findings.push(Finding::of("300103")),
            Applied::NotRegistered => findings.push(Finding::of("300104")),
        }
    }
}

/// 記号・番号 as they will stand in a UKE file: the raw bytes, or their CP932 form for a UTF-8 origin.
fn cp932_bytes(bytes: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
    if bytes.is_empty() {
        return None;
    }
    Some(match encoding {
        Encoding::Cp932 => bytes.to_vec(),
        Encoding::Utf8 => Encoding::Cp932.encode_lossy(&String::from_utf8_lossy(bytes)),
    })
}
