//! Master files of a night: each whole or not at all.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use chrono::{NaiveDate, NaiveDateTime};
use serde::Deserialize;
use shikaku_schemas::code::Code;
use shikaku_schemas::codes;
use shikaku_schemas::layout::{self, Layout};
use shikaku_schemas::tables;

use super::Masters;
use crate::base::calendar::{self, Holidays};
use crate::base::config::LossDay;
use crate::base::error::{Error, Result};
use crate::base::time::{BusinessDate, Day};
use crate::intake::answers::{self, RecordKeys, ResultFile};
use crate::intake::delimited::{self, Checked};
use crate::intake::sequence::release_key;
use crate::lake::columns::{Columns, batch_of};
use crate::lake::tables as rows;
use crate::ledger::facts::{Fact, RELEASED};
use crate::read::guard;
use crate::read::master::{self, Kind};
use crate::read::records::RawRecord;
use crate::rules::field::Checker;
use crate::rules::{self, Finding, Value};
use crate::store::commit::Closed;
use crate::store::input::Input;
use crate::store::{Stage, Store};
use crate::text::cp932::Encoding;

/// The night in which the newest definitions were refused; none when they were taken.
const DEFINITIONS_REFUSED: Fact<BusinessDate> = Fact::new("masters", "definitions_refused");
/// Digest of the definitions in force.
const DEFINITIONS: Fact<String> = Fact::new("masters", "definitions");

/// The definitions in force sent again take the place of those that were refused after them.
pub fn restore_definitions(store: &Store, known: &[Input]) -> Result<()> {
    let refused = store.ledger.fact(&DEFINITIONS_REFUSED)?.is_some();
    let Some(in_force) = store.ledger.fact(&DEFINITIONS)?.filter(|_| refused) else { return Ok(()) };
    if !known.iter().any(|input| input.sha256 == in_force) {
        return Ok(());
    }
    store.set(&DEFINITIONS_REFUSED, None)
}

/// Files of insurers that may be read, each in the encoding of its insurer's definition; the others are answered.
pub fn admit(stage: &mut Stage<'_>, masters: &Masters, inputs: &[Input], kinds: &[&str]) -> Result<Vec<Checked>> {
    let inspected = delimited::inspect_all(stage.store, inputs, kinds, &|origin| {
        masters.schemes.contains_key(origin).then(|| masters.definition(origin).encoding)
    })?;
    let inspected = hold_undefined(stage, inspected)?;
    delimited::admit(stage, inspected)
}

/// While the newest `insurer_definitions.toml` stands refused, nobody knows in which encoding and by which codes an insurer
/// sends: its files wait, unless the operator lets them go.
fn hold_undefined(stage: &Stage<'_>, mut inspected: Vec<Checked>) -> Result<Vec<Checked>> {
    if stage.store.ledger.fact(&DEFINITIONS_REFUSED)?.is_none() {
        return Ok(inspected);
    }
    let released: BTreeSet<String> = stage.store.ledger.facts(&RELEASED)?.into_iter().map(|(key, _)| key).collect();
    for file in inspected.iter_mut().filter(|file| file.code.is_none()) {
        let key = file.header.as_ref().map(|h| release_key(&h.kind, &h.origin, h.receipt_no));
        if key.is_none_or(|key| !released.contains(&key)) {
            file.code = Some(Code::DefinitionsRefused);
        }
    }
    Ok(inspected)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefinitionToml {
    #[serde(default)]
    encoding: Encoding,
    loss_day: Option<LossDay>,
    #[serde(default)]
    allow_number_like_my_number: bool,
    #[serde(default)]
    code_maps: BTreeMap<String, BTreeMap<String, String>>,
}

/// Takes in master files; each replaces its table. One bad row refuses the file and leaves the table as it was.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    let mut tables_written: BTreeMap<&'static str, RecordBatch> = BTreeMap::new();
    let mut ordered: Vec<&Input> = inputs.iter().collect();
    // Two files of one master in a night: the later name holds, whatever the order of arrival.
    ordered.sort_by(|a, b| (&a.name, &a.sha256).cmp(&(&b.name, &b.sha256)));
    let mut definitions_seen = None;
    for input in ordered {
        let opened = master::open(input)?;
        let outcome = match &opened {
            master::Opened::Refused(_) if guard::found_in_file(input, 0)?.is_some() => Outcome::refused(Code::MyNumber),
            master::Opened::Refused(code) => Outcome::refused(*code),
            master::Opened::Rows { rows, .. } if rows.iter().flatten().any(|f| holds_my_number(f)) => {
                Outcome::refused(Code::MyNumber)
            }
            master::Opened::Rows { kind: Kind::Holidays, rows } => holidays(rows, stage.date.0)?,
            master::Opened::Rows { kind, rows } => checked_rows(kind, rows)?,
            master::Opened::Definitions(text) => definitions(text)?,
        };
        // Text that cannot be read as one is refused before it is known what it was.
        let is_definitions = matches!(&opened, master::Opened::Definitions(_)) || input.name.ends_with(".toml");
        let mut code = outcome.code;
        if let (None, Some((table, rows))) = (code, outcome.rows) {
            tables_written.insert(table, rows);
        } else if code.is_none() {
            code = Some(Code::MasterRows);
        }
        if is_definitions {
            definitions_seen = Some(code.is_some());
            if code.is_none() {
                stage.set(&DEFINITIONS, &input.sha256)?;
            }
        }
        let finding = code.map(|code| Finding::of(code).because(&outcome.detail));
        let findings: Vec<Finding> = finding.into_iter().collect();
        let mut result = ResultFile::new(Encoding::Utf8, None);
        result.record(RecordKeys::default(), &findings)?;
        for (line, findings) in &outcome.findings {
            result.record(RecordKeys { record_no: line, ..RecordKeys::default() }, findings)?;
        }
        stage.outbox_spooled(&answers::result_path(Some("masters"), input), result.finish()?)?;
        if let Some(code) = code {
            tracing::warn!(file = %&input.sha256[..12], code = code.text(), "a master was refused or quarantined");
            stage.reject(&input.sha256, code, 1);
        }
        let (state, landing) = stage.put_away(input, code)?;
        let (read, rejected) = (outcome.read, if code.is_some() { outcome.read } else { 0 });
        stage.close_input(input, Closed { code, read, rejected, landing, ..Closed::of("MASTER", state) });
    }
    if let Some(refused) = definitions_seen {
        match refused {
            true => stage.set(&DEFINITIONS_REFUSED, &stage.date.clone())?,
            false => stage.clear(&DEFINITIONS_REFUSED)?,
        }
    }
    for (name, rows) in tables_written {
        stage.write_batch(tables::of(name), "", &rows)?;
    }
    Ok(())
}

#[derive(Default)]
struct Outcome {
    code: Option<Code>,
    read: i64,
    rows: Option<(&'static str, RecordBatch)>,
    /// Number of a row, and what was found in it.
    findings: Vec<(String, Vec<Finding>)>,
    /// Where a file that is no rows is wrong: line and key.
    detail: String,
}

impl Outcome {
    fn refused(code: Code) -> Self {
        Self { code: Some(code), ..Self::default() }
    }
}

/// The guard on names and addresses: a field that is digits alone is a code or a telephone number.
fn holds_my_number(field: &[u8]) -> bool {
    let plain = field.iter().all(|b| b.is_ascii_digit() || *b == b'-');
    field.len() >= 12 && !plain && crate::text::my_number::found_in(&String::from_utf8_lossy(field))
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn checked_rows(kind: &Kind, records: &[Vec<Vec<u8>>]) -> Result<Outcome> {
    let (table, layout) = match kind {
        Kind::Insurers => ("insurer", layout::of("INSURERS")),
        Kind::Institutions => ("institution", layout::of("INSTITUTIONS")),
        Kind::Holidays => return Err(Error::internal("holidays have no layout")),
    };
    let mut outcome = Outcome { read: count(records.len()), ..Outcome::default() };
    let mut out = Columns::new(tables::of(table));
    let mut seen = std::collections::BTreeSet::new();
    let unique = layout.fields.iter().position(|f| f.unique).unwrap_or(0);
    let checker = Checker::new(rules::Context::plain(layout, Encoding::Utf8, NaiveDateTime::MAX));
    for (number, fields) in (1u64..).zip(records) {
        let ends: Vec<usize> = fields
            .iter()
            .scan(0, |end, f| {
                *end += f.len();
                Some(*end)
            })
            .collect();
        let data = fields.concat();
        let mut findings = Vec::new();
        let values = checker.fields(&RawRecord::new(&data, &ends, &[], 0, 0), 0, &mut findings);
        if !values[unique].is_blank() && !seen.insert(values[unique].text().to_owned()) {
            findings.push(Finding::field(layout, unique, shikaku_schemas::messages::FieldRule::Unique));
        }
        if rules::worst(&findings) == shikaku_schemas::messages::Severity::Error {
            outcome.findings.push((number.to_string(), findings));
        }
        if outcome.findings.is_empty() {
            put(kind, layout, &values, &mut out)?;
        }
    }
    if outcome.findings.is_empty() {
        outcome.rows = Some((table, out.batch()?));
    } else {
        outcome.code = Some(Code::MasterRows);
    }
    Ok(outcome)
}

/// The row of a checked record.
fn put(kind: &Kind, layout: &Layout, values: &[Value<'_>], out: &mut Columns) -> Result<()> {
    let value = |name: &str| &values[layout.at(name)];
    let maybe = |name: &str| Some(value(name)).filter(|v| !v.is_blank()).map(|v| Cow::Borrowed(v.text()));
    let text = |name: &str| Cow::Borrowed(value(name).text());
    let date = |name: &str| value(name).date().map(Day::from);
    match kind {
        Kind::Insurers => out.push(&rows::insurer::Row {
            insurer_code: text("insurer_code"),
            holder_name: text("holder_name"),
            scheme: text("scheme"),
            insurer_no: text("insurer_no"),
            insurer_name: maybe("insurer_name"),
            phone: maybe("phone"),
            office_address: maybe("address"),
            established_on: date("established_on"),
            abolished_on: date("abolished_on"),
        }),
        _ => out.push(&rows::institution::Row {
            institution_code: text("institution_code"),
            institution_name: text("name"),
            prefecture_code: text("prefecture_code"),
            municipality_code: maybe("municipality_code"),
            medical_area_code: maybe("medical_area_code"),
            beds: value("beds").text().parse().ok(),
            size_class: maybe("size_class"),
            opened_on: date("opened_on"),
            closed_on: date("closed_on"),
        }),
    }
}

/// A calendar that ends too early is refused: what it lacks would be taken for business days.
fn holidays(records: &[Vec<Vec<u8>>], today: NaiveDate) -> Result<Outcome> {
    let mut outcome = Outcome { read: count(records.len()), ..Outcome::default() };
    let (mut out, mut known) = (Vec::new(), Holidays::new());
    for fields in records {
        let date = fields.first().and_then(|f| crate::base::calendar::parse_slash_date(f));
        let name = fields.get(1).and_then(|f| Encoding::Cp932.decode(f).ok().map(Cow::into_owned));
        match (date, name, fields.len()) {
            (Some(date), Some(name), 2) => {
                known.insert(date, String::new());
                out.push(rows::holiday::Row { on_date: date.into(), holiday_name: name.into() });
            }
            _ => outcome.code = Some(Code::MasterRows),
        }
    }
    if outcome.code.is_none() && calendar::missing_year(today, &known).is_some() {
        outcome.code = Some(Code::HolidaysYearMissing);
    }
    if outcome.code.is_none() {
        outcome.rows = Some(("holiday", batch_of(out)?));
    }
    Ok(outcome)
}

/// Key of a map that is of no coded field or leads to a value that its list lacks: else the sender would answer for our
/// mistake.
fn unusable_map(maps: &BTreeMap<String, BTreeMap<String, String>>) -> Option<String> {
    let fields = &layout::of("SUB").fields;
    maps.iter().find_map(|(name, map)| {
        let list = fields.iter().find(|f| f.name == *name).and_then(|f| f.codes.as_deref()).map(codes::list);
        match list {
            None => Some(name.clone()),
            Some(list) => {
                map.iter().find(|(_, ours)| !list.contains(ours)).map(|(theirs, _)| format!("{name}.{theirs}"))
            }
        }
    })
}

/// Line, counted from 1, on which a key of a table stands, by its last part.
fn line_of(text: &str, table: &str, key: &str) -> usize {
    let last = key.rsplit('.').next().unwrap_or(key);
    let from = text.lines().position(|line| line.contains(table)).unwrap_or(0);
    let names = |line: &str| line.trim_start().trim_start_matches('"').starts_with(last) || line.contains(last);
    text.lines().skip(from).position(names).map_or(from, |at| from + at) + 1
}

fn definitions(text: &str) -> Result<Outcome> {
    // A TOML error text can quote the file; the definitions hold no personal data, but the code alone is enough.
    let parsed = match toml::from_str::<BTreeMap<String, DefinitionToml>>(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            let own = text.lines().nth(line - 1).unwrap_or("");
            // The key alone: a value could be anything.
            let key = own.split('=').next().unwrap_or("").trim();
            return Ok(Outcome {
                detail: format!("{line}行目、キー {key}"), ..Outcome::refused(Code::MasterRows)
            });
        }
    };
    let unusable = |(code, d): (&String, &DefinitionToml)| Some((code.clone(), unusable_map(&d.code_maps)?));
    if let Some((code, key)) = parsed.iter().find_map(unusable) {
        let line = line_of(text, &code, &key);
        let detail = format!("{line}行目付近、キー {code}.code_maps.{key}");
        return Ok(Outcome { detail, ..Outcome::refused(Code::MasterRows) });
    }
    let row = |(code, d): (&'_ String, &'_ DefinitionToml)| -> Result<_> {
        let loss_day = d.loss_day.map(|l| match l {
            LossDay::FirstDayWithoutCover => "first_day_without_cover",
            LossDay::LastDayWithCover => "last_day_with_cover",
        });
        Ok(rows::insurer_definition::Row {
            insurer_code: code.clone().into(),
            encoding: d.encoding.name().into(),
            loss_day: loss_day.map(Cow::Borrowed),
            allow_number_like_my_number: i64::from(d.allow_number_like_my_number),
            code_maps: serde_json::to_string(&d.code_maps)?.into(),
        })
    };
    let defined = parsed.iter().map(row).collect::<Result<Vec<_>>>()?;
    let read = count(defined.len());
    Ok(Outcome { read, rows: Some(("insurer_definition", batch_of(defined)?)), ..Outcome::default() })
}
