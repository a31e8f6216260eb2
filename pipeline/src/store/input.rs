//! One file to take in: where it is, what it is called, and its digest, which is what it is.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Store, landing, leaving};
use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::base::stamp::{Reopen, Stamp};
use crate::ledger::InputRow;
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
    /// What it was when its digest was taken; `None` = `path` is the landed form of the bytes, which lie in the lake already.
    stamp: Option<Stamp>,
}

impl Input {
    /// Takes the digest of a file. [`Error::Changed`] when it is written to meanwhile.
    pub fn read(path: &Path, inbox: &Path) -> Result<Self> {
        let mut file = File::open(path).at(path)?;
        let stamp = Stamp::of(&file).at(path)?;
        let (sha256, bytes) = digest::sha256_of(&mut file).at(path)?;
        if Stamp::of(&file).at(path)? != stamp {
            return Err(Error::Changed(path.to_owned()));
        }
        let renamed = rename_if_unfit(path, inbox, &sha256)?;
        let path = renamed.as_deref().unwrap_or(path);
        // A rename changes the file's stamp, not the file.
        let stamp = match &renamed {
            Some(to) => Stamp::of(&File::open(to).at(to)?).at(to)?,
            None => stamp,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            path: path.to_owned(),
            name: safe_name(&name),
            sha256,
            bytes: i64::try_from(bytes).map_err(|_| Error::failed("a file is too large"))?,
            inbox_path: below(path, inbox),
            stamp: Some(stamp),
        })
    }

    /// An input of an earlier run, read again from where it landed, its bytes compared with its digest; `None` when they were
    /// not kept.
    pub fn again(store: &Store, row: &InputRow) -> Result<Option<Self>> {
        let Some(landing) = &row.landing else { return Ok(None) };
        let path = store.resolve(&format!("lake/{landing}"))?;
        let mut landed = landing::open(&path, store.keys.as_deref())?;
        if digest::sha256_of(&mut *landed).at(&path)?.0 != row.sha256 {
            return Err(Error::integrity(format!("lake/{landing}: is not what was received")));
        }
        let (name, sha256) = (row.name.clone(), row.sha256.clone());
        Ok(Some(Self { path, name, sha256, bytes: row.bytes, inbox_path: None, stamp: None }))
    }

    /// The bytes as received.
    pub fn open(&self, store: &Store) -> Result<Box<dyn Read>> {
        match self.stamp {
            None => landing::open_known(&self.path, store.keys.as_deref(), &self.sha256),
            Some(_) => Ok(Box::new(self.reopen()?)),
        }
    }

    /// Whether the bytes that were read are still those of the digest: a file that another one replaced is of no more
    /// concern, one that was written to in its place is.
    pub fn check_unchanged(&self) -> Result<()> {
        let now = std::fs::symlink_metadata(&self.path).ok().map(|m| Stamp::from_metadata(&m));
        match (self.stamp, now) {
            (Some(then), Some(now)) if now.is_same_file(&then) && now != then => Err(Error::Changed(self.path.clone())),
            _ => Ok(()),
        }
    }

    /// `source_file` of rows that came from it.
    pub fn source_file(&self) -> String {
        self.sha256[..16].to_owned()
    }
}

impl Reopen for Input {
    fn reopen(&self) -> Result<File> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Changed(self.path.clone()));
            }
            file => file.at(&self.path)?,
        };
        match self.stamp {
            Some(stamp) if Stamp::of(&file).at(&self.path)? != stamp => Err(Error::Changed(self.path.clone())),
            _ => Ok(file),
        }
    }

    fn place(&self) -> &Path {
        &self.path
    }
}

/// A path of the inbox stands in the ledger and in messages. One that cannot (no Unicode, or a likely 個人番号 in it) gets
/// the file's digest for a name, before anything is recorded.
fn rename_if_unfit(path: &Path, inbox: &Path, sha256: &str) -> Result<Option<PathBuf>> {
    let (Ok(canonical), Ok(inbox)) = (path.canonicalize(), inbox.canonicalize()) else { return Ok(None) };
    let Ok(below) = canonical.strip_prefix(&inbox) else { return Ok(None) };
    let fit = below.to_str().is_some_and(|text| !my_number::found_in(text));
    let Some(folder) = below.components().next().filter(|_| !fit && below.components().count() > 1) else {
        return Ok(None);
    };
    let to = inbox.join(folder).join(format!("input-{}", &sha256[..16]));
    leaving::rename_new(&canonical, &to).at(&to)?;
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

/// Where a file that likely holds a 個人番号 goes, below the inbox.
pub fn quarantine_place(input: &Input) -> String {
    format!("quarantine/{}_{}", &input.sha256[..12], input.name)
}
