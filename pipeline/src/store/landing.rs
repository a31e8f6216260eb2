//! Landed inputs: the bytes as received, compressed, and sealed when keys are configured. Readable again for ever.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

use crate::base::digest::HashingRead;
use crate::base::error::{At, Error, Result};
use crate::seal::Sealing;
use crate::seal::keys::Keys;
use crate::seal::stream::{Opener, Sealer};
use crate::text::cp932::Encoding;
use crate::text::my_number;

/// Place of an input below the lake.
pub fn place(sha256: &str, sealed: bool) -> String {
    format!("landing/{}/{sha256}.zst{}", &sha256[..2], if sealed { ".sealed" } else { "" })
}

/// Copies a source into its landed form at `to`; flushing it is the caller's. Returns the digest of what was copied.
pub fn write(source: impl Read, to: &Path, sealing: Option<Sealing<'_>>) -> Result<String> {
    let mut source = HashingRead::new(source);
    let file = File::create(to).at(to)?;
    match sealing {
        None => drop(compress(&mut source, file).at(to)?),
        Some(sealing) => {
            let sealer = Sealer::new(file, sealing)?;
            compress(&mut source, sealer).at(to)?.finish().at(to)?;
        }
    }
    Ok(source.finish())
}

/// A source whose digits are made blanks in some stretches of it, which ascend.
pub struct Blanking<'b, R> {
    source: R,
    stretches: std::slice::Iter<'b, Range<u64>>,
    next: Option<&'b Range<u64>>,
    encoding: Encoding,
    position: u64,
    /// A stretch that was made blank, and how much of it was handed out.
    ready: Vec<u8>,
    taken: usize,
}

impl<'b, R: Read> Blanking<'b, R> {
    pub fn new(source: R, stretches: &'b [Range<u64>], encoding: Encoding) -> Self {
        let mut stretches = stretches.iter();
        let next = stretches.next();
        Self { source, stretches, next, encoding, position: 0, ready: Vec::new(), taken: 0 }
    }
}

impl<R: Read> Read for Blanking<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.ready.len()
            && let Some(range) = self.next.filter(|range| range.start <= self.position)
        {
            self.ready.clear();
            self.taken = 0;
            let length = range.end.saturating_sub(self.position);
            Read::by_ref(&mut self.source).take(length).read_to_end(&mut self.ready)?;
            self.ready = my_number::blanked(&self.ready, self.encoding);
            self.next = self.stretches.next();
        }
        let ready = &self.ready[self.taken..];
        let n = if ready.is_empty() {
            let until = self.next.map_or(u64::MAX, |range| range.start - self.position);
            let room = usize::try_from(until).unwrap_or(usize::MAX).min(out.len());
            self.source.read(&mut out[..room])?
        } else {
            let n = ready.len().min(out.len());
            out[..n].copy_from_slice(&ready[..n]);
            self.taken += n;
            n
        };
        self.position += u64::try_from(n).unwrap_or(0);
        Ok(n)
    }
}

fn compress<W: Write>(source: &mut impl Read, sink: W) -> io::Result<W> {
    let mut encoder = zstd::Encoder::new(sink, 1)?;
    io::copy(source, &mut encoder)?;
    encoder.finish()
}

/// The bytes of a landed input, which must have that digest: else the last read is an error.
pub fn open_known(path: &Path, keys: Option<&Keys>, sha256: &str) -> Result<Box<dyn Read>> {
    let source = HashingRead::new(open(path, keys)?);
    Ok(Box::new(Known { source: Some(source), sha256: sha256.to_owned() }))
}

/// Compares what passes with a digest, at its end.
struct Known {
    source: Option<HashingRead<Box<dyn Read>>>,
    sha256: String,
}

impl Read for Known {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(source) = &mut self.source else { return Ok(0) };
        let n = source.read(out)?;
        if n == 0 && !out.is_empty() {
            let passed = self.source.take().map(HashingRead::finish);
            if passed.as_ref() != Some(&self.sha256) {
                return Err(io::Error::other("a landed file is not what was received; run `shikaku audit verify`"));
            }
        }
        Ok(n)
    }
}

/// The bytes of a landed input as they were received.
pub fn open(path: &Path, keys: Option<&Keys>) -> Result<Box<dyn Read>> {
    let file = File::open(path).at(path)?;
    if path.extension().is_some_and(|e| e == "sealed") {
        let keys = keys.ok_or_else(|| Error::Crypto(format!("{}: no key file is configured", path.display())))?;
        let opener = Opener::new(file, keys)?;
        return Ok(Box::new(zstd::Decoder::new(opener).at(path)?));
    }
    Ok(Box::new(zstd::Decoder::new(file).at(path)?))
}
