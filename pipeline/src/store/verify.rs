//! `audit verify`: is everything still as it was published? Reads only, and signs nothing.

use std::collections::BTreeSet;
use std::path::Path;

use super::publish::{manifests, staging};
use super::rotate::{before_rotation, commits};
use super::{Store, head, open};
use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::lake::checked::ROTATION;

/// What was looked at and what is wrong.
#[derive(Debug, Default, serde::Serialize)]
pub struct Verified {
    pub files: usize,
    pub bytes: u64,
    pub events: i64,
    /// Runs that were cut off after their commit; the next command that writes finishes them.
    pub unfinished_runs: usize,
    /// Each names the file or row. Empty = intact.
    pub findings: Vec<String>,
}

/// What the lake holds, gathered from the chain.
#[derive(Default)]
struct Known {
    /// Files, as ledger paths.
    files: BTreeSet<String>,
    /// Folders that a run made, whether or not anything is left in them.
    folders: BTreeSet<String>,
}

impl Known {
    fn add_folders_of(&mut self, path: &str) {
        let mut at = path;
        while let Some((folder, _)) = at.rsplit_once('/') {
            if !self.folders.insert(folder.to_owned()) {
                break;
            }
            at = folder;
        }
    }
}

/// Checks the chain, its signatures, its projections, its head, every published file, every manifest, and that nothing else
/// lies in the lake and the outbox.
pub fn verify(store: &Store) -> Result<Verified> {
    let mut verified = Verified::default();
    let keys = store.keys.as_deref();
    let signed_to = match head::check(&store.config.lake, &store.ledger, keys) {
        Ok(seq) => seq,
        Err(Error::Integrity(text)) => {
            verified.findings.push(format!("lake/{}: {text}", head::NAME));
            0
        }
        Err(error) => return Err(error),
    };
    verified.findings.extend(store.ledger.verify(signed_to)?);
    verified.events = store.ledger.head()?.0;
    let mut known = Known::default();
    // The chain names the files; the projection of it was compared above.
    let commits = commits(store)?;
    let open: BTreeSet<String> = store.ledger.committed_runs()?.into_iter().collect();
    verified.unfinished_runs = open.len();
    let removed: BTreeSet<String> = commits
        .iter()
        .filter(|(c, _)| !open.contains(&c.run_id))
        .flat_map(|(c, _)| c.removals.iter().map(|place| format!("lake/{place}")))
        .collect();
    let is_removed = |path: &str| {
        removed.contains(path) || path.rsplit_once('/').is_some_and(|(folder, _)| removed.contains(folder))
    };
    // What the newest commit removes may be left by a kill.
    let last: BTreeSet<String> =
        commits.last().into_iter().flat_map(|(c, _)| c.removals.iter().map(|p| format!("lake/{p}"))).collect();
    for (committed, head) in &commits {
        let staged = open.contains(&committed.run_id).then(|| staging(&store.config.lake).join(&committed.run_id));
        let before = match before_rotation(store, committed)? {
            Some(before) => manifests(&before, head)?,
            None => Vec::new(),
        };
        for (path, text) in manifests(committed, head)? {
            // A rotation that was cut off left the manifests as they were.
            let old = before.iter().find(|(own, _)| *own == path).map(|(_, text)| text);
            let path = format!("lake/{path}");
            let on_disk = store.resolve(&path).ok().and_then(|place| std::fs::read_to_string(place).ok());
            let text = old.filter(|old| on_disk.as_ref() == Some(old)).unwrap_or(&text);
            if staged.is_none() || store.resolve(&path).is_ok_and(|p| p.exists()) {
                check_file(store, &path, &digest::sha256(text.as_bytes()), None, &mut verified)?;
            }
            known.add_folders_of(&path);
            known.files.insert(path);
        }
        for output in &committed.outputs {
            known.add_folders_of(&output.path);
            let folder = output.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            if is_removed(&output.path) {
                if last.contains(&output.path) || last.contains(folder) {
                    known.files.insert(output.path.clone());
                }
                // Else it must be gone: a file that lies there still is one that no run published.
                continue;
            }
            known.files.insert(output.path.clone());
            check_file(store, &output.path, &output.sha256, staged.as_deref(), &mut verified)?;
        }
    }
    for root in ["lake", "outbox"] {
        let dir = if root == "lake" { &store.config.lake } else { &store.config.outbox };
        if dir.is_dir() {
            unknown_files(dir, root, &known, &mut verified.findings)?;
        }
    }
    verified.findings.sort();
    verified.findings.dedup();
    Ok(verified)
}

/// Compares a file with its digest; of a run that is not published it may still lie in the stage.
fn check_file(store: &Store, path: &str, sha256: &str, staged: Option<&Path>, verified: &mut Verified) -> Result<()> {
    let place = match store.resolve(path) {
        Ok(place) => place,
        Err(error) => {
            verified.findings.push(format!("{path}: {error}"));
            return Ok(());
        }
    };
    let place = match staged.map(|stage| stage.join(path)) {
        Some(in_stage) if !place.exists() => in_stage,
        _ => place,
    };
    match digest::sha256_file(&place) {
        // Between the event of a key rotation and its renames.
        Ok((own, _)) if own != sha256 && is_rewrapped(store, path, sha256) => verified.files += 1,
        Ok((own, bytes)) => {
            verified.files += 1;
            verified.bytes += bytes;
            if own != sha256 {
                verified.findings.push(format!("{path}: bytes differ from what was published"));
            }
        }
        Err(Error::Io { source, .. }) if is_missing(&source) => {
            verified.findings.push(format!("{path}: missing or unreadable"));
        }
        // Too few file handles, a lost disk: then nothing is known of the file.
        Err(error) => return Err(error),
    }
    Ok(())
}

fn is_rewrapped(store: &Store, path: &str, sha256: &str) -> bool {
    let staged = store.config.lake.join(ROTATION).join(path);
    digest::sha256_file(&staged).is_ok_and(|(own, _)| own == sha256)
}

fn is_missing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | IsADirectory | NotADirectory | PermissionDenied)
}

/// Files and folders that no run published; the ledger's own files are not tables, and what a kill leaves staged goes with the
/// next run. A link is named and not followed.
fn unknown_files(dir: &Path, name: &str, known: &Known, findings: &mut Vec<String>) -> Result<()> {
    const OWN: [&str; 8] =
        [head::NAME, head::LOCK, open::ID, ".lock", ".chain.head.new", "..id.new", "_staging", ROTATION];
    for entry in std::fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{name}/{file}");
        let kind = entry.file_type().at(entry.path())?;
        let own = name == "lake" && (file.starts_with("ledger.sqlite") || OWN.contains(&file.as_str()));
        let probe = file == super::outside::PROBE && matches!(name, "lake" | "outbox");
        // A file that was being written when its process died; its name is that of the file it would have become.
        let half = file
            .strip_prefix('.')
            .and_then(|f| f.strip_suffix(".new"))
            .is_some_and(|f| known.files.contains(&format!("{name}/{f}")));
        if (own || probe || half) && !kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            if !known.folders.contains(&path) {
                findings.push(format!("{path}: no run made this folder"));
            }
            unknown_files(&entry.path(), &path, known, findings)?;
        } else if kind.is_symlink() {
            findings.push(format!("{path}: a symbolic link, which no run makes"));
        } else if !known.files.contains(&path) {
            findings.push(format!("{path}: no run published this file"));
        }
    }
    Ok(())
}
