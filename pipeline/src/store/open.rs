//! Making and opening a lake: configuration, lake, ledger and key file must know each other before anything is done.

use std::path::Path;
use std::sync::Arc;

use super::head::{self, HeadLock};
use super::lock::Lock;
use super::{Outside, Store, publish};
use crate::base::config::{self, Config};
use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::lake::checked::Checks;
use crate::ledger::event::KeyMark;
use crate::ledger::facts;
use crate::ledger::{Access, Event, Ledger};
use crate::seal::keys::Keys;

/// Name of the file that holds the lake's identity, below the lake.
pub const ID: &str = ".id";

impl Store {
    /// Makes an empty lake; its configuration unless there is one already (say, with `ledger.url`); and, unless `no_keys`,
    /// its key file. Refuses a lake that exists and a ledger that is another lake's.
    pub fn init(config_file: &Path, lake: &Path, no_keys: bool, outside: &Outside) -> Result<Config> {
        let base = config_file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(base).at(base)?;
        let is_lake = |lake: &Path| match lake.join(head::NAME).exists() {
            true => Err(Error::usage(format!("{} is a lake already", lake.display()))),
            false => Ok(()),
        };
        if !config_file.exists() {
            is_lake(lake)?;
            let relative = lake.strip_prefix(base).unwrap_or(lake).display().to_string().replace('\\', "/");
            let text = config::sample(&relative, if no_keys { "" } else { "shikaku.key" });
            std::fs::write(config_file, &text).at(config_file)?;
        }
        let config = Config::load(config_file, None)?;
        is_lake(&config.lake)?;
        match &config.key_file {
            Some(file) if no_keys => {
                return Err(Error::usage(format!("--no-keys, but the configuration names {}", file.display())));
            }
            Some(file) if !file.exists() => super::write_secret(file, &Keys::generate(&*outside.entropy)?)?,
            _ => {}
        }
        let keys = config.key_file.as_deref().map(Keys::load).transpose()?.map(Arc::new);
        private_dir(&config.lake)?;
        let mut ledger = open_ledger(&config, Access::Create)?;
        let id = match (ledger.fact(&facts::LAKE_ID)?, std::fs::read_to_string(config.lake.join(ID))) {
            // An `init` that was cut off goes on.
            (Some(made), Ok(own)) if own.trim() == made => made,
            (None, _) if ledger.head()?.0 == 0 => {
                let mut bytes = [0u8; 16];
                outside.entropy.fill(&mut bytes)?;
                digest::hex(&bytes)
            }
            _ => return Err(Error::usage("ledger.url names the ledger of another lake; give this one its own")),
        };
        publish::write_whole(&config.lake.join(ID), format!("{id}\n").as_bytes())?;
        for kind in config::inbox_folders().chain(["quarantine"]) {
            private_dir(&config.inbox)?;
            let dir = config.inbox.join(kind);
            std::fs::create_dir_all(&dir).at(&dir)?;
        }
        ledger.sign_with(keys.clone());
        let _head = HeadLock::take(&config.lake)?;
        if ledger.head()?.0 == 0 {
            let key = keys.as_deref().and_then(|keys| {
                let id = keys.current().to_owned();
                Some(KeyMark { mark: keys.mark(&id)?, chain: keys.chain_mark(), id })
            });
            ledger.append(&[Event::LakeCreated { encrypted: keys.is_some(), id: Some(id), key }])?;
        }
        head::write(&config.lake, &ledger, keys.as_deref())?;
        Ok(config)
    }

    /// Opens a lake for reading; nothing of it is written.
    pub fn open(config: Config, outside: Outside) -> Result<Self> {
        Self::open_for(config, outside, Access::Read, None)
    }

    /// Opens a lake for reading restricted data, which leaves access records: beside a night, whose lock it does not need.
    pub fn open_recording(config: Config, outside: Outside) -> Result<Self> {
        let store = Self::open_for(config, outside, Access::Write, None)?;
        store.refuse_foreign()?;
        Ok(store)
    }

    /// Opens a lake for writing: takes the lock, sees that what the run will need is there, then finishes or discards what a
    /// killed run left.
    pub fn open_locked(config: Config, outside: Outside) -> Result<Self> {
        let lock = lock(&config, false)?;
        check_places(&config)?;
        let store = Self::open_for(config, outside, Access::Write, Some(lock))?;
        store.refuse_foreign()?;
        super::outside::check_outbox(&store)?;
        publish::recover(&store)?;
        Ok(store)
    }

    /// Takes the lock and opens for reading; for `audit verify`, which must see a broken lake as it is.
    pub fn open_to_verify(config: Config, outside: Outside) -> Result<Self> {
        let lock = lock(&config, true)?;
        Self::open_for(config, outside, Access::Read, Some(lock))
    }

    fn open_for(config: Config, outside: Outside, access: Access, lock: Option<Lock>) -> Result<Self> {
        let keys = config.key_file.as_deref().map(Keys::load).transpose()?;
        let mut ledger = open_ledger(&config, access)?;
        check_identity(&config.lake, &ledger)?;
        let keys = bound_keys(&config, &ledger, keys)?.map(Arc::new);
        ledger.sign_with(keys.clone());
        Ok(Self { config, ledger, keys, outside, checks: Checks::default(), _lock: lock })
    }

    fn refuse_foreign(&self) -> Result<()> {
        if let Some(name) = self.ledger.foreign_triggers()?.first() {
            return Err(Error::integrity(format!("{name} acts on the ledger's tables; run `shikaku audit verify`")));
        }
        match self.ledger.unknown_kinds()?.first() {
            None => Ok(()),
            Some(kind) => {
                Err(Error::usage(format!("the ledger holds events ({kind}) of a newer program; use that one")))
            }
        }
    }
}

/// Inbox and outbox lie beside the lake, not in it or around it: what comes and goes there would be taken for its own.
pub fn check_places(config: &Config) -> Result<()> {
    let real = |dir: &Path| dir.canonicalize().or_else(|_| std::path::absolute(dir)).unwrap_or_else(|_| dir.to_owned());
    let places = [("lake", &config.lake), ("inbox", &config.inbox), ("outbox", &config.outbox)];
    for (at, (what, dir)) in places.iter().enumerate() {
        for (other, around) in &places[..at] {
            let (own, outer) = (real(dir), real(around));
            if own.starts_with(&outer) || outer.starts_with(&own) {
                return Err(Error::usage(format!(
                    "{what} {} and {other} {} lie one in the other; give each its own folder",
                    dir.display(),
                    around.display()
                )));
            }
        }
    }
    Ok(())
}

fn no_lake(lake: &Path) -> Error {
    Error::usage(format!("no lake at {}; run `shikaku init`", lake.display()))
}

fn lock(config: &Config, read_only: bool) -> Result<Lock> {
    if !config.lake.is_dir() {
        return Err(no_lake(&config.lake));
    }
    Lock::take(&config.lake, read_only)
}

fn open_ledger(config: &Config, access: Access) -> Result<Ledger> {
    if !config.ledger_url.is_empty() {
        if access != Access::Create && !config.lake.is_dir() {
            return Err(no_lake(&config.lake));
        }
        return Ledger::open_postgres(&config.ledger_url, access);
    }
    let path = config.lake.join("ledger.sqlite");
    if access != Access::Create && !path.exists() {
        // A folder that knows it is a lake has lost its ledger; another one never was a lake.
        let was = [head::NAME, ID].iter().any(|name| config.lake.join(name).exists());
        return Err(match was {
            true => Error::integrity(format!("{} is gone: restore it from a copy made with the lake", path.display())),
            false => no_lake(&config.lake),
        });
    }
    Ledger::open_sqlite(&path, access)
}

/// Lake and ledger must be made for each other.
fn check_identity(lake: &Path, ledger: &Ledger) -> Result<()> {
    let Some(id) = ledger.fact(&facts::LAKE_ID)? else { return Ok(()) };
    let path = lake.join(ID);
    match std::fs::read_to_string(&path) {
        Ok(own) if own.trim() == id => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at(&path),
        _ => {
            let text = format!("{} is not the lake of this ledger (which is of lake {id})", lake.display());
            Err(Error::integrity(text))
        }
    }
}

/// The keys of the key file, wrapping with the one that the ledger calls current. A key file that lacks it, an older copy or
/// another lake's, would seal what the right one cannot open: exit 2 before anything is read or written.
fn bound_keys(config: &Config, ledger: &Ledger, keys: Option<Keys>) -> Result<Option<Keys>> {
    let sealed = ledger.fact(&facts::ENCRYPTED)?.unwrap_or_default();
    let file = config.key_file.as_deref().unwrap_or(Path::new("")).display();
    let Some(keys) = keys else {
        return match sealed {
            true => Err(Error::usage("this lake is sealed, but encryption.key_file names no key file")),
            false => Ok(None),
        };
    };
    if !sealed {
        return Err(Error::usage(format!("this lake was made without keys, but the configuration names {file}")));
    }
    if ledger.fact(&facts::CHAIN_MARK)?.is_some_and(|mark| mark != keys.chain_mark()) {
        return Err(Error::usage(format!("{file} is the key file of another lake: its chain key is another")));
    }
    let Some(current) = ledger.fact(&facts::CURRENT_KEY)? else { return Ok(Some(keys)) };
    let Some(mark) = keys.mark(&current) else {
        let text = format!("{file} lacks master key {current}, the current one of this lake; it may be an older copy");
        return Err(Error::usage(text));
    };
    let known = ledger.fact(&facts::KEY_MARKS.at(current.as_str()))?.unwrap_or_default();
    if !known.is_empty() && known != mark {
        return Err(Error::usage(format!("{file}: its master key {current} is not that of this lake")));
    }
    keys.with_current(&current).map(Some)
}

/// Makes a folder that only its owner may enter; one that exists stays as it is.
fn private_dir(dir: &Path) -> Result<()> {
    if dir.exists() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).at(dir)
}
