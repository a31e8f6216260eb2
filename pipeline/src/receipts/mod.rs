//! Receiving レセプト files: control totals, the 個人番号 guard, one row per receipt. The bytes stay in the landing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;

use serde::{Deserialize, Serialize};
use shikaku_schemas::code::Code;
use shikaku_schemas::tables;

use crate::base::error::Result;
use crate::base::stamp::Reopen as _;
use crate::base::time::Month;
use crate::intake::answers::{self, RecordKeys, ResultFile};
use crate::intake::{Days, Intake, nothing_more};
use crate::lake::columns::Columns;
use crate::lake::tables::receipt::Row;
use crate::ledger::facts::{Facts, Json};
use crate::read::guard;
use crate::read::uke::{self, Broken, Receipt, UkeReader};
use crate::rules::Finding;
use crate::store::Stage;
use crate::store::commit::Closed;
use crate::store::input::Input;
use crate::text::cp932::Encoding;

/// The kind of input.
pub const INTAKE: Intake = Intake {
    name: "receipts",
    folder: "receipts",
    kinds: &[],
    days: Days::Every,
    needs: &[],
    reads: "UKE files",
    writes: "receipt",
    take_in,
    sent_again: nothing_more,
};

/// What is known of each received file, by its digest.
const FILES: Facts<Json<ReceivedFile>> = Facts::new("receipt_file");
/// Largest file (rules.md).
const MAX_BYTES: i64 = 4_000_000_000;

/// What the ledger keeps of a received file (fact `receipt_file`, key = SHA-256).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedFile {
    pub institution_code: String,
    pub payer: String,
    /// 請求年月 `YYYY-MM`.
    pub month: String,
    pub volume: String,
    /// Recorded time of its night.
    pub landed_at: String,
    pub landing: String,
}

/// Totals of a file, as GO has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// HO and KO records.
    pub records: i64,
    /// Σ HO 合計点数, and the first KO's where there is no HO.
    pub points: i64,
}

impl Totals {
    pub fn add(&mut self, receipt: &Receipt, edition: &shikaku_schemas::uke::Edition) {
        let points = |id: &str| {
            let position = edition.record(id).and_then(|r| r.position("points"));
            receipt.first(id).and_then(|l| uke::number(l.field(position?)))
        };
        self.records += i64::try_from(receipt.all("HO").count() + receipt.all("KO").count()).unwrap_or(0);
        let own = if receipt.first("HO").is_some() { points("HO") } else { points("KO") };
        self.points += own.unwrap_or(0);
    }

    pub fn plus(self, other: Self) -> Self {
        Self { records: self.records + other.records, points: self.points + other.points }
    }
}

struct Accepted {
    file: ReceivedFile,
    rows: Vec<Row<'static>>,
    /// Receipts that were rejected alone.
    rejected: Vec<Broken>,
}

/// Takes in receipt files.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    let mut by_month: BTreeMap<String, Columns> = BTreeMap::new();
    let existing: Vec<ReceivedFile> = received(stage.store)?.into_iter().map(|(_, f)| f).collect();
    for input in inputs {
        let outcome = if input.bytes > MAX_BYTES { Err((broken(Code::TooLarge), 0)) } else { read_file(stage, input)? };
        // A file that could not be read to its end would land with what was not looked at.
        let outcome = match outcome {
            Err((broken, read)) if broken.code != Code::MyNumber => match guard::found_in_file(input, 0)? {
                Some(line) => {
                    let line = i64::try_from(line).unwrap_or(i64::MAX);
                    Err((Broken { code: Code::MyNumber, line }, read))
                }
                None => Err((broken, read)),
            },
            outcome => outcome,
        };
        let (code, read, accepted) = match outcome {
            Ok(accepted) => (None, count(accepted.rows.len() + accepted.rejected.len()), Some(accepted)),
            Err((broken, read)) => (Some(broken), read, None),
        };
        let origin = accepted.as_ref().map(|a| a.file.institution_code.clone());
        let replaces = accepted.as_ref().is_some_and(|a| {
            existing.iter().any(|e| {
                (&e.institution_code, &e.payer, &e.month, &e.volume)
                    == (&a.file.institution_code, &a.file.payer, &a.file.month, &a.file.volume)
            })
        });
        let result_code = code.map(|b| b.code).or(replaces.then_some(Code::ReceiptsReplaced));
        let line = code.map(|b| b.line).filter(|line| *line > 0);
        let detail = line.map(|line| format!("{line}行目")).unwrap_or_default();
        let findings: Vec<Finding> = result_code.into_iter().map(|code| Finding::of(code).because(&detail)).collect();
        let rejected = accepted.as_ref().map_or(&[][..], |a| a.rejected.as_slice());
        let mut result = ResultFile::new(Encoding::Cp932, None);
        result.record(RecordKeys::default(), &findings)?;
        for fault in rejected {
            let finding = Finding::of(fault.code).because(&format!("{}行目", fault.line));
            result.record(RecordKeys::default(), &[finding])?;
            stage.reject(&input.sha256, fault.code, 1);
        }
        let (result, rejected) = (result.finish()?, count(rejected.len()));
        stage.outbox_spooled(&answers::result_path(origin.as_deref(), input), result)?;
        if let Some(broken) = code {
            stage.reject(&input.sha256, broken.code, 1);
            tracing::warn!(file = %&input.sha256[..12], code = broken.code.text(), line = broken.line, "receipt file refused");
        }
        let (state, landing) = stage.put_away(input, code.map(|b| b.code))?;
        if let (Some(mut accepted), Some(landing)) = (accepted, &landing) {
            accepted.file.landing.clone_from(landing);
            stage.set(&FILES.at(input.sha256.as_str()), &Json(accepted.file.clone()))?;
            let table = || Columns::new(tables::of("receipt"));
            let month = by_month.entry(accepted.file.month).or_insert_with(table);
            accepted.rows.iter().try_for_each(|row| month.push(row))?;
        }
        let rejected = if code.is_some() { read } else { rejected };
        let code = code.map(|b| b.code);
        stage.close_input(input, Closed { origin, code, read, rejected, landing, ..Closed::of("UKE", state) });
    }
    for (month, mut rows) in by_month {
        stage.write_batch(tables::of("receipt"), &format!("month={month}"), &rows.batch()?)?;
    }
    Ok(())
}

/// All received files by digest.
pub fn received(store: &crate::store::Store) -> Result<Vec<(String, ReceivedFile)>> {
    Ok(store.ledger.facts(&FILES)?.into_iter().map(|(sha256, file)| (sha256, file.0)).collect())
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn broken(code: Code) -> Broken {
    Broken { code, line: 0 }
}

/// Reads a file whole once: structure, guard, totals. The count beside an error is of receipts seen before it.
fn read_file(stage: &Stage<'_>, input: &Input) -> Result<std::result::Result<Accepted, (Broken, i64)>> {
    let file = input.reopen()?;
    let mut reader = match UkeReader::open(BufReader::with_capacity(1 << 18, file)) {
        Ok(reader) => reader,
        Err(broken) => return Ok(Err((broken, 0))),
    };
    let edition = reader.head.edition;
    let (mut rows, mut totals, mut numbers) = (Vec::new(), Totals::default(), BTreeSet::new());
    let (mut fault, mut rejected) = (None, Vec::new());
    let seen = |rows: &Vec<Row<'_>>| count(rows.len());
    loop {
        match reader.next_receipt() {
            Ok(None) => break,
            Err(broken) => return Ok(Err((broken, seen(&rows)))),
            Ok(Some(receipt)) => {
                if let Some(line) = receipt.lines.iter().find(|l| uke::holds_my_number(edition, l)) {
                    return Ok(Err((Broken { code: Code::MyNumber, line: line.number }, seen(&rows))));
                }
                totals.add(&receipt, edition);
                let row = receipt_row(stage, &reader.head, &receipt, input);
                if !numbers.insert(row.receipt_no.clone()) {
                    fault =
                        fault.or(receipt.lines.first().map(|l| Broken { code: Code::UkeReceiptTwice, line: l.number }));
                }
                match uke::fault(edition, &receipt) {
                    Some(fault) => rejected.push(fault),
                    None => rows.push(row),
                }
            }
        }
    }
    let (head, tail) = match reader.finish() {
        Ok(done) => done,
        Err(broken) => return Ok(Err((broken, seen(&rows)))),
    };
    let layout = edition.record("GO");
    if let (Some(go), Some(layout)) = (tail.lines.first(), layout) {
        let at = |name| layout.position(name).and_then(|p| uke::number(go.field(p)));
        if at("count") != Some(totals.records) || at("points") != Some(totals.points) {
            fault = fault.or(Some(Broken { code: Code::ControlTotals, line: go.number }));
        }
    }
    if let Some(fault) = fault {
        return Ok(Err((fault, seen(&rows))));
    }
    let file = ReceivedFile {
        institution_code: head.institution_code.clone(),
        payer: head.payer.clone(),
        month: head.billing_month.to_string(),
        volume: head.volume.clone(),
        landed_at: stage.recorded_at().to_string(),
        landing: String::new(),
    };
    Ok(Ok(Accepted { file, rows, rejected }))
}

fn receipt_row(stage: &Stage<'_>, head: &uke::FileHead, receipt: &Receipt, input: &Input) -> Row<'static> {
    let field = |id: &str, name: &str| -> Option<Vec<u8>> {
        let position = head.edition.record(id)?.position(name)?;
        receipt.first(id).map(|l| l.field(position).to_vec())
    };
    let text = |bytes: Option<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let service = field("RE", "service_month").and_then(|f| Month::parse_compact(&f));
    let points = field("HO", "points").or_else(|| field("KO", "points")).and_then(|f| uke::number(&f));
    let line = |l: Option<&uke::Line>| l.map_or(0, |l| l.number);
    Row {
        institution_code: head.institution_code.clone().into(),
        payer: head.payer.clone().into(),
        receipt_no: text(field("RE", "receipt_no")).into(),
        service_month: service.map(|m| m.to_string()).unwrap_or_default().into(),
        kind: text(field("RE", "kind")).into(),
        insurer_no: field("HO", "insurer_no").map(|f| Cow::Owned(uke::insurer_no(&f))),
        points,
        landed_at: stage.recorded_at().into(),
        source_file: input.source_file().into(),
        first_line: line(receipt.lines.first()),
        last_line: line(receipt.lines.last()),
    }
}

/// The month of 請求年月 as it stands in the ledger.
pub fn month_of(file: &ReceivedFile) -> Option<Month> {
    Month::parse(&file.month)
}
