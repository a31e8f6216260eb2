//! SHA-256 in lower-case hex: identity of inputs, outputs and table contents.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::base::error::{At, Result};

/// Hex of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Digest of one byte string.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Digest and length of a file, read in one pass.
pub fn sha256_file(path: &Path) -> Result<(String, u64)> {
    let mut file = std::fs::File::open(path).at(path)?;
    sha256_of(&mut file).at(path)
}

/// Digest and length of what is left of a source.
pub fn sha256_of(source: &mut dyn Read) -> std::io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    let mut total = 0u64;
    loop {
        let n = match source.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if n == 0 {
            return Ok((hex(&hasher.finalize()), total));
        }
        hasher.update(&buffer[..n]);
        total += u64::try_from(n).unwrap_or(u64::MAX);
    }
}

/// Hashes what is read through it, for comparing with a digest that is known.
pub struct HashingRead<R> {
    source: R,
    hasher: Sha256,
}

impl<R: Read> HashingRead<R> {
    pub fn new(source: R) -> Self {
        Self { source, hasher: Sha256::new() }
    }

    /// Digest of what passed.
    pub fn finish(self) -> String {
        hex(&self.hasher.finalize())
    }
}

impl<R: Read> Read for HashingRead<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.source.read(out)?;
        self.hasher.update(&out[..n]);
        Ok(n)
    }
}

/// Digest over named parts, each with its length, so that no two lists of parts look alike.
pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hex(&hasher.finalize())
}
