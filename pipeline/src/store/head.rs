//! `chain.head`: number and hash of the newest event, beside the ledger and signed, so that an event taken off the chain's end
//! shows.
//!
//! Whoever appends, a night or a reader that leaves an access record, holds [`HeadLock`] from before the append until the
//! head is written. A kill can leave the head behind the chain, never aside or ahead.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::publish::write_whole;
use crate::base::error::{At, Error, Result};
use crate::base::stamp::Stamp;
use crate::ledger::{GENESIS, Ledger};
use crate::seal::keys::Keys;

/// Its name below the lake, and that of the lock that whoever writes it holds.
pub const NAME: &str = "chain.head";
pub const LOCK: &str = ".chain.lock";

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

    /// As it stands in the file.
    fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// The right to append, for the moment that it takes.
pub struct HeadLock {
    _file: File,
}

impl HeadLock {
    pub fn take(lake: &Path) -> Result<Self> {
        Ok(Self { _file: lock_file(&lake.join(LOCK), |file| file.lock())? })
    }
}

/// Opens and locks a file that is still the one of that name once it is locked: should somebody have removed it meanwhile, two
/// would hold different locks.
pub fn lock_file(path: &Path, lock: impl Fn(&File) -> std::io::Result<()>) -> Result<File> {
    loop {
        let file = File::options().create(true).write(true).truncate(false).open(path).at(path)?;
        lock(&file).at(path)?;
        let own = Stamp::of(&file).at(path)?;
        if std::fs::symlink_metadata(path).is_ok_and(|named| Stamp::from_metadata(&named).is_same_file(&own)) {
            return Ok(file);
        }
    }
}

fn path(lake: &Path) -> PathBuf {
    lake.join(NAME)
}

/// Writes the head. The caller holds the lock.
pub fn write(lake: &Path, ledger: &Ledger, keys: Option<&Keys>) -> Result<()> {
    let (seq, hash) = ledger.head()?;
    let text = Head::new(seq, hash, keys).text()?;
    let path = path(lake);
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write_whole(&path, text.as_bytes())
}

/// What `chain.head` says of the ledger: the number it stands at, if the chain passed through it.
///
/// From there on every event must be chained and, in a lake with keys, signed: a tail of another hand is exit 5, not a kill.
pub fn check(lake: &Path, ledger: &Ledger, keys: Option<&Keys>) -> Result<i64> {
    let aside = || Error::integrity("chain.head is not a head of this ledger; run `shikaku audit verify`");
    let path = path(lake);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at(&path),
        text => text.unwrap_or_default(),
    };
    let written: Head = serde_json::from_str(&text).map_err(|_| aside())?;
    let hash = match written.seq {
        0 => Some(GENESIS.to_owned()),
        seq => ledger.event(seq)?.filter(|event| event.is_chained_to(&event.prev)).map(|event| event.hash),
    };
    let known = hash.ok_or_else(aside)?;
    // Written by rename and always in this form: other bytes were not written by us.
    if written != Head::new(written.seq, known.clone(), keys) || written.text()? != text {
        return Err(aside());
    }
    let mut prev = known;
    for event in ledger.events_after(written.seq)? {
        if !event.is_chained_to(&prev) || !event.is_signed(keys) {
            let (seq, kind) = (event.seq, &event.kind);
            let text = format!("ledger event {seq} ({kind}) is not of this lake; run `shikaku audit verify`");
            return Err(Error::integrity(text));
        }
        prev = event.hash;
    }
    Ok(written.seq)
}
