//! Takes in レセプト files; their bytes stay in the landing.
//!
//! Reads: UKE files. Checks: the layouts in schemas/. Writes: receipt. On failure nothing of it is visible.

use shikaku_pipeline::Result;
use shikaku_pipeline::receipts;
use shikaku_pipeline::store::commit::RunReport;

use super::{Call, Days, Job, due_inbox, take_in};

pub const JOB: Job = Job {
    name: "receipts",
    inbox: Some("receipts"),
    days: Days::Every,
    needs: &[],
    reads: "UKE files",
    writes: "receipt",
    due: |store, _| due_inbox(store, "receipts"),
    run,
};

fn run(call: &Call<'_>) -> Result<RunReport> {
    take_in(call, JOB.name, receipts::take_in)
}
