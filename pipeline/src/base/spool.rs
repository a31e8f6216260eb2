//! Bytes for the outbox while they are made: in memory as long as they are few, then in a file of the stage. A small file of
//! many bad lines has a result file many times its size.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::error::{At, Result};

/// Bytes kept in memory.
const IN_MEMORY: usize = 4 << 20;
/// Tells the files of several spools apart while they have no place yet.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What was made.
#[derive(Debug)]
pub enum Spooled {
    Memory(Vec<u8>),
    /// A whole file, to be moved to its place.
    File(PathBuf),
}

impl Default for Spooled {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl From<Vec<u8>> for Spooled {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(bytes)
    }
}

/// Takes bytes in order.
pub struct Spool {
    bytes: Vec<u8>,
    /// Folder of the stage; none = everything stays in memory.
    dir: Option<PathBuf>,
    file: Option<(BufWriter<File>, PathBuf)>,
}

impl Spool {
    pub fn new(dir: Option<&Path>) -> Self {
        Self { bytes: Vec::new(), dir: dir.map(Path::to_path_buf), file: None }
    }

    /// Where the next bytes go; to be followed by [`Self::settle`] once in a while.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Hands what is too much for memory to a file.
    pub fn settle(&mut self) -> Result<()> {
        match (&self.dir, &mut self.file) {
            (Some(dir), None) if self.bytes.len() >= IN_MEMORY => {
                let path = dir.join(format!("spool-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
                let file = BufWriter::new(File::create_new(&path).at(&path)?);
                self.file = Some((file, path));
            }
            (_, Some(_)) if self.bytes.len() >= 1 << 16 => {}
            _ => return Ok(()),
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if let Some((file, path)) = &mut self.file {
            file.write_all(&self.bytes).at(&*path)?;
            self.bytes.clear();
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Spooled> {
        self.flush()?;
        match self.file {
            None => Ok(Spooled::Memory(self.bytes)),
            Some((mut file, path)) => {
                file.flush().at(&path)?;
                Ok(Spooled::File(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_stay_in_memory_and_many_lie_in_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let made = |lines: usize| {
            let mut spool = Spool::new(Some(dir.path()));
            for n in 0..lines {
                spool.buffer().extend_from_slice(format!("{n:09}\n").as_bytes());
                spool.settle().unwrap();
            }
            spool.finish().unwrap()
        };
        assert!(matches!(made(10), Spooled::Memory(bytes) if bytes.len() == 100));
        let Spooled::File(path) = made(1_000_000) else { panic!("10 MB stayed in memory") };
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.lines().enumerate().all(|(n, line)| line.parse() == Ok(n)) && text.len() == 10_000_000);
    }
}
