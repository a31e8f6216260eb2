//! The jobs, registered once: the night's order, the help, the job table and the tests all go by this slice.

mod checks;
pub mod compact;
pub mod crl;
mod fees;
mod links;
mod masters;
pub mod nightly;
mod receipts;
pub mod reroute;
mod stats;
mod subscribers;

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::NaiveDateTime;
use shikaku_pipeline::inbox::{self, Input};
use shikaku_pipeline::store::commit::{Begin, RunReport};
use shikaku_pipeline::store::{RunSpec, Stage, Store};
use shikaku_pipeline::time::{BusinessDate, Month};
use shikaku_pipeline::{Error, Result};

/// What a run is told.
pub struct Call<'s> {
    pub store: &'s Store,
    pub date: BusinessDate,
    /// Files or folders to take in; empty for jobs that read the lake.
    pub paths: Vec<PathBuf>,
    /// Month of a monthly job.
    pub month: Option<Month>,
    pub known_at: Option<NaiveDateTime>,
    /// Repeat what was done.
    pub force: bool,
}

/// One job.
pub struct Job {
    /// Subcommand, ledger name and log field.
    pub name: &'static str,
    /// Folder of the inbox that it takes in.
    pub inbox: Option<&'static str>,
    /// On which days input must come, where `schedule.due` names the folder.
    pub days: Days,
    /// Jobs that must not have failed before it in the same night.
    pub needs: &'static [&'static str],
    pub reads: &'static str,
    pub writes: &'static str,
    /// Whether it is due in a night, and for what.
    pub due: fn(&Store, BusinessDate) -> Result<Option<Due>>,
    pub run: fn(&Call<'_>) -> Result<RunReport>,
}

/// Days on which input comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Days {
    Every,
    /// 開庁日: J-LIS legs (domain.md §2).
    Business,
}

/// What a night gives a job.
#[derive(Debug, Default, Clone)]
pub struct Due {
    pub paths: Vec<PathBuf>,
    pub month: Option<Month>,
}

/// All jobs in the order of a night (answers.md, Runs).
pub const JOBS: &[Job] = &[
    masters::JOB,
    links::JOB,
    subscribers::JOB,
    links::WAITING,
    crl::JOB,
    checks::JOB,
    receipts::JOB,
    reroute::JOB,
    fees::JOB,
    stats::JOB,
    compact::JOB,
];

/// The job of that name.
pub fn find(name: &str) -> Result<&'static Job> {
    JOBS.iter().find(|j| j.name == name).ok_or_else(|| Error::usage(format!("no job {name}")))
}

/// The job table of the documents.
pub fn table() -> String {
    let mut text = "<!-- Made by `cargo xtask generate` from jobs/mod.rs; do not edit. -->\n# Jobs\n\n\
        In the order of a night. A job that failed does not stop those that do not need it.\n\n\
        | job | inbox | reads | writes | needs |\n|---|---|---|---|---|\n"
        .to_owned();
    for job in JOBS {
        let inbox = job.inbox.map(|i| format!("inbox/{i}/")).unwrap_or_default();
        let row = [job.name, &inbox, job.reads, job.writes, &job.needs.join(", ")].join(" | ");
        text.push_str(&format!("| {row} |\n"));
    }
    text
}

/// Due when its inbox folder holds a file.
fn due_inbox(store: &Store, folder: &str) -> Result<Option<Due>> {
    let dir = store.config.inbox.join(folder);
    if !dir.is_dir() || inbox::files(std::slice::from_ref(&dir))?.is_empty() {
        return Ok(None);
    }
    Ok(Some(Due { paths: vec![dir], month: None }))
}

/// The shape of every job that takes files in: digests, run identity, stage, commit, inbox.
fn take_in(
    call: &Call<'_>,
    job: &'static str,
    work: impl FnOnce(&mut Stage<'_>, &[Input]) -> Result<()>,
) -> Result<RunReport> {
    let gathered = inbox::gather(call.store, &call.paths)?;
    for input in &gathered.known {
        tracing::info!(job, file = %&input.sha256[..12], "these bytes were taken in before; nothing changes");
    }
    let mut report = if gathered.new.is_empty() {
        RunReport { job: job.to_owned(), unchanged: true, ..RunReport::default() }
    } else {
        let parameters = BTreeMap::from([("circumstances", call.store.circumstances()?)]);
        run(call, job, parameters, &gathered.new, |stage| work(stage, &gathered.new))?
    };
    inbox::clear_known(call.store, &gathered.known)?;
    // A file that still waits for an earlier one keeps the night from being clean.
    report.rejections |= report.unchanged && any_held(call.store, &gathered.new)?;
    Ok(report)
}

fn any_held(store: &Store, inputs: &[Input]) -> Result<bool> {
    for input in inputs {
        if store.ledger.input_state(&input.sha256)?.as_deref() == Some("held") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Begins a run, does its work, commits; a failure is noted and nothing of it is visible.
fn run(
    call: &Call<'_>,
    job: &'static str,
    mut parameters: BTreeMap<&'static str, String>,
    inputs: &[Input],
    work: impl FnOnce(&mut Stage<'_>) -> Result<()>,
) -> Result<RunReport> {
    if call.force {
        let repeats = call.store.ledger.runs()?.iter().filter(|r| r.job == job).count();
        parameters.insert("repeat", repeats.to_string());
    }
    let inputs = inputs.iter().map(|i| i.sha256.clone()).collect();
    let spec = RunSpec { job, business_date: call.date, parameters, inputs };
    let mut stage = match call.store.begin(&spec)? {
        Begin::Done(report) => return Ok(report),
        Begin::New(stage) => stage,
    };
    match work(&mut stage) {
        Ok(()) => stage.commit(),
        Err(error) => {
            call.store.fail(&stage.run, &error)?;
            Err(error)
        }
    }
}

/// Month parameter of a monthly job.
fn month_of(call: &Call<'_>) -> Result<Month> {
    call.month.ok_or_else(|| Error::usage("a month is needed: --month YYYY-MM"))
}
