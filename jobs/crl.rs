//! Takes in a night's set of CRLs (失効情報): every one verified, the set taken whole or not at all.
//!
//! Reads: `crl/<YYYYMMDD>/*.crl` with `_DONE`. Checks: signature, dates, CRL numbers, missing points, change of size.
//! Writes: revocation, revocation_history. A refused set leaves the one before in force and says why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use shikaku_pipeline::crl::{judge, set};
use shikaku_pipeline::error;
use shikaku_pipeline::inbox::{self, Input};
use shikaku_pipeline::ledger::Event;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::{Stage, Store, leaving};
use shikaku_pipeline::text::my_number;
use shikaku_pipeline::time::BusinessDate;
use shikaku_pipeline::{Error, Result};
use shikaku_schemas::messages;

use super::{Call, Days, Due, Job, run as run_job};

pub const JOB: Job = Job {
    name: "crl",
    inbox: Some("crl"),
    days: Days::Every,
    needs: &[],
    reads: "a folder of RFC 5280 CRLs",
    writes: "revocation, revocation_history",
    due: |store, _| {
        let newest = set::newest(&store.config.inbox.join("crl"))?;
        // A folder older than the newest one looked at stays where it is: `ingest crl` takes it when it must be.
        let passed = store.ledger.fact("crl", "newest_set")?;
        let newest = newest.filter(|dir| set::date_of(dir) >= passed);
        Ok(newest.map(|dir| Due { paths: vec![dir], month: None }))
    },
    run,
};

fn run(call: &Call<'_>) -> Result<RunReport> {
    let (mut files, mut ignored): (Vec<PathBuf>, u64) = (Vec::new(), 0);
    for path in &call.paths {
        if path.is_dir() {
            let (found, other) = set::files(path)?;
            files.extend(found);
            ignored += other;
        } else if path.exists() {
            files.push(path.clone());
        } else {
            return Err(Error::usage(format!("{}: no such file or folder", path.display())));
        }
    }
    if ignored > 0 {
        tracing::warn!(job = JOB.name, ignored, "files that are no .crl were ignored");
    }
    let (inputs, unread) = inbox::read_all(call.store, &files)?;
    if let Some((path, why)) = unread.first() {
        // A set is taken whole, so one file that cannot be read holds it back.
        return Err(Error::failed(format!("{}: {why}; the set stays in the inbox", error::shown(path).display())));
    }
    let marks: Vec<PathBuf> = call.paths.iter().map(|dir| dir.join("_DONE")).filter(|mark| mark.exists()).collect();
    let (marks, _) = inbox::read_all(call.store, &marks)?;
    let mut report = take_set(call, &inputs, |stage| {
        for name in call.paths.iter().filter_map(|dir| set::date_of(dir)) {
            stage.fact("crl", "newest_set", name);
        }
        // The mark goes last, and its folder with it.
        marks.iter().for_each(|mark| stage.release(mark));
    })?;
    if report.unchanged {
        // A set that was taken in before and came again: its files are in the landing already.
        for file in inputs.iter().chain(&marks) {
            let Some(from) = &file.inbox_path else { continue };
            leaving::leave(&call.store.config.inbox, from, &file.sha256, None)?;
        }
        // What was refused before is still refused, and the night still runs on an old generation.
        report.rejections = call.store.ledger.fact("crl", "stale")?.as_deref() == Some("1");
    }
    Ok(report)
}

/// One run over a set; `then` adds to its stage.
fn take_set(call: &Call<'_>, inputs: &[Input], then: impl FnOnce(&mut Stage<'_>)) -> Result<RunReport> {
    let judged = set::judged_against(call.store, &set::identity(inputs))?;
    let parameters = BTreeMap::from([("circumstances", call.store.circumstances()?), ("judged_against", judged)]);
    run_job(call, JOB.name, parameters, inputs, |stage| {
        set::take_in(stage, inputs)?;
        then(stage);
        Ok(())
    })
}

/// Takes the set that was refused last in all the same, from where it landed, in the night that it was for. Who says so, and
/// why, stands in the ledger for good.
pub fn accept(store: &Store, reason: &str, by: &str) -> Result<RunReport> {
    for text in [reason, by] {
        if text.trim().is_empty() || my_number::found_in(text) {
            return Err(Error::usage("--reason and --by must say why and who, and hold no 12-digit number"));
        }
    }
    let fact = |key: &str| store.ledger.fact("crl", key);
    let refused = (fact("stale")?.as_deref() == Some("1")).then_some(fact("refused_run")?).flatten();
    let Some(run_id) = refused else { return Err(Error::usage("no CRL set stands refused")) };
    let refusals: BTreeMap<String, String> = serde_json::from_str(&fact("refusals")?.unwrap_or_default())?;
    let firm = refusals.iter().find(|(_, code)| !judge::is_overridable(code));
    if let Some((point, code)) = firm {
        let what = &messages::of(code).ja;
        return Err(Error::usage(format!("{point}: {code} {what} cannot be overridden; ask the CA for a sound set")));
    }
    let rows = store.ledger.inputs(Some(&run_id))?;
    let inputs: Option<Vec<Input>> = rows.iter().map(|(_, row)| Input::again(store, row)).collect::<Result<_>>()?;
    let Some(inputs) = inputs else { return Err(Error::usage("the bytes of the refused set are kept no longer")) };
    let date = fact("refused")?.and_then(|date| date.parse().ok()).map(BusinessDate);
    let Some(date) = date else { return Err(Error::usage("no CRL set stands refused")) };
    store.check_business_date(date)?;
    let (name, at) = ("crl_override".to_owned(), store.now());
    let value = serde_json::json!({
        "by": by, "reason": reason, "refused": refusals, "date": date.to_string(), "at": at
    })
    .to_string();
    store.note(Event::Fact { name, key: set::identity(&inputs), value, at })?;
    let call = Call { store, date, paths: Vec::new(), month: None, known_at: None, force: false };
    take_set(&call, &inputs, |_| {})
}
