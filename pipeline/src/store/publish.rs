//! Making a committed run visible. Every step can be repeated, so recovery is the same function.
//!
//! After each step holds: a reader that follows the ledger sees the old state until `run_published` is in the chain; a
//! folder or file stands at its final place whole or not at all; an inbox file goes only when its bytes have landed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shikaku_schemas::tables;

use super::{Store, sync_dir};
use crate::digest;
use crate::error::{At, Error, Result};
use crate::keys::Keys;
use crate::ledger::event::Committed;
use crate::ledger::{Event, Ledger};

/// Where runs are staged.
pub fn staging(lake: &Path) -> PathBuf {
    lake.join("_staging")
}

/// Publishes one committed run; `head` is the hash of its commit event.
pub fn publish(store: &Store, committed: &Committed, head: &str) -> Result<()> {
    let stage = staging(&store.config.lake).join(&committed.run_id);
    let folders: Vec<String> = committed.generations.iter().map(|g| format!("lake/{}", g.dir)).collect();
    place(store, &stage, folders.iter().map(String::as_str))?;
    (store.outside.step)("tables");
    for (path, text) in manifests(committed, head)? {
        write_whole(&store.config.lake.join(path), text.as_bytes())?;
    }
    (store.outside.step)("manifests");
    place(store, &stage, committed.outputs.iter().filter(|o| o.table_name.is_none()).map(|o| o.path.as_str()))?;
    (store.outside.step)("files");
    for step in &committed.moves {
        move_inbox(&store.config.inbox, &step.from, &step.sha256, step.to.as_deref())?;
    }
    (store.outside.step)("moves");
    let event = Event::RunPublished { run_id: committed.run_id.clone(), at: store.now() };
    store.ledger.append(&[event])?;
    (store.outside.step)("published");
    remove(store, &committed.removals)?;
    (store.outside.step)("removed");
    write_head(&store.config.lake, &store.ledger, store.keys.as_deref())?;
    if stage.exists() {
        std::fs::remove_dir_all(&stage).at(&stage)?;
    }
    (store.outside.step)("done");
    Ok(())
}

/// Finishes committed runs, drops staged ones, and catches the head up. Nothing is mended that a kill cannot explain.
pub fn recover(store: &Store) -> Result<()> {
    check_head(store)?;
    super::rotate::finish(store)?;
    for (committed, head) in store.ledger.unpublished()? {
        tracing::warn!(run = %committed.run_id, "finishing a run that was cut off after its commit");
        publish(store, &committed, &head)?;
    }
    remove(store, &store.ledger.last_removals()?)?;
    let dir = staging(&store.config.lake);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).at(&dir)?;
    }
    write_head(&store.config.lake, &store.ledger, store.keys.as_deref())
}

/// Renames staged files or folders to their final places, and flushes the folders these lie in once each; what was placed
/// before stays.
fn place<'p>(store: &Store, stage: &Path, paths: impl Iterator<Item = &'p str>) -> Result<()> {
    let mut parents = BTreeSet::new();
    for path in paths {
        let (from, to) = (stage.join(path), store.resolve(path));
        if from.exists() {
            let parent = to.parent().unwrap_or(&to).to_owned();
            create_dirs(&parent)?;
            if to.is_dir() {
                return Err(Error::integrity(format!("{} stands where a new generation belongs", to.display())));
            }
            std::fs::rename(&from, &to).at(&to)?;
            parents.insert(parent);
        } else if !to.exists() {
            return Err(Error::integrity(format!("{} is neither staged nor published", to.display())));
        }
    }
    parents.iter().try_for_each(|parent| sync_dir(parent))
}

/// Removes what a published run superseded for good. Last of all, so that no reader of the set before it is cut off by a kill.
fn remove(store: &Store, places: &[String]) -> Result<()> {
    for place in places {
        let path = store.config.lake.join(place);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).at(&path)?;
        } else if path.exists() {
            std::fs::remove_file(&path).at(&path)?;
        } else {
            continue;
        }
        sync_dir(path.parent().unwrap_or(&path))?;
    }
    Ok(())
}

/// Creates folders down to `dir`, flushing each parent so that they survive a power cut.
fn create_dirs(dir: &Path) -> Result<()> {
    // An empty path is the current folder.
    if dir.as_os_str().is_empty() || dir.exists() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_dirs(parent)?;
    }
    if !dir.exists() {
        std::fs::create_dir(dir).at(dir)?;
    }
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

fn move_inbox(inbox: &Path, from: &str, sha256: &str, to: Option<&str>) -> Result<()> {
    let path = inbox.join(from);
    // A new file of the same name that came meanwhile is not the one that was read.
    if !path.exists() || digest::sha256_file(&path)?.0 != sha256 {
        return Ok(());
    }
    match to {
        Some(to) => {
            let target = inbox.join(to);
            create_dirs(target.parent().unwrap_or(inbox))?;
            std::fs::rename(&path, &target).at(&target)?;
        }
        None => std::fs::remove_file(&path).at(&path)?,
    }
    // A CRL set is a folder; it goes with its last file.
    if let Some(parent) = path.parent()
        && parent.parent().is_some_and(|p| p != inbox && p.starts_with(inbox))
    {
        remove_if_empty(parent)?;
    }
    Ok(())
}

fn remove_if_empty(dir: &Path) -> Result<()> {
    if std::fs::read_dir(dir).at(dir)?.next().is_none() {
        std::fs::remove_dir(dir).at(dir)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Manifest<'a> {
    table: &'a str,
    set_id: i64,
    run_id: &'a str,
    chain_head: &'a str,
    columns: Vec<&'a str>,
    partitions: Vec<ManifestPartition<'a>>,
}

#[derive(Serialize)]
struct ManifestPartition<'a> {
    partition: &'a str,
    dir: &'a str,
    rows: i64,
    content_digest: &'a str,
    files: Vec<ManifestFile<'a>>,
}

#[derive(Serialize)]
struct ManifestFile<'a> {
    path: &'a str,
    rows: Option<i64>,
    bytes: i64,
    sha256: &'a str,
}

/// One manifest per table of a set: path below the lake and text. Derived from the commit event alone.
pub fn manifests(committed: &Committed, head: &str) -> Result<Vec<(String, String)>> {
    let Some(set_id) = committed.set_id else { return Ok(Vec::new()) };
    let mut by_table: BTreeMap<&str, Vec<ManifestPartition<'_>>> = BTreeMap::new();
    for g in &committed.generations {
        let prefix = format!("lake/{}/", g.dir);
        let own = committed.outputs.iter().filter(|o| o.table_name.is_some() && o.path.starts_with(&prefix));
        let files =
            own.map(|o| ManifestFile { path: &o.path, rows: o.rows, bytes: o.bytes, sha256: &o.sha256 }).collect();
        by_table.entry(&g.table).or_default().push(ManifestPartition {
            partition: &g.partition,
            dir: &g.dir,
            rows: g.rows,
            content_digest: &g.content_digest,
            files,
        });
    }
    let mut out = Vec::new();
    for (table, partitions) in by_table {
        let columns = tables::of(table).columns.iter().map(|c| c.name()).collect();
        let manifest = Manifest { table, set_id, run_id: &committed.run_id, chain_head: head, columns, partitions };
        out.push((format!("{table}/_manifest/{set_id:06}.json"), serde_json::to_string_pretty(&manifest)? + "\n"));
    }
    Ok(out)
}

/// Content of `chain.head`.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Head {
    pub seq: i64,
    pub hash: String,
    /// HMAC of both under the lake's chain key, when there is one.
    pub mac: Option<String>,
}

impl Head {
    pub fn new(seq: i64, hash: String, keys: Option<&Keys>) -> Self {
        let mac = keys.map(|k| k.mac(&format!("{seq} {hash}")));
        Self { seq, hash, mac }
    }
}

/// The written head must be one the chain passed through: a kill can leave it behind, never aside or ahead.
fn check_head(store: &Store) -> Result<()> {
    let path = store.config.lake.join("chain.head");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let written: Option<Head> = serde_json::from_str(&text).ok();
    let known = match &written {
        Some(head) => store
            .ledger
            .event_hash_at(head.seq)?
            .is_some_and(|hash| *head == Head::new(head.seq, hash, store.keys.as_deref())),
        None => false,
    };
    // Written by rename and always in this form: other bytes were not written by us.
    let same_form = written.is_some_and(|h| serde_json::to_string_pretty(&h).is_ok_and(|t| t + "\n" == text));
    if known && same_form {
        Ok(())
    } else {
        Err(Error::integrity("chain.head is not a head of this ledger; run `shikaku audit verify`"))
    }
}

/// Writes the head of the chain beside the ledger.
pub fn write_head(lake: &Path, ledger: &Ledger, keys: Option<&Keys>) -> Result<()> {
    let (seq, hash) = ledger.head()?;
    let text = serde_json::to_string_pretty(&Head::new(seq, hash, keys))? + "\n";
    let path = lake.join("chain.head");
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write_whole(&path, text.as_bytes())
}

/// Writes a file by rename, so that it is never seen half.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let parent = path.parent().unwrap_or(path);
    create_dirs(parent)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent.join(format!(".{name}.new"));
    let mut file = std::fs::File::create(&temporary).at(&temporary)?;
    file.write_all(bytes).at(&temporary)?;
    file.sync_all().at(&temporary)?;
    std::fs::rename(&temporary, path).at(path)?;
    sync_dir(parent)
}
