//! Builds a month's statistics (資格確認実績月次統計): eight axes, eight CSVs.
//!
//! Reads: check_daily, masters. Writes: stat, outbox/stats.

use std::collections::BTreeMap;

use shikaku_pipeline::Result;
use shikaku_pipeline::intake::Days;
use shikaku_pipeline::monthly::stats;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::run::Call;

use crate::fees;
use crate::registry::{Job, Work};

pub const JOB: Job = Job {
    name: "stats",
    inbox: None,
    days: Days::Every,
    needs: &["masters", "checks"],
    reads: "check_daily, institution, insurer",
    writes: "stat, outbox/stats",
    work: Work::Own { due: |store, date| fees::due_close(store, date, "stats"), run },
};

fn run(call: &Call<'_>) -> Result<RunReport> {
    let month = call.month()?;
    let state = call.store.state_read()?;
    let parameters = BTreeMap::from([("month", month.to_string()), ("as_of_set", state)]);
    call.run(JOB.name, parameters, &[], |stage| {
        let checks = stats::build(stage, month)?;
        tracing::info!(job = JOB.name, month = %month, checks, "built");
        Ok(())
    })
}
