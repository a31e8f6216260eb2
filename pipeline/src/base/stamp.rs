//! What tells one file from another that took its name, and a file from itself before it was written to.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use crate::base::error::{At, Result};

/// Which file it is and when it last changed, as the file system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    pub bytes: u64,
    /// Last write and last change, seconds and nanoseconds.
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of an open file: what a name stands for may change, a handle does not.
    pub fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from_metadata(&metadata))
    }

    #[cfg(unix)]
    pub fn from_metadata(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    #[cfg(not(unix))]
    pub fn from_metadata(metadata: &Metadata) -> Self {
        let written = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let seconds = written.map_or(0, |at| i64::try_from(at.as_secs()).unwrap_or(0));
        let rest = written.map_or(0, |at| i64::from(at.subsec_nanos()));
        Self { device: 0, inode: 0, bytes: metadata.len(), written: (seconds, rest), changed: (0, 0) }
    }

    /// Whether it is the same file, changed or not.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// A file that is read several times, each time as it was the first time.
pub trait Reopen {
    /// The file from its start; an error when it is another one by now.
    fn reopen(&self) -> Result<File>;
    /// Where it is, for messages.
    fn place(&self) -> &Path;
}

impl Reopen for Path {
    fn reopen(&self) -> Result<File> {
        File::open(self).at(self)
    }

    fn place(&self) -> &Path {
        self
    }
}
