//! What lies in the inbox, and what of it is new.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::base::error::{Error, Result};
use crate::ledger::InputState;
use crate::store::input::{Input, quarantine_place};
use crate::store::{Store, leaving};

/// Files and folders that could not be looked at, and why.
pub type Unread = Vec<(PathBuf, String)>;

/// What lies below some paths.
#[derive(Debug, Default)]
pub struct Found {
    /// Files, each once, in path order.
    pub files: Vec<PathBuf>,
    /// The others are taken all the same.
    pub unread: Unread,
    /// Symbolic links and other things that are no files: what they lead to is not the inbox's.
    pub passed_over: Vec<PathBuf>,
}

/// Files below the paths given. Hidden and half-written files are passed over.
pub fn files(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for path in paths {
        if !path.exists() {
            return Err(Error::usage(format!("{}: no such file or folder", path.display())));
        }
        walk(path, true, &mut found);
    }
    found.files.sort();
    found.files.dedup();
    Ok(found)
}

/// Whether a name is one that deliverers give while they write.
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part")
}

fn walk(path: &Path, named: bool, found: &mut Found) {
    if !named && is_unfinished(&path.file_name().unwrap_or_default().to_string_lossy()) {
        return;
    }
    // Inside a folder only files themselves are taken: a link could lead anywhere, a pipe could hold the night for ever.
    let kind = if named { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    let entries = match kind.map(|m| m.file_type()) {
        Ok(kind) if kind.is_file() => return found.files.push(path.to_owned()),
        Ok(kind) if kind.is_dir() => std::fs::read_dir(path),
        Ok(_) => return found.passed_over.push(path.to_owned()),
        // Gone since its folder was listed: whoever delivers took it back.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return,
        Err(error) => Err(error),
    };
    match entries {
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => walk(&entry.path(), false, found),
                    Err(error) => found.unread.push((path.to_owned(), error.to_string())),
                }
            }
        }
        Err(error) => found.unread.push((path.to_owned(), error.to_string())),
    }
}

/// Inputs of a job: new ones, and ones whose bytes were taken in before (equal bytes count once).
#[derive(Default)]
pub struct Gathered {
    pub new: Vec<Input>,
    pub known: Vec<Input>,
    /// They stay for the next run.
    pub unread: Unread,
    /// Links and the like.
    pub passed_over: Vec<PathBuf>,
}

/// Reads the digests of files, side by side. What cannot be read is set aside: one bad file must not hold up the others.
pub fn read_all(store: &Store, files: &[PathBuf]) -> Result<(Vec<Input>, Unread)> {
    let read: Vec<Result<Input>> = files.par_iter().map(|path| Input::read(path, &store.config.inbox)).collect();
    let (mut inputs, mut unread) = (Vec::new(), Vec::new());
    for (path, one) in files.iter().zip(read) {
        match one {
            Ok(input) => inputs.push(input),
            Err(Error::Io { source, .. }) if is_of_the_file(&source) => unread.push((path.clone(), source.to_string())),
            Err(Error::Changed(_)) => unread.push((path.clone(), "changed while it was read".to_owned())),
            Err(error) => return Err(error),
        }
    }
    Ok((inputs, unread))
}

/// Whether an error says something of the file, not of the machine (no file handle left, no memory).
fn is_of_the_file(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let machine = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(|errno| errno.raw_os_error());
    !error.raw_os_error().is_some_and(|code| machine.contains(&code))
}

/// Reads the digests of these files. New inputs come in digest order, so that arrival does not show.
pub fn gather(store: &Store, found: Found) -> Result<Gathered> {
    let (inputs, unread) = read_all(store, &found.files)?;
    let mut gathered = Gathered { unread: found.unread, passed_over: found.passed_over, ..Gathered::default() };
    gathered.unread.extend(unread);
    let mut seen = BTreeSet::new();
    for input in inputs {
        let twice = !seen.insert(input.sha256.clone());
        let known = twice || store.ledger.is_known_input(&input.sha256)?;
        if known { &mut gathered.known } else { &mut gathered.new }.push(input);
    }
    gathered.new.sort_by(|a, b| a.sha256.cmp(&b.sha256));
    Ok(gathered)
}

/// Removes inbox files whose bytes are in the lake already; quarantined ones go to quarantine again.
pub fn clear_known(store: &Store, known: &[Input]) -> Result<()> {
    for input in known {
        let Some(from) = &input.inbox_path else { continue };
        let to = match store.ledger.input_state(&input.sha256)? {
            Some(InputState::Held) | None => continue,
            Some(InputState::Quarantined) => Some(quarantine_place(input)),
            Some(_) => None,
        };
        leaving::leave(&store.config.inbox, from, &input.sha256, to.as_deref())?;
    }
    Ok(())
}
