//! Takes in certificate links (シリアル番号紐付) and, later in the night, tries again what waits.
//!
//! Reads: LNKP, LNKR, REQM, LNKU files. Checks: the layouts in schemas/ and the conflicts of domain.md §4.
//! Writes: serial_link, pending_link, request_map, acquisition. On failure nothing of it is visible.

use std::collections::BTreeMap;

use shikaku_pipeline::Result;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::links;
use shikaku_pipeline::store::Store;
use shikaku_pipeline::store::commit::RunReport;

use super::{Call, Days, Due, Job, due_inbox, run as run_job, take_in};

pub const JOB: Job = Job {
    name: "links",
    inbox: Some("links"),
    days: Days::Business,
    needs: &[],
    reads: "LNKP, LNKR, REQM, LNKU files",
    writes: "serial_link, pending_link, request_map, acquisition",
    due: |store, _| due_inbox(store, "links"),
    run,
};

/// Links that wait are tried every night, whether or not a file came.
pub const WAITING: Job = Job {
    name: "waiting-links",
    inbox: None,
    days: Days::Every,
    needs: &["links"],
    reads: "pending_link, request_map",
    writes: "serial_link, pending_link, request_map, acquisition",
    due: due_waiting,
    run: run_waiting,
};

/// A night before the newest one has been through already; what waits now was not there then.
fn due_waiting(store: &Store, date: BusinessDate) -> Result<Option<Due>> {
    let passed = store.check_business_date(date).is_err();
    Ok((!passed && links::any_waiting(&store.reader()?)?).then(Due::default))
}

fn run(call: &Call<'_>) -> Result<RunReport> {
    take_in(call, JOB.name, links::take_in)
}

fn run_waiting(call: &Call<'_>) -> Result<RunReport> {
    run_job(call, WAITING.name, BTreeMap::new(), &[], |stage| links::take_in(stage, &[]))
}
