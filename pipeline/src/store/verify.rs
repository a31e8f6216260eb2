//! `audit verify`: is everything still as it was published?

use std::collections::BTreeSet;
use std::path::Path;

use super::Store;
use super::publish::{Head, manifests};
use super::rotate::commits;
use crate::digest;
use crate::error::{At, Result};

/// What was looked at and what is wrong.
#[derive(Debug, Default, serde::Serialize)]
pub struct Verified {
    pub files: usize,
    pub bytes: u64,
    pub events: i64,
    /// Each names the file or row. Empty = intact.
    pub findings: Vec<String>,
}

/// Checks the chain, its projections, its head, every published file, every manifest, and that nothing else lies in the lake.
pub fn verify(store: &Store) -> Result<Verified> {
    let mut verified = Verified { findings: store.ledger.verify()?, ..Verified::default() };
    check_head(store, &mut verified)?;
    let mut known: BTreeSet<String> = BTreeSet::new();
    // The chain names the files; the projection of it was compared above.
    let commits = commits(store)?;
    let removed: BTreeSet<String> =
        commits.iter().flat_map(|(c, _)| c.removals.iter().map(|place| format!("lake/{place}"))).collect();
    let is_removed = |path: &str| {
        removed.contains(path) || path.rsplit_once('/').is_some_and(|(folder, _)| removed.contains(folder))
    };
    for (committed, head) in commits {
        for (path, text) in manifests(&committed, &head)? {
            let path = format!("lake/{path}");
            check_file(store, &path, &digest::sha256(text.as_bytes()), &mut verified);
            known.insert(path);
        }
        // What was removed must be gone: a file that lies there still is one that no run published.
        for output in committed.outputs.iter().filter(|o| !is_removed(&o.path)) {
            known.insert(output.path.clone());
            check_file(store, &output.path, &output.sha256, &mut verified);
        }
    }
    for root in ["lake", "outbox"] {
        let dir = store.resolve(&format!("{root}/"));
        if dir.is_dir() {
            unknown_files(&dir, root, &known, &mut verified.findings)?;
        }
    }
    verified.findings.sort();
    verified.findings.dedup();
    Ok(verified)
}

fn check_head(store: &Store, verified: &mut Verified) -> Result<()> {
    let (seq, hash) = store.ledger.head()?;
    verified.events = seq;
    let path = store.config.lake.join("chain.head");
    let expected = serde_json::to_string_pretty(&Head::new(seq, hash, store.keys.as_deref()))? + "\n";
    if std::fs::read_to_string(&path).ok() != Some(expected) {
        verified.findings.push("lake/chain.head: is not the head of the ledger".to_owned());
    }
    Ok(())
}

fn check_file(store: &Store, path: &str, sha256: &str, verified: &mut Verified) {
    match digest::sha256_file(&store.resolve(path)) {
        Ok((own, bytes)) => {
            verified.files += 1;
            verified.bytes += bytes;
            if own != sha256 {
                verified.findings.push(format!("{path}: bytes differ from what was published"));
            }
        }
        Err(_) => verified.findings.push(format!("{path}: missing or unreadable")),
    }
}

/// Files that no run published; the ledger's own files are not tables.
fn unknown_files(dir: &Path, name: &str, known: &BTreeSet<String>, findings: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{name}/{file}");
        if name == "lake" && (file.starts_with("ledger.sqlite") || file == "chain.head" || file == ".lock") {
            continue;
        }
        if entry.path().is_dir() {
            unknown_files(&entry.path(), &path, known, findings)?;
        } else if !known.contains(&path) {
            findings.push(format!("{path}: no run published this file"));
        }
    }
    Ok(())
}
