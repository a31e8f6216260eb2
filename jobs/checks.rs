//! Takes in eligibility check logs (資格確認ログ).
//!
//! Reads: CHK files. Checks: the layouts in schemas/. Writes: check_log, check_daily. On failure nothing of it is visible.

use shikaku_pipeline::Result;
use shikaku_pipeline::checks;
use shikaku_pipeline::store::commit::RunReport;

use super::{Call, Days, Job, due_inbox, take_in};

pub const JOB: Job = Job {
    name: "checks",
    inbox: Some("checks"),
    days: Days::Every,
    needs: &[],
    reads: "CHK files",
    writes: "check_log, check_daily",
    due: |store, _| due_inbox(store, "checks"),
    run,
};

fn run(call: &Call<'_>) -> Result<RunReport> {
    take_in(call, JOB.name, checks::take_in)
}
