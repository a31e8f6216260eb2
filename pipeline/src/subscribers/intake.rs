//! One subscriber file, record by record: every field rule, then the rules between fields, then the masters, then what is
//! known. Its result rows come out in file order (formats.md §2).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use shikaku_schemas::code::Code;
use shikaku_schemas::layout::Layout;
use shikaku_schemas::messages::{FieldRule, Severity};

use super::apply::{Change, Operation};
use super::gaiji::Gaiji;
use super::image::{Body, Mover, Packer, State, Target};
use super::known::MemberNo;
use crate::base::error::Result;
use crate::base::time::Moment;
use crate::intake::answers::{RecordKeys, ResultFile};
use crate::intake::delimited::{Checked, Outcome};
use crate::masters::{Definition, MUNICIPAL, Masters};
use crate::read::envelope::DataLines;
use crate::read::records::RawRecord;
use crate::rules::between::Between;
use crate::rules::field::{Checker, MY_NUMBER};
use crate::rules::{self, Context, Finding, Value};

/// A file that was read.
pub struct File {
    pub checked: Checked,
    pub outcome: Outcome,
    pub gaiji: Gaiji,
    /// Packed images of its records.
    pub arena: Vec<u8>,
    /// `source_file` of its rows.
    pub source: String,
    /// Members that its records name; whether one of them was accepted.
    pub members: BTreeMap<MemberNo, bool>,
    /// Bytes of fields that look like a 個人番号: they land without their digits.
    pub blank: Vec<Range<u64>>,
}

/// What the files of one insurer are read by.
pub struct Intake<'a> {
    origin: &'a str,
    scheme: &'a str,
    masters: &'a Masters,
    definition: Definition,
}

/// Positions of the fields that the program looks at, in one layout version.
struct At {
    record_no: usize,
    operation: usize,
    member_no: usize,
    link_no: usize,
    coverage_seq: usize,
    insurer_no: usize,
    acquired_on: usize,
    lost_on: usize,
    updated_at: usize,
}

impl At {
    fn of(layout: &Layout) -> Self {
        let at = |name: &str| layout.at(name);
        Self {
            record_no: at("record_no"),
            operation: at("operation"),
            member_no: at("member_no"),
            link_no: at("link_no"),
            coverage_seq: at("coverage_seq"),
            insurer_no: at("insurer_no"),
            acquired_on: at("acquired_on"),
            lost_on: at("lost_on"),
            updated_at: at("updated_at"),
        }
    }
}

impl<'a> Intake<'a> {
    pub fn new(origin: &'a str, masters: &'a Masters) -> Self {
        let (scheme, definition) = (masters.scheme(origin), masters.definition(origin));
        Self { origin, scheme, masters, definition }
    }

    /// Checks a file; `apply` is given each record that passed and answers with a code unless it was accepted.
    /// `index` is the file's place among the insurer's of the night.
    pub fn read(
        &self,
        checked: Checked,
        layout: &'static Layout,
        index: usize,
        apply: &mut dyn FnMut(MemberNo, Change) -> Option<Code>,
    ) -> Result<File> {
        let created = checked.header.as_ref().map_or(chrono::NaiveDateTime::MIN, |h| h.created);
        let checker = Checker::new(Context {
            layout,
            encoding: checked.encoding,
            created,
            scheme: self.scheme,
            allow_number_like_my_number: self.definition.allow_number_like_my_number,
            code_maps: Some(&self.definition.code_maps),
        });
        let packers = Target::BOTH.map(|target| target.packer(layout, checked.encoding));
        let between = Between::new(layout, self.scheme);
        let at = At::of(layout);
        let mut outcome = Outcome::default();
        let mut gaiji = Gaiji::new(layout);
        let mut arena = Vec::new();
        let mut members = BTreeMap::new();
        let mut blank = Vec::new();
        let mut result = ResultFile::new(checked.answer, checked.header.as_ref());
        let mut seen = BTreeSet::new();
        let mut lines = DataLines::open(&checked.input, layout)?;
        let mut findings: Vec<Finding> = Vec::new();
        while let Some(record) = lines.next_line()? {
            findings.clear();
            let values = checker.fields(&record, 1, &mut findings);
            if record.len() == layout.fields.len() + 1 {
                let sent = |i: usize| !checker.is_blank(record.field(i + 1));
                between.check(&values, &sent, &mut findings);
            }
            if values[at.record_no].number().is_some_and(|number| !seen.insert(number)) {
                findings.push(Finding::field(layout, at.record_no, FieldRule::Unique));
            }
            // 削除 and 紐付訂正 take back or move what is there, whatever the master says of its insurer by now.
            if !Operation::of(values[at.operation].text()).is_some_and(Operation::repeats_rows) {
                self.check_master(&at, &values, created.date(), &mut findings);
            }
            if findings.iter().any(|f| f.message.code == MY_NUMBER.text()) {
                blank.extend(checker.my_numbers(&record, 1));
            }
            if findings.iter().any(|f| f.rule == Some(FieldRule::Gaiji)) {
                gaiji.count(&values);
            }
            if rules::worst(&findings) < Severity::Error {
                let change = self.change(&at, index, &values, &record, &packers, &mut arena)?;
                let code = change.and_then(|(member, change)| apply(member, change));
                findings.extend(code.map(Finding::of));
            }
            let accepted = rules::worst(&findings) < Severity::Error;
            if let Ok(member) = values[at.member_no].text().parse() {
                *members.entry(member).or_default() |= accepted;
            }
            let keys = RecordKeys {
                record_no: values[at.record_no].text(),
                insurer_code: self.origin,
                member_no: values[at.member_no].text(),
            };
            result.record(keys, &findings)?;
            outcome.count(&findings);
        }
        outcome.result = result.finish()?;
        let source = checked.input.source_file();
        blank.sort_by_key(|range: &Range<u64>| range.start);
        Ok(File { checked, outcome, gaiji, arena, source, members, blank })
    }

    /// 3xxxxx: 保険者番号 in the master under this origin, and not abolished before the coverage began.
    fn check_master(&self, at: &At, values: &[Value<'_>], created: chrono::NaiveDate, findings: &mut Vec<Finding>) {
        let number = &values[at.insurer_no];
        if number.is_blank() {
            return;
        }
        match self.masters.insurers.get(number.text()).filter(|i| i.insurer_code == self.origin) {
            None => findings.push(Finding::of(Code::InsurerNotInMaster)),
            Some(insurer) => {
                let Some(abolished) = insurer.abolished_on else { return };
                if values[at.acquired_on].date().is_some_and(|acquired| acquired >= abolished) {
                    findings.push(Finding::of(Code::InsurerAbolished));
                } else if abolished <= created && values[at.lost_on].is_blank() {
                    findings.push(Finding::of(Code::CoverAfterAbolition));
                }
            }
        }
    }

    /// The change that a checked record asks for; its images go into the arena.
    fn change(
        &self,
        at: &At,
        file: usize,
        values: &[Value<'_>],
        record: &RawRecord<'_>,
        packers: &[Packer; 2],
        arena: &mut Vec<u8>,
    ) -> Result<Option<(MemberNo, Change)>> {
        let Some(operation) = Operation::of(values[at.operation].text()) else { return Ok(None) };
        let Ok(member_no) = values[at.member_no].text().parse() else { return Ok(None) };
        let link_no = values[at.link_no].number().unwrap_or(0);
        let updated_at = values[at.updated_at].timestamp().map(Moment::from);
        let source_record = values[at.record_no].number().unwrap_or(0);
        let images = !operation.repeats_rows();
        let mut state = |packer: &Packer| -> Result<Option<State>> {
            if !images {
                return Ok(None);
            }
            let (start, end, image) = packer.pack(values, record, arena)?;
            let body = Body::Packed { file, start, end };
            Ok(Some(State { link_no, image, updated_at, source_record, moved: None, body }))
        };
        let member = state(&packers[0])?;
        let coverage = match values[at.coverage_seq].number() {
            Some(seq) => Some((seq, state(&packers[1])?)),
            None => None,
        };
        let upsert = self.scheme == MUNICIPAL;
        let by = Mover { file, record: source_record, updated_at };
        Ok(Some((member_no, Change { operation, link_no, by, member, coverage, upsert })))
    }
}
