//! Business days (開庁日) from the Cabinet Office's holiday file.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, Weekday};

/// Parses `YYYY/M/D` as it stands in the Cabinet Office's file.
pub fn parse_slash_date(text: &[u8]) -> Option<NaiveDate> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts = text.split('/').map(str::parse::<u32>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// Whether J-LIS legs run on that day: no weekend, no holiday, not 12/29–1/3 (domain.md §2).
pub fn is_business_day(date: NaiveDate, holidays: &BTreeMap<NaiveDate, String>) -> bool {
    let weekend = matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
    let year_end = matches!((date.month(), date.day()), (12, 29..=31) | (1, 1..=3));
    !weekend && !year_end && !holidays.contains_key(&date)
}

/// Whether the holiday file reaches the year after this date; without it the calendar of the coming year is unknown.
pub fn covers_next_year(date: NaiveDate, holidays: &BTreeMap<NaiveDate, String>) -> bool {
    holidays.keys().next_back().is_some_and(|last| last.year() > date.year())
}
