//! Eligibility check logs (資格確認ログ): each inquiry counted once for ever, and the daily partials that months are summed from.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use arrow::array::{Array as _, RecordBatch};
use chrono::{NaiveDate, Timelike};
use sha2::{Digest as _, Sha256};
use shikaku_schemas::code::Code;
use shikaku_schemas::layout::{self, Layout};
use shikaku_schemas::messages::Severity;
use shikaku_schemas::tables;

use crate::base::error::Result;
use crate::base::time::{Moment, Month};
use crate::intake::answers::{RecordKeys, ResultFile};
use crate::intake::delimited::{self, Checked, Outcome};
use crate::intake::{Days, Intake, nothing_more};
use crate::lake::columns::Columns;
use crate::lake::read::{Prune, Reader};
use crate::lake::tables::{check_daily, check_log};
use crate::read::envelope::DataLines;
use crate::rules::field::Checker;
use crate::rules::{self, Context, Finding, Value};
use crate::store::Stage;
use crate::store::input::Input;
use crate::store::versions::{CLOSED, LATE};
use crate::text::cp932::Encoding;

/// The kind of input.
pub const INTAKE: Intake = Intake {
    name: "checks",
    folder: "checks",
    kinds: &["CHK"],
    days: Days::Every,
    needs: &[],
    reads: "CHK files",
    writes: "check_log, check_daily",
    take_in,
    sent_again: nothing_more,
};

/// Key of an axis value that is not known.
pub const UNKNOWN: &str = "-";
/// Digest of what a check says, wherever it came from.
type Content = [u8; 16];
/// What was said under each 照会通番, of those that the files name.
type Known = BTreeMap<String, Option<Content>>;

/// Takes in check logs.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    let reader = stage.store.reader()?;
    let inspected = delimited::inspect_all(stage.store, inputs, &["CHK"], &|_| Some(Encoding::Utf8))?;
    let good = delimited::admit(stage, inspected)?;
    let mut known = known_inquiries(&reader, &good)?;
    let mut by_date: BTreeMap<NaiveDate, Columns> = BTreeMap::new();
    for file in &good {
        let outcome = read_file(file, stage.dir(), &mut known, &mut by_date)?;
        delimited::accept(stage, file, outcome)?;
    }
    drop(known);
    for (date, mut rows) in by_date {
        let partition = format!("on_date={date}");
        note_late(stage, date)?;
        let rows = rows.batch()?;
        let daily = daily(&rows)?;
        stage.write_batch(tables::of("check_log"), &partition, &rows)?;
        stage.write_rows(&partition, daily.iter().map(|(key, count)| key.row(*count)))?;
    }
    Ok(())
}

/// Rows of a month whose fees were closed already: `status` lists them until the next version.
fn note_late(stage: &mut Stage<'_>, date: NaiveDate) -> Result<()> {
    let month = Month::of(date);
    if stage.store.ledger.fact(&CLOSED.at(format!("fees/{month}")))?.is_some() {
        stage.set(&LATE.at(format!("checks/{month}")), &stage.date.clone())?;
    }
    Ok(())
}

/// The 照会通番 that the files name, with the content of the stored check of each.
fn known_inquiries(reader: &Reader, files: &[Checked]) -> Result<Known> {
    let mut known = Known::new();
    for file in files {
        let mut lines = DataLines::open(&file.input, layout::of("CHK"))?;
        while let Some(record) = lines.next_line()? {
            known.entry(String::from_utf8_lossy(record.field(1)).into_owned()).or_default();
        }
    }
    let table = tables::of("check_log");
    if known.is_empty() {
        return Ok(known);
    }
    let ascending: Vec<&str> = known.keys().map(String::as_str).collect();
    let mut stored = Vec::new();
    for generation in reader.snapshot.current(table) {
        let prune = Prune { column: check_log::INQUIRY_NO.name, wanted: &ascending };
        for batch in reader.batches(table, generation, None, Some(&prune))? {
            for row in check_log::View::of(&batch?)?.rows() {
                if known.contains_key(&*row.inquiry_no) {
                    stored.push((row.inquiry_no.clone().into_owned(), Some(content_of(&row))));
                }
            }
        }
    }
    known.extend(stored);
    Ok(known)
}

/// Everything but where it came from.
fn content_of(row: &check_log::Row<'_>) -> Content {
    let mut sha256 = Sha256::new();
    let mut text = |text: Option<&str>| {
        // Null and blank differ, and no two lists of values look alike.
        sha256.update(text.map_or(u64::MAX, |t| u64::try_from(t.len()).unwrap_or(u64::MAX)).to_le_bytes());
        sha256.update(text.unwrap_or_default());
    };
    let check_log::Row { inquiry_no, institution_code, access_kind, purpose, verifier_kind, verifier_id, .. } = row;
    let check_log::Row { serial, validity, insurer_code, insurer_no, eligibility, .. } = row;
    [inquiry_no, institution_code, access_kind, eligibility].into_iter().for_each(|own| text(Some(own)));
    let others = [purpose, verifier_kind, verifier_id, serial, validity, insurer_code, insurer_no];
    others.into_iter().for_each(|own| text(own.as_deref()));
    text(row.link_no.map(|n| n.to_string()).as_deref());
    sha256.update(row.checked_at.0.to_le_bytes());
    let digest = sha256.finalize();
    let mut content = Content::default();
    content.copy_from_slice(&digest[..16]);
    content
}

fn read_file(
    file: &Checked,
    dir: &Path,
    known: &mut Known,
    by_date: &mut BTreeMap<NaiveDate, Columns>,
) -> Result<Outcome> {
    let Some(header) = &file.header else { return Ok(Outcome::default()) };
    let layout = layout::of("CHK");
    let checker = Checker::new(Context::plain(layout, file.encoding, header.created));
    let mut outcome = Outcome::default();
    let mut result = ResultFile::spooled(file.answer, Some(header), Some(dir));
    let mut lines = DataLines::open(&file.input, layout)?;
    let source = file.input.source_file();
    let at = At::of(layout);
    let mut line_no = 0i64;
    while let Some(record) = lines.next_line()? {
        line_no += 1;
        let mut findings = Vec::new();
        let values = checker.fields(&record, 1, &mut findings);
        if !values[at.validity].is_blank() && record.field(at.serial + 1).is_empty() {
            findings.push(Finding::of(Code::SerialRequired));
        }
        if rules::worst(&findings) < Severity::Error {
            let row = at.row(&values, &source, line_no);
            let content = content_of(&row);
            match known.entry(row.inquiry_no.clone().into_owned()).or_default() {
                Some(own) if *own == content => findings.push(Finding::of(Code::InquiryKnown)),
                Some(_) => findings.push(Finding::of(Code::InquiryDiffers)),
                new => {
                    *new = Some(content);
                    let table = || Columns::new(tables::of("check_log"));
                    by_date.entry(row.checked_at.at().date()).or_insert_with(table).push(&row)?;
                }
            }
        }
        // The log has no record number; its place in the file stands for it.
        let (record_no, insurer_code) = (line_no.to_string(), values[at.insurer_code].text());
        result.record(RecordKeys { record_no: &record_no, insurer_code, ..RecordKeys::default() }, &findings)?;
        outcome.count(&findings);
    }
    outcome.result = result.finish()?;
    Ok(outcome)
}

/// Positions of the fields in the layout.
struct At {
    inquiry_no: usize,
    checked_at: usize,
    institution_code: usize,
    access_kind: usize,
    purpose: usize,
    verifier_kind: usize,
    verifier_id: usize,
    serial: usize,
    validity: usize,
    link_no: usize,
    insurer_code: usize,
    insurer_no: usize,
    eligibility: usize,
}

impl At {
    fn of(layout: &Layout) -> Self {
        let at = |name: &str| layout.at(name);
        Self {
            inquiry_no: at(check_log::INQUIRY_NO.name),
            checked_at: at(check_log::CHECKED_AT.name),
            institution_code: at(check_log::INSTITUTION_CODE.name),
            access_kind: at(check_log::ACCESS_KIND.name),
            purpose: at(check_log::PURPOSE.name),
            verifier_kind: at(check_log::VERIFIER_KIND.name),
            verifier_id: at(check_log::VERIFIER_ID.name),
            serial: at(check_log::SERIAL.name),
            validity: at(check_log::VALIDITY.name),
            link_no: at(check_log::LINK_NO.name),
            insurer_code: at(check_log::INSURER_CODE.name),
            insurer_no: at(check_log::INSURER_NO.name),
            eligibility: at(check_log::ELIGIBILITY.name),
        }
    }

    /// The row of a checked record.
    fn row<'v>(&self, values: &'v [Value<'_>], source: &'v str, line: i64) -> check_log::Row<'v> {
        let text = |at: usize| Cow::Borrowed(values[at].text());
        let maybe = |at: usize| (!values[at].is_blank()).then(|| text(at));
        check_log::Row {
            inquiry_no: text(self.inquiry_no),
            checked_at: values[self.checked_at].timestamp().unwrap_or_default().into(),
            institution_code: text(self.institution_code),
            access_kind: text(self.access_kind),
            purpose: maybe(self.purpose),
            verifier_kind: maybe(self.verifier_kind),
            verifier_id: maybe(self.verifier_id),
            serial: maybe(self.serial),
            validity: maybe(self.validity),
            link_no: values[self.link_no].number(),
            insurer_code: maybe(self.insurer_code),
            insurer_no: maybe(self.insurer_no),
            eligibility: text(self.eligibility),
            source_file: Cow::Borrowed(source),
            source_record: line,
        }
    }
}

/// What is counted together.
#[derive(PartialEq, Eq, Hash)]
struct Group<'b> {
    axis: &'static str,
    key: Cow<'b, str>,
    access_kind: &'b str,
    validity: Option<&'b str>,
    eligibility: &'b str,
}

impl Group<'_> {
    fn row(&self, count: i64) -> check_daily::Row<'_> {
        check_daily::Row {
            axis: self.axis.into(),
            axis_key: Cow::Borrowed(&self.key),
            access_kind: self.access_kind.into(),
            validity: self.validity.map(Cow::Borrowed),
            eligibility: self.eligibility.into(),
            count,
        }
    }
}

/// Counts of one day's new checks by insurer, institution and hour.
fn daily(rows: &RecordBatch) -> Result<HashMap<Group<'_>, i64>> {
    let mut counts: HashMap<Group<'_>, i64> = HashMap::new();
    let (kinds, results) = (check_log::ACCESS_KIND.of(rows)?, check_log::ELIGIBILITY.of(rows)?);
    let (validities, times) = (check_log::VALIDITY.of(rows)?, check_log::CHECKED_AT.of(rows)?);
    let (insurers, institutions) = (check_log::INSURER_CODE.of(rows)?, check_log::INSTITUTION_CODE.of(rows)?);
    for row in 0..rows.num_rows() {
        let hour = format!("{:02}", Moment(times.value(row)).at().hour());
        let insurer = if insurers.is_null(row) { UNKNOWN } else { insurers.value(row) };
        let keys = [
            ("insurer", Cow::Borrowed(insurer)),
            ("institution", Cow::Borrowed(institutions.value(row))),
            ("hour", Cow::Owned(hour)),
        ];
        for (axis, key) in keys {
            let group = Group {
                axis,
                key,
                access_kind: kinds.value(row),
                validity: (!validities.is_null(row)).then(|| validities.value(row)),
                eligibility: results.value(row),
            };
            *counts.entry(group).or_default() += 1;
        }
    }
    Ok(counts)
}
