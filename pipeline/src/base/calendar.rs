//! Business days (開庁日) from the Cabinet Office's holiday file.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, Weekday};

/// Month from which the file must reach into the coming year: the Cabinet Office announces its holidays each February.
const COMING_YEAR_FROM: u32 = 3;

/// Days of the year whose names the file gives.
pub type Holidays = BTreeMap<NaiveDate, String>;

/// Parses `YYYY/M/D` as it stands in the Cabinet Office's file.
pub fn parse_slash_date(text: &[u8]) -> Option<NaiveDate> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts = text.split('/').map(str::parse::<u32>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// Whether J-LIS legs run on that day: no weekend, no holiday, not 12/29–1/3 (domain.md §2).
pub fn is_business_day(date: NaiveDate, holidays: &Holidays) -> bool {
    let weekend = matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
    let year_end = matches!((date.month(), date.day()), (12, 29..=31) | (1, 1..=3));
    !weekend && !year_end && !holidays.contains_key(&date)
}

/// The year that the file should know by that day and does not: the day's own or, from March on, the coming one.
pub fn missing_year(date: NaiveDate, holidays: &Holidays) -> Option<i32> {
    let last = holidays.keys().next_back().map_or(i32::MIN, Datelike::year);
    let needed = if date.month() < COMING_YEAR_FROM { date.year() } else { date.year() + 1 };
    (last < needed).then(|| date.year().max(last.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn weekends_holidays_and_the_turn_of_the_year_are_no_business_days() {
        let holidays =
            Holidays::from([(day("2026-11-03"), "文化の日".to_owned()), (day("2027-01-01"), "元日".to_owned())]);
        for open in ["2026-11-02", "2026-11-04", "2026-12-28", "2027-01-04"] {
            assert!(is_business_day(day(open), &holidays), "{open}");
        }
        for closed in ["2026-11-01", "2026-11-03", "2026-11-07", "2026-12-29", "2026-12-31", "2027-01-01", "2027-01-03"]
        {
            assert!(!is_business_day(day(closed), &holidays), "{closed}");
        }
    }

    #[test]
    fn from_march_on_the_coming_year_must_be_known() {
        let holidays = Holidays::from([(day("2026-11-23"), String::new())]);
        assert_eq!(missing_year(day("2026-02-28"), &holidays), None);
        assert_eq!(missing_year(day("2026-03-01"), &holidays), Some(2027));
        assert_eq!(missing_year(day("2027-01-04"), &holidays), Some(2027));
        assert_eq!(missing_year(day("2028-01-04"), &holidays), Some(2028));
        assert_eq!(missing_year(day("2026-01-04"), &Holidays::new()), Some(2026));
    }
}
