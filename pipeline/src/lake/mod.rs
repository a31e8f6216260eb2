//! The lake: hive-style folders of immutable Parquet parts. A folder appears whole by rename and never changes.
//!
//! Rows go in batches of columns. `tables` types them, generated from the declarations (`typed`); `columns` gathers rows,
//! `order` sorts them, `content` digests them; `write` and `read` are the only places that open Parquet files (and so the only
//! ones that know of encryption); `history` merges a base with its deltas.

pub mod checked;
pub mod columns;
pub mod content;
pub mod history;
pub mod lookup;
pub mod order;
pub mod read;
pub mod schema;
pub mod show;
pub mod sort;
pub mod tables;
pub mod typed;
pub mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What goes from stage to stage.
pub use arrow::array::RecordBatch;
use shikaku_schemas::tables::{Layering, Table};

use crate::base::error::{Error, Result};

/// One part of a generation, as the ledger lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartRef {
    /// Below the lake.
    pub path: String,
    pub sha256: String,
    pub bytes: i64,
    /// SHA-256 of its footer.
    pub footer: Option<String>,
}

/// One committed folder of a table: what the `generation` table of the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    pub table: String,
    /// Hive-style partition, for example `month=2026-10/version=1`; empty for tables without.
    pub partition: String,
    pub set_id: i64,
    /// Folder below the lake.
    pub dir: String,
    /// Rows of all its parts as they lie there, before any rule says which of them hold.
    pub rows: i64,
    pub content_digest: String,
    /// A later run removed its folder; what it held can no longer be read.
    pub removed: bool,
    /// In order: these are read, whatever else lies in the folder.
    pub parts: Arc<[PartRef]>,
}

/// Folder of a generation below the lake.
pub fn generation_dir(table: &Table, partition: &str, set_id: i64) -> String {
    let mut parts = vec![table.name.clone()];
    if !partition.is_empty() {
        parts.push(partition.to_owned());
    }
    if table.layering != Layering::Version {
        parts.push(format!("gen={set_id:06}"));
    }
    parts.join("/")
}

/// Partition of a history table's base or delta.
pub fn layer(base: bool) -> &'static str {
    if base { "layer=base" } else { "layer=delta" }
}

/// The published generations as of one set: the only list that readers go by.
#[derive(Debug, Clone)]
pub struct Snapshot {
    root: PathBuf,
    pub set_id: i64,
    generations: Arc<[Generation]>,
}

impl Snapshot {
    /// `generations` may hold later sets; they are left out.
    pub fn new(root: PathBuf, set_id: i64, mut generations: Vec<Generation>) -> Self {
        generations.retain(|g| g.set_id <= set_id);
        generations.sort();
        Self { root, set_id, generations: generations.into() }
    }

    /// Generations that make up the table's state, oldest first.
    pub fn current(&self, table: &Table) -> Vec<&Generation> {
        let own = || self.generations.iter().filter(|g| g.table == table.name);
        let mut picked: Vec<&Generation> = match table.layering {
            Layering::Append => own().collect(),
            Layering::Generation => own().max_by_key(|g| g.set_id).into_iter().collect(),
            Layering::History => {
                let base = own().filter(|g| g.partition == layer(true)).map(|g| g.set_id).max();
                own()
                    .filter(|g| match base {
                        Some(base) => g.set_id > base || (g.set_id == base && g.partition == layer(true)),
                        None => true,
                    })
                    .collect()
            }
            Layering::Version => {
                let newest = |g: &Generation| {
                    own().filter(|o| month_of(&o.partition) == month_of(&g.partition)).all(|o| o.set_id <= g.set_id)
                };
                own().filter(|g| newest(g)).collect()
            }
        };
        picked.sort_by_key(|g| g.set_id);
        picked
    }

    /// Generations of one partition prefix, for example `month=2026-10`, oldest first.
    pub fn partition(&self, table: &Table, prefix: &str) -> Vec<&Generation> {
        let mut own: Vec<&Generation> = self.all(table).into_iter().filter(|g| in_partition(g, prefix)).collect();
        own.sort_by_key(|g| g.set_id);
        own
    }

    /// Every generation of a table.
    pub fn all(&self, table: &Table) -> Vec<&Generation> {
        self.generations.iter().filter(|g| g.table == table.name).collect()
    }

    /// The lake.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Parts of a generation in order.
    pub fn parts<'g>(&self, generation: &'g Generation) -> Result<&'g [PartRef]> {
        if generation.removed {
            let (table, set) = (&generation.table, generation.set_id);
            return Err(Error::usage(format!("table {table} as of set {set} was removed: it is kept no longer")));
        }
        Ok(&generation.parts)
    }
}

fn in_partition(generation: &Generation, prefix: &str) -> bool {
    generation.partition == prefix || generation.partition.strip_prefix(prefix).is_some_and(|r| r.starts_with('/'))
}

/// `month=…` of a versioned partition.
fn month_of(partition: &str) -> &str {
    partition.split('/').next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shikaku_schemas::tables;

    fn generation(table: &str, partition: &str, set_id: i64) -> Generation {
        let (table, partition) = (table.to_owned(), partition.to_owned());
        Generation {
            dir: String::new(),
            table,
            partition,
            set_id,
            rows: 0,
            content_digest: String::new(),
            removed: false,
            parts: [].into(),
        }
    }

    fn sets(snapshot: &Snapshot, table: &str) -> Vec<i64> {
        snapshot.current(tables::of(table)).iter().map(|g| g.set_id).collect()
    }

    #[test]
    fn current_state_follows_the_layering_of_the_table() {
        let all = vec![
            generation("coverage", "layer=delta", 1),
            generation("coverage", "layer=base", 2),
            generation("coverage", "layer=delta", 3),
            generation("revocation", "", 1),
            generation("revocation", "", 4),
            generation("check_log", "on_date=2026-10-01", 2),
            generation("check_log", "on_date=2026-10-02", 5),
            generation("fee", "month=2026-09/version=1", 3),
            generation("fee", "month=2026-09/version=2", 4),
            generation("fee", "month=2026-10/version=1", 4),
        ];
        let now = Snapshot::new("lake".into(), 4, all.clone());
        assert_eq!(sets(&now, "coverage"), [2, 3]);
        assert_eq!(sets(&now, "revocation"), [4]);
        assert_eq!(sets(&now, "check_log"), [2]);
        assert_eq!(sets(&now, "fee"), [4, 4]);
        let past = Snapshot::new("lake".into(), 1, all);
        assert_eq!(sets(&past, "coverage"), [1]);
        assert_eq!(sets(&past, "revocation"), [1]);
    }
}
