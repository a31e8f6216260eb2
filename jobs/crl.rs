//! Takes in a night's set of CRLs (失効情報): every one verified, the set taken whole or not at all.
//!
//! Reads: `crl/<YYYYMMDD>/*.crl` with `_DONE`. Checks: signature, dates, CRL numbers, missing points, change of size.
//! Writes: revocation, revocation_history. A refused set leaves the one before in force and says why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use shikaku_pipeline::crl::set;
use shikaku_pipeline::inbox::Input;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::{Error, Result};

use super::{Call, Due, Job, run as run_job};

pub const JOB: Job = Job {
    name: "crl",
    inbox: Some("crl"),
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
    let inbox = &call.store.config.inbox;
    let inputs: Vec<Input> = files.iter().map(|f| Input::read(f, inbox)).collect::<Result<_>>()?;
    let marks: Vec<Input> = call
        .paths
        .iter()
        .map(|dir| dir.join("_DONE"))
        .filter(|mark| mark.exists())
        .map(|mark| Input::read(&mark, inbox))
        .collect::<Result<_>>()?;
    let parameters = BTreeMap::from([("circumstances", call.store.circumstances()?)]);
    let mut report = run_job(call, JOB.name, parameters, &inputs, |stage| {
        set::take_in(stage, &inputs)?;
        for name in call.paths.iter().filter_map(|dir| set::date_of(dir)) {
            stage.fact("crl", "newest_set", name);
        }
        // The mark goes last, and its folder with it.
        marks.iter().for_each(|mark| stage.release(mark));
        Ok(())
    })?;
    if report.unchanged {
        clear_done(&inputs, &marks)?;
        // What was refused before is still refused, and the night still runs on an old generation.
        report.rejections = call.store.ledger.fact("crl", "stale")?.as_deref() == Some("1");
    }
    Ok(report)
}

/// A set that was taken in before and came again: its files are in the landing already.
fn clear_done(inputs: &[Input], marks: &[Input]) -> Result<()> {
    use shikaku_pipeline::error::At as _;
    for file in inputs.iter().chain(marks).filter(|f| f.inbox_path.is_some()) {
        std::fs::remove_file(&file.path).at(&file.path)?;
    }
    for dir in marks.iter().filter(|m| m.inbox_path.is_some()).filter_map(|m| m.path.parent()) {
        if std::fs::read_dir(dir).at(dir)?.next().is_none() {
            std::fs::remove_dir(dir).at(dir)?;
        }
    }
    Ok(())
}
