//! Tries again, each night, the certificate links (シリアル番号紐付) that wait.
//!
//! Reads: pending_link, request_map. Writes: serial_link, pending_link, request_map, acquisition. On failure nothing of it is
//! visible.

use shikaku_pipeline::Result;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::intake::Days;
use shikaku_pipeline::links;
use shikaku_pipeline::store::Store;

use crate::registry::{Due, Job, Work};

/// Links that wait are tried every night, whether or not a file came.
pub const WAITING: Job = Job {
    name: links::WAITING,
    inbox: None,
    days: Days::Every,
    needs: &["links"],
    reads: "pending_link, request_map",
    writes: "serial_link, pending_link, request_map, acquisition",
    work: Work::Own { due: due_waiting, run: links::retry },
};

/// A night before the newest one has been through already; what waits now was not there then.
fn due_waiting(store: &Store, date: BusinessDate) -> Result<Option<Due>> {
    let passed = store.check_business_date(date).is_err();
    Ok((!passed && links::any_waiting(&store.reader()?)?).then(Due::default))
}
