//! A file record by record: every field rule, the rules between fields, a number of its own; then what its kind finds.

use std::collections::HashSet;
use std::path::Path;

use shikaku_schemas::messages::{FieldRule, Severity};

use super::answers::{RecordKeys, ResultFile};
use super::delimited::{Checked, Outcome};
use crate::base::error::Result;
use crate::read::envelope::DataLines;
use crate::rules::between::Between;
use crate::rules::field::Checker;
use crate::rules::{self, Context, Finding, Value};

/// A record that broke no rule of its layout: its values by position, its line counted from 1.
pub struct Fit<'r, 'v> {
    pub values: &'v [Value<'r>],
    pub line: i64,
}

/// Reads a file; `judge` is given each record that is fit and adds what it finds. Results and counts are of all records.
pub fn each(
    file: &Checked,
    context: Context<'_>,
    dir: Option<&Path>,
    judge: &mut dyn FnMut(Fit<'_, '_>, &mut Vec<Finding>) -> Result<()>,
) -> Result<Outcome> {
    let layout = context.layout;
    let (checker, between) = (Checker::new(context), Between::new(layout, context.scheme));
    let [record_no, insurer_code, member_no] =
        ["record_no", "insurer_code", "member_no"].map(|name| layout.index(name));
    let unique = layout.fields.iter().position(|field| field.unique);
    let mut outcome = Outcome::default();
    let mut result = ResultFile::spooled(file.answer, file.header.as_ref(), dir);
    let (mut numbers, mut line, mut findings) = (HashSet::new(), 0i64, Vec::new());
    let mut lines = DataLines::open(&file.input, layout)?;
    while let Some(record) = lines.next_line()? {
        line += 1;
        findings.clear();
        let values = checker.fields(&record, 1, &mut findings);
        if record.len() == layout.fields.len() + 1 {
            between.check(&values, &|i| !checker.is_blank(record.field(i + 1)), &mut findings);
        }
        if let Some(unique) = unique
            && values[unique].number().is_some_and(|number| !numbers.insert(number))
        {
            findings.push(Finding::field(layout, unique, FieldRule::Unique));
        }
        if rules::worst(&findings) < Severity::Error {
            judge(Fit { values: &values, line }, &mut findings)?;
        }
        // A record without a number goes by its place in the file, one without an insurer is of the file's.
        let place = line.to_string();
        let keys = RecordKeys {
            record_no: record_no.map_or(place.as_str(), |at| values[at].text()),
            insurer_code: insurer_code.map_or(file.origin().unwrap_or_default(), |at| values[at].text()),
            member_no: member_no.map_or("", |at| values[at].text()),
        };
        result.record(keys, &findings)?;
        outcome.count(&findings);
    }
    outcome.result = result.finish()?;
    Ok(outcome)
}
