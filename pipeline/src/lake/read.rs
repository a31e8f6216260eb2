//! Reading Parquet parts back through the same layer, sealed or not.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::errors::ParquetError;
use rayon::prelude::*;
use shikaku_schemas::tables::{self, Table};

use super::checked::{CheckedPart, Checks, Source};
use super::schema::{arrow_schema, named};
use super::typed::Owned;
use super::{Generation, PartRef, Snapshot};
use crate::base::error::{At, Error, Result};
use crate::seal::keys::Keys;

const BATCH: usize = 1 << 13;
/// Most parts that a merge holds open: far below what any machine allows a process.
const MOST_OPEN: usize = 32;

struct Retriever(Arc<Keys>);

impl KeyRetriever for Retriever {
    fn retrieve_key(&self, metadata: &[u8]) -> parquet::errors::Result<Vec<u8>> {
        self.0.open_data_key(metadata).map(|k| k.to_vec()).map_err(|e| ParquetError::General(e.to_string()))
    }
}

/// Reads tables of one snapshot.
#[derive(Clone)]
pub struct Reader {
    pub snapshot: Snapshot,
    keys: Option<Arc<Keys>>,
    checks: Checks,
    /// Parts are opened for each page and not held: for merges of many.
    closed: bool,
}

/// Row groups are skipped when none of the wanted values lies between a column's least and greatest value.
pub struct Prune<'a> {
    pub column: &'a str,
    /// Ascending.
    pub wanted: &'a [&'a str],
}

impl Reader {
    pub fn new(snapshot: Snapshot, keys: Option<Arc<Keys>>, checks: Checks) -> Self {
        Self { snapshot, keys, checks, closed: false }
    }

    /// All rows of a generation, in order; of all columns or of these.
    pub fn batches(
        &self,
        table: &'static Table,
        generation: &Generation,
        columns: Option<&[&str]>,
        prune: Option<&Prune<'_>>,
    ) -> Result<Batches> {
        let mut parts = self.snapshot.parts(generation)?.to_vec();
        parts.reverse();
        let mut open = Vec::new();
        if let Some(prune) = prune {
            // Pruned reads open every part at once to know what they skip; parts are few.
            for part in &parts {
                open.push(self.open(table, part, columns, Some(prune))?);
            }
            parts.clear();
        }
        let columns = columns.map(|some| some.iter().map(|name| (*name).to_owned()).collect());
        Ok(Batches { table, reader: self.clone(), columns, parts, open })
    }

    /// The rows that make up a table's current state, unresolved, generation by generation.
    pub fn current(&self, table: &'static Table) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for generation in self.snapshot.current(table) {
            for batch in self.batches(table, generation, None, None)? {
                batches.push(batch?);
            }
        }
        Ok(batches)
    }

    /// The same row by row, for tables without history.
    pub fn each<R: Owned>(&self, take: &mut dyn FnMut(R) -> Result<()>) -> Result<()> {
        let table = tables::of(R::TABLE);
        for generation in self.snapshot.current(table) {
            for batch in self.batches(table, generation, None, None)? {
                R::read(&batch?)?.into_iter().try_for_each(&mut *take)?;
            }
        }
        Ok(())
    }

    /// All of them, of a small table.
    pub fn all<R: Owned>(&self) -> Result<Vec<R>> {
        let mut rows = Vec::new();
        self.each(&mut |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Row groups of all generations that make up a table's current state, older generations first; those that cannot
    /// hold a wanted value are left out.
    pub fn groups(&self, table: &'static Table, prune: Option<&Prune<'_>>) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        for (rank, generation) in self.snapshot.current(table).into_iter().enumerate() {
            for part in self.snapshot.parts(generation)? {
                let path = self.path(part);
                let (metadata, file) = self.metadata(table, part)?;
                let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
                let wanted = match prune {
                    Some(prune) => wanted_groups(&builder, prune).at(&path)?,
                    None => (0..builder.metadata().num_row_groups()).collect(),
                };
                let part = Arc::new(part.clone());
                for index in wanted {
                    let (reader, part) = (self.clone(), Arc::clone(&part));
                    groups.push(Group { reader, part, metadata: metadata.clone(), index, rank });
                }
            }
        }
        Ok(groups)
    }

    /// Keys of all rows, of whatever generation, that have a value in a column: (保険者コード, 被保険者枝番), sorted.
    pub fn keys_with(&self, table: &'static Table, column: &str, value: Wanted<'_>) -> Result<Vec<(String, String)>> {
        let found: Vec<Vec<(String, String)>> =
            self.groups(table, None)?
                .par_iter()
                .map(|group| {
                    if group.may_hold(table, column, [value])? {
                        group.keys_with(column, value)
                    } else {
                        Ok(Vec::new())
                    }
                })
                .collect::<Result<_>>()?;
        let mut keys: Vec<(String, String)> = found.into_iter().flatten().collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Path of a part whose every byte is what was published, for a reader that opens it by itself.
    pub fn checked_path(&self, part: &PartRef) -> Result<PathBuf> {
        self.checks.open_whole(self.snapshot.root(), part)?;
        Ok(self.path(part))
    }

    /// Whether a part is there, of its size and with its footer; its pages are compared when they are read.
    pub fn check_footer(&self, part: &PartRef) -> Result<()> {
        self.checks.look(self.snapshot.root(), part)
    }

    /// The same for a merge of that many parts at once.
    pub fn for_merge_of(&self, parts: usize) -> Self {
        Self { closed: parts > MOST_OPEN, ..self.clone() }
    }

    fn part(&self, part: &PartRef) -> Result<CheckedPart> {
        let opened = self.checks.open(self.snapshot.root(), part)?;
        Ok(if self.closed { opened.closed() } else { opened })
    }

    fn path(&self, part: &PartRef) -> PathBuf {
        self.snapshot.root().join(&part.path)
    }

    /// Opens a part, which is what was published; its footer.
    fn metadata(&self, table: &Table, part: &PartRef) -> Result<(ArrowReaderMetadata, Source)> {
        let path = self.path(part);
        let CheckedPart { source, sealed } = self.part(part)?;
        let mut options = ArrowReaderOptions::new();
        if sealed {
            let no_key = || Error::usage(format!("{}: is sealed, and no key file is configured", path.display()));
            let keys = self.keys.as_ref().ok_or_else(no_key)?;
            let retriever = Arc::new(Retriever(Arc::clone(keys)));
            let properties = FileDecryptionProperties::with_key_retriever(retriever).build().at(&path)?;
            options = options.with_file_decryption_properties(properties);
        }
        let metadata = ArrowReaderMetadata::load(&source, options).at(&path)?;
        if metadata.schema().fields() != arrow_schema(table).fields() {
            return Err(Error::integrity(format!("{}: columns differ from table {}", path.display(), table.name)));
        }
        Ok((metadata, source))
    }

    fn open(
        &self,
        table: &Table,
        part: &PartRef,
        columns: Option<&[&str]>,
        prune: Option<&Prune<'_>>,
    ) -> Result<ParquetRecordBatchReader> {
        let path = self.path(part);
        let (metadata, file) = self.metadata(table, part)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let groups = match prune {
            Some(prune) => Some(wanted_groups(&builder, prune).at(&path)?),
            None => None,
        };
        let builder = builder.with_batch_size(BATCH);
        let builder = match groups {
            Some(groups) => builder.with_row_groups(groups),
            None => builder,
        };
        only(builder, columns).build().at(&path)
    }
}

/// Reads these columns alone, in the table's order.
fn only(
    builder: ParquetRecordBatchReaderBuilder<Source>,
    columns: Option<&[&str]>,
) -> ParquetRecordBatchReaderBuilder<Source> {
    match columns {
        None => builder,
        Some(columns) => {
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder.with_projection(mask)
        }
    }
}

/// A value that is looked for.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    Text(&'a str),
    Int(i64),
}

/// One row group of a part: what is read at once, and alone.
#[derive(Clone)]
pub struct Group {
    reader: Reader,
    part: Arc<PartRef>,
    metadata: ArrowReaderMetadata,
    index: usize,
    /// Place of its generation among those of the table, older ones first.
    pub rank: usize,
}

impl Group {
    /// Some columns of the group, in the table's order; of the rows at these ascending places only, if any are given.
    pub fn read(&self, columns: Option<&[&str]>, places: Option<&[usize]>) -> Result<ParquetRecordBatchReader> {
        let path = self.reader.path(&self.part);
        let CheckedPart { source: file, .. } = self.reader.part(&self.part)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_batch_size(BATCH)
            .with_row_groups(vec![self.index]);
        let mut builder = only(builder, columns);
        if let Some(places) = places {
            let rows = builder.metadata().row_group(self.index).num_rows();
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            let ranges = places.iter().map(|at| *at..at + 1);
            builder = builder.with_row_selection(RowSelection::from_consecutive_ranges(ranges, rows));
        }
        builder.build().at(&path)
    }
}

impl Group {
    /// Whether it may hold one of the values, by the Bloom filter of the column where there is one that can be read.
    pub fn may_hold<'v>(
        &self,
        table: &Table,
        column: &str,
        values: impl IntoIterator<Item = Wanted<'v>>,
    ) -> Result<bool> {
        let CheckedPart { source: file, .. } =
            self.reader.checks.open_whole(self.reader.snapshot.root(), &self.part)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let Ok(Some(filter)) = builder.get_row_group_column_bloom_filter(self.index, table.at(column)) else {
            return Ok(true);
        };
        Ok(values.into_iter().any(|value| match value {
            Wanted::Text(text) => filter.check(&text),
            Wanted::Int(n) => filter.check(&n),
        }))
    }

    /// The value that all rows of the group have in a text column, if its statistics say so.
    pub fn only_value(&self, column: &str) -> Option<String> {
        let own = self.metadata.metadata().row_group(self.index);
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(column, self.metadata.schema(), schema).ok()?;
        let text = |array: parquet::errors::Result<Arc<dyn Array>>| {
            let array = array.ok()?;
            let texts = array.as_any().downcast_ref::<StringArray>()?;
            (!texts.is_empty() && !texts.is_null(0)).then(|| texts.value(0).to_owned())
        };
        let nulls = converter.row_group_null_counts([own]).ok()?;
        let (least, greatest) = (text(converter.row_group_mins([own]))?, text(converter.row_group_maxes([own]))?);
        (least == greatest && nulls.value(0) == 0).then_some(least)
    }

    fn keys_with(&self, column: &str, value: Wanted<'_>) -> Result<Vec<(String, String)>> {
        let mut keys = Vec::new();
        for batch in self.read(Some(&["insurer_code", "member_no", column]), None)? {
            let batch = batch?;
            let codes: &StringArray = named(&batch, "insurer_code")?;
            let members: &StringArray = named(&batch, "member_no")?;
            let mut keep = |row: usize| keys.push((codes.value(row).to_owned(), members.value(row).to_owned()));
            match value {
                Wanted::Text(text) => {
                    let own: &StringArray = named(&batch, column)?;
                    (0..own.len()).filter(|i| !own.is_null(*i) && own.value(*i) == text).for_each(&mut keep);
                }
                Wanted::Int(n) => {
                    let own: &Int64Array = named(&batch, column)?;
                    (0..own.len()).filter(|i| !own.is_null(*i) && own.value(*i) == n).for_each(&mut keep);
                }
            }
        }
        Ok(keys)
    }
}

fn wanted_groups(
    builder: &ParquetRecordBatchReaderBuilder<Source>,
    prune: &Prune<'_>,
) -> parquet::errors::Result<Vec<usize>> {
    let metadata = builder.metadata();
    let converter = StatisticsConverter::try_new(prune.column, builder.schema(), builder.parquet_schema())?;
    let least = converter.row_group_mins(metadata.row_groups())?;
    let greatest = converter.row_group_maxes(metadata.row_groups())?;
    let text = |array: &Arc<dyn Array>, i: usize| {
        array.as_any().downcast_ref::<StringArray>().filter(|a| !a.is_null(i)).map(|a| a.value(i).to_owned())
    };
    Ok((0..metadata.num_row_groups())
        .filter(|i| match (text(&least, *i), text(&greatest, *i)) {
            (Some(least), Some(greatest)) => {
                let first = prune.wanted.partition_point(|wanted| *wanted < least.as_str());
                prune.wanted.get(first).is_some_and(|wanted| *wanted <= greatest.as_str())
            }
            _ => true,
        })
        .collect())
}

/// Rows of one generation, read part by part.
pub struct Batches {
    table: &'static Table,
    reader: Reader,
    columns: Option<Vec<String>>,
    /// Still unopened, last first.
    parts: Vec<PartRef>,
    /// Opened, last first.
    open: Vec<ParquetRecordBatchReader>,
}

impl Batches {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(reader) = self.open.last_mut() {
                match reader.next() {
                    Some(batch) => return Ok(Some(batch?)),
                    None => drop(self.open.pop()),
                }
                continue;
            }
            let Some(part) = self.parts.pop() else { return Ok(None) };
            let columns: Option<Vec<&str>> = self.columns.as_ref().map(|c| c.iter().map(String::as_str).collect());
            self.open.push(self.reader.open(self.table, &part, columns.as_deref(), None)?);
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}
