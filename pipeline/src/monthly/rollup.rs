//! Group sums over open tables, by polars: the one place that knows it. Restricted tables never come here.

use std::path::PathBuf;

use polars::prelude::{
    HiveOptions, IntoLazy, LazyFrame, PlRefPath, PolarsResult, ScanArgsParquet, UnionArgs, col, concat, lit,
};
use shikaku_schemas::tables::Table;

use crate::base::error::{Error, Result};
use crate::lake::Generation;
use crate::lake::read::Reader;

/// One group: its keys in the order asked for (null = `None`) and the sum of `count`.
pub type Group = (Vec<Option<String>>, i64);

/// Sums `count` of an open table over some generations, grouped by text columns, for rows of one axis.
pub fn sum_by(
    reader: &Reader,
    table: &Table,
    generations: &[&Generation],
    axis: &str,
    keys: &[&str],
) -> Result<Vec<Group>> {
    if table.restricted {
        return Err(Error::internal(format!("table {} is restricted", table.name)));
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for generation in generations {
        for part in reader.snapshot.parts(generation)? {
            files.push(reader.checked_path(part)?);
        }
    }
    if files.is_empty() {
        return Ok(Vec::new());
    }
    sums(&files, axis, keys).map_err(|error| Error::failed(format!("table {}: {error}", table.name)))
}

fn sums(files: &[PathBuf], axis: &str, keys: &[&str]) -> PolarsResult<Vec<Group>> {
    let mut frames = Vec::new();
    for file in files {
        let path = PlRefPath::try_from_path(file)?;
        // Folder names are ours to read, not polars': it would guess types.
        let args = ScanArgsParquet { hive_options: HiveOptions::new_disabled(), ..ScanArgsParquet::default() };
        frames.push(LazyFrame::scan_parquet(path, args)?.collect()?.lazy());
    }
    let all = concat(frames, UnionArgs::default())?;
    let by: Vec<_> = keys.iter().map(|k| col(*k)).collect();
    let frame = all.filter(col("axis").eq(lit(axis.to_owned()))).group_by(by).agg([col("count").sum()]).collect()?;
    let counts = frame.column("count")?.i64()?.clone();
    let mut groups: Vec<Group> = Vec::with_capacity(frame.height());
    for row in 0..frame.height() {
        let mut own = Vec::with_capacity(keys.len());
        for key in keys {
            own.push(frame.column(key)?.str()?.get(row).map(str::to_owned));
        }
        groups.push((own, counts.get(row).unwrap_or(0)));
    }
    // Groups come in any order; results must not.
    groups.sort();
    Ok(groups)
}
