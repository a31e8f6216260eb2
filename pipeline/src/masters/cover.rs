//! When a cover ends, by the rule of its insurer.

use chrono::NaiveDate;

use crate::base::config::LossDay;
use crate::base::time::add_days;

/// First day without cover. 取得日 = 喪失日 is empty under either rule (domain.md §2).
pub fn end_of_cover(acquired_on: NaiveDate, lost_on: NaiveDate, rule: LossDay) -> NaiveDate {
    match rule {
        LossDay::LastDayWithCover if lost_on > acquired_on => add_days(lost_on, 1),
        _ => lost_on,
    }
}
