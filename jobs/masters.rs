//! Takes in masters (マスタ), each whole or not at all.
//!
//! Reads: insurers.csv, institutions.csv, holidays.csv, insurer_definitions.toml. Checks: the layouts in schemas/. Writes: insurer, institution, holiday, insurer_definition. On failure nothing of it is visible.

use shikaku_pipeline::Result;
use shikaku_pipeline::masters;
use shikaku_pipeline::store::commit::RunReport;

use super::{Call, Days, Job, due_inbox, take_in};

pub const JOB: Job = Job {
    name: "masters",
    inbox: Some("masters"),
    days: Days::Every,
    needs: &[],
    reads: "insurers.csv, institutions.csv, holidays.csv, insurer_definitions.toml",
    writes: "insurer, institution, holiday, insurer_definition",
    due: |store, _| due_inbox(store, "masters"),
    run,
};

fn run(call: &Call<'_>) -> Result<RunReport> {
    take_in(call, JOB.name, masters::take_in)
}
