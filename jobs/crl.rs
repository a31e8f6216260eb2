//! Takes in a night's set of CRLs (失効情報): every one verified, the set taken whole or not at all.
//!
//! Reads: `crl/<YYYYMMDD>/*.crl` with `_DONE`. Checks: signature, dates, CRL numbers, missing points, change of size.
//! Writes: revocation, revocation_history. A refused set leaves the one before in force and says why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use shikaku_pipeline::base::error;
use shikaku_pipeline::base::time::{BusinessDate, add_days};
use shikaku_pipeline::crl::{folder, judge, set, state};
use shikaku_pipeline::intake::Days;
use shikaku_pipeline::intake::{inbox, run};
use shikaku_pipeline::ledger::facts::Json;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::input::Input;
use shikaku_pipeline::store::run::Call;
use shikaku_pipeline::store::{Stage, Store, leaving};
use shikaku_pipeline::text::my_number;
use shikaku_pipeline::{Error, Result};
use shikaku_schemas::operator;

use crate::outside;
use crate::registry::{Due, Job, Work};

pub const JOB: Job = Job {
    name: set::JOB,
    inbox: Some("crl"),
    days: Days::Every,
    needs: &[],
    reads: "a folder of RFC 5280 CRLs",
    writes: "revocation, revocation_history",
    work: Work::Own {
        due: |store, _| {
            let Some(dir) = run::inbox_folder(store, "crl")? else { return Ok(None) };
            let inbox = folder::look(&dir)?;
            let due = !inbox.finished.is_empty() || !inbox.odd.is_empty();
            Ok(due.then_some(Due { paths: inbox.finished, month: None }))
        },
        run,
    },
};

/// What becomes of the folders that a night finds.
struct Folders {
    /// The set to take: the newest that is not of a later morning.
    set: Option<PathBuf>,
    /// Older ones, which it makes useless.
    passed: Vec<PathBuf>,
    /// Of a later morning than the coming one: not looked at before its night.
    future: Vec<PathBuf>,
}

fn sort_out(store: &Store, date: BusinessDate, folders: &[PathBuf]) -> Result<Folders> {
    let morning = add_days(date.0, 1).format("%Y%m%d").to_string();
    let (mut ready, future): (Vec<PathBuf>, Vec<PathBuf>) =
        folders.iter().cloned().partition(|dir| folder::date_of(dir).is_none_or(|name| name <= morning));
    ready.sort_by_key(|dir| folder::date_of(dir));
    let set = ready.pop();
    // A folder older than one that was looked at comes too late.
    let newest = store.ledger.fact(&state::NEWEST_SET)?.filter(|newest| *newest <= morning);
    let late =
        set.clone().filter(|dir| folder::date_of(dir).is_some_and(|own| newest.is_some_and(|newest| own < newest)));
    ready.extend(late.clone());
    Ok(Folders { set: set.filter(|_| late.is_none()), passed: ready, future })
}

/// Files of some folders with the marks that end them, and how many other files lie there.
struct Listed {
    files: Vec<PathBuf>,
    marks: Vec<PathBuf>,
    ignored: u64,
}

fn list(paths: &[PathBuf]) -> Result<Listed> {
    let mut listed = Listed { files: Vec::new(), marks: Vec::new(), ignored: 0 };
    for path in paths {
        if path.is_dir() {
            let (found, other) = folder::files(path)?;
            listed.files.extend(found);
            listed.ignored += other;
            listed.marks.extend(Some(path.join("_DONE")).filter(|mark| mark.exists()));
        } else if path.exists() {
            listed.files.push(path.clone());
        } else {
            return Err(Error::usage(format!("{}: no such file or folder", path.display())));
        }
    }
    Ok(listed)
}

fn read(store: &Store, files: &[PathBuf]) -> Result<Vec<Input>> {
    let (inputs, unread) = inbox::read_all(store, files)?;
    match unread.first() {
        None => Ok(inputs),
        // A set is taken whole, so one file that cannot be read holds it back.
        Some((path, why)) => {
            Err(Error::failed(format!("{}: {why}; the set stays in the inbox", error::shown(path).display())))
        }
    }
}

fn run(call: &Call<'_>) -> Result<RunReport> {
    let store = call.store;
    let folders = match call.in_night {
        true => sort_out(store, call.date, &call.paths)?,
        false => Folders { set: None, passed: Vec::new(), future: Vec::new() },
    };
    let own: Vec<PathBuf> = if call.in_night { folders.set.iter().cloned().collect() } else { call.paths.clone() };
    let (listed, old) = (list(&own)?, list(&folders.passed)?);
    if listed.ignored > 0 {
        tracing::warn!(job = JOB.name, ignored = listed.ignored, "files that are no .crl were ignored");
    }
    let (inputs, marks) = (read(store, &listed.files)?, read(store, &listed.marks)?);
    let (passed, old_marks) = (read(store, &old.files)?, read(store, &old.marks)?);
    let morning = add_days(call.date.0, 1).format("%Y%m%d").to_string();
    let newest = own.iter().filter_map(|dir| folder::date_of(dir)).filter(|name| *name <= morning).max();
    let finish = |stage: &mut Stage<'_>| -> Result<()> {
        if let Some(name) = &newest {
            stage.set(&state::NEWEST_SET, name)?;
        }
        set::pass_over(stage, &passed)?;
        // The mark goes last, and its folder with it.
        marks.iter().chain(&old_marks).for_each(|mark| stage.release(mark));
        Ok(())
    };
    let mut report = match own.is_empty() {
        true if passed.is_empty() => RunReport::unchanged(JOB.name),
        true => call.run(JOB.name, BTreeMap::new(), &passed, finish)?,
        false => set::run(call, &inputs, &passed, finish)?,
    };
    if report.unchanged && !own.is_empty() {
        // A set that was taken in before and came again: its files are in the landing already.
        for file in inputs.iter().chain(&marks) {
            let Some(from) = &file.inbox_path else { continue };
            leaving::leave(&store.config.inbox, from, &file.sha256, None)?;
        }
        // What was refused before is still refused, and the night still runs on an old generation.
        report.rejections = store.ledger.fact(&state::STALE)? == Some(true);
    }
    if !call.in_night {
        report.rejections |= state::overdue(store, call.date.crl_now(store.config.crl_now_time))?.is_some();
    }
    let odd = match call.in_night {
        true => run::inbox_folder(store, "crl")?.map(|dir| folder::look(&dir)).transpose()?.unwrap_or_default().odd,
        false => Vec::new(),
    };
    for path in &odd {
        tracing::warn!(job = JOB.name, "something in inbox/crl is no folder of a date and was not looked at");
        report.rejections = true;
        let shown: &dyn std::fmt::Display = &error::shown(path).display().to_string();
        report.notes.push(operator::text(outside::language(), "night.crl_odd", &[("path", shown)]));
    }
    for folder in &folders.future {
        tracing::warn!(job = JOB.name, "a CRL folder is dated later than the coming morning and was not looked at");
        report.rejections = true;
        let shown: &dyn std::fmt::Display = &error::shown(folder).display().to_string();
        report.notes.push(operator::text(outside::language(), "night.crl_future", &[("folder", shown)]));
    }
    Ok(report)
}

/// Takes the set that was refused last in all the same, from where it landed, in the night that it was for. Who says so, and
/// why, stands in the ledger for good.
pub fn accept(store: &Store, reason: &str, by: &str) -> Result<RunReport> {
    for text in [reason, by] {
        if text.trim().is_empty() || my_number::found_in(text) {
            return Err(Error::usage("--reason and --by must say why and who, and hold no 12-digit number"));
        }
    }
    let stale = store.ledger.fact(&state::STALE)? == Some(true);
    let refused = store.ledger.fact(&state::REFUSED_RUN)?.filter(|_| stale);
    let Some(run_id) = refused else { return Err(Error::usage("no CRL set stands refused")) };
    let causes = causes(store)?;
    let all = || causes.iter().flat_map(|(place, own)| own.iter().map(move |cause| (place, &cause.cause)));
    if let Some((point, cause)) = all().find(|(_, cause)| !judge::is_overridable(cause.code)) {
        let (code, what) = (cause.code, &cause.code.message().ja);
        return Err(Error::usage(format!("{point}: {code} {what} cannot be overridden; ask the CA for a sound set")));
    }
    let rows = store.ledger.inputs(Some(&run_id))?;
    let inputs: Option<Vec<Input>> = rows.iter().map(|(_, row)| Input::again(store, row)).collect::<Result<_>>()?;
    let Some(inputs) = inputs else { return Err(Error::usage("the bytes of the refused set are kept no longer")) };
    let Some(date) = store.ledger.fact(&state::REFUSED)? else { return Err(Error::usage("no CRL set stands refused")) };
    store.check_business_date(date)?;
    // Exactly what was shown: a cause that only shows now refuses the set again.
    let mut shown = judge::Accepted::new();
    for (place, cause) in all() {
        shown.entry(place.clone()).or_default().insert(cause.code);
    }
    let said = state::Override {
        by: by.to_owned(),
        reason: reason.to_owned(),
        shown,
        date: date.to_string(),
        at: store.now(),
    };
    store.set(&state::OVERRIDES.at(set::identity(&inputs)), Some(&Json(said)))?;
    set::run(&Call::new(store, date), &inputs, &[], |_| Ok(()))
}

/// Why the newest set was refused, as the ledger has it: distribution point → causes.
pub fn causes(store: &Store) -> Result<BTreeMap<String, Vec<set::CauseOf>>> {
    Ok(store.ledger.fact(&state::CAUSES)?.map(|causes| causes.0).unwrap_or_default())
}
