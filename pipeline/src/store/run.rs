//! What a run is: who calls it, with what, and begin → work → commit. Jobs and tests go through here alike.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::NaiveDateTime;

use super::commit::{Begin, RunReport};
use super::input::Input;
use super::{RunSpec, Stage, Store};
use crate::base::error::{Error, Result};
use crate::base::time::{BusinessDate, Month};

/// What a run is told.
pub struct Call<'s> {
    pub store: &'s Store,
    /// 業務日: recorded time follows from it.
    pub date: BusinessDate,
    /// Files or folders to take in; empty for jobs that read the lake.
    pub paths: Vec<PathBuf>,
    /// Month of a monthly job.
    pub month: Option<Month>,
    /// Decide as known before this moment instead of the cut-off.
    pub known_at: Option<NaiveDateTime>,
    /// Repeat what was done.
    pub force: bool,
    /// Part of a night, not a command of its own.
    pub in_night: bool,
}

impl<'s> Call<'s> {
    /// For a business date, with nothing else said.
    pub fn new(store: &'s Store, date: BusinessDate) -> Self {
        Self { store, date, paths: Vec::new(), month: None, known_at: None, force: false, in_night: false }
    }

    /// Begins a run, does its work, commits; a failure is noted and nothing of it is visible. `parameters` and `inputs` are
    /// what makes it this run: a run of the same was done before and is not done again.
    pub fn run(
        &self,
        job: &'static str,
        mut parameters: BTreeMap<&'static str, String>,
        inputs: &[Input],
        work: impl FnOnce(&mut Stage<'_>) -> Result<()>,
    ) -> Result<RunReport> {
        if self.force {
            let repeats = self.store.ledger.runs()?.iter().filter(|r| r.job == job).count();
            parameters.insert("repeat", repeats.to_string());
        }
        let inputs = inputs.iter().map(|i| i.sha256.clone()).collect();
        let spec = RunSpec { job, business_date: self.date, parameters, inputs };
        let mut stage = match self.store.begin(&spec)? {
            Begin::Done(report) => return Ok(report),
            Begin::New(stage) => stage,
        };
        match work(&mut stage) {
            Ok(()) => stage.commit(),
            Err(error) => {
                // The reason must not be lost to a ledger that cannot take it down.
                if let Err(second) = self.store.fail(&stage.run, &error) {
                    tracing::error!(job, "the failure could not be noted: {second}");
                }
                Err(error)
            }
        }
    }

    /// Month of a monthly job.
    pub fn month(&self) -> Result<Month> {
        self.month.ok_or_else(|| Error::usage("a month is needed: --month YYYY-MM"))
    }
}

impl RunReport {
    /// Of a job that had nothing to do.
    pub fn unchanged(job: &str) -> Self {
        Self { job: job.to_owned(), unchanged: true, ..Self::default() }
    }
}

/// Jobs that only read what the others wrote: what they publish is no new state for each other.
const READERS: [&str; 4] = ["reroute", "fees", "stats", "compact"];

impl Store {
    /// The set that a monthly job reads: the newest that a job other than the monthly ones (and `compact`, which changes no
    /// state) published, so that a job run twice over the same state is the same run.
    pub fn state_read(&self) -> Result<String> {
        let runs = self.ledger.runs()?;
        let set = runs.iter().filter(|r| !READERS.contains(&r.job.as_str())).filter_map(|r| r.set_id).max();
        Ok(set.unwrap_or(0).to_string())
    }
}
