//! Key rotation: a new master key, and the data key of every sealed file wrapped by it. No table or input is decrypted; only
//! the wrapped key in each file changes, byte for byte in its place, and with it the file's digest.
//!
//! Staged copies under `_rotation` → one chain event that lists them → renames. Recovery finishes what the chain has and
//! drops what it has not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::publish::{manifests, write_whole};
use super::{Store, sync_dir};
use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::lake::checked::{ROTATION, footer_digest, footer_of};
use crate::ledger::Event;
use crate::ledger::event::{Committed, Rewrapped};
use crate::ledger::place;
use crate::seal::keys::Keys;

/// What a rotation did.
#[derive(Debug, serde::Serialize)]
pub struct Rotated {
    /// Id of the master key that wraps everything now.
    pub key: String,
    pub files: usize,
    /// Ids of the master keys that the key file still holds.
    pub kept: Vec<String>,
}

/// Where re-wrapped copies are staged.
fn staging(store: &Store) -> PathBuf {
    store.config.lake.join(ROTATION)
}

/// Makes a new master key and re-wraps every sealed file; with `forget` the older master keys leave the key file at the end.
pub fn rotate(store: &mut Store, forget: bool) -> Result<Rotated> {
    let Some(path) = store.config.key_file.clone() else {
        return Err(Error::usage("no key file is configured: nothing is sealed"));
    };
    // The file that a link stands for is the key file; the link stays one.
    let path = path.canonicalize().at(&path)?;
    let text = std::fs::read_to_string(&path).at(&path)?;
    // The new key is on disk before anything is wrapped by it.
    write_key_file(&path, &Keys::with_new_master(&text, &*store.outside.entropy)?)?;
    let keys = Arc::new(Keys::load(&path)?);
    store.keys = Some(Arc::clone(&keys));
    (store.outside.step)("key")?;
    let mut files = Vec::new();
    for (output, sha256) in store.ledger.outputs(None)? {
        if !place::may_be_sealed(&output) {
            continue;
        }
        let own = store.resolve(&output)?;
        if let Some(place) = wrapped_key(&own)? {
            let staged = staging(store).join(&output);
            let metadata = keys.rewrap(&place.metadata, &*store.outside.entropy)?;
            let new = rewrap(&own, &staged, &place, &metadata)?;
            let footer = if output.ends_with(".parquet") { footer_digest(&staged)? } else { None };
            files.push(Rewrapped { path: output, old: sha256, new, footer });
        }
    }
    (store.outside.step)("rewrapped")?;
    let count = files.len();
    let (key, at) = (keys.current().to_owned(), store.now());
    let mark = keys.mark(&key);
    store.append(&[Event::KeysRotated { key, mark, files, at }])?;
    (store.outside.step)("rotated")?;
    finish(store)?;
    if forget {
        let text = std::fs::read_to_string(&path).at(&path)?;
        write_key_file(&path, &Keys::without_old_masters(&text)?)?;
        store.keys = Some(Arc::new(Keys::load(&path)?));
    }
    let keys = store.keys.as_deref().unwrap_or(&keys);
    Ok(Rotated { key: keys.current().to_owned(), files: count, kept: keys.ids() })
}

fn write_key_file(path: &Path, text: &str) -> Result<()> {
    let half = path.with_extension("new");
    let _ = std::fs::remove_file(&half);
    super::write_secret(&half, text)?;
    std::fs::rename(&half, path).at(path)?;
    sync_dir(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Puts staged copies that the chain knows into place, drops others, and writes the manifests that name them anew.
pub fn finish(store: &Store) -> Result<()> {
    let dir = staging(store);
    if !dir.exists() {
        return Ok(());
    }
    for (output, sha256) in store.ledger.outputs(None)? {
        let staged = dir.join(&output);
        if staged.exists() && digest::sha256_file(&staged)?.0 == sha256 {
            let own = store.resolve(&output)?;
            std::fs::rename(&staged, &own).at(&own)?;
            sync_dir(own.parent().unwrap_or(&own))?;
        }
    }
    for (path, text) in current_manifests(store)? {
        let path = store.config.lake.join(path);
        if std::fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            write_whole(&path, text.as_bytes())?;
        }
    }
    std::fs::remove_dir_all(&dir).at(&dir)
}

/// Every commit of the chain with the hash of its event, its outputs as rotations since left them.
pub fn commits(store: &Store) -> Result<Vec<(Committed, String)>> {
    let mut commits = Vec::new();
    let mut now: BTreeMap<String, String> = BTreeMap::new();
    for stored in store.ledger.events()? {
        match serde_json::from_str(&stored.body) {
            Ok(Event::RunCommitted(committed)) => commits.push((committed, stored.hash)),
            Ok(Event::KeysRotated { files, .. }) if store.keys.is_some() => {
                let sealed = files.into_iter().filter(|f| place::may_be_sealed(&f.path));
                now.extend(sealed.map(|f| (f.path, f.new)));
            }
            _ => {}
        }
    }
    for output in commits.iter_mut().flat_map(|(committed, _)| &mut committed.outputs) {
        if let Some(sha256) = now.get(&output.path) {
            output.sha256.clone_from(sha256);
        }
    }
    Ok(commits)
}

/// A commit as it was before the newest rotation, while that is not finished: its manifests still say so.
pub fn before_rotation(store: &Store, committed: &Committed) -> Result<Option<Committed>> {
    if !staging(store).exists() {
        return Ok(None);
    }
    let mut rotations =
        store.ledger.events()?.into_iter().rev().filter_map(|stored| match serde_json::from_str(&stored.body) {
            Ok(Event::KeysRotated { files, .. }) => Some(files),
            _ => None,
        });
    let Some(files) = rotations.next() else { return Ok(None) };
    let old: BTreeMap<String, String> = files.into_iter().map(|f| (f.path, f.old)).collect();
    let mut before = committed.clone();
    for output in &mut before.outputs {
        if let Some(sha256) = old.get(&output.path) {
            output.sha256.clone_from(sha256);
        }
    }
    Ok(Some(before))
}

fn current_manifests(store: &Store) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (committed, head) in commits(store)? {
        all.extend(manifests(&committed, &head)?);
    }
    Ok(all)
}

/// Where the wrapped key of a sealed file stands: offset and bytes.
struct WrappedKey {
    offset: u64,
    metadata: Vec<u8>,
}

/// Of a Parquet part it stands at the head of the footer, of a landed input at the head of the file.
fn wrapped_key(path: &Path) -> Result<Option<WrappedKey>> {
    let extension = path.extension().and_then(|e| e.to_str());
    let (offset, length) = match extension {
        Some("sealed") => (4, 4096),
        Some("parquet") => {
            let mut file = File::open(path).at(path)?;
            let bytes = file.metadata().at(path)?.len();
            match footer_of(&mut file, bytes).at(path)? {
                Some(footer) if footer.sealed => (footer.start, bytes - footer.start),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    let mut file = File::open(path).at(path)?;
    file.seek(SeekFrom::Start(offset)).at(path)?;
    let mut head = Vec::new();
    file.take(length).read_to_end(&mut head).at(path)?;
    let broken = || Error::integrity(format!("{}: no wrapped key where one belongs", path.display()));
    let start = memchr::memmem::find(&head, br#"{"keyMaterialType""#).ok_or_else(broken)?;
    let mut json = serde_json::Deserializer::from_slice(&head[start..]).into_iter::<serde_json::Value>();
    json.next().and_then(std::result::Result::ok).ok_or_else(broken)?;
    let metadata = head[start..start + json.byte_offset()].to_vec();
    Ok(Some(WrappedKey { offset: offset + u64::try_from(start).unwrap_or(0), metadata }))
}

/// Stages a copy with the key wrapped by the current master key; its digest.
fn rewrap(from: &Path, to: &Path, place: &WrappedKey, metadata: &[u8]) -> Result<String> {
    if metadata.len() != place.metadata.len() {
        return Err(Error::Crypto("the new wrapped key has another length".to_owned()));
    }
    let parent = to.parent().unwrap_or(to);
    std::fs::create_dir_all(parent).at(parent)?;
    std::fs::copy(from, to).at(to)?;
    let mut file = File::options().write(true).open(to).at(to)?;
    file.seek(SeekFrom::Start(place.offset)).at(to)?;
    file.write_all(metadata).at(to)?;
    file.sync_all().at(to)?;
    Ok(digest::sha256_file(to)?.0)
}
