//! Folders of CRL sets: which files are a set's, which sets are finished.

use std::path::{Path, PathBuf};

use crate::error::{At, Result};
use crate::inbox::is_unfinished;

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

/// `YYYYMMDD` of a set's folder.
pub fn date_of(dir: &Path) -> Option<String> {
    let name = dir.file_name()?.to_str()?;
    (name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.to_owned())
}

/// Finished sets of the inbox, oldest first: `crl/<YYYYMMDD>/` with `_DONE` in it.
pub fn finished(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut sets = Vec::new();
    for entry in std::fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        let path = entry.path();
        if entry.file_type().at(&path)?.is_dir() && date_of(&path).is_some() && path.join("_DONE").exists() {
            sets.push(path);
        }
    }
    sets.sort();
    Ok(sets)
}
