//! A night's set of CRLs: every one verified, compared with the set in force, taken whole or refused with reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::{NaiveDate, NaiveDateTime};
use shikaku_schemas::operator;

use super::ca::{self, Ca};
use super::der::Malformed;
use super::judge::{self, Accepted, Cause, Measure, Point};
use super::listing::{self, Changes, Merged, Names};
use super::oddity::Oddity;
use super::parse::{self, Header, Stop};
use super::{entries, pem};
use crate::check::Finding;
use crate::digest;
use crate::error::{At, Error, Result};
use crate::inbox::{Input, is_unfinished};
use crate::ledger::InputRow;
use crate::outbox;
use crate::sort::{Batch, Sorter};
use crate::store::commit::{Landed, Lander};
use crate::store::{Stage, Store};
use crate::text::cp932::Encoding;
use crate::threads::spawn_scoped;

/// Largest CRL that is taken, in bytes: 10 million entries are 350–420 MB (libs.md §b).
const MAX_BYTES: i64 = 2_000_000_000;
/// Bytes of entries that are sorted in memory at once.
const SORT_BUDGET: usize = 64 << 20;
/// Bytes of entries that a reader gathers before it hands them over.
const HAND_OVER: usize = 1 << 20;

/// Files of a set: `*.crl` of one folder; everything else is counted and ignored.
pub fn files(dir: &Path) -> Result<(Vec<PathBuf>, u64)> {
    let (mut found, mut ignored) = (Vec::new(), 0);
    for entry in std::fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        // A link could lead anywhere; a hidden file is one that is still being delivered.
        let whole = entry.file_type().at(&path)?.is_file() && !is_unfinished(&name);
        if whole && path.extension().is_some_and(|e| e == "crl") {
            found.push(path);
        } else if name != "_DONE" {
            ignored += 1;
        }
    }
    found.sort();
    Ok((found, ignored))
}

/// `YYYYMMDD` of a set's folder.
pub fn date_of(dir: &Path) -> Option<String> {
    let name = dir.file_name()?.to_str()?;
    (name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.to_owned())
}

/// Finished sets of the inbox, oldest first: `crl/<YYYYMMDD>/` with `_DONE` in it.
pub fn finished(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut sets = Vec::new();
    for entry in std::fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        let path = entry.path();
        if entry.file_type().at(&path)?.is_dir() && date_of(&path).is_some() && path.join("_DONE").exists() {
            sets.push(path);
        }
    }
    sets.sort();
    Ok(sets)
}

/// Loads the configured trust anchors.
pub fn trust_anchors(store: &Store) -> Result<Vec<Ca>> {
    store.config.crl.ca_files.iter().map(|f| ca::load(f)).collect()
}

/// What a set is, whatever its files are called.
pub fn identity(inputs: &[Input]) -> String {
    let digests: BTreeSet<&str> = inputs.iter().map(|i| i.sha256.as_str()).collect();
    digest::of_parts(digests)[..16].to_owned()
}

/// One CRL of a set.
struct Read {
    input: Input,
    /// What it says of itself, if it could be read and verified.
    header: Option<Header>,
    /// What it is refused by, in the order of the checks.
    causes: Vec<Cause>,
    rows: i64,
    landed: Option<Landed>,
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
    let sorter = sorter.into_inner().map_err(|_| Error::failed("a reader of the set stopped"))?;

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
        stage.reject("-", "400111", "error", 1);
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
    let main: BTreeMap<&String, &String> =
        causes.iter().filter_map(|(place, own)| own.first().map(|c| (place, &c.cause.code))).collect();
    stage.fact("crl", "refusals", serde_json::to_string(&main)?);
    stage.fact("crl", "causes", serde_json::to_string(&causes)?);
    if let Some(merged) = merged {
        commit(stage, &read, &taken, merged, &points)?;
        stage.fact("crl", "in_force_identity", set);
        stage.fact("crl", "in_force_judged", judged);
        stage.fact("crl", "in_force_run", run_id);
    } else {
        stage.fact("crl", "stale", "1");
        stage.fact("crl", "refused", stage.date.to_string());
        stage.fact("crl", "refused_run", run_id);
    }
    Ok(causes.is_empty())
}

/// Files of sets that a newer one made useless before they were read: they land unread, with a code.
pub fn pass_over(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    for input in inputs {
        stage.reject(&input.sha256, "400114", "warning", 1);
        let landing = Some(stage.land(input)?);
        let row = input_row(stage, input, landing);
        stage.inputs.push(InputRow { state: "passed_over".to_owned(), code: Some("400114".to_owned()), ..row });
    }
    Ok(())
}

/// The run whose set this set is, or was, judged against: part of what a run over it is. A set that was refused is looked at
/// again once another is in force; the one in force stays done.
pub fn judged_against(store: &Store, set: &str) -> Result<String> {
    let fact = |key: &str| store.ledger.fact("crl", key);
    let same = fact("in_force_identity")?.as_deref() == Some(set);
    Ok(fact(if same { "in_force_judged" } else { "in_force_run" })?.unwrap_or_default())
}

/// What an operator was shown of this set and let pass, in this night.
fn accepted(stage: &Stage<'_>, set: &str) -> Result<Accepted> {
    let Some(text) = stage.store.ledger.fact("crl_override", set)? else { return Ok(Accepted::new()) };
    let said: Override = serde_json::from_str(&text)?;
    Ok(if said.date == stage.date.to_string() { said.shown } else { Accepted::new() })
}

/// What the ledger keeps of an override (fact `crl_override`, key = identity of the set).
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Override {
    pub by: String,
    pub reason: String,
    pub shown: Accepted,
    /// The night that it is for.
    pub date: String,
    pub at: String,
}

/// Distribution points in force. A point that was let go stands as an empty text; any other that cannot be read is damage:
/// without it the guards would look away.
pub fn points_in_force(store: &Store) -> Result<BTreeMap<String, Point>> {
    let facts = store.ledger.facts("crl_point")?.into_iter().filter(|(_, value)| !value.is_empty());
    let damaged =
        |name: &str| Error::integrity(format!("the ledger's entry of distribution point {name} cannot be read"));
    facts.map(|(key, value)| Ok((key.clone(), serde_json::from_str(&value).map_err(|_| damaged(&key))?))).collect()
}

/// Why the list in force is not what the morning should have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    /// The newest set was refused.
    Stale,
    /// A list of the set in force ended at this moment.
    Expired(NaiveDateTime),
}

/// Whether the set in force is older than it should be at a moment; a lake that never had a set has none to be old.
pub fn overdue(store: &Store, now: NaiveDateTime) -> Result<Option<Overdue>> {
    if store.ledger.fact("crl", "in_force")?.is_none() {
        return Ok(None);
    }
    if store.ledger.fact("crl", "stale")?.as_deref() == Some("1") {
        return Ok(Some(Overdue::Stale));
    }
    let ends = points_in_force(store)?.into_values().filter_map(|point| point.next_update).min();
    Ok(ends.filter(|end| *end <= now).map(Overdue::Expired))
}

/// What one thread read and landed, by the place of each file.
type Share = (Vec<(usize, Read)>, Vec<(usize, Landed)>);

/// Reads the files of a set side by side; their entries go to one sorter.
struct SetReader<'r, 's> {
    store: &'s Store,
    cas: &'r [Ca],
    issuers: &'r [String],
    sorter: &'r Mutex<Sorter<'s>>,
    /// A CRL was refused: the set will not be taken, and no entry is needed any more.
    failed: AtomicBool,
}

impl SetReader<'_, '_> {
    /// Reads and lands all files, on threads of their own: a sort inside the pool that waited for the sorter would wait for
    /// itself.
    fn read_all(&self, inputs: Vec<Input>, lander: Lander<'_>) -> Result<Vec<Read>> {
        let (next, landing) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || -> Result<Share> {
            let (mut read, mut landed) = (Vec::new(), Vec::new());
            while let Some((at, input)) = claim(&next, &inputs) {
                read.push((at, self.read_one(at, input)?));
            }
            while let Some((at, input)) = claim(&landing, &inputs) {
                landed.push((at, lander.stage(input)?));
            }
            Ok((read, landed))
        };
        let threads = rayon::current_num_threads();
        let done: Vec<Result<Share>> = std::thread::scope(|scope| -> Result<_> {
            let started: Vec<_> = (0..threads).map(|_| spawn_scoped(scope, work)).collect::<Result<_>>()?;
            let joined = started.into_iter().map(std::thread::ScopedJoinHandle::join);
            Ok(joined.map(|one| one.unwrap_or_else(|_| Err(Error::failed("a reader of the set stopped")))).collect())
        })?;
        let (mut all, mut places) = (BTreeMap::new(), Vec::new());
        for one in done {
            let (read, landed) = one?;
            all.extend(read);
            places.extend(landed);
        }
        for (at, landed) in places {
            if let Some(read) = all.get_mut(&at) {
                read.landed = Some(landed);
            }
        }
        Ok(all.into_values().collect())
    }

    fn read_one(&self, point: usize, input: &Input) -> Result<Read> {
        let mut rows = 0i64;
        let outcome = match input.bytes > MAX_BYTES {
            true => Err(Cause::new("400003", format!("{} バイト", input.bytes))),
            false => self.parse(point, input, &mut rows)?,
        };
        if outcome.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        let (header, causes) = outcome.map_or_else(|cause| (None, vec![cause]), |header| (Some(header), Vec::new()));
        Ok(Read { input: input.clone(), header, causes, rows, landed: None })
    }

    fn parse(&self, point: usize, input: &Input, rows: &mut i64) -> Result<std::result::Result<Header, Cause>> {
        let read = self.entries(point, input, self.cas, rows).and_then(|(header, kept)| {
            if kept {
                return Ok(header);
            }
            // Several CAs of one name: now it is known which, and the entries are read again.
            *rows = 0;
            let own: Vec<Ca> = self.cas.iter().filter(|ca| ca.key_id == header.issuer_key_id).cloned().collect();
            let (header, kept) = self.entries(point, input, &own, rows)?;
            // A list without its entries must never come into force.
            if kept { Ok(header) } else { Err(Stop::Own(Error::failed("the entries of a CRL were not kept"))) }
        });
        match read {
            Ok(header) => Ok(Ok(header)),
            Err(Stop::Own(error)) => Err(error),
            Err(Stop::Malformed(bad)) => {
                let file = &input.sha256[..12];
                tracing::warn!(file, code = bad.code, offset = bad.offset, what = bad.what, "CRL refused");
                Ok(Err(Cause::new(bad.code, format!("{}、オフセット{}", operator::cause(bad.what), bad.offset))))
            }
        }
    }

    /// Reads one CRL; whether its entries were kept.
    fn entries(
        &self,
        point: usize,
        input: &Input,
        cas: &[Ca],
        rows: &mut i64,
    ) -> std::result::Result<(Header, bool), Stop> {
        let (mut batch, mut record, mut kept) = (Batch::default(), Vec::new(), true);
        let header = parse::read(der(self.store, input)?, cas, |ca, entry| {
            *rows += 1;
            let issuer = ca.and_then(|ca| self.issuers.binary_search(&ca.key_id).ok());
            let Some(issuer) = issuer.filter(|_| !self.failed.load(Ordering::Relaxed)) else {
                kept = false;
                return Ok(());
            };
            entries::pack(&entry, issuer, point, &mut record)?;
            batch.push(&record)?;
            if batch.size() >= HAND_OVER { self.hand_over(&mut batch) } else { Ok(()) }
        })?;
        self.hand_over(&mut batch).map_err(Stop::Own)?;
        // When another CRL was refused, no entry of the set will be needed.
        Ok((header, kept || self.failed.load(Ordering::Relaxed)))
    }

    fn hand_over(&self, batch: &mut Batch) -> Result<()> {
        let mut sorter = self.sorter.lock().map_err(|_| Error::failed("a reader of the set stopped"))?;
        sorter.absorb(batch)
    }
}

fn der(store: &Store, input: &Input) -> std::result::Result<Box<dyn std::io::Read>, Stop> {
    let der = input.open(store).and_then(|source| pem::der(source, "X509 CRL").at(&input.path));
    let neither = Malformed { code: "400101", what: "is neither DER nor PEM", offset: 0 };
    der.map_err(Stop::Own)?.ok_or_else(|| neither.into())
}

fn claim<'i>(next: &AtomicUsize, inputs: &'i [Input]) -> Option<(usize, &'i Input)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    inputs.get(at).map(|input| (at, input))
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
        causes.push(Cause::new("400111", "ファイル 0 件"));
    }
    if let Some(point) = repeated {
        causes.push(Cause::new("400107", format!("配布点 {point}")));
    } else if twice {
        causes.push(Cause::new("400107", "同じ内容のファイルが二つあります"));
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
        let cause = Cause::new("400106", "今回の一式にありません");
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

/// The row of a file before it is known what became of it.
fn input_row(stage: &Stage<'_>, input: &Input, landing: Option<String>) -> InputRow {
    InputRow {
        sha256: input.sha256.clone(),
        name: input.name.clone(),
        kind: "CRL".to_owned(),
        origin: None,
        receipt_no: None,
        bytes: input.bytes,
        state: String::new(),
        code: None,
        rows_read: 0,
        rows_accepted: 0,
        rows_rejected: 0,
        rows_duplicate: 0,
        landing,
        landed_at: stage.recorded_at().to_string(),
    }
}

/// A CRL's result, its landing, its counts.
fn finish_file(stage: &mut Stage<'_>, one: &mut Read, refused: bool, whole: &Whole) -> Result<()> {
    let sha256 = one.input.sha256.clone();
    let mut causes = one.causes.clone();
    if causes.is_empty() && refused {
        // The set's own fault if it has one, else that of another file.
        causes = whole.causes.clone();
        if causes.is_empty() {
            let missing = whole.missing.first().map(|point| Cause::new("400106", format!("配布点 {point}")));
            causes.push(missing.unwrap_or_else(|| Cause::new("400112", "")));
        }
    }
    for cause in &causes {
        stage.reject(&sha256, &cause.code, "error", 1);
    }
    let mut findings: Vec<Finding> = causes.iter().map(|c| Finding::of(&c.code).because(&c.detail)).collect();
    let header = one.header.as_ref();
    for (code, count) in header.into_iter().flat_map(|h| h.oddities.counts()) {
        if findings.is_empty() {
            findings.push(Finding::of(code));
        }
        stage.reject(&sha256, code, "warning", i64::try_from(count).unwrap_or(i64::MAX));
    }
    let result = outbox::whole_file(Encoding::Cp932, None, None, &findings)?;
    stage.outbox_spooled(&outbox::result_path(Some("crl"), &one.input), result)?;
    let landing = match one.landed.take() {
        Some(landed) => Some(stage.landed(&one.input, landed)),
        None => Some(stage.land(&one.input)?),
    };
    let taken = causes.is_empty();
    let row = input_row(stage, &one.input, landing);
    stage.inputs.push(InputRow {
        origin: header.map(|h| h.distribution_point.clone()),
        state: if taken { "accepted" } else { "refused" }.to_owned(),
        code: causes.first().map(|cause| cause.code.clone()),
        rows_read: one.rows,
        rows_accepted: if taken { one.rows } else { 0 },
        rows_rejected: if taken { 0 } else { one.rows },
        ..row
    });
    Ok(())
}

/// What a set will be once it is in force.
struct Taken {
    names: Names,
    /// Night of the set before tonight's.
    last_seen: Option<NaiveDate>,
    earlier: Option<String>,
    /// Tonight had a set already.
    again: bool,
}

impl Taken {
    fn of(stage: &Stage<'_>, read: &[Read], issuers: Vec<String>) -> Result<Self> {
        let ledger = &stage.store.ledger;
        let in_force = ledger.fact("crl", "in_force")?;
        // A second set of one night replaces the first: the one before is that of an earlier night.
        let again = in_force.as_ref() == Some(&stage.date.to_string());
        let earlier = if again { ledger.fact("crl", "in_force_before")? } else { in_force };
        let last_seen = earlier.as_deref().and_then(|date| date.parse().ok());
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
            stage.fact("crl_point", &header.distribution_point, serde_json::to_string(&point)?);
        }
    }
    // Points that the operator let go.
    for point in gone {
        stage.fact("crl_point", point, "");
    }
    let written = merged.finish(stage)?;
    for (point, count) in &written.duplicates {
        let sha256 = read.get(*point).map(|r| r.input.sha256.clone()).unwrap_or_default();
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        stage.reject(&sha256, Oddity::Duplicate.code(), "warning", count);
    }
    let set_id = stage.set_id;
    let ends = read.iter().filter_map(|one| one.header.as_ref()).map(|h| h.next_update).min();
    stage.fact(
        "crl_next_update",
        &format!("{set_id:06}"),
        ends.map(|end| end.format("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default(),
    );
    stage.fact("crl_changes", &format!("{date}#{set_id:06}"), serde_json::to_string(&written.changes)?);
    stage.fact("crl", "in_force_before", taken.earlier.clone().unwrap_or_default());
    stage.fact("crl", "in_force", date);
    stage.fact("crl", "stale", "0");
    Ok(())
}
