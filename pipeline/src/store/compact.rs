//! Folding a history table's deltas into a new base. Nothing of the history is lost: a past moment reads the same before and
//! after, and earlier sets still read their own generations.

use shikaku_schemas::tables::{self, Layering, Table};

use crate::base::error::Result;
use crate::lake::history::HistoryScan;
use crate::lake::{Snapshot, layer};
use crate::store::Stage;

/// Deltas of a table that its newest base does not hold.
pub fn deltas(snapshot: &Snapshot, table: &Table) -> usize {
    snapshot.current(table).iter().filter(|g| g.partition == layer(false)).count()
}

/// History tables with at least that many deltas, and more than one generation to fold.
pub fn due(snapshot: &Snapshot, least: usize) -> Vec<&'static Table> {
    let history = tables::all().iter().filter(|t| t.layering == Layering::History);
    history.filter(|t| deltas(snapshot, t) >= least.max(1)).collect()
}

/// Writes a new base of each table: its resolved rows in order. Streams; memory is one batch per generation.
pub fn compact(stage: &mut Stage<'_>, tables: &[&'static Table]) -> Result<()> {
    let reader = stage.store.reader()?;
    for table in tables {
        let mut writer = stage.table(table, layer(true))?;
        for batch in HistoryScan::new(&reader, table, None)? {
            writer.write(batch?)?;
        }
        stage.finish_table(table, layer(true), writer)?;
    }
    Ok(())
}
