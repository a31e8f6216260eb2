//! A sealed stream: what a landed input or a run of the sorter is in the lake when keys are configured.
//!
//! Its form: 4-byte length and JSON of the wrapped data key, 7-byte nonce, then chunks of 64 KiB, each an AES-256-GCM
//! STREAM segment, so that a cut, a swap or a changed byte is found.

use std::fs::File;
use std::io::{self, Read, Write};

use aead_stream::{DecryptorBE32, EncryptorBE32};
use aes_gcm::{Aes256Gcm, Key, KeyInit};

use super::Sealing;
use super::keys::Keys;
use crate::base::error::{At, Error, Result};

const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

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
