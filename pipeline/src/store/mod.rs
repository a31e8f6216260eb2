//! One open lake: configuration, lock, ledger, keys. Every job works through it; [`commit`] is the only way in.

pub mod commit;
pub mod compact;
pub mod head;
pub mod input;
pub mod landing;
pub mod leaving;
mod lock;
mod open;
mod outside;
pub mod publish;
pub mod rotate;
pub mod run;
pub mod staged;
pub mod verify;
pub mod versions;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use commit::{RunSpec, Stage};
pub use open::check_places;
pub use outside::{Clock, Outside};

use crate::base::config::Config;
use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::base::time::BusinessDate;
use crate::lake::Snapshot;
use crate::lake::checked::Checks;
use crate::lake::read::Reader;
use crate::ledger::facts::{Fact, HISTORY_DATE, Value};
use crate::ledger::place;
use crate::ledger::{Event, Ledger};
use crate::seal::Sealing;
use crate::seal::keys::Keys;
use shikaku_schemas::tables;

pub struct Store {
    pub config: Config,
    pub ledger: Ledger,
    pub keys: Option<Arc<Keys>>,
    pub outside: Outside,
    /// Which files of the lake were compared with the ledger.
    checks: Checks,
    /// Held for the life of the store by jobs that write.
    _lock: Option<lock::Lock>,
}

impl Store {
    /// How restricted tables are sealed, if keys are configured.
    pub fn sealing(&self) -> Option<Sealing<'_>> {
        self.keys.as_deref().map(|keys| Sealing { keys, entropy: &*self.outside.entropy })
    }

    /// The newest published set.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let generations = self.ledger.generations()?;
        let set_id = generations.iter().map(|g| g.set_id).max().unwrap_or(0);
        Ok(Snapshot::new(self.config.lake.clone(), set_id, generations))
    }

    pub fn reader(&self) -> Result<Reader> {
        Ok(self.reader_of(self.snapshot()?))
    }

    /// Reads as of another set.
    pub fn reader_of(&self, snapshot: Snapshot) -> Reader {
        Reader::new(snapshot, self.keys.clone(), self.checks.clone())
    }

    /// Now as the ledger writes it.
    pub fn now(&self) -> String {
        self.outside.clock.now().format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
    }

    /// Appends events and catches the head up, alone among all processes. Returns the hash of the last event. The head must be
    /// one of this chain before: else whoever appends next would sign that something was taken off its end.
    pub fn append(&self, events: &[Event]) -> Result<String> {
        let _lock = head::HeadLock::take(&self.config.lake)?;
        head::check(&self.config.lake, &self.ledger, self.keys.as_deref())?;
        let hash = self.ledger.append(events)?;
        head::write(&self.config.lake, &self.ledger, self.keys.as_deref())?;
        Ok(hash)
    }

    /// Adds one event that stands by itself.
    pub fn note(&self, event: Event) -> Result<()> {
        self.append(&[event]).map(drop)
    }

    /// Notes a fact outside of any run.
    pub fn set<T: Value>(&self, fact: &Fact<T>, value: Option<&T>) -> Result<()> {
        self.note(fact.event(value, self.now())?)
    }

    /// Refuses a business date before the newest one of the history tables: recorded time never goes back.
    pub fn check_business_date(&self, date: BusinessDate) -> Result<()> {
        match self.ledger.fact(&HISTORY_DATE)? {
            Some(last) if last > date => Err(Error::usage(format!(
                "business date {date} is before {last}, the newest one in the history; recorded time cannot go back"
            ))),
            _ => Ok(()),
        }
    }

    /// What decides besides the inputs what becomes of a file: the masters, what an operator released or let pass, and the
    /// CA certificates. It belongs to a run's identity, so that a file held or refused is looked at again once they change.
    pub fn circumstances(&self) -> Result<String> {
        let masters: Vec<&str> = tables::all().iter().filter(|t| t.master).map(|t| t.name.as_str()).collect();
        let snapshot = self.snapshot()?;
        let mut parts = Vec::new();
        for table in masters {
            parts.extend(snapshot.current(tables::of(table)).iter().map(|g| g.content_digest.clone()));
        }
        for fact in ["released", "crl_override", "masters"] {
            parts.extend(self.ledger.fact_texts(fact)?.into_iter().flat_map(|(key, value)| [key, value]));
        }
        for file in &self.config.crl.ca_files {
            parts.push(match std::fs::read(file) {
                Ok(bytes) => digest::sha256(&bytes),
                Err(_) => String::new(),
            });
        }
        Ok(digest::of_parts(parts.iter().map(String::as_str))[..16].to_owned())
    }

    /// Resolves a ledger path (`lake/…`, `outbox/…`) to the file system; it stays there and goes through no link.
    pub fn resolve(&self, path: &str) -> Result<PathBuf> {
        match path.split_once('/') {
            Some(("lake", rest)) => place::below(&self.config.lake, rest),
            Some(("outbox", rest)) => place::below(&self.config.outbox, rest),
            _ => Err(Error::integrity(format!("the ledger names the place {path:?}, which is none of a lake"))),
        }
    }
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut file = new_private(path)?;
    file.write_all(text.as_bytes()).at(path)?;
    file.sync_all().at(path)
}

/// A new file that its owner alone may read; no link is followed and nothing is overwritten.
pub fn new_private(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).at(path)
}

/// Flushes a folder's entries to disk.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).at(dir)?.sync_all().at(dir)
}

/// Identity of a run (rules.md): job, parameters, inputs, configuration. Inputs in any order.
pub fn run_id(job: &str, parameters: &str, inputs: &[String], config_digest: &str) -> String {
    let mut sorted: Vec<&str> = inputs.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut parts = vec![job, parameters];
    parts.extend(sorted);
    parts.push(config_digest);
    digest::of_parts(parts)[..32].to_owned()
}
