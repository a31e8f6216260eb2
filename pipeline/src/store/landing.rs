//! Landed inputs: the bytes as received, compressed, and sealed when keys are configured. Readable again for ever.
//!
//! Sealed form: 4-byte length and JSON of the wrapped data key, 7-byte nonce, then chunks of 64 KiB, each an AES-256-GCM
//! STREAM segment, so that a cut, a swap or a changed byte is found.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

use aead_stream::{DecryptorBE32, EncryptorBE32};
use aes_gcm::{Aes256Gcm, Key, KeyInit};

use crate::digest::HashingRead;
use crate::error::{At, Error, Result};
use crate::keys::Keys;
use crate::lake::write::Sealing;
use crate::text::cp932::Encoding;
use crate::text::my_number;

const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

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

/// Seals what is written to it.
pub struct Sealer {
    sink: File,
    stream: EncryptorBE32<Aes256Gcm>,
    buffer: Vec<u8>,
}

impl Sealer {
    pub fn new(mut sink: File, sealing: Sealing<'_>) -> Result<Self> {
        let (key, metadata) = sealing.keys.new_data_key(sealing.entropy)?;
        let mut nonce = [0u8; 7];
        sealing.entropy.fill(&mut nonce)?;
        let length = u32::try_from(metadata.len()).map_err(|_| Error::Crypto("key metadata is too long".to_owned()))?;
        let head = [length.to_be_bytes().as_slice(), &metadata, &nonce].concat();
        sink.write_all(&head).at("landing")?;
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(key));
        Ok(Self { sink, stream: EncryptorBE32::from_aead(cipher, &nonce.into()), buffer: Vec::new() })
    }

    /// Seals the rest.
    pub fn finish(mut self) -> io::Result<File> {
        let sealed = self.stream.encrypt_last(self.buffer.as_slice()).map_err(|_| failed())?;
        self.sink.write_all(&sealed)?;
        Ok(self.sink)
    }
}

impl Write for Sealer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(data);
        // The last chunk is marked as such, so a full buffer waits until more is known to follow.
        while self.buffer.len() > CHUNK {
            let rest = self.buffer.split_off(CHUNK);
            let sealed = self.stream.encrypt_next(self.buffer.as_slice()).map_err(|_| failed())?;
            self.sink.write_all(&sealed)?;
            self.buffer = rest;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed() -> io::Error {
    io::Error::other("a landed file could not be sealed or opened")
}

/// Reads what a [`Sealer`] wrote.
pub struct Opener {
    source: File,
    stream: Option<DecryptorBE32<Aes256Gcm>>,
    sealed: Vec<u8>,
    opened: Vec<u8>,
    position: usize,
}

impl Opener {
    pub fn new(mut source: File, keys: &Keys) -> Result<Self> {
        let bad = || Error::integrity("a landed file has no readable key");
        // A file that ends too early is damaged; one that cannot be read is trouble of another kind.
        let cut = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => bad(),
            _ => Error::Io { path: "landing".into(), source: error },
        };
        let mut length = [0u8; 4];
        source.read_exact(&mut length).map_err(cut)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| bad())?;
        if length > 4096 {
            return Err(bad());
        }
        let mut metadata = vec![0u8; length];
        source.read_exact(&mut metadata).map_err(cut)?;
        let mut nonce = [0u8; 7];
        source.read_exact(&mut nonce).map_err(cut)?;
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(keys.open_data_key(&metadata)?));
        let stream = Some(DecryptorBE32::from_aead(cipher, &nonce.into()));
        Ok(Self { source, stream, sealed: Vec::new(), opened: Vec::new(), position: 0 })
    }

    fn fill(&mut self) -> io::Result<()> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let wanted = u64::try_from(CHUNK + TAG + 1 - self.sealed.len()).unwrap_or(0);
        Read::by_ref(&mut self.source).take(wanted).read_to_end(&mut self.sealed)?;
        self.position = 0;
        if self.sealed.len() > CHUNK + TAG {
            let rest = self.sealed.split_off(CHUNK + TAG);
            self.opened = stream.decrypt_next(self.sealed.as_slice()).map_err(|_| failed())?;
            self.sealed = rest;
            self.stream = Some(stream);
        } else {
            self.opened = stream.decrypt_last(self.sealed.as_slice()).map_err(|_| failed())?;
            self.sealed.clear();
        }
        Ok(())
    }
}

impl Read for Opener {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.position == self.opened.len() && self.stream.is_some() {
            self.fill()?;
        }
        let rest = &self.opened[self.position..];
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.position += n;
        Ok(n)
    }
}
