//! Takes in insurers' subscriber files (加入者情報).
//!
//! Reads: SUB files, CSV or XML. Checks: the layouts in schemas/. Writes: member, coverage, outbox/results, outbox/link-status. On
//! failure nothing of it is visible.

use shikaku_pipeline::Result;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::subscribers::night;

use super::{Call, Days, Job, due_inbox, take_in};

pub const JOB: Job = Job {
    name: "subscribers",
    inbox: Some("subscribers"),
    days: Days::Every,
    needs: &["masters"],
    reads: "SUB files (CSV, XML)",
    writes: "member, coverage, outbox/link-status",
    due: |store, _| due_inbox(store, "subscribers"),
    run,
};

fn run(call: &Call<'_>) -> Result<RunReport> {
    take_in(call, JOB.name, night::take_in)
}
