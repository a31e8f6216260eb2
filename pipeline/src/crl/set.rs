//! A night's set of CRLs: every one verified, compared with the set in force, taken whole or refused with reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use chrono::NaiveDate;

use super::judge::{self, Cause, Measure, Point};
use super::listing::{self, Changes, Merged, Names};
use super::oddity::Oddity;
use super::reading::{Read, SetReader};
use super::state::{self, accepted, judged_against, points_in_force};
use crate::base::digest;
use crate::base::error::{Error, Result};
use crate::base::time::BusinessDate;
use crate::intake::answers;
use crate::ledger::InputState;
use crate::ledger::facts::Json;
use crate::pki::ca::{self, Ca};
use crate::rules::Finding;
use crate::store::commit::{Closed, RunReport};
use crate::store::input::Input;
use crate::store::run::Call;
use crate::store::{Stage, Store};
use crate::text::cp932::Encoding;
use shikaku_schemas::code::Code;

/// Bytes of entries that are sorted in memory at once.
const SORT_BUDGET: usize = 64 << 20;

/// Loads the configured trust anchors.
pub fn trust_anchors(store: &Store) -> Result<Vec<Ca>> {
    store.config.crl.ca_files.iter().map(|f| ca::load(f)).collect()
}

/// What a set is, whatever its files are called.
pub fn identity(inputs: &[Input]) -> String {
    let digests: BTreeSet<&str> = inputs.iter().map(|i| i.sha256.as_str()).collect();
    digest::of_parts(digests)[..16].to_owned()
}

/// The job.
pub const JOB: &str = "crl";

/// One run over a set and the folders that it makes useless; `then` adds to its stage.
pub fn run(
    call: &Call<'_>,
    inputs: &[Input],
    passed: &[Input],
    then: impl FnOnce(&mut Stage<'_>) -> Result<()>,
) -> Result<RunReport> {
    let judged = judged_against(call.store, &identity(inputs))?;
    let parameters = BTreeMap::from([("circumstances", call.store.circumstances()?), ("judged_against", judged)]);
    let all: Vec<Input> = inputs.iter().chain(passed).cloned().collect();
    call.run(JOB, parameters, &all, |stage| {
        take_in(stage, inputs)?;
        then(stage)
    })
}

/// Reads, verifies and, if all is well, commits a set. Returns whether it was taken.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<bool> {
    let store = stage.store;
    store.check_business_date(stage.date)?;
    let cas = trust_anchors(store)?;
    let issuers: Vec<String> = cas.iter().map(|ca| ca.key_id.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let set = identity(inputs);
    let judged = judged_against(store, &set)?;
    let mut inputs = inputs.to_vec();
    inputs.sort_by(|a, b| (&a.sha256, &a.name).cmp(&(&b.sha256, &b.name)));
    let twice = inputs.windows(2).any(|w| w[0].sha256 == w[1].sha256);
    for pair in inputs.windows(2).filter(|w| w[0].sha256 == w[1].sha256) {
        stage.release(&pair[1]);
    }
    inputs.dedup_by(|b, a| b.sha256 == a.sha256);

    let sorter = Mutex::new(stage.sorter(SORT_BUDGET));
    let reader = SetReader { store, cas: &cas, issuers: &issuers, sorter: &sorter, failed: AtomicBool::new(false) };
    let mut read = reader.read_all(inputs, stage.lander())?;
    let sorter = sorter.into_inner().map_err(|_| Error::internal("a reader of the set stopped"))?;

    let points = points_in_force(store)?;
    let measure = Measure {
        config: &store.config.crl,
        now: stage.date.crl_now(store.config.crl_now_time),
        points: &points,
        accepted: accepted(stage, &set)?,
    };
    let mut whole = judge(&measure, &mut read, twice);
    if read.is_empty() {
        // No file to say it of.
        stage.reject("-", Code::CrlSetEmpty, 1);
    }
    let mut causes = causes(&read, &whole);
    let taken = Taken::of(stage, &read, issuers)?;
    let mut merged = None;
    // What the set as a whole takes away is counted even if it is refused already: an operator must see everything at once.
    if !read.is_empty() && read.iter().all(|one| one.header.is_some()) {
        let own = listing::merge(stage, sorter.finish()?, &taken.names, taken.last_seen, taken.again)?;
        let Changes { entries, added, removed, .. } = own.written.changes;
        whole.causes.extend(measure.whole(entries + removed - added, removed));
        causes = self::causes(&read, &whole);
        merged = Some(own).filter(|_| causes.is_empty());
    }
    for one in &mut read {
        finish_file(stage, one, !causes.is_empty(), &whole)?;
    }
    let run_id = stage.run.run_id.clone();
    let first = |(place, own): (&String, &Vec<CauseOf>)| Some((place.clone(), own.first()?.cause.code));
    stage.set(&state::REFUSALS, &Json(causes.iter().filter_map(first).collect()))?;
    let is_good = causes.is_empty();
    stage.set(&state::CAUSES, &Json(causes))?;
    if let Some(merged) = merged {
        commit(stage, &read, &taken, merged, &points)?;
        stage.set(&state::IN_FORCE_IDENTITY, &set)?;
        stage.set(&state::IN_FORCE_JUDGED, &judged)?;
        stage.set(&state::IN_FORCE_RUN, &run_id)?;
    } else {
        stage.set(&state::STALE, &true)?;
        stage.set(&state::REFUSED, &stage.date.clone())?;
        stage.set(&state::REFUSED_RUN, &run_id)?;
    }
    Ok(is_good)
}

/// Files of sets that a newer one made useless before they were read: they land unread, with a code.
pub fn pass_over(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    for input in inputs {
        stage.reject(&input.sha256, Code::CrlPassedOver, 1);
        let (code, landing) = (Some(Code::CrlPassedOver), Some(stage.land(input)?));
        stage.close_input(input, Closed { code, landing, ..Closed::of("CRL", InputState::PassedOver) });
    }
    Ok(())
}

/// What is wrong with the set as a whole.
struct Whole {
    causes: Vec<Cause>,
    /// Points in force that it does not have.
    missing: Vec<String>,
}

/// Judges each CRL, then the set.
fn judge(measure: &Measure<'_>, read: &mut [Read], twice: bool) -> Whole {
    for one in read.iter_mut() {
        if let Some(header) = &one.header {
            one.causes = measure.one(header);
        }
    }
    let headers = read.iter().filter_map(|r| r.header.as_ref());
    let mut names: Vec<&str> = headers.map(|h| h.distribution_point.as_str()).collect();
    names.sort_unstable();
    let repeated = names.windows(2).find(|w| w[0] == w[1]).map(|w| w[0].to_owned());
    // Which point an unreadable CRL stands for is not known, so none can be called missing then.
    let whole = read.iter().all(|r| r.header.is_some());
    let missing = if whole && !read.is_empty() { measure.missing(&names) } else { Vec::new() };
    let mut causes = Vec::new();
    if read.is_empty() {
        causes.push(Cause::new(Code::CrlSetEmpty, "ファイル 0 件"));
    }
    if let Some(point) = repeated {
        causes.push(Cause::new(Code::CrlPointTwice, format!("配布点 {point}")));
    } else if twice {
        causes.push(Cause::new(Code::CrlPointTwice, "同じ内容のファイルが二つあります"));
    }
    Whole { causes, missing }
}

/// A cause, and the file that has it, if it is one file's.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct CauseOf {
    pub file: Option<String>,
    #[serde(flatten)]
    pub cause: Cause,
}

/// Why a set is refused: distribution point (or file, where the point is unknown) → causes. Empty = it is taken.
fn causes(read: &[Read], whole: &Whole) -> BTreeMap<String, Vec<CauseOf>> {
    let mut causes: BTreeMap<String, Vec<CauseOf>> = BTreeMap::new();
    for point in &whole.missing {
        let cause = Cause::new(Code::CrlPointMissing, "今回の一式にありません");
        causes.insert(point.clone(), vec![CauseOf { file: None, cause }]);
    }
    for one in read.iter().filter(|one| !one.causes.is_empty()) {
        let point = one.header.as_ref().map(|h| h.distribution_point.clone());
        let place = point.unwrap_or_else(|| format!("file {}", &one.input.sha256[..12]));
        let file = Some(one.input.name.clone());
        let own = one.causes.iter().map(|cause| CauseOf { file: file.clone(), cause: cause.clone() });
        causes.entry(place).or_default().extend(own);
    }
    if !whole.causes.is_empty() {
        let own = whole.causes.iter().map(|cause| CauseOf { file: None, cause: cause.clone() });
        causes.insert(judge::SET.to_owned(), own.collect());
    }
    causes
}

/// A CRL's result, its landing, its counts.
fn finish_file(stage: &mut Stage<'_>, one: &mut Read, refused: bool, whole: &Whole) -> Result<()> {
    let sha256 = one.input.sha256.clone();
    let mut causes = one.causes.clone();
    if causes.is_empty() && refused {
        // The set's own fault if it has one, else that of another file.
        causes = whole.causes.clone();
        if causes.is_empty() {
            let missing =
                whole.missing.first().map(|point| Cause::new(Code::CrlPointMissing, format!("配布点 {point}")));
            causes.push(missing.unwrap_or_else(|| Cause::new(Code::CrlSetRefused, "")));
        }
    }
    for cause in &causes {
        stage.reject(&sha256, cause.code, 1);
    }
    let mut findings: Vec<Finding> = causes.iter().map(|c| Finding::of(c.code).because(&c.detail)).collect();
    let header = one.header.as_ref();
    for (code, count) in header.into_iter().flat_map(|h| h.oddities.counts()) {
        if findings.is_empty() {
            findings.push(Finding::of(code));
        }
        stage.reject(&sha256, code, i64::try_from(count).unwrap_or(i64::MAX));
    }
    let result = answers::whole_file(Encoding::Cp932, None, None, &findings)?;
    stage.outbox_spooled(&answers::result_path(Some("crl"), &one.input), result)?;
    let landing = match one.landed.take() {
        Some(landed) => Some(stage.landed(&one.input, landed)),
        None => Some(stage.land(&one.input)?),
    };
    let taken = causes.is_empty();
    let closed = Closed {
        origin: header.map(|h| h.distribution_point.clone()),
        code: causes.first().map(|cause| cause.code),
        read: one.rows,
        rejected: if taken { 0 } else { one.rows },
        landing,
        ..Closed::of("CRL", if taken { InputState::Accepted } else { InputState::Refused })
    };
    stage.close_input(&one.input, closed);
    Ok(())
}

/// What a set will be once it is in force.
struct Taken {
    names: Names,
    /// Night of the set before tonight's.
    last_seen: Option<NaiveDate>,
    earlier: Option<BusinessDate>,
    /// Tonight had a set already.
    again: bool,
}

impl Taken {
    fn of(stage: &Stage<'_>, read: &[Read], issuers: Vec<String>) -> Result<Self> {
        let ledger = &stage.store.ledger;
        let in_force = ledger.fact(&state::IN_FORCE)?;
        // A second set of one night replaces the first: the one before is that of an earlier night.
        let again = in_force == Some(stage.date);
        let earlier = if again { ledger.fact(&state::IN_FORCE_BEFORE)? } else { in_force };
        let last_seen = earlier.map(|date| date.0);
        let headers = read.iter().filter_map(|one| one.header.as_ref());
        let points = headers.map(|h| (h.distribution_point.clone(), h.crl_number.clone())).collect();
        Ok(Self { names: Names { issuers, points }, last_seen, earlier, again })
    }
}

/// Makes a good set the one in force.
fn commit<'s>(
    stage: &mut Stage<'s>,
    read: &[Read],
    taken: &Taken,
    merged: Merged<'s, '_>,
    before: &BTreeMap<String, Point>,
) -> Result<()> {
    let date = stage.date.to_string();
    let mut gone: BTreeSet<&String> = before.keys().collect();
    for header in read.iter().filter_map(|one| one.header.as_ref()) {
        let point = Point::of(header);
        gone.remove(&header.distribution_point);
        if before.get(&header.distribution_point) != Some(&point) {
            stage.set(&state::POINTS.at(header.distribution_point.as_str()), &Json(point))?;
        }
    }
    // Points that the operator let go.
    for point in gone {
        stage.clear(&state::POINTS.at(point.as_str()))?;
    }
    let written = merged.finish(stage)?;
    for (point, count) in &written.duplicates {
        let sha256 = read.get(*point).map(|r| r.input.sha256.clone()).unwrap_or_default();
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        stage.reject(&sha256, Oddity::Duplicate.code(), count);
    }
    let set_id = stage.set_id;
    let ends = read.iter().filter_map(|one| one.header.as_ref()).map(|h| h.next_update).min();
    let next_update = state::NEXT_UPDATES.at(format!("{set_id:06}"));
    match ends {
        Some(end) => stage.set(&next_update, &end)?,
        None => stage.clear(&next_update)?,
    }
    stage.set(&state::CHANGES.at(format!("{date}#{set_id:06}")), &Json(written.changes))?;
    match taken.earlier {
        Some(earlier) => stage.set(&state::IN_FORCE_BEFORE, &earlier)?,
        None => stage.clear(&state::IN_FORCE_BEFORE)?,
    }
    stage.set(&state::IN_FORCE, &stage.date.clone())?;
    stage.set(&state::STALE, &false)?;
    Ok(())
}
