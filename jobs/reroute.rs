//! Decides which insurer owes each claim of a month (レセプト振替・分割) and writes the receipts out.
//!
//! Reads: landed UKE files, coverage and member as known at the cut-off. Checks: what goes out is what came in.
//! Writes: reroute, outbox/reroute. A version appears only when something changed.

use std::collections::BTreeMap;

use chrono::Datelike;
use shikaku_pipeline::Result;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::intake::Days;
use shikaku_pipeline::ledger::facts::Facts;
use shikaku_pipeline::receipts::received;
use shikaku_pipeline::reroute::month;
use shikaku_pipeline::store::Store;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::run::Call;

use crate::registry::{Due, Job, Work};

/// State that a month was decided on, by month.
const REROUTED: Facts<String> = Facts::new("rerouted");

pub const JOB: Job = Job {
    name: "reroute",
    inbox: None,
    days: Days::Every,
    needs: &["masters", "subscribers", "receipts"],
    reads: "landed receipts, coverage, member",
    writes: "reroute, outbox/reroute",
    work: Work::Own { due, run },
};

/// Due from `schedule.reroute_day` (else the cut-off day) of a month that has receipts.
fn due(store: &Store, date: BusinessDate) -> Result<Option<Due>> {
    let config = &store.config;
    let day = if config.schedule.reroute_day == 0 { config.reroute.cutoff_day } else { config.schedule.reroute_day };
    let month = date.month();
    let any = received(store)?.iter().any(|(_, f)| f.month == month.to_string());
    // A version that an operator asked for with another cut-off stands until something new has come in.
    let decided = store.ledger.fact(&REROUTED.at(month.to_string()))?;
    let changed = decided != Some(store.state_read()?);
    Ok((date.0.day() >= day && any && changed).then(|| Due { paths: Vec::new(), month: Some(month) }))
}

fn run(call: &Call<'_>) -> Result<RunReport> {
    let month = call.month()?;
    let cutoff = month::cutoff(call.store, month, call.known_at, call.date)?;
    // What was landed before the cut-off, and the state of the lake, are inputs of the run like any file.
    let files: Vec<String> = month::files(call.store, month, cutoff)?.into_iter().map(|(sha256, _)| sha256).collect();
    let state = call.store.state_read()?;
    let parameters = BTreeMap::from([
        ("month", month.to_string()),
        ("cutoff", cutoff.to_string()),
        ("receipts", shikaku_pipeline::base::digest::of_parts(files.iter().map(String::as_str))),
        ("as_of_set", state.clone()),
    ]);
    call.run(JOB.name, parameters, &[], |stage| {
        let outcomes = month::run(stage, month, cutoff)?;
        stage.set(&REROUTED.at(month.to_string()), &state)?;
        tracing::info!(job = JOB.name, month = %month, cutoff = %cutoff, ?outcomes, "decided");
        Ok(())
    })
}
