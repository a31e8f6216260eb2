//! A table in clear, for somebody who may see it: CSV or one plain Parquet file. Every export leaves an access record.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use arrow::array::RecordBatch;
use shikaku_schemas::tables::{Layering, Table};

use crate::base::error::{At, Error, Result};
use crate::lake::history::HistoryScan;
use crate::lake::read::Reader;
use crate::lake::write::plain_file;
use crate::lake::{Generation, Snapshot, show};
use crate::store::{Store, new_private};

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// UTF-8 with a heading row; partition columns come first, bytes are hex, lists are joined by spaces.
    Csv,
    /// The table's own columns, not encrypted.
    Parquet,
}

/// Writes the state of a table as of a set (the newest published if none is given). Returns the number of rows. `record` is
/// told that it begins before a byte is written, and the number at the end. The file appears whole, readable by its owner
/// alone; nothing that lies beside it is followed or overwritten on the way.
pub fn export(
    store: &Store,
    table: &'static Table,
    set: Option<i64>,
    format: Format,
    path: &Path,
    record: &dyn Fn(Option<i64>) -> Result<()>,
) -> Result<i64> {
    let newest = store.snapshot()?;
    let set = set.unwrap_or(newest.set_id);
    if set > newest.set_id || set < 0 {
        return Err(Error::usage(format!("set {set} does not exist; the newest is {}", newest.set_id)));
    }
    let snapshot = Snapshot::new(store.config.lake.clone(), set, store.ledger.generations()?);
    let reader = store.reader_of(snapshot);
    let mut unpredictable = [0u8; 8];
    store.outside.entropy.fill(&mut unpredictable)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let half = path.with_file_name(format!(".{name}.{}.tmp", crate::base::digest::hex(&unpredictable)));
    record(None)?;
    let written = new_private(&half).and_then(|file| write(&reader, table, format, file, &half));
    let ended = written.and_then(|count| {
        record(Some(count))?;
        std::fs::rename(&half, path).at(path)?;
        Ok(count)
    });
    if ended.is_err() {
        // What was written of it is in clear.
        let _ = std::fs::remove_file(&half);
    }
    ended
}

fn write(reader: &Reader, table: &'static Table, format: Format, file: File, path: &Path) -> Result<i64> {
    match format {
        Format::Csv => csv(reader, table, file, path),
        Format::Parquet => plain_file(table, file, path, &mut state(reader, table)?.map(|part| Ok(part?.1))),
    }
}

/// Some rows with the partition they lie in.
type Part = (String, RecordBatch);

/// Every row of a table's state.
fn state<'r>(reader: &'r Reader, table: &'static Table) -> Result<Box<dyn Iterator<Item = Result<Part>> + 'r>> {
    if table.layering == Layering::History {
        let scan = HistoryScan::new(reader, table, None)?;
        return Ok(Box::new(scan.map(|batch| Ok((String::new(), batch?)))));
    }
    let mut generations: Vec<&Generation> = reader.snapshot.current(table);
    generations.sort_by_key(|g| (&g.partition, g.set_id));
    let batches = move |generation: &'r Generation| -> Box<dyn Iterator<Item = Result<Part>> + 'r> {
        match reader.batches(table, generation, None, None) {
            Ok(batches) => Box::new(batches.map(|batch| Ok((generation.partition.clone(), batch?)))),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    };
    Ok(Box::new(generations.into_iter().flat_map(batches)))
}

fn csv(reader: &Reader, table: &'static Table, file: File, path: &Path) -> Result<i64> {
    let failed = |e: csv::Error| Error::failed(format!("{}: {e}", path.display()));
    let sink = BufWriter::new(file);
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(sink);
    let partitions: &[&str] = match table.layering {
        Layering::History | Layering::Generation => &[],
        Layering::Version => &["month", "version"],
        Layering::Append => {
            let first = reader.snapshot.current(table).first().map(|g| g.partition.starts_with("month="));
            if first == Some(true) { &["month"] } else { &["on_date"] }
        }
    };
    let names = table.columns.iter().map(|c| c.name());
    writer.write_record(partitions.iter().copied().chain(names)).map_err(failed)?;
    let mut count = 0;
    for part in state(reader, table)? {
        let (partition, batch) = part?;
        for row in 0..batch.num_rows() {
            count += 1;
            let values = partition.split('/').filter_map(|p| p.split_once('=')).map(|(_, value)| value.to_owned());
            writer.write_record(values.chain(show::row(&batch, row)?)).map_err(failed)?;
        }
    }
    writer.flush().at(path)?;
    writer.into_inner().map_err(|e| Error::failed(e.to_string()))?.get_ref().sync_all().at(path)?;
    Ok(count)
}
