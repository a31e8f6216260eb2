//! Files of a stage: landings, files for the outbox, and flushing them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Stage, landing, sync_dir};
use crate::base::digest::{self, HashingRead};
use crate::base::error::{At, Error, Result};
use crate::base::spool::Spooled;
use crate::base::stamp::Reopen as _;
use crate::base::threads;
use crate::ledger::OutputRow;
use crate::seal::Sealing;
use crate::store::input::Input;
use crate::text::cp932::Encoding;

/// Stages landings; see [`Stage::lander`].
#[derive(Clone, Copy)]
pub struct Lander<'a> {
    pub(super) dir: &'a Path,
    pub(super) lake: &'a Path,
    pub(super) sealing: Option<Sealing<'a>>,
}

/// An input whose bytes are kept.
pub struct Landed {
    /// Place below the lake.
    pub(super) place: String,
    /// What was staged for it; none when its bytes lie there already.
    pub(super) output: Option<OutputRow>,
}

impl Lander<'_> {
    /// Stages one input. Equal bytes are staged once: inputs of a run differ.
    pub fn stage(&self, input: &Input) -> Result<Landed> {
        self.stage_blanked(input, &[], Encoding::Cp932)
    }

    /// The same without the digits in some stretches of the file, which ascend.
    pub fn stage_blanked(&self, input: &Input, blank: &[Range<u64>], encoding: Encoding) -> Result<Landed> {
        let place = landing::place(&input.sha256, self.sealing.is_some());
        let staged = self.dir.join("lake").join(&place);
        if self.lake.join(&place).exists() || staged.exists() {
            return Ok(Landed { place, output: None });
        }
        create_dirs_of(&staged)?;
        let mut received = HashingRead::new(input.reopen()?);
        let kept = landing::write(landing::Blanking::new(&mut received, blank, encoding), &staged, self.sealing)?;
        if received.finish() != input.sha256 {
            return Err(Error::Changed(input.path.clone()));
        }
        let (sha256, bytes) = digest::sha256_file(&staged)?;
        let output = OutputRow {
            path: format!("lake/{place}"),
            sha256,
            bytes: i64::try_from(bytes).map_err(|_| Error::failed("a file is too large"))?,
            rows: None,
            content_digest: Some(kept),
            table_name: None,
            partition: None,
            footer: None,
        };
        Ok(Landed { place, output: Some(output) })
    }
}

impl Stage<'_> {
    /// A file for the outbox, `path` below it; its bytes are written at once.
    pub fn outbox(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let place = self.outbox_place(path)?;
        let staged = self.dir.join("outbox").join(&place);
        create(&staged, bytes)?;
        let length = i64::try_from(bytes.len()).map_err(|_| Error::failed("a file is too large"))?;
        self.staged_outbox(staged, place, digest::sha256(bytes), length);
        Ok(())
    }

    /// The same of bytes that may lie in a file of the stage already.
    pub fn outbox_spooled(&mut self, path: &str, spooled: Spooled) -> Result<()> {
        let from = match spooled {
            Spooled::Memory(bytes) => return self.outbox(path, &bytes),
            Spooled::File(from) => from,
        };
        let place = self.outbox_place(path)?;
        let staged = self.dir.join("outbox").join(&place);
        create_dirs_of(&staged)?;
        std::fs::rename(&from, &staged).at(&staged)?;
        let (sha256, bytes) = digest::sha256_file(&staged)?;
        let length = i64::try_from(bytes).map_err(|_| Error::failed("a file is too large"))?;
        self.staged_outbox(staged, place, sha256, length);
        Ok(())
    }

    /// Folder of the run, for what it works with.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn outbox_place(&self, path: &str) -> Result<String> {
        // A published file never changes: a later one of the same name gets a number.
        let (stem, extension) = path.rsplit_once('.').unwrap_or((path, ""));
        let numbered = (2u32..).map(|n| format!("{stem}_{n}.{extension}"));
        std::iter::once(path.to_owned())
            .chain(numbered)
            .find(|p| !self.store.config.outbox.join(p).exists())
            .ok_or_else(|| Error::failed("no free name in the outbox"))
    }

    fn staged_outbox(&mut self, staged: PathBuf, place: String, sha256: String, bytes: i64) {
        self.unflushed.push(staged);
        self.outputs.push(OutputRow {
            path: format!("outbox/{place}"),
            sha256,
            bytes,
            rows: None,
            content_digest: None,
            table_name: None,
            partition: None,
            footer: None,
        });
    }
}

fn create_dirs_of(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).at(parent)
}

fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    create_dirs_of(path)?;
    std::fs::File::create_new(path).at(path)?.write_all(bytes).at(path)
}

/// Flushes many small files: on more threads than cores, since each waits for the disk.
pub(super) fn sync_files(files: &[PathBuf]) -> Result<()> {
    const THREADS: usize = 16;
    let flush = |own: &[PathBuf]| own.iter().try_for_each(|f| std::fs::File::open(f).at(f)?.sync_all().at(f));
    std::thread::scope(|scope| {
        let shares = files.chunks(files.len().div_ceil(THREADS).max(1));
        let threads: Vec<_> =
            shares.map(|own| threads::spawn_scoped(scope, move || flush(own))).collect::<Result<_>>()?;
        let mut ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.try_for_each(|end| end.unwrap_or_else(|_| Err(Error::internal("a file could not be flushed"))))
    })
}

/// Flushes every folder below the stage; files of tables are flushed as they are finished.
pub(super) fn sync_tree(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).at(dir)? {
        let path = entry.at(dir)?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    sync_dir(dir)
}
