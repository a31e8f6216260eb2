//! A night's set of CRLs: every one verified, compared with the set in force, taken whole or refused with reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::ca::{self, Ca};
use super::der::Malformed;
use super::judge::{Measure, Point};
use super::listing::{self, Names};
use super::oddity::Oddity;
use super::parse::{self, Header, Stop};
use super::{entries, pem};
use crate::digest;
use crate::error::{At, Error, Result};
use crate::inbox::Input;
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
        let path = entry.at(dir)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == "crl") {
            found.push(path);
        } else if path.file_name().is_some_and(|n| n != "_DONE") {
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

/// The newest finished set of the inbox: `crl/<YYYYMMDD>/` with `_DONE` in it.
pub fn newest(dir: &Path) -> Result<Option<PathBuf>> {
    let mut sets = Vec::new();
    if dir.is_dir() {
        for entry in std::fs::read_dir(dir).at(dir)? {
            let path = entry.at(dir)?.path();
            if date_of(&path).is_some() && path.join("_DONE").exists() {
                sets.push(path);
            }
        }
    }
    sets.sort();
    Ok(sets.pop())
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
    /// What it is refused by.
    code: Option<&'static str>,
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
        accepted: is_accepted(stage, &set)?,
    };
    let whole = judge(&measure, &mut read, twice);
    if let (Some(code), true) = (whole.code, read.is_empty()) {
        // No file to say it of.
        stage.reject("-", code, "error", 1);
    }
    let refusals = refusals(&read, &whole);
    for one in &mut read {
        finish_file(stage, one, !refusals.is_empty(), whole.code)?;
    }
    if refusals.is_empty() {
        commit(stage, read, sorter, issuers, &points)?;
        stage.fact("crl", "in_force_identity", set);
        stage.fact("crl", "in_force_judged", judged);
        let run_id = stage.run.run_id.clone();
        stage.fact("crl", "in_force_run", run_id);
    } else {
        stage.fact("crl", "stale", "1");
        stage.fact("crl", "refused", stage.date.to_string());
        let run_id = stage.run.run_id.clone();
        stage.fact("crl", "refused_run", run_id);
    }
    stage.fact("crl", "refusals", serde_json::to_string(&refusals)?);
    Ok(refusals.is_empty())
}

/// The run whose set this set is, or was, judged against: part of what a run over it is. A set that was refused is looked at
/// again once another is in force; the one in force stays done.
pub fn judged_against(store: &Store, set: &str) -> Result<String> {
    let fact = |key: &str| store.ledger.fact("crl", key);
    let same = fact("in_force_identity")?.as_deref() == Some(set);
    Ok(fact(if same { "in_force_judged" } else { "in_force_run" })?.unwrap_or_default())
}

/// Whether an operator let this set pass, in this night.
fn is_accepted(stage: &Stage<'_>, set: &str) -> Result<bool> {
    let Some(text) = stage.store.ledger.fact("crl_override", set)? else { return Ok(false) };
    let said: serde_json::Value = serde_json::from_str(&text)?;
    Ok(said["date"].as_str() == Some(stage.date.to_string().as_str()))
}

fn points_in_force(store: &Store) -> Result<BTreeMap<String, Point>> {
    let facts = store.ledger.facts("crl_point")?;
    Ok(facts.into_iter().filter_map(|(key, value)| Some((key, serde_json::from_str(&value).ok()?))).collect())
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
            let started: Vec<_> = (0..threads).map(|_| spawn_scoped(scope, &work)).collect::<Result<_>>()?;
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
        let outcome = if input.bytes > MAX_BYTES { Err("400003") } else { self.parse(point, input, &mut rows)? };
        if outcome.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        let (header, code) = outcome.map_or_else(|code| (None, Some(code)), |header| (Some(header), None));
        Ok(Read { input: input.clone(), header, code, rows, landed: None })
    }

    fn parse(&self, point: usize, input: &Input, rows: &mut i64) -> Result<std::result::Result<Header, &'static str>> {
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
                tracing::warn!(file, code = bad.code, offset = bad.offset, "CRL refused: {}", bad.what);
                Ok(Err(bad.code))
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
    code: Option<&'static str>,
    /// Points in force that it does not have.
    missing: Vec<String>,
}

/// Judges each CRL, then the set.
fn judge(measure: &Measure<'_>, read: &mut [Read], twice: bool) -> Whole {
    for one in read.iter_mut() {
        if let Some(header) = &one.header {
            one.code = measure.one(header);
        }
    }
    let headers = read.iter().filter_map(|r| r.header.as_ref());
    let mut names: Vec<&str> = headers.map(|h| h.distribution_point.as_str()).collect();
    names.sort_unstable();
    let repeated = twice || names.windows(2).any(|w| w[0] == w[1]);
    // Which point an unreadable CRL stands for is not known, so none can be called missing then.
    let whole = read.iter().all(|r| r.header.is_some());
    let missing = if whole { measure.missing(&names) } else { Vec::new() };
    let code = if read.is_empty() {
        Some("400111")
    } else if repeated {
        Some("400107")
    } else {
        (!missing.is_empty()).then_some("400106")
    };
    Whole { code, missing }
}

/// Why a set is refused: distribution point (or file, where the point is unknown) → code. Empty = it is taken.
fn refusals(read: &[Read], whole: &Whole) -> BTreeMap<String, &'static str> {
    let mut refusals: BTreeMap<String, &'static str> =
        whole.missing.iter().map(|point| (point.clone(), "400106")).collect();
    for one in read {
        if let Some(code) = one.code {
            let point = one.header.as_ref().map(|h| h.distribution_point.clone());
            refusals.insert(point.unwrap_or_else(|| format!("file {}", &one.input.sha256[..12])), code);
        }
    }
    if let Some(code) = whole.code.filter(|code| *code != "400106") {
        refusals.insert("set".to_owned(), code);
    }
    refusals
}

/// A CRL's result, its landing, its counts.
fn finish_file(stage: &mut Stage<'_>, one: &mut Read, refused: bool, whole: Option<&'static str>) -> Result<()> {
    let code = one.code.or_else(|| refused.then_some(whole.unwrap_or("400112")));
    let sha256 = one.input.sha256.clone();
    if let Some(code) = code {
        stage.reject(&sha256, code, "error", 1);
    }
    let header = one.header.as_ref();
    let mut odd = None;
    for (code, count) in header.into_iter().flat_map(|h| h.oddities.counts()) {
        odd = odd.or(Some(code));
        stage.reject(&sha256, code, "warning", i64::try_from(count).unwrap_or(i64::MAX));
    }
    let result = outbox::whole_file(Encoding::Cp932, None, None, code.or(odd).unwrap_or("000000"));
    stage.outbox(&outbox::result_path(Some("crl"), &one.input), &result)?;
    let landing = match one.landed.take() {
        Some(landed) => Some(stage.landed(&one.input, landed)),
        None => Some(stage.land(&one.input)?),
    };
    stage.inputs.push(InputRow {
        sha256,
        name: one.input.name.clone(),
        kind: "CRL".to_owned(),
        origin: header.map(|h| h.distribution_point.clone()),
        receipt_no: None,
        bytes: one.input.bytes,
        state: if code.is_none() { "accepted" } else { "refused" }.to_owned(),
        code: code.map(str::to_owned),
        rows_read: one.rows,
        rows_accepted: if code.is_none() { one.rows } else { 0 },
        rows_rejected: if code.is_none() { 0 } else { one.rows },
        rows_duplicate: 0,
        landing,
        landed_at: stage.recorded_at().to_string(),
    });
    Ok(())
}

/// Makes a good set the one in force.
fn commit(
    stage: &mut Stage<'_>,
    read: Vec<Read>,
    sorter: Sorter<'_>,
    issuers: Vec<String>,
    before: &BTreeMap<String, Point>,
) -> Result<()> {
    let ledger = &stage.store.ledger;
    let date = stage.date.to_string();
    let in_force = ledger.fact("crl", "in_force")?;
    // A second set of one night replaces the first: the one before is that of an earlier night.
    let again = in_force.as_ref() == Some(&date);
    let earlier = if again { ledger.fact("crl", "in_force_before")? } else { in_force };
    let last_seen = earlier.as_deref().and_then(|date| date.parse().ok());
    let mut points = Vec::new();
    let mut gone: BTreeSet<&String> = before.keys().collect();
    for one in &read {
        let Some(header) = &one.header else { continue };
        let point = Point::of(header);
        gone.remove(&header.distribution_point);
        if before.get(&header.distribution_point) != Some(&point) {
            stage.fact("crl_point", &header.distribution_point, serde_json::to_string(&point)?);
        }
        points.push((header.distribution_point.clone(), header.crl_number.clone()));
    }
    // Points that the operator let go.
    for point in gone {
        stage.fact("crl_point", point, "");
    }
    let written = listing::write(stage, sorter.finish()?, &Names { issuers, points }, last_seen, again)?;
    for (point, count) in &written.duplicates {
        let sha256 = read.get(*point).map(|r| r.input.sha256.clone()).unwrap_or_default();
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        stage.reject(&sha256, Oddity::Duplicate.code(), "warning", count);
    }
    stage.fact("crl_changes", &format!("{date}#{:06}", stage.set_id), serde_json::to_string(&written.changes)?);
    stage.fact("crl", "in_force_before", earlier.unwrap_or_default());
    stage.fact("crl", "in_force", date);
    stage.fact("crl", "stale", "0");
    Ok(())
}
