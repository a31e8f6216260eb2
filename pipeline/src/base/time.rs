//! Dates and times. Everything is Japan Standard Time; recorded time is the night's as-of, never the wall clock.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime};

/// The business date D (業務日): the JST date of the evening on which the window opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BusinessDate(pub NaiveDate);

impl BusinessDate {
    /// D of a moment: before 08:00 it is still the night of yesterday (rules.md).
    pub fn of(now_jst: NaiveDateTime) -> Self {
        let today = now_jst.date();
        let morning = now_jst.time() < hms(8, 0, 0);
        Self(if morning { add_days(today, -1) } else { today })
    }

    /// Recorded time of everything the night accepts: D 21:00:00.
    pub fn recorded_at(self) -> NaiveDateTime {
        self.0.and_time(hms(21, 0, 0))
    }

    /// "Now" for CRLs: the next morning at `now_time`.
    pub fn crl_now(self, now_time: NaiveTime) -> NaiveDateTime {
        add_days(self.0, 1).and_time(now_time)
    }

    pub fn month(self) -> Month {
        Month::of(self.0)
    }
}

impl std::fmt::Display for BusinessDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A calendar month, written `YYYY-MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    first: NaiveDate,
}

impl Month {
    pub fn of(date: NaiveDate) -> Self {
        Self { first: date.with_day(1).unwrap_or(date) }
    }

    pub fn new(year: i32, month: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, 1).map(|first| Self { first })
    }

    /// Parses `YYYY-MM`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        (year.len() == 4 && month.len() == 2).then_some(())?;
        Self::new(year.parse().ok()?, month.parse().ok()?)
    }

    /// Parses 請求年月 or 診療年月: `YYYYMM`, or 和暦 `GYYMM`.
    pub fn parse_compact(text: &[u8]) -> Option<Self> {
        let digits =
            |s: &[u8]| s.iter().try_fold(0i32, |n, b| b.is_ascii_digit().then(|| n * 10 + i32::from(b - b'0')));
        let (year, month) = match text.len() {
            6 => (digits(&text[..4])?, digits(&text[4..])?),
            5 => (era_year(text[0])? + digits(&text[1..3])?, digits(&text[3..])?),
            _ => return None,
        };
        Self::new(year, u32::try_from(month).ok()?)
    }

    pub fn first(self) -> NaiveDate {
        self.first
    }

    /// First day of the next month.
    pub fn end(self) -> NaiveDate {
        self.next().first
    }

    pub fn next(self) -> Self {
        Self { first: self.first.checked_add_months(Months::new(1)).unwrap_or(self.first) }
    }

    pub fn previous(self) -> Self {
        Self { first: self.first.checked_sub_months(Months::new(1)).unwrap_or(self.first) }
    }

    pub fn year(self) -> i32 {
        self.first.year()
    }

    pub fn month(self) -> u32 {
        self.first.month()
    }

    /// `YYYYMM`.
    pub fn compact(self) -> String {
        self.first.format("%Y%m").to_string()
    }

    /// The day of this month, if it has one of that number.
    pub fn day(self, day: u32) -> Option<NaiveDate> {
        self.first.with_day(day)
    }

    /// 年度 of this month: April to March.
    pub fn fiscal_year(self) -> i32 {
        if self.month() >= 4 { self.year() } else { self.year() - 1 }
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.first.format("%Y-%m"))
    }
}

/// Year before the first year of an era (元号): 1 明治 2 大正 3 昭和 4 平成 5 令和.
fn era_year(code: u8) -> Option<i32> {
    match code {
        b'1' => Some(1867),
        b'2' => Some(1911),
        b'3' => Some(1925),
        b'4' => Some(1988),
        b'5' => Some(2018),
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

/// Parses `YYYYMMDD`.
pub fn parse_date(text: &[u8]) -> Option<NaiveDate> {
    if text.len() != 8 {
        return None;
    }
    let year = i32::try_from(number(&text[..4])?).ok()?;
    // Year 0 exists in the proleptic calendar but in no file.
    (year >= 1).then_some(())?;
    NaiveDate::from_ymd_opt(year, number(&text[4..6])?, number(&text[6..])?)
}

/// Parses `YYYYMMDD` or 和暦 `GYYMMDD`, as dates stand in UKE files.
pub fn parse_date_or_era(text: &[u8]) -> Option<NaiveDate> {
    if text.len() != 7 {
        return parse_date(text);
    }
    let year = era_year(text[0])? + i32::try_from(number(&text[1..3])?).ok()?;
    NaiveDate::from_ymd_opt(year, number(&text[3..5])?, number(&text[5..])?)
}

/// Parses `YYYYMMDDhhmmss`.
pub fn parse_timestamp(text: &[u8]) -> Option<NaiveDateTime> {
    if text.len() != 14 {
        return None;
    }
    let date = parse_date(&text[..8])?;
    date.and_hms_opt(number(&text[8..10])?, number(&text[10..12])?, number(&text[12..])?)
}

/// A time of day the program names.
pub fn hms(hour: u32, minute: u32, second: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, minute, second).unwrap_or(NaiveTime::MIN)
}

/// Adds days; stays where it is at the ends of the calendar.
pub fn add_days(date: NaiveDate, days: i64) -> NaiveDate {
    let moved = match u64::try_from(days) {
        Ok(forward) => date.checked_add_days(Days::new(forward)),
        Err(_) => date.checked_sub_days(Days::new(days.unsigned_abs())),
    };
    moved.unwrap_or(date)
}

/// Days since 1970-01-01, as Parquet stores dates.
pub fn to_days(date: NaiveDate) -> i32 {
    date.to_epoch_days()
}

pub fn from_days(days: i32) -> NaiveDate {
    NaiveDate::from_epoch_days(days).unwrap_or(NaiveDate::MIN)
}

/// Milliseconds since 1970-01-01 00:00 JST wall time, as Parquet stores timestamps without zone.
pub fn to_millis(at: NaiveDateTime) -> i64 {
    at.and_utc().timestamp_millis()
}

pub fn from_millis(millis: i64) -> NaiveDateTime {
    chrono::DateTime::from_timestamp_millis(millis).map_or(NaiveDateTime::MIN, |t| t.naive_utc())
}

/// A date as tables hold it: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    pub fn date(self) -> NaiveDate {
        from_days(self.0)
    }
}

impl From<NaiveDate> for Day {
    fn from(date: NaiveDate) -> Self {
        Self(to_days(date))
    }
}

/// A moment as tables hold it: milliseconds since 1970-01-01, JST wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    pub fn at(self) -> NaiveDateTime {
        from_millis(self.0)
    }
}

impl From<NaiveDateTime> for Moment {
    fn from(at: NaiveDateTime) -> Self {
        Self(to_millis(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ymd(y: i32, m: u32, d: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(y, m, d).unwrap()
    }

    #[test]
    fn business_date_before_eight_is_yesterday() {
        let at = |h, m| ymd(2026, 10, 2).and_time(hms(h, m, 0));
        assert_eq!(BusinessDate::of(at(7, 59)).0, ymd(2026, 10, 1));
        assert_eq!(BusinessDate::of(at(8, 0)).0, ymd(2026, 10, 2));
        assert_eq!(BusinessDate::of(at(21, 0)).0, ymd(2026, 10, 2));
    }

    #[test]
    fn dates_are_western_or_era() {
        assert_eq!(parse_date_or_era(b"19911121"), Some(ymd(1991, 11, 21)));
        assert_eq!(parse_date_or_era(b"4031121"), Some(ymd(1991, 11, 21)));
        assert_eq!(parse_date_or_era(b"5030901"), Some(ymd(2021, 9, 1)));
        assert_eq!(parse_date(b"20230229"), None);
        assert_eq!(parse_date(b"00000101"), None);
        assert_eq!(parse_date(b"2023 101"), None);
        assert_eq!(Month::parse_compact(b"50309"), Month::new(2021, 9));
        assert_eq!(Month::parse_compact(b"202113"), None);
    }

    #[test]
    fn fiscal_year_runs_from_april() {
        assert_eq!(Month::new(2026, 3).unwrap().fiscal_year(), 2025);
        assert_eq!(Month::new(2026, 4).unwrap().fiscal_year(), 2026);
    }
}
