//! Closes a month's fees (手数料): counts paid and billed, four CSVs.
//!
//! Reads: check_daily, acquisition. Checks: Σ billing by one bearer kind = payment. Writes: fee, outbox/fees.

use std::collections::BTreeMap;

use chrono::Datelike;
use shikaku_pipeline::Result;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::intake::Days;
use shikaku_pipeline::monthly::fees;
use shikaku_pipeline::store::Store;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::run::Call;
use shikaku_pipeline::store::versions::{CLOSED, LATE};

use crate::registry::{Due, Job, Work};

pub const JOB: Job = Job {
    name: "fees",
    inbox: None,
    days: Days::Every,
    needs: &["links", "checks"],
    reads: "check_daily, acquisition",
    writes: "fee, outbox/fees",
    work: Work::Own { due: |store, date| due_close(store, date, "fees"), run },
};

/// Due from `schedule.close_day` on for the month before, while it has no version and has anything to count.
pub fn due_close(store: &Store, date: BusinessDate, what: &str) -> Result<Option<Due>> {
    let month = date.month().previous();
    let closed = store.ledger.fact(&CLOSED.at(format!("{what}/{month}")))?.is_some();
    let prefix = format!("on_date={month}");
    let counted = ["check_daily", "acquisition"];
    let any = store
        .ledger
        .generations()?
        .iter()
        .any(|g| counted.contains(&g.table.as_str()) && g.partition.starts_with(&prefix));
    let due = !closed && any && date.0.day() >= store.config.schedule.close_day;
    Ok(due.then(|| Due { paths: Vec::new(), month: Some(month) }))
}

fn run(call: &Call<'_>) -> Result<RunReport> {
    let month = call.month()?;
    let state = call.store.state_read()?;
    let parameters = BTreeMap::from([("month", month.to_string()), ("as_of_set", state)]);
    call.run(JOB.name, parameters, &[], |stage| {
        let (checks, links) = fees::close(stage, month)?;
        // Late rows are in this count now.
        stage.clear(&LATE.at(format!("checks/{month}")))?;
        tracing::info!(job = JOB.name, month = %month, checks, links, "closed");
        Ok(())
    })
}
