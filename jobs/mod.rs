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
use shikaku_pipeline::base::error::{self, At as _};
use shikaku_pipeline::base::time::{BusinessDate, Month};
use shikaku_pipeline::intake::inbox;
use shikaku_pipeline::ledger::InputState;
use shikaku_pipeline::store::commit::{Begin, RunReport};
use shikaku_pipeline::store::input::Input;
use shikaku_pipeline::store::{RunSpec, Stage, Store};
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
    /// Part of a night, not a command of its own.
    pub in_night: bool,
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

/// All jobs in the order of a night (rules.md §3).
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
    let Some(dir) = inbox_folder(store, folder)? else { return Ok(None) };
    let found = inbox::files(std::slice::from_ref(&dir))?;
    let any = !found.files.is_empty() || !found.unread.is_empty() || !found.passed_over.is_empty();
    Ok(any.then(|| Due { paths: vec![dir], month: None }))
}

/// A folder of the inbox, if it is there. One that cannot be looked at is an error: its files would be passed over unseen.
pub fn inbox_folder(store: &Store, folder: &str) -> Result<Option<PathBuf>> {
    let dir = store.config.inbox.join(folder);
    match std::fs::read_dir(&dir) {
        Ok(_) => Ok(Some(dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at(&dir),
    }
}

/// The shape of every job that takes files in: digests, run identity, stage, commit, inbox.
fn take_in(
    call: &Call<'_>,
    job: &'static str,
    work: impl FnOnce(&mut Stage<'_>, &[Input]) -> Result<()>,
) -> Result<RunReport> {
    let gathered = inbox::gather(call.store, &call.paths)?;
    let again = known_before(call, job, &gathered.known)?;
    shikaku_pipeline::masters::restore_definitions(call.store, &gathered.known)?;
    let mut report = if gathered.new.is_empty() {
        RunReport { job: job.to_owned(), unchanged: true, ..RunReport::default() }
    } else {
        let parameters = BTreeMap::from([("circumstances", call.store.circumstances()?)]);
        run(call, job, parameters, &gathered.new, |stage| work(stage, &gathered.new))?
    };
    inbox::clear_known(call.store, &gathered.known)?;
    // A file that still waits for an earlier one keeps the night from being clean.
    report.rejections |= again || (report.unchanged && any_held(call.store, &gathered.new)?);
    note_unread(job, &mut report, &gathered.unread, &gathered.passed_over);
    Ok(report)
}

/// Says which bytes were taken in before. Whether any of them were refused on an earlier day: then they are refused again.
fn known_before(call: &Call<'_>, job: &str, known: &[Input]) -> Result<bool> {
    let mut refused_again = false;
    for input in known {
        let file = &input.sha256[..12];
        let Some(row) = call.store.ledger.input(&input.sha256)? else { continue };
        let refused = matches!(row.state, InputState::Rejected | InputState::Quarantined);
        let first = call.store.ledger.first_night_of(&input.sha256)?;
        if refused && first.is_some_and(|first| call.date.to_string() > first) {
            refused_again = true;
            let code = row.code.as_deref().unwrap_or_default();
            tracing::warn!(job, file, code, "these bytes were refused before; their result file stands");
        } else {
            tracing::info!(job, file, "these bytes were taken in before; nothing changes");
        }
    }
    Ok(refused_again)
}

/// Puts into a report what could not be read and what was passed over.
fn note_unread(job: &str, report: &mut RunReport, unread: &[(PathBuf, String)], passed_over: &[PathBuf]) {
    if !unread.is_empty() {
        report.rejections = true;
        tracing::warn!(job, unread = unread.len(), "files that could not be read stay in the inbox");
    }
    if !passed_over.is_empty() {
        tracing::warn!(
            job,
            passed_over = passed_over.len(),
            "links and other things that are no files were passed over"
        );
    }
    report.unread.extend(unread.iter().map(|(path, why)| format!("{}: {why}", error::shown(path).display())));
    report.passed_over.extend(passed_over.iter().map(|path| error::shown(path).display().to_string()));
}

fn any_held(store: &Store, inputs: &[Input]) -> Result<bool> {
    for input in inputs {
        if store.ledger.input_state(&input.sha256)? == Some(InputState::Held) {
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
            // The reason must not be lost to a ledger that cannot take it down.
            if let Err(second) = call.store.fail(&stage.run, &error) {
                tracing::error!(job, "the failure could not be noted: {second}");
            }
            Err(error)
        }
    }
}

/// Month parameter of a monthly job.
fn month_of(call: &Call<'_>) -> Result<Month> {
    call.month.ok_or_else(|| Error::usage("a month is needed: --month YYYY-MM"))
}
