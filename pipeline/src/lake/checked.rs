//! Opening parts of the lake: each is what the ledger says it is, at every moment that it is read.
//!
//! Size and footer are compared whenever a file is opened anew, the digest of the whole once per process and file. Of a sealed
//! part AES-GCM vouches for every page once the footer is known to be ours; for its Bloom filters, which Parquet does not
//! seal, the digest does.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::PartRef;
use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::base::stamp::Stamp;

/// Length of the mark at a part's ends, and of mark and footer length together.
const MARK: usize = 4;
const TAIL: u64 = 8;

/// Where files whose keys were wrapped anew are staged, below the lake, under their ledger paths.
pub const ROTATION: &str = "_rotation";

/// How much of a part was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// Size and footer.
    Footer,
    /// Every byte.
    Whole,
}

/// Files that were compared, as they were then. One for the life of a store.
#[derive(Debug, Clone, Default)]
pub struct Checks(Arc<Mutex<HashMap<PathBuf, Known>>>);

/// A file that was compared.
#[derive(Debug, Clone, Copy)]
struct Known {
    stamp: Stamp,
    seen: Seen,
    sealed: bool,
}

/// A part that is what the ledger says.
pub struct CheckedPart {
    pub source: Source,
    pub sealed: bool,
}

impl CheckedPart {
    /// Without its handle: it is opened for each page, and compared each time. For merges of more parts than a process may
    /// hold open.
    pub fn closed(self) -> Self {
        let Source { path, stamp, .. } = self.source;
        Self { source: Source { path, stamp, file: None }, ..self }
    }
}

/// Bytes of a part for Parquet's reader.
pub struct Source {
    path: PathBuf,
    stamp: Stamp,
    /// `None` = opened anew for each page.
    file: Option<File>,
}

impl Source {
    fn at(&self, start: u64) -> parquet::errors::Result<File> {
        let trouble = |e: std::io::Error| ParquetError::External(Box::new(e));
        let mut file = match &self.file {
            Some(file) => file.try_clone().map_err(trouble)?,
            None => {
                let file = File::open(&self.path).map_err(trouble)?;
                if Stamp::of(&file).map_err(trouble)? != self.stamp {
                    return Err(ParquetError::General("the file changed while it was read".to_owned()));
                }
                file
            }
        };
        file.seek(SeekFrom::Start(start)).map_err(trouble)?;
        Ok(file)
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.stamp.bytes
    }
}

impl ChunkReader for Source {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(self.at(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut bytes = Vec::with_capacity(length);
        let wanted = u64::try_from(length).unwrap_or(u64::MAX);
        let read = self.at(start)?.take(wanted).read_to_end(&mut bytes);
        if read.map_err(|e| ParquetError::External(Box::new(e)))? != length {
            return Err(ParquetError::EOF("a part ends too early".to_owned()));
        }
        Ok(bytes.into())
    }
}

impl Checks {
    /// Opens a part for reading rows of it.
    pub fn open(&self, lake: &Path, part: &PartRef) -> Result<CheckedPart> {
        self.open_to(lake, part, Seen::Footer)
    }

    /// Opens a part of which Bloom filters are read too.
    pub fn open_whole(&self, lake: &Path, part: &PartRef) -> Result<CheckedPart> {
        self.open_to(lake, part, Seen::Whole)
    }

    /// Compares size and footer of a part, and nothing more.
    pub fn look(&self, lake: &Path, part: &PartRef) -> Result<()> {
        let path = lake.join(&part.path);
        let mut file = File::open(&path).map_err(|e| missing(e, &path))?;
        let bytes = file.metadata().at(&path)?.len();
        match published_footer(&mut file, bytes, part).at(&path)?.is_some() || lake.join(ROTATION).exists() {
            true => Ok(()),
            false => Err(changed(part)),
        }
    }

    fn open_to(&self, lake: &Path, part: &PartRef, wanted: Seen) -> Result<CheckedPart> {
        let path = lake.join(&part.path);
        let opened = self.open_at(path.clone(), part, wanted);
        if !matches!(opened, Err(Error::Integrity(_))) {
            return opened;
        }
        // While master keys are rotated, between ledger and rename, the part lies where it was wrapped anew.
        let rewrapped = lake.join(ROTATION).join("lake").join(&part.path);
        let staged = if rewrapped.exists() { self.open_at(rewrapped, part, wanted).ok() } else { None };
        // The rename may have come in between.
        staged.or_else(|| self.open_at(path, part, wanted).ok()).map_or(opened, Ok)
    }

    fn open_at(&self, path: PathBuf, part: &PartRef, wanted: Seen) -> Result<CheckedPart> {
        let mut file = File::open(&path).map_err(|e| missing(e, &path))?;
        let stamp = Stamp::of(&file).at(&path)?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&path).copied();
        if let Some(Known { sealed, .. }) = known.filter(|known| known.stamp == stamp && known.seen >= wanted) {
            return Ok(CheckedPart { source: Source { path, stamp, file: Some(file) }, sealed });
        }
        let footer = published_footer(&mut file, stamp.bytes, part).at(&path)?.ok_or_else(|| changed(part))?;
        // A plain part has nothing but its digest to show for its pages.
        let seen = if footer.sealed && part.footer.is_some() { wanted } else { Seen::Whole };
        if seen == Seen::Whole {
            file.seek(SeekFrom::Start(0)).at(&path)?;
            if digest::sha256_of(&mut file).at(&path)?.0 != part.sha256 {
                return Err(changed(part));
            }
        }
        // Written to while it was compared: then it is not known what was compared.
        if Stamp::of(&file).at(&path)? != stamp {
            return Err(changed(part));
        }
        let known = Known { stamp, seen, sealed: footer.sealed };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), known);
        file.seek(SeekFrom::Start(0)).at(&path)?;
        Ok(CheckedPart { source: Source { path, stamp, file: Some(file) }, sealed: footer.sealed })
    }
}

fn changed(part: &PartRef) -> Error {
    Error::integrity(format!("lake/{}: is not the file that was published", part.path))
}

/// The footer of a file that has a part's size and footer.
fn published_footer(file: &mut File, bytes: u64, part: &PartRef) -> std::io::Result<Option<Footer>> {
    let same = u64::try_from(part.bytes).ok() == Some(bytes);
    let footer = footer_of(file, bytes)?;
    Ok(footer.filter(|footer| same && part.footer.as_ref().is_none_or(|own| *own == footer.sha256)))
}

/// A part that is gone is damage; one that cannot be opened (no file handle left, a lost disk) is trouble.
fn missing(error: std::io::Error, path: &Path) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::integrity(format!("{}: is missing", path.display())),
        _ => Error::Io { path: path.to_owned(), source: error },
    }
}

/// What stands at the end of a Parquet file.
pub struct Footer {
    pub sealed: bool,
    /// Where it begins, and its length with mark and length.
    pub start: u64,
    pub sha256: String,
}

/// Reads the footer; `None` = no Parquet file ends so.
pub fn footer_of(file: &mut File, bytes: u64) -> std::io::Result<Option<Footer>> {
    let Some(tail_at) = bytes.checked_sub(TAIL) else { return Ok(None) };
    file.seek(SeekFrom::Start(tail_at))?;
    let mut tail = [0u8; 8];
    file.read_exact(&mut tail)?;
    let (length, mark) = tail.split_at(MARK);
    let sealed = match mark {
        b"PAR1" => false,
        b"PARE" => true,
        _ => return Ok(None),
    };
    let length = length.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let Some(start) = tail_at.checked_sub(length) else { return Ok(None) };
    file.seek(SeekFrom::Start(start))?;
    let (sha256, _) = digest::sha256_of(&mut file.take(length + TAIL))?;
    Ok(Some(Footer { sealed, start, sha256 }))
}

/// Digest of the footer of a part that was just written.
pub fn footer_digest(path: &Path) -> Result<Option<String>> {
    let mut file = File::open(path).at(path)?;
    let bytes = file.metadata().at(path)?.len();
    Ok(footer_of(&mut file, bytes).at(path)?.map(|footer| footer.sha256))
}
