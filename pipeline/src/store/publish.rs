//! Making a committed run visible. Every step can be repeated, so recovery is the same function.
//!
//! After each step holds: a reader that follows the ledger sees the old state until `run_published` is in the chain; a
//! folder or file stands at its final place whole or not at all; an inbox file goes only when its bytes have landed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use shikaku_schemas::tables;

use super::{Store, head, leaving, sync_dir};
use crate::base::error::{At, Error, Result};
use crate::ledger::Event;
use crate::ledger::event::Committed;
use crate::ledger::place;

/// Where runs are staged.
pub fn staging(lake: &Path) -> PathBuf {
    lake.join("_staging")
}

/// Publishes one committed run; `head` is the hash of its commit event.
pub fn publish(store: &Store, committed: &Committed, head: &str) -> Result<()> {
    place::contained(committed)?;
    let stage = staging(&store.config.lake).join(&committed.run_id);
    let folders: Vec<String> = committed.generations.iter().map(|g| format!("lake/{}", g.dir)).collect();
    put(store, &stage, folders.iter().map(String::as_str))?;
    (store.outside.step)("tables")?;
    for (path, text) in manifests(committed, head)? {
        write_whole(&way(store, &format!("lake/{path}"))?, text.as_bytes())?;
    }
    (store.outside.step)("manifests")?;
    put(store, &stage, committed.outputs.iter().filter(|o| o.table_name.is_none()).map(|o| o.path.as_str()))?;
    (store.outside.step)("files")?;
    for step in &committed.moves {
        leaving::leave(&store.config.inbox, &step.from, &step.sha256, step.to.as_deref())?;
    }
    (store.outside.step)("moves")?;
    store.append(&[Event::RunPublished { run_id: committed.run_id.clone(), at: store.now() }])?;
    (store.outside.step)("published")?;
    remove(store, committed)?;
    (store.outside.step)("removed")?;
    if stage.exists() {
        std::fs::remove_dir_all(&stage).at(&stage)?;
    }
    // Not empty while another run is staged.
    let _ = std::fs::remove_dir(staging(&store.config.lake));
    (store.outside.step)("done")?;
    Ok(())
}

/// Finishes committed runs, drops staged ones, and catches the head up. Nothing is mended that a kill cannot explain, and
/// nothing is obeyed that the lake's own chain does not say.
pub fn recover(store: &Store) -> Result<()> {
    {
        let _lock = head::HeadLock::take(&store.config.lake)?;
        head::check(&store.config.lake, &store.ledger, store.keys.as_deref())?;
    }
    leaving::restore(&store.config.inbox)?;
    super::rotate::finish(store)?;
    for (committed, head) in store.ledger.unpublished()? {
        tracing::warn!(run = %committed.run_id, "finishing a run that was cut off after its commit");
        publish(store, &committed, &head)?;
    }
    if let Some(committed) = store.ledger.last_removals()? {
        place::contained(&committed)?;
        remove(store, &committed)?;
    }
    let dir = staging(&store.config.lake);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).at(&dir)?;
    }
    let _lock = head::HeadLock::take(&store.config.lake)?;
    head::write(&store.config.lake, &store.ledger, store.keys.as_deref())
}

/// Where a ledger path leads, with the folders that are on its way; it goes through no link.
pub fn way(store: &Store, path: &str) -> Result<PathBuf> {
    let to = store.resolve(path)?;
    match to.parent().map(std::fs::symlink_metadata) {
        Some(Ok(parent)) if !parent.is_dir() => {
            Err(Error::usage(format!("{}: a file stands where a folder belongs", to.parent().unwrap_or(&to).display())))
        }
        _ => Ok(to),
    }
}

/// Renames staged files or folders to their final places, and flushes the folders these lie in once each; what was placed
/// before stays.
fn put<'p>(store: &Store, stage: &Path, paths: impl Iterator<Item = &'p str>) -> Result<()> {
    let mut parents = BTreeSet::new();
    for path in paths {
        let (from, to) = (stage.join(path), way(store, path)?);
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
fn remove(store: &Store, committed: &Committed) -> Result<()> {
    for removal in &committed.removals {
        let path = place::below(&store.config.lake, removal)?;
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
