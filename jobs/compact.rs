//! Folds the deltas of the history tables into new bases.
//!
//! Reads and writes: member, coverage, certificate, serial_link, revocation_history. What a past moment reads does not change.

use std::collections::BTreeMap;

use shikaku_pipeline::Result;
use shikaku_pipeline::intake::Days;
use shikaku_pipeline::ledger::facts::HISTORY_DATE;
use shikaku_pipeline::store::Store;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::compact;
use shikaku_pipeline::store::run::Call;

use crate::registry::{Due, Job, Work};

pub const JOB: Job = Job {
    name: "compact",
    inbox: None,
    days: Days::Every,
    needs: &["links", "subscribers", "waiting-links", "crl", "certificates"],
    reads: "history tables: base and deltas",
    writes: "history tables: a new base",
    work: Work::Own {
        due: |store, _| {
            let least = store.config.schedule.compact_deltas;
            Ok((least > 0 && !compact::due(&store.snapshot()?, least).is_empty()).then(Due::default))
        },
        run,
    },
};

fn run(call: &Call<'_>) -> Result<RunReport> {
    let snapshot = call.store.snapshot()?;
    let tables = compact::due(&snapshot, 1);
    if tables.is_empty() {
        return Ok(RunReport::unchanged(JOB.name));
    }
    let names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
    let parameters = BTreeMap::from([("tables", names.join(",")), ("as_of_set", snapshot.set_id.to_string())]);
    call.run(JOB.name, parameters, &[], |stage| compact::compact(stage, &tables))
}

/// The newest date of the history: folding it adds nothing later.
pub fn date(store: &Store) -> Result<Option<chrono::NaiveDate>> {
    Ok(store.ledger.fact(&HISTORY_DATE)?.map(|date| date.0))
}
