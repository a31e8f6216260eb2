//! Builds a month's statistics (資格確認実績月次統計): eight axes, eight CSVs.
//!
//! Reads: check_daily, masters. Writes: stat, outbox/stats.

use std::collections::BTreeMap;

use shikaku_pipeline::Result;
use shikaku_pipeline::monthly::stats;
use shikaku_pipeline::store::commit::RunReport;

use super::{Call, Days, Job, fees, month_of, reroute, run as run_job};

pub const JOB: Job = Job {
    name: "stats",
    inbox: None,
    days: Days::Every,
    needs: &["masters", "checks"],
    reads: "check_daily, institution, insurer",
    writes: "stat, outbox/stats",
    due: |store, date| fees::due_close(store, date, "stats"),
    run,
};

fn run(call: &Call<'_>) -> Result<RunReport> {
    let month = month_of(call)?;
    let state = reroute::state_read(call.store)?;
    let parameters = BTreeMap::from([("month", month.to_string()), ("as_of_set", state)]);
    run_job(call, JOB.name, parameters, &[], |stage| {
        let checks = stats::build(stage, month)?;
        tracing::info!(job = JOB.name, month = %month, checks, "built");
        Ok(())
    })
}
