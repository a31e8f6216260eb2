//! The jobs, registered once: the night's order, the help, the job table and the tests all go by this slice.

use std::path::PathBuf;
use std::sync::LazyLock;

use shikaku_pipeline::base::time::{BusinessDate, Month};
use shikaku_pipeline::intake::{Days, Intake};
use shikaku_pipeline::store::Store;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::run::Call;
use shikaku_pipeline::{Error, INTAKES, Result};

use crate::{compact, crl, fees, links, reroute, stats};

/// One job.
pub struct Job {
    /// Subcommand, ledger name and log field.
    pub name: &'static str,
    /// Folder of the inbox that it takes in.
    pub inbox: Option<&'static str>,
    /// On which days input must come, where `schedule.due` names the job.
    pub days: Days,
    /// Jobs that must not have failed before it in the same night.
    pub needs: &'static [&'static str],
    pub reads: &'static str,
    pub writes: &'static str,
    pub work: Work,
}

/// What a job does.
pub enum Work {
    /// Takes files in.
    Intake(&'static Intake),
    Own {
        /// Whether it is due in a night, and for what.
        due: fn(&Store, BusinessDate) -> Result<Option<Due>>,
        run: fn(&Call<'_>) -> Result<RunReport>,
    },
}

/// What a night gives a job.
#[derive(Debug, Default, Clone)]
pub struct Due {
    pub paths: Vec<PathBuf>,
    pub month: Option<Month>,
}

impl Job {
    fn of(intake: &'static Intake) -> Self {
        let Intake { name, folder, days, needs, reads, writes, .. } = *intake;
        Self { name, inbox: Some(folder), days, needs, reads, writes, work: Work::Intake(intake) }
    }

    /// Whether it is due in a night, and for what.
    pub fn due(&self, store: &Store, date: BusinessDate) -> Result<Option<Due>> {
        match self.work {
            Work::Intake(intake) => Ok(intake.due(store)?.map(|dir| Due { paths: vec![dir], month: None })),
            Work::Own { due, .. } => due(store, date),
        }
    }

    pub fn run(&self, call: &Call<'_>) -> Result<RunReport> {
        match self.work {
            Work::Intake(intake) => intake.run(call),
            Work::Own { run, .. } => run(call),
        }
    }
}

/// All jobs in the order of a night (rules.md §3): what comes in, then what a month comes to.
pub static JOBS: LazyLock<Vec<Job>> = LazyLock::new(|| {
    let mut jobs = Vec::new();
    for intake in INTAKES {
        jobs.push(Job::of(intake));
        if intake.name == "subscribers" {
            jobs.extend([links::WAITING, crl::JOB]);
        }
    }
    jobs.extend([reroute::JOB, fees::JOB, stats::JOB, compact::JOB]);
    jobs
});

/// The job of that name.
pub fn find(name: &str) -> Result<&'static Job> {
    JOBS.iter().find(|j| j.name == name).ok_or_else(|| Error::usage(format!("no job {name}")))
}

/// The job table of the documents.
pub fn table() -> String {
    let mut text = "<!-- Made by `cargo xtask generate` from jobs/registry.rs; do not edit. -->\n# Jobs\n\n\
        In the order of a night. A job that failed does not stop those that do not need it.\n\n\
        | job | inbox | reads | writes | needs |\n|---|---|---|---|---|\n"
        .to_owned();
    for job in JOBS.iter() {
        let inbox = job.inbox.map(|i| format!("inbox/{i}/")).unwrap_or_default();
        let row = [job.name, &inbox, job.reads, job.writes, &job.needs.join(", ")].join(" | ");
        text.push_str(&format!("| {row} |\n"));
    }
    text
}
