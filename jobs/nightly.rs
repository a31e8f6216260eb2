//! One night: every job that is due, in order, under one lock. Its exit code says what happened.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{ProgressBar, ProgressStyle};
use shikaku_pipeline::base::calendar::{self, Holidays};
use shikaku_pipeline::base::config;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::crl::state::{self, Overdue};
use shikaku_pipeline::ledger::Run;
use shikaku_pipeline::ledger::{Event, RunRow};
use shikaku_pipeline::ledger::{RunOutcome, RunState};
use shikaku_pipeline::masters::Masters;
use shikaku_pipeline::store::{Store, commit, run_id};
use shikaku_pipeline::{Error, Result};
use shikaku_schemas::code::Code;
use shikaku_schemas::operator;

use shikaku_pipeline::intake::Days;
use shikaku_pipeline::store::run::Call;

use crate::outside;
use crate::registry::{JOBS, Job};

/// What became of one job.
#[derive(Debug, serde::Serialize)]
pub struct JobOutcome {
    pub job: &'static str,
    /// done, rejections, unchanged, not_due, failed, skipped, absent; year_missing of the calendar; stale, expired of the CRL set in force.
    pub state: &'static str,
    pub report: Option<commit::RunReport>,
    pub error: Option<String>,
    #[serde(skip)]
    pub exit_code: u8,
}

/// The night of a business date.
#[derive(Debug, serde::Serialize)]
pub struct Night {
    pub business_date: String,
    pub jobs: Vec<JobOutcome>,
}

impl Night {
    /// First that applies: 5, 1, 3, 0 (rules.md §3).
    pub fn exit_code(&self) -> u8 {
        let has = |code| self.jobs.iter().any(|j| j.exit_code == code);
        [2, 4, 5, 1, 3].into_iter().find(|c| has(*c)).unwrap_or(0)
    }
}

/// Event from which on the jobs of this night count, if one for the same date was cut off: what its jobs came to, its
/// resumption says too. A night of another date is over.
fn cut_off_since(store: &Store, date: BusinessDate) -> Result<Option<i64>> {
    let Some(last) = store.ledger.newest_run("nightly")?.filter(|run| run.status == RunState::Started) else {
        return Ok(None);
    };
    if last.business_date != date.to_string() {
        tracing::warn!(date = last.business_date, "a night of another date was cut off; its window is over");
        return Ok(None);
    }
    let parameters: BTreeMap<String, i64> = serde_json::from_str(&last.parameters).unwrap_or_default();
    Ok(Some(parameters.get(SINCE).copied().unwrap_or(last.started_seq)))
}

/// Parameter of a resumed night: the event with which its first run began.
const SINCE: &str = "since";

/// The inbox must be there: a lost mount looks like a night without files.
fn check_inbox(store: &Store) -> Result<()> {
    let inbox = &store.config.inbox;
    let unusable = |what: &str| Error::usage(format!("inbox {}: {what}", inbox.display()));
    match std::fs::read_dir(inbox) {
        Err(error) => Err(unusable(&format!("cannot be read ({error}); is it mounted?"))),
        Ok(_) if !config::inbox_folders().any(|kind| inbox.join(kind).exists()) => {
            Err(unusable("none of its folders is there; is it mounted?"))
        }
        Ok(_) => Ok(()),
    }
}

/// Runs the night.
pub fn run(store: &Store, date: BusinessDate, force: bool) -> Result<Night> {
    check_inbox(store)?;
    let since = cut_off_since(store, date)?;
    let parameters: BTreeMap<&str, i64> = since.into_iter().map(|seq| (SINCE, seq)).collect();
    let run = RunRow {
        run_id: run_id("nightly", &date.to_string(), &[], &store.config.digest),
        job: "nightly".to_owned(),
        business_date: date.to_string(),
        parameters: serde_json::to_string(&parameters)?,
        code_version: commit::CODE_VERSION.to_owned(),
        config_digest: store.config.digest.clone(),
    };
    // D is in the ledger before the first stage.
    store.append(&[Event::RunStarted { run: run.clone(), at: store.now() }])?;
    let bar = progress();
    let mut night = Night { business_date: date.to_string(), jobs: Vec::new() };
    let mut failed: BTreeSet<&str> = BTreeSet::new();
    for job in JOBS.iter() {
        bar.set_message(job.name);
        let mut outcome = one(store, date, force, job, &failed);
        // What was rejected before the night was cut off was rejected in this night. A ledger that does not answer is told by
        // the jobs themselves.
        let before = since.filter(|_| outcome.exit_code == 0);
        if before.is_some_and(|since| rejected_since(store, date, job.name, since).unwrap_or(false)) {
            (outcome.state, outcome.exit_code) = ("rejections", 3);
        }
        if outcome.exit_code == 1 || outcome.exit_code == 5 || outcome.exit_code == 2 {
            failed.insert(job.name);
        }
        let rows = outcome.report.as_ref();
        tracing::info!(
            job = job.name,
            state = outcome.state,
            rows_read = rows.map_or(0, |r| r.rows_read),
            rows_accepted = rows.map_or(0, |r| r.rows_accepted),
            rows_rejected = rows.map_or(0, |r| r.rows_rejected),
            rows_duplicate = rows.map_or(0, |r| r.rows_duplicate),
            "job ended"
        );
        night.jobs.push(outcome);
        bar.inc(1);
    }
    bar.finish_and_clear();
    // What every job did is told even if the ledger has gone meanwhile.
    if let Err(error) = close(store, date, run.run_id, &mut night) {
        tracing::error!(job = "nightly", "{error}");
        let (text, exit_code) = (error.to_string(), night_code(&error));
        night.jobs.push(JobOutcome { job: "nightly", state: "failed", report: None, error: Some(text), exit_code });
    }
    Ok(night)
}

/// What is judged at the end of a night, and its end.
fn close(store: &Store, date: BusinessDate, run_id: String, night: &mut Night) -> Result<()> {
    night.jobs.extend(calendar_outcome(store, date)?);
    night.jobs.extend(crl_outcome(store, date)?);
    store.note(Event::RunPublished { run_id, at: store.now() })
}

/// Whether a job of that night rejected something in a run that began after an event.
fn rejected_since(store: &Store, date: BusinessDate, job: &str, since: i64) -> Result<bool> {
    let runs = store.ledger.runs_of(job, &date.to_string())?;
    let rejected = |r: &Run| r.status == RunState::Published && r.outcome == Some(RunOutcome::DoneWithRejections);
    Ok(runs.iter().any(|r| r.started_seq > since && rejected(r)))
}

fn one(store: &Store, date: BusinessDate, force: bool, job: &'static Job, failed: &BTreeSet<&str>) -> JobOutcome {
    let ended = |state, exit_code| JobOutcome { job: job.name, state, report: None, error: None, exit_code };
    if let Some(need) = job.needs.iter().find(|n| failed.contains(*n)) {
        tracing::warn!(job = job.name, needs = need, "skipped: a job it needs failed");
        return ended("skipped", 0);
    }
    let mut absent = false;
    let result = job.due(store, date).and_then(|due| match due {
        None => {
            absent = is_absent(store, date, job)?;
            Ok(None)
        }
        Some(due) => {
            let call = Call { paths: due.paths, month: due.month, force, in_night: true, ..Call::new(store, date) };
            job.run(&call).map(Some)
        }
    });
    match result {
        Ok(None) if absent => {
            tracing::warn!(job = job.name, "nothing arrived though due");
            ended("absent", 3)
        }
        Ok(None) => ended("not_due", 0),
        Ok(Some(report)) => {
            let (state, code) = match (report.rejections, report.unchanged) {
                (true, _) => ("rejections", 3),
                (_, true) => ("unchanged", 0),
                _ => ("done", 0),
            };
            JobOutcome { report: Some(report), ..ended(state, code) }
        }
        Err(error) => {
            tracing::error!(job = job.name, "{error}");
            JobOutcome { error: Some(error.to_string()), ..ended("failed", night_code(&error)) }
        }
    }
}

/// Whether `schedule.due` names the job.
fn must_come(store: &Store, job: &Job) -> bool {
    store.config.schedule.due.iter().any(|due| due == job.name)
}

/// Whether something was due in this night and has come in none of its runs.
fn is_absent(store: &Store, date: BusinessDate, job: &Job) -> Result<bool> {
    if !must_come(store, job) || (job.days == Days::Business && !calendar::is_business_day(date.0, &holidays(store)?)) {
        return Ok(false);
    }
    Ok(!store.ledger.runs_of(job.name, &date.to_string())?.iter().any(|r| r.status == RunState::Published))
}

fn holidays(store: &Store) -> Result<Holidays> {
    Ok(Masters::load(&store.reader()?)?.holidays)
}

/// The calendar itself, where input is due on business days: a year that it lacks is an outcome of the night.
fn calendar_outcome(store: &Store, date: BusinessDate) -> Result<Option<JobOutcome>> {
    if !JOBS.iter().any(|job| job.days == Days::Business && must_come(store, job)) {
        return Ok(None);
    }
    Ok(calendar::missing_year(date.0, &holidays(store)?).map(|year| {
        let code = Code::HolidaysYearMissing;
        let error = format!("{code} {} ({year}年)", code.message().ja);
        tracing::error!(year, "the holiday file does not reach this year");
        JobOutcome { job: "calendar", state: "year_missing", report: None, error: Some(error), exit_code: 3 }
    }))
}

/// The CRL set in force, once the morning has come that it must be good for; the evening's run does not judge it.
fn crl_outcome(store: &Store, date: BusinessDate) -> Result<Option<JobOutcome>> {
    let morning = date.crl_now(store.config.crl_now_time);
    if store.outside.clock.now() < morning {
        return Ok(None);
    }
    let (state, error) = match state::overdue(store, morning)? {
        None => return Ok(None),
        Some(Overdue::Stale) => ("stale", operator::text(outside::language(), "night.crl_stale", &[])),
        Some(Overdue::Expired(end)) => {
            ("expired", operator::text(outside::language(), "night.crl_expired", &[("end", &end)]))
        }
    };
    tracing::error!(state, "the CRL set in force is older than it should be");
    Ok(Some(JobOutcome { job: "crl-in-force", state, report: None, error: Some(error), exit_code: 3 }))
}

/// Inside a night a configuration that a job cannot use is that job's failure.
fn night_code(error: &Error) -> u8 {
    match error.exit_code() {
        5 => 5,
        2 => 2,
        _ => 1,
    }
}

/// A bar over the jobs on a terminal; hidden otherwise, where log lines say the same.
fn progress() -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(JOBS.len()).unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}
