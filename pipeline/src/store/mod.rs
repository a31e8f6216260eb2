//! One open lake: configuration, lock, ledger, keys. Every job works through it; [`commit`] is the only way in.

pub mod commit;
pub mod landing;
pub mod publish;
pub mod rotate;
pub mod verify;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDateTime;

pub use commit::{RunSpec, Stage};

use crate::config::{self, Config};
use crate::digest;
use crate::error::{At, Error, Result};
use crate::keys::{Entropy, Keys};
use crate::lake::Snapshot;
use crate::lake::read::Reader;
use crate::lake::write::Sealing;
use crate::ledger::{Event, Ledger};
use crate::time::BusinessDate;
use shikaku_schemas::tables;

/// Where the current time comes from; only for the ledger's start and end times.
pub trait Clock: Send + Sync {
    /// Now, JST.
    fn now(&self) -> NaiveDateTime;
}

/// What the process brings: time, randomness, and (in tests) a place to die.
pub struct Outside {
    pub clock: Box<dyn Clock>,
    pub entropy: Box<dyn Entropy>,
    /// Called before each step of a commit with the step's name.
    pub step: Box<dyn Fn(&str) + Send + Sync>,
}

pub struct Store {
    pub config: Config,
    pub ledger: Ledger,
    pub keys: Option<Arc<Keys>>,
    pub outside: Outside,
    /// Held for the life of the store by jobs that write.
    _lock: Option<File>,
}

impl Store {
    /// Makes an empty lake; its configuration unless there is one already (say, with `ledger.url`); and, unless `no_keys`,
    /// its key file. Refuses a lake that exists.
    pub fn init(config_file: &Path, lake: &Path, no_keys: bool, outside: &Outside) -> Result<Config> {
        let base = config_file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(base).at(base)?;
        if !config_file.exists() {
            if lake.join("chain.head").exists() {
                return Err(Error::usage(format!("{} is a lake already", lake.display())));
            }
            let relative = lake.strip_prefix(base).unwrap_or(lake).display().to_string().replace('\\', "/");
            let text = config::sample(&relative, if no_keys { "" } else { "shikaku.key" });
            std::fs::write(config_file, &text).at(config_file)?;
        }
        let config = Config::load(config_file, None)?;
        if config.lake.join("chain.head").exists() {
            return Err(Error::usage(format!("{} is a lake already", config.lake.display())));
        }
        match &config.key_file {
            Some(file) if no_keys => {
                return Err(Error::usage(format!("--no-keys, but the configuration names {}", file.display())));
            }
            Some(file) if !file.exists() => write_secret(file, &Keys::generate(&*outside.entropy)?)?,
            _ => {}
        }
        std::fs::create_dir_all(&config.lake).at(&config.lake)?;
        let ledger = open_ledger(&config, true)?;
        for kind in config::INBOX.into_iter().chain(["quarantine"]) {
            let dir = config.inbox.join(kind);
            std::fs::create_dir_all(&dir).at(&dir)?;
        }
        ledger.append(&[Event::LakeCreated { encrypted: config.key_file.is_some() }])?;
        let keys = config.key_file.as_deref().map(Keys::load).transpose()?;
        publish::write_head(&config.lake, &ledger, keys.as_ref())?;
        Ok(config)
    }

    /// Opens a lake for reading.
    pub fn open(config: Config, outside: Outside) -> Result<Self> {
        let keys = config.key_file.as_deref().map(Keys::load).transpose()?.map(Arc::new);
        let ledger = open_ledger(&config, false)?;
        Ok(Self { config, ledger, keys, outside, _lock: None })
    }

    /// Opens a lake for writing: takes the lock, then finishes or discards what a killed run left.
    pub fn open_locked(config: Config, outside: Outside) -> Result<Self> {
        let store = Self::lock(config, outside)?;
        publish::recover(&store)?;
        Ok(store)
    }

    /// Takes the lock and nothing more; for `audit verify`, which must see a broken lake as it is.
    pub fn lock(config: Config, outside: Outside) -> Result<Self> {
        let path = config.lake.join(".lock");
        if !config.lake.is_dir() {
            return Err(Error::usage(format!("no lake at {}; run `shikaku init`", config.lake.display())));
        }
        let file = File::options().create(true).write(true).truncate(false).open(&path).at(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Locked(path)),
            Err(std::fs::TryLockError::Error(error)) => return Err(error).at(&path),
        }
        Ok(Self { _lock: Some(file), ..Self::open(config, outside)? })
    }

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
        Ok(Reader::new(self.snapshot()?, self.keys.clone()))
    }

    /// Now as the ledger writes it.
    pub fn now(&self) -> String {
        self.outside.clock.now().format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
    }

    /// Adds one event that stands by itself, and catches the head up.
    pub fn note(&self, event: Event) -> Result<()> {
        self.ledger.append(&[event])?;
        publish::write_head(&self.config.lake, &self.ledger, self.keys.as_deref())
    }

    /// Refuses a business date before the newest one of the history tables: recorded time never goes back.
    pub fn check_business_date(&self, date: BusinessDate) -> Result<()> {
        match self.ledger.fact("state", "history_date")? {
            Some(last) if last > date.to_string() => Err(Error::usage(format!(
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
        for fact in ["released", "crl_override"] {
            parts.extend(self.ledger.facts(fact)?.into_iter().flat_map(|(key, value)| [key, value]));
        }
        for file in &self.config.crl.ca_files {
            parts.push(match std::fs::read(file) {
                Ok(bytes) => digest::sha256(&bytes),
                Err(_) => String::new(),
            });
        }
        Ok(digest::of_parts(parts.iter().map(String::as_str))[..16].to_owned())
    }

    /// Resolves a ledger path (`lake/…`, `outbox/…`) to the file system.
    pub fn resolve(&self, path: &str) -> PathBuf {
        match path.split_once('/') {
            Some(("lake", rest)) => self.config.lake.join(rest),
            Some(("outbox", rest)) => self.config.outbox.join(rest),
            _ => PathBuf::from(path),
        }
    }
}

fn open_ledger(config: &Config, create: bool) -> Result<Ledger> {
    if !config.ledger_url.is_empty() {
        return Ledger::open_postgres(&config.ledger_url);
    }
    let path = config.lake.join("ledger.sqlite");
    if !create && !path.exists() {
        return Err(Error::usage(format!("no lake at {}; run `shikaku init`", config.lake.display())));
    }
    Ledger::open_sqlite(&path, create)
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).at(path)?;
    file.write_all(text.as_bytes()).at(path)?;
    file.sync_all().at(path)
}

/// Flushes a folder's entries to disk.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).at(dir)?.sync_all().at(dir)
}

/// Identity of a run (answers.md): job, parameters, inputs, configuration. Inputs in any order.
pub fn run_id(job: &str, parameters: &str, inputs: &[String], config_digest: &str) -> String {
    let mut sorted: Vec<&str> = inputs.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut parts = vec![job, parameters];
    parts.extend(sorted);
    parts.push(config_digest);
    digest::of_parts(parts)[..32].to_owned()
}
