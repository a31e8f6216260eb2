//! One writer at a time. What is locked is the lake's folder itself, which nobody cleans up, and `.lock` in it, which says
//! with its name what it is for.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::head::lock_file;
use crate::base::error::{At, Error, Result};
use crate::base::stamp::Stamp;

/// Held for the life of a store that writes.
pub struct Lock {
    _folder: File,
    /// None where the lake cannot be written to.
    _file: Option<File>,
}

impl Lock {
    /// Takes the lock or says that it is taken. On a lake mounted read-only, which only `audit verify` locks, the folder's
    /// lock alone.
    pub fn take(lake: &Path, read_only: bool) -> Result<Self> {
        let path = lake.join(".lock");
        let held = |error: TryLockError| match error {
            TryLockError::WouldBlock => Error::Locked(path.clone()),
            TryLockError::Error(source) => Error::Io { path: path.clone(), source },
        };
        let folder = File::open(lake).at(lake)?;
        folder.try_lock().map_err(held)?;
        let own = Stamp::of(&folder).at(lake)?;
        let named = std::fs::metadata(lake).at(lake)?;
        if !Stamp::from_metadata(&named).is_same_file(&own) {
            return Err(Error::Locked(path));
        }
        let try_lock = |file: &File| match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(std::io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        let file = match lock_file(&path, try_lock) {
            Ok(file) => Some(file),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(Error::Locked(path));
            }
            Err(_) if read_only => None,
            Err(error) => return Err(error),
        };
        Ok(Self { _folder: folder, _file: file })
    }
}
