//! What the files with header and trailer have in common: inspection, refusal, acceptance, counts.

use rayon::prelude::*;
use shikaku_schemas::code::Code;
use shikaku_schemas::layout::{self, Layout};
use shikaku_schemas::messages::Severity;

use crate::base::error::Result;
use crate::base::spool::Spooled;
use crate::intake::answers;
use crate::intake::sequence::{Sequences, Verdict};
use crate::ledger::InputState;
use crate::read::envelope::{self, Accepts, Header};
use crate::rules::{Finding, worst};
use crate::store::commit::Closed;
use crate::store::input::Input;
use crate::store::staged::Landed;
use crate::store::{Stage, Store};
use crate::text::cp932::Encoding;

/// A file that was inspected.
#[derive(Debug, Clone)]
pub struct Checked {
    pub input: Input,
    pub header: Option<Header>,
    /// The origin may be shown and answered by its name.
    pub registered: bool,
    /// Encoding of the data.
    pub encoding: Encoding,
    /// Encoding of its result file.
    pub answer: Encoding,
    pub rows: i64,
    /// Origin that may be shown, if it is known.
    pub named: Option<String>,
    /// Line that the guard found something on.
    pub line: Option<u64>,
    pub code: Option<Code>,
}

impl Checked {
    /// The origin, if it is registered: anything else that stands in its place could be anything.
    pub fn origin(&self) -> Option<&str> {
        self.named.as_deref()
    }
}

/// Inspects all files; they come back by kind, origin, receipt number and digest.
pub fn inspect_all(
    store: &Store,
    inputs: &[Input],
    kinds: &[&str],
    encoding_of: &(dyn Fn(&str) -> Option<Encoding> + Sync),
) -> Result<Vec<Checked>> {
    let one = |input: &Input| -> Result<Checked> {
        let limit = |layout: &Layout| store.config.limit(layout);
        let seen = envelope::inspect(input, &Accepts { kinds, encoding_of, limit: &limit })?;
        let rows = i64::try_from(seen.rows).unwrap_or(i64::MAX);
        let (header, registered) = (seen.header, seen.registered);
        let (encoding, answer) = (seen.encoding, seen.answer);
        let (named, line, code) = (seen.origin, seen.line, seen.code);
        Ok(Checked { input: input.clone(), header, registered, encoding, answer, rows, named, line, code })
    };
    let mut files: Vec<Checked> = inputs.par_iter().map(one).collect::<Result<_>>()?;
    files.sort_by_cached_key(|f| {
        let header = f.header.as_ref();
        let origin = header.map(|h| (h.kind.clone(), h.origin.clone(), h.receipt_no));
        (origin, f.input.sha256.clone())
    });
    Ok(files)
}

/// The files that may be read: well-formed, and next by their 受付番号. All others are refused or held here; the numbers
/// that were used are committed with the run.
pub fn admit(stage: &mut Stage<'_>, inspected: Vec<Checked>) -> Result<Vec<Checked>> {
    let mut good = Vec::new();
    let mut sequences = Sequences::new(&stage.store.ledger);
    for mut file in inspected {
        if let Some(header) =
            file.header.as_ref().filter(|h| file.registered && file.code.is_some() && is_kind(&h.kind))
        {
            sequences.see(&header.kind, &header.origin, header.receipt_no)?;
        }
        if let Some(header) = file.header.as_ref().filter(|_| file.code.is_none()) {
            file.code = match sequences.judge(&header.kind, &header.origin, header.receipt_no)? {
                Verdict::Used => Some(Code::ReceiptNoUsed),
                Verdict::Gap => Some(Code::ReceiptNoGap),
                Verdict::Next => {
                    sequences.consume(&header.kind, &header.origin, header.receipt_no);
                    None
                }
            };
        }
        if file.code.is_none() && file.header.is_some() {
            good.push(file);
        } else {
            refuse(stage, &file)?;
        }
    }
    sequences.commit(stage)?;
    Ok(good)
}

/// Counts and findings of a file that was read.
#[derive(Debug, Default)]
pub struct Outcome {
    pub read: i64,
    pub rejected: i64,
    pub duplicate: i64,
    /// Code → number of findings.
    pub codes: std::collections::BTreeMap<&'static str, i64>,
    pub result: Spooled,
}

impl Outcome {
    /// Adds one record: rejected if any finding is an error, else duplicate if any says so.
    pub fn count(&mut self, findings: &[Finding]) {
        self.read += 1;
        match worst(findings) {
            Severity::Error => self.rejected += 1,
            Severity::Duplicate if findings.iter().any(|f| f.message.severity == Severity::Duplicate) => {
                self.duplicate += 1;
            }
            _ => {}
        }
        for finding in findings {
            *self.codes.entry(&finding.message.code).or_default() += 1;
        }
    }
}

fn is_kind(kind: &str) -> bool {
    layout::all().iter().any(|l| l.kind == kind)
}

/// What is known of a file before it is read.
fn closed(file: &Checked, state: InputState) -> Closed {
    let kind = file.header.as_ref().map(|h| h.kind.as_str()).filter(|k| is_kind(k)).unwrap_or("?");
    Closed {
        origin: file.origin().map(str::to_owned),
        receipt_no: file.header.as_ref().map(|h| h.receipt_no),
        code: file.code,
        ..Closed::of(kind, state)
    }
}

/// A file that is not read: held, quarantined, or rejected whole with its result file.
fn refuse(stage: &mut Stage<'_>, file: &Checked) -> Result<()> {
    let Some(code) = file.code else { return Ok(()) };
    tracing::warn!(file = %&file.input.sha256[..12], code = code.text(), line = file.line, "a file was refused, quarantined or held");
    stage.reject(&file.input.sha256, code, 1);
    if code.severity() == Severity::Held {
        stage.close_input(&file.input, closed(file, InputState::Held));
        return Ok(());
    }
    let origin = file.origin();
    // The line, never what stands on it.
    let detail = file.line.map(|line| format!("{line}行目")).unwrap_or_default();
    let finding = Finding::of(code).because(&detail);
    let result = answers::whole_file(file.answer, origin, file.header.as_ref(), &[finding])?;
    stage.outbox_spooled(&answers::result_path(origin, &file.input), result)?;
    let (state, landing) = stage.put_away(&file.input, Some(code))?;
    // Of a quarantined file nothing is kept, not even its counts.
    let rows = if state == InputState::Quarantined { 0 } else { file.rows };
    stage.close_input(&file.input, Closed { read: rows, rejected: rows, landing, ..closed(file, state) });
    Ok(())
}

/// A file that was read: its result file, its landing, its counts.
pub fn accept(stage: &mut Stage<'_>, file: &Checked, outcome: Outcome) -> Result<()> {
    let landed = stage.lander().stage(&file.input)?;
    accept_landed(stage, file, outcome, landed)
}

/// The same for a file whose landing was staged.
pub fn accept_landed(stage: &mut Stage<'_>, file: &Checked, outcome: Outcome, landed: Landed) -> Result<()> {
    let origin = file.origin();
    let Outcome { read, rejected, duplicate, codes, result } = outcome;
    stage.outbox_spooled(&answers::result_path(origin, &file.input), result)?;
    for (code, count) in &codes {
        stage.reject(&file.input.sha256, *code, *count);
    }
    let landing = Some(stage.landed(&file.input, landed));
    stage.close_input(&file.input, Closed { read, rejected, duplicate, landing, ..closed(file, InputState::Accepted) });
    Ok(())
}
