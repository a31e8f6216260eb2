//! Writing Parquet parts: zstd, sorted rows, page index, statistics, bloom filters on lookup keys; encrypted when the table
//! is restricted and keys are configured (uniform AES-256, PKMT1 metadata, no AAD prefix: libraries.md §1).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use shikaku_schemas::tables::Table;

use super::checked::footer_digest;
use super::columns::Columns;
use super::content::ContentDigest;
use super::schema::arrow_schema;
use super::typed::Record;
use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::base::threads;
use crate::seal::Sealing;

/// Rows of a row group (rules.md §5).
const ROW_GROUP: usize = 1 << 20;
/// Rows of a part: four row groups, so that a part stays below a gigabyte.
const PART_ROWS: usize = 4 * ROW_GROUP;
/// Rows gathered before they go to the encoder.
const BATCH: usize = 1 << 14;
/// Rows from which on a table is encoded on a thread of its own.
const AT_ONCE: i64 = 1 << 14;
/// Level 3 would make parts some percent smaller and take twice the time.
const ZSTD_LEVEL: i32 = 1;

/// A finished part.
#[derive(Debug, Clone)]
pub struct Part {
    pub path: PathBuf,
    pub rows: i64,
    pub bytes: i64,
    pub sha256: String,
    /// SHA-256 of its footer.
    pub footer: Option<String>,
}

/// A finished folder.
#[derive(Debug)]
pub struct Finished {
    pub parts: Vec<Part>,
    pub rows: i64,
    pub content_digest: String,
}

/// The part being encoded, and those before it.
#[derive(Default)]
struct Parts {
    open: Option<(Box<ArrowWriter<File>>, PathBuf, i64)>,
    done: Vec<(PathBuf, i64)>,
}

impl Parts {
    fn work(&mut self, work: Work) -> Result<()> {
        match work {
            Work::Start(writer, path) => {
                self.end()?;
                self.open = Some((writer, path, 0));
                Ok(())
            }
            Work::Rows(batch) => {
                let Some((writer, path, rows)) = &mut self.open else { return Err(Error::internal("no part is open")) };
                *rows += i64::try_from(batch.num_rows()).map_err(|_| Error::failed("a part has too many rows"))?;
                writer.write(&batch).at(&**path)
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        if let Some((mut writer, path, rows)) = self.open.take() {
            writer.finish().at(&path)?;
            writer.inner().sync_all().at(&path)?;
            self.done.push((path, rows));
        }
        Ok(())
    }
}

enum Work {
    Start(Box<ArrowWriter<File>>, PathBuf),
    Rows(RecordBatch),
}

/// Encodes on a thread of its own, so that whoever makes the rows is not held up.
struct Background {
    sender: SyncSender<Work>,
    thread: JoinHandle<Result<Parts>>,
}

impl Background {
    fn start(mut parts: Parts) -> Result<Self> {
        let (sender, receiver) = sync_channel(4);
        let thread = threads::spawn("encoder", move || {
            for work in receiver {
                parts.work(work)?;
            }
            Ok(parts)
        })?;
        Ok(Self { sender, thread })
    }

    fn join(self) -> Result<Parts> {
        drop(self.sender);
        self.thread.join().unwrap_or_else(|_| Err(Error::internal("the encoder of a table stopped")))
    }
}

enum Encoder {
    Here(Parts),
    There(Background),
}

impl Encoder {
    fn work(self, work: Work) -> Result<Self> {
        match self {
            Self::Here(mut parts) => parts.work(work).map(|()| Self::Here(parts)),
            Self::There(background) => match background.sender.send(work) {
                Ok(()) => Ok(Self::There(background)),
                // It has stopped early, and says why.
                Err(_) => background.join().map(Self::Here),
            },
        }
    }
}

/// Writes one generation's folder: rows in, `part-00000.parquet` … out.
pub struct TableWriter<'a> {
    table: &'static Table,
    dir: PathBuf,
    sealing: Option<Sealing<'a>>,
    columns: Columns,
    encoder: Option<Encoder>,
    /// Parts begun, and rows of the newest one.
    begun: usize,
    in_part: usize,
    digest: ContentDigest,
    rows: i64,
}

impl<'a> TableWriter<'a> {
    pub fn create(table: &'static Table, dir: PathBuf, sealing: Option<Sealing<'a>>) -> Result<Self> {
        std::fs::create_dir_all(&dir).at(&dir)?;
        let sealing = sealing.filter(|_| table.restricted);
        let encoder = Some(Encoder::Here(Parts::default()));
        let (columns, digest) = (Columns::new(table), ContentDigest::new(table));
        Ok(Self { table, dir, sealing, columns, encoder, begun: 0, in_part: PART_ROWS, digest, rows: 0 })
    }

    /// Adds a row; rows come in the order of [`super::order`].
    pub fn push<R: Record>(&mut self, row: &R) -> Result<()> {
        self.columns.push(row)?;
        if self.columns.rows() < BATCH { Ok(()) } else { self.flush() }
    }

    /// Adds rows of a batch of the whole table.
    pub fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.flush()?;
        self.send(batch)
    }

    fn flush(&mut self) -> Result<()> {
        if self.columns.rows() == 0 {
            return Ok(());
        }
        let batch = self.columns.batch()?;
        self.send(batch)
    }

    /// Hands rows to the encoder, some thousand at once; a part ends with a row group.
    fn send(&mut self, batch: RecordBatch) -> Result<()> {
        self.digest.add(&batch)?;
        self.rows += i64::try_from(batch.num_rows()).map_err(|_| Error::failed("a table has too many rows"))?;
        let mut sent = 0;
        loop {
            if self.in_part >= PART_ROWS {
                let (writer, path) = self.new_part()?;
                self.work(Work::Start(Box::new(writer), path))?;
                self.in_part = 0;
            }
            // A small table is not worth a thread.
            if self.rows >= AT_ONCE
                && let Some(Encoder::Here(parts)) = self.encoder.take_if(|e| matches!(e, Encoder::Here(_)))
            {
                self.encoder = Some(Encoder::There(Background::start(parts)?));
            }
            let count = (batch.num_rows() - sent).min(PART_ROWS - self.in_part).min(BATCH);
            self.work(Work::Rows(batch.slice(sent, count)))?;
            self.in_part += count;
            sent += count;
            if sent == batch.num_rows() {
                return Ok(());
            }
        }
    }

    fn work(&mut self, work: Work) -> Result<()> {
        let encoder = self.encoder.take().ok_or_else(|| Error::internal("a table that failed is written to"))?;
        self.encoder = Some(encoder.work(work)?);
        Ok(())
    }

    fn new_part(&mut self) -> Result<(ArrowWriter<File>, PathBuf)> {
        let path = self.dir.join(format!("part-{:05}.parquet", self.begun));
        self.begun += 1;
        let file = File::create_new(&path).at(&path)?;
        let properties = properties(self.table, self.sealing)?;
        let writer = ArrowWriter::try_new(file, arrow_schema(self.table), Some(properties)).at(&path)?;
        Ok((writer, path))
    }

    /// Ends the folder: parts with their digests, row count, content digest. A folder without rows has one empty part.
    pub fn finish(mut self) -> Result<Finished> {
        self.flush()?;
        if self.begun == 0 {
            let empty = self.columns.batch()?;
            self.send(empty)?;
        }
        let mut written = match self.encoder.take() {
            Some(Encoder::Here(parts)) => parts,
            Some(Encoder::There(background)) => background.join()?,
            None => return Err(Error::internal("a table that failed is written to")),
        };
        written.end()?;
        let mut parts = Vec::new();
        for (path, rows) in written.done {
            let (sha256, bytes) = digest::sha256_file(&path)?;
            let bytes = i64::try_from(bytes).map_err(|_| Error::failed("a part is too large"))?;
            let footer = footer_digest(&path)?;
            parts.push(Part { path, rows, bytes, sha256, footer });
        }
        Ok(Finished { parts, rows: self.rows, content_digest: self.digest.finish() })
    }
}

/// One plain file of a table's rows, for export. Returns their number.
pub fn plain_file(
    table: &'static Table,
    file: File,
    path: &Path,
    batches: &mut dyn Iterator<Item = Result<RecordBatch>>,
) -> Result<i64> {
    let mut writer = ArrowWriter::try_new(file, arrow_schema(table), Some(properties(table, None)?)).at(path)?;
    let mut count = 0;
    for batch in batches {
        let batch = batch?;
        count += i64::try_from(batch.num_rows()).map_err(|_| Error::failed("a table has too many rows"))?;
        writer.write(&batch).at(path)?;
    }
    writer.finish().at(path)?;
    writer.inner().sync_all().at(path)?;
    Ok(count)
}

fn properties(table: &Table, sealing: Option<Sealing<'_>>) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).at(Path::new(&table.name))?;
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Page);
    for name in &table.no_dictionary {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name.as_str()), false);
    }
    for name in &table.lookup {
        builder = builder.set_column_bloom_filter_enabled(ColumnPath::from(name.as_str()), true);
    }
    if let Some(sealing) = sealing {
        let (key, metadata) = sealing.keys.new_data_key(sealing.entropy)?;
        let properties = FileEncryptionProperties::builder(key.to_vec())
            .with_footer_key_metadata(metadata)
            .build()
            .at(Path::new(&table.name))?;
        builder = builder.with_file_encryption_properties(properties);
    }
    Ok(builder.build())
}
