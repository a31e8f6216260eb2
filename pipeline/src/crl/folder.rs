//! Folders of CRL sets: which files are a set's, which sets are finished.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::base::error::{At, Result};
use crate::intake::inbox::is_unfinished;

/// Files of a set: `*.crl` of one folder; everything else is counted and ignored.
pub fn files(dir: &Path) -> Result<(Vec<PathBuf>, u64)> {
    let (mut found, mut ignored) = (Vec::new(), 0);
    for entry in std::fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        // A link could lead anywhere; a hidden file is one that is still being delivered.
        let whole = entry.file_type().at(&path)?.is_file() && !is_unfinished(&name);
        if whole && path.extension().is_some_and(|e| e == "crl") {
            found.push(path);
        } else if name != "_DONE" {
            ignored += 1;
        }
    }
    found.sort();
    Ok((found, ignored))
}

/// `YYYYMMDD` of a set's folder, if it is a date.
pub fn date_of(dir: &Path) -> Option<String> {
    let name = dir.file_name()?.to_str()?;
    let digits = name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit());
    (digits && NaiveDate::parse_from_str(name, "%Y%m%d").is_ok()).then(|| name.to_owned())
}

/// What lies in the inbox folder of CRLs.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Finished sets, oldest first: `crl/<YYYYMMDD>/` with `_DONE` in it.
    pub finished: Vec<PathBuf>,
    /// What is no folder of a date: nobody would ever look at it.
    pub odd: Vec<PathBuf>,
}

/// Looks through the inbox folder. One that is still being delivered has no `_DONE` and is left alone.
pub fn look(dir: &Path) -> Result<Inbox> {
    let mut inbox = Inbox::default();
    for entry in std::fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        let path = entry.path();
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if !entry.file_type().at(&path)?.is_dir() || date_of(&path).is_none() {
            inbox.odd.push(path);
        } else if path.join("_DONE").exists() {
            inbox.finished.push(path);
        }
    }
    inbox.finished.sort();
    inbox.odd.sort();
    Ok(inbox)
}
