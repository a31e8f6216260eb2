//! What the process brings, and what must stand outside the lake before a run begins: an outbox that takes a rename.

use chrono::NaiveDateTime;

use super::{Store, publish};
use crate::base::error::{At, Error, Result};
use crate::seal::keys::Entropy;

/// Where the current time comes from; only for the ledger's start and end times.
pub trait Clock: Send + Sync {
    /// Now, JST.
    fn now(&self) -> NaiveDateTime;
}

/// Takes the name of a step that is done.
pub type Step = dyn Fn(&str) -> Result<()> + Send + Sync;

/// What the process brings: time, randomness, and (in tests) a place to die.
pub struct Outside {
    pub clock: Box<dyn Clock>,
    pub entropy: Box<dyn Entropy>,
    /// Called after each step of a commit with its name; an error is that of the step, although it has taken effect.
    pub step: Box<Step>,
}

/// Name of the file that is renamed to see whether that works.
pub const PROBE: &str = ".shikaku-probe";

/// A committed run must be publishable: the outbox is a folder, on the file system of the lake, and takes files. Seen before the
/// first stage, since afterwards a run could neither go on nor back.
pub fn check_outbox(store: &Store) -> Result<()> {
    let outbox = &store.config.outbox;
    let unusable = |what: String| Error::usage(format!("outbox {}: {what}", outbox.display()));
    if outbox.exists() && !outbox.is_dir() {
        return Err(unusable("is no folder".to_owned()));
    }
    make_outbox(outbox).map_err(|e| unusable(format!("cannot be made ({e})")))?;
    let staged = store.config.lake.join(PROBE);
    std::fs::write(&staged, b"").at(&staged)?;
    let probe = outbox.join(PROBE);
    let renamed = std::fs::rename(&staged, &probe);
    let removed = std::fs::remove_file(if renamed.is_ok() { &probe } else { &staged });
    match renamed {
        Ok(()) => removed.at(&probe),
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => Err(unusable(
            "is on another file system than the lake; files go there by rename, so both must be on one".to_owned(),
        )),
        Err(error) => Err(unusable(format!("files cannot be moved there ({error})"))),
    }
}

/// Makes the outbox with the rights of who collects from it: a group of its own, inherited by what comes below it.
fn make_outbox(outbox: &std::path::Path) -> std::io::Result<()> {
    if outbox.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(outbox)?;
    #[cfg(unix)]
    std::fs::set_permissions(outbox, std::os::unix::fs::PermissionsExt::from_mode(0o2750))?;
    Ok(())
}

/// Sees that a run's files can go where it names them, before it is committed.
pub fn check_ways<'p>(store: &Store, paths: impl Iterator<Item = &'p str>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for path in paths {
        // Files of one folder share their way.
        let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        if seen.insert(folder) {
            publish::way(store, path)?;
        }
    }
    Ok(())
}
