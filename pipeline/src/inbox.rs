//! Inputs: where they are, what they are called, and their digest, which is what they are.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::digest;
use crate::error::{At, Error, Result};
use crate::ledger::InputRow;
use crate::store::{Store, landing};
use crate::text::my_number;

/// Longest name in bytes.
const MAX_NAME: usize = 150;

/// One file to take in.
#[derive(Debug, Clone)]
pub struct Input {
    pub path: PathBuf,
    /// File name, for result files and the ledger; never trusted as a path.
    pub name: String,
    pub sha256: String,
    pub bytes: i64,
    /// Path below the inbox, when it lies there: such files go once they have landed.
    pub inbox_path: Option<String>,
    /// `path` is the landed form of the bytes: they lie in the lake already.
    pub landed: bool,
}

impl Input {
    pub fn read(path: &Path, inbox: &Path) -> Result<Self> {
        let (sha256, bytes) = digest::sha256_file(path)?;
        let renamed = rename_if_unfit(path, inbox, &sha256)?;
        let path = renamed.as_deref().unwrap_or(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            path: path.to_owned(),
            name: safe_name(&name),
            sha256,
            bytes: i64::try_from(bytes).map_err(|_| Error::failed("a file is too large"))?,
            inbox_path: below(path, inbox),
            landed: false,
        })
    }

    /// An input of an earlier run, read again from where it landed; `None` when its bytes were not kept.
    pub fn again(store: &Store, row: &InputRow) -> Option<Self> {
        let path = store.config.lake.join(row.landing.as_ref()?);
        let (name, sha256) = (row.name.clone(), row.sha256.clone());
        Some(Self { path, name, sha256, bytes: row.bytes, inbox_path: None, landed: true })
    }

    /// The bytes as received.
    pub fn open(&self, store: &Store) -> Result<Box<dyn Read>> {
        if self.landed {
            return landing::open(&self.path, store.keys.as_deref());
        }
        Ok(Box::new(File::open(&self.path).at(&self.path)?))
    }

    /// `source_file` of rows that came from it.
    pub fn source_file(&self) -> String {
        self.sha256[..16].to_owned()
    }
}

/// A path of the inbox stands in the ledger and in messages. One that cannot (no Unicode, or a likely 個人番号 in it) gets
/// the file's digest for a name, before anything is recorded.
fn rename_if_unfit(path: &Path, inbox: &Path, sha256: &str) -> Result<Option<PathBuf>> {
    let (Ok(own), Ok(inbox)) = (path.canonicalize(), inbox.canonicalize()) else { return Ok(None) };
    let Ok(below) = own.strip_prefix(&inbox) else { return Ok(None) };
    let fit = below.to_str().is_some_and(|text| !my_number::found_in(text));
    let Some(folder) = below.components().next().filter(|_| !fit && below.components().count() > 1) else {
        return Ok(None);
    };
    let to = inbox.join(folder).join(format!("input-{}", &sha256[..16]));
    std::fs::rename(&own, &to).at(&to)?;
    Ok(Some(to))
}

/// Path below the inbox, with `/` between parts.
fn below(path: &Path, inbox: &Path) -> Option<String> {
    let (path, inbox) = (path.canonicalize().ok()?, inbox.canonicalize().ok()?);
    let parts: Vec<String> =
        path.strip_prefix(inbox).ok()?.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    Some(parts.join("/"))
}

/// A name that can stand in an outbox path: no separators, no control characters, not hidden.
pub fn safe_name(name: &str) -> String {
    let clean: String =
        name.chars()
            .map(|c| {
                if c.is_control() || matches!(c, '/' | '\\' | ':' | '"' | '<' | '>' | '|' | '?' | '*') {
                    '_'
                } else {
                    c
                }
            })
            .collect();
    let mut clean = clean.trim_start_matches('.').to_owned();
    // Room for what is put before and behind it: file systems end at 255 bytes.
    while clean.len() > MAX_NAME {
        clean.pop();
    }
    // A name is echoed and logged, so it may not carry what a file may not.
    if clean.is_empty() || my_number::found_in(&clean) { "input".to_owned() } else { clean }
}

/// Files below the paths given, each once, in path order. Hidden and half-written files are passed over.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(Error::usage(format!("{}: no such file or folder", path.display())));
        }
        walk(path, true, &mut found)?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn walk(path: &Path, named: bool, found: &mut Vec<PathBuf>) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part");
    if unfinished && !named {
        return Ok(());
    }
    // Inside a folder only files themselves are taken: a link could lead anywhere, a pipe could hold the night for ever.
    let kind = if named { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) }.at(path)?.file_type();
    if kind.is_file() {
        found.push(path.to_owned());
        return Ok(());
    }
    if !kind.is_dir() {
        tracing::warn!("a link or another thing that is no file lies in the inbox and is passed over");
        return Ok(());
    }
    for entry in std::fs::read_dir(path).at(path)? {
        walk(&entry.at(path)?.path(), false, found)?;
    }
    Ok(())
}

/// Inputs of a job: new ones, and ones whose bytes were taken in before (equal bytes count once).
pub struct Gathered {
    pub new: Vec<Input>,
    pub known: Vec<Input>,
}

/// Reads the digests of files, side by side.
pub fn read_all(store: &Store, files: &[PathBuf]) -> Result<Vec<Input>> {
    files.par_iter().map(|path| Input::read(path, &store.config.inbox)).collect()
}

/// Reads the digests of all files below the paths. New inputs come in digest order, so that arrival does not show.
pub fn gather(store: &Store, paths: &[PathBuf]) -> Result<Gathered> {
    let mut gathered = Gathered { new: Vec::new(), known: Vec::new() };
    let found = files(paths)?;
    for input in read_all(store, &found)? {
        let twice = gathered.new.iter().any(|i| i.sha256 == input.sha256);
        let into =
            if twice || store.ledger.is_known_input(&input.sha256)? { &mut gathered.known } else { &mut gathered.new };
        into.push(input);
    }
    gathered.new.sort_by(|a, b| a.sha256.cmp(&b.sha256));
    Ok(gathered)
}

/// Removes inbox files whose bytes are in the lake already; quarantined ones go to quarantine again.
pub fn clear_known(store: &Store, known: &[Input]) -> Result<()> {
    for input in known {
        let Some(from) = &input.inbox_path else { continue };
        let path = store.config.inbox.join(from);
        match store.ledger.input_state(&input.sha256)?.as_deref() {
            Some("quarantined") => {
                let to = store.config.inbox.join(format!("quarantine/{}_{}", &input.sha256[..12], input.name));
                std::fs::rename(&path, &to).at(&to)?;
            }
            Some("held") | None => {}
            Some(_) => std::fs::remove_file(&path).at(&path)?,
        }
    }
    Ok(())
}
