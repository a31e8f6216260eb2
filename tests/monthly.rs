//! Checks, fees and statistics against a plain count: random check logs leave the log, the fee rows and the statistics that
//! going through their lines once gives; how they are cut into files and nights, sent twice, and how many threads read them
//! changes nothing.
//!
//! `SHIKAKU_CASES` = months; `SHIKAKU_SEED` = where to start.

use std::collections::BTreeMap;

use crate::common::{Lake, envelope, samples};
use crate::plan::{Dice, number};

/// Insurers and institutions that the masters know, one of each that they do not, and none.
const INSURERS: [(&str, &str); 4] =
    [("01139906", "01139906"), ("06139901", "06139901"), ("00130000", "00139907"), ("", "")];
const INSTITUTIONS: [&str; 4] = ["1319000000", "1319000001", "2719000002", "1399999999"];
const MONTH: &str = "2026-10";

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Check {
    inquiry_no: String,
    /// `YYYYMMDD`, hour.
    day: String,
    hour: usize,
    institution: &'static str,
    access: &'static str,
    validity: &'static str,
    insurer: (&'static str, &'static str),
    eligibility: &'static str,
}

impl Check {
    fn random(dice: &mut Dice) -> Self {
        let access = dice.of(&["1", "2", "3", "4"]);
        let days = ["20260930", "20261001", "20261002", "20261030", "20261031"];
        Self {
            // Few enough that some come again, equal or not.
            inquiry_no: format!("Q{:03}", dice.below(150)),
            day: dice.of(&days).to_owned(),
            hour: [0, 9, 23][dice.below(3)],
            institution: INSTITUTIONS[dice.below(4)],
            access,
            // 有効性確認 is made of a card alone.
            validity: if matches!(access, "1" | "4") { dice.of(&["", "1", "2", "3", "4", "5"]) } else { "" },
            insurer: INSURERS[dice.below(4)],
            eligibility: dice.of(&["1", "2", "3"]),
        }
    }

    fn line(&self) -> String {
        let Self { inquiry_no, day, hour, institution, access, validity, insurer: (code, no), eligibility } = self;
        let serial = if validity.is_empty() { "" } else { "abc123" };
        format!(
            "D,{inquiry_no},{day}{hour:02}3000,{institution},{access},01,1,V1,{serial},{validity},1001,{code},{no},{eligibility}"
        )
    }
}

/// 照会通番 counts once for ever: the first one said holds.
fn accepted(lines: &[Check]) -> BTreeMap<String, Check> {
    let mut first = BTreeMap::new();
    for line in lines {
        first.entry(line.inquiry_no.clone()).or_insert_with(|| line.clone());
    }
    first
}

type Rows = BTreeMap<String, i64>;

/// `metric fee_view on_date bearer_kind bearer_code validity` → count and, for billing, the day's total.
fn fees(checks: &BTreeMap<String, Check>) -> (Rows, Rows) {
    let (mut counts, mut totals) = (Rows::new(), Rows::new());
    let of_month = checks.values().filter(|c| c.day.starts_with("202610") && !c.validity.is_empty());
    for check in of_month {
        let day = format!("{}-{}-{}", &check.day[..4], &check.day[4..6], &check.day[6..]);
        *counts.entry("validity_check payment".to_owned()).or_default() += 1;
        *totals.entry(day.clone()).or_default() += 1;
        let insurer = if check.insurer.0.is_empty() { "99999999" } else { check.insurer.0 };
        for (kind, code) in [("01", insurer), ("02", check.institution)] {
            *counts.entry(format!("validity_check billing {day} {kind} {code} {}", check.validity)).or_default() += 1;
        }
    }
    (counts, totals)
}

fn stored_fees(lake: &Lake) -> (Rows, Rows) {
    let (mut counts, mut totals) = (Rows::new(), Rows::new());
    for row in lake.rows("fee").iter().filter(|row| row["metric"] == "validity_check") {
        let cells = ["metric", "fee_view", "on_date", "bearer_kind", "bearer_code", "validity"];
        let cells: Vec<&str> = cells.iter().map(|c| row[*c].as_str()).filter(|c| !c.is_empty()).collect();
        let count: i64 = row["count"].parse().unwrap();
        if count != 0 {
            counts.insert(cells.join(" "), count);
        }
        if !row["on_date"].is_empty() {
            totals.insert(row["on_date"].clone(), row["total"].parse().unwrap());
        }
    }
    (counts, totals)
}

/// `axis key access` → count.
fn stats(checks: &BTreeMap<String, Check>) -> Rows {
    let masters = samples().join("nights/2026-10-30/masters");
    let read = |name: &str| -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_path(masters.join(name)).unwrap();
        reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
    };
    let (institutions, insurers) = (read("institutions.csv"), read("insurers.csv"));
    let mut rows = Rows::new();
    for check in checks.values().filter(|c| c.day.starts_with("202610")) {
        let institution = institutions.iter().find(|row| row[0] == check.institution);
        let of =
            |column: usize| institution.map(|row| row[column].clone()).filter(|v| !v.is_empty()).unwrap_or("-".into());
        let scheme = insurers.iter().find(|row| row[0] == check.insurer.0).map_or("-".to_owned(), |row| row[2].clone());
        let insurer = if check.insurer.0.is_empty() { "-" } else { check.insurer.0 };
        let keys = [
            ("prefecture", of(2)),
            ("municipality", of(3)),
            ("medical_area", of(4)),
            ("size_class", of(6)),
            ("institution", check.institution.to_owned()),
            ("scheme", scheme),
            ("insurer", insurer.to_owned()),
            ("hour", format!("{:02}", check.hour)),
        ];
        let card = if matches!(check.access, "1" | "4") { "card" } else { "certificate" };
        for (axis, key) in keys {
            for access in ["total", card] {
                *rows.entry(format!("{axis} {key} {access}")).or_default() += 1;
            }
        }
    }
    rows
}

fn stored_stats(lake: &Lake) -> Rows {
    let row = |row: &crate::common::Row| {
        (format!("{} {} {}", row["axis"], row["axis_key"], row["access"]), row["count"].parse().unwrap())
    };
    lake.rows("stat").iter().map(row).filter(|(_, count): &(_, i64)| *count != 0).collect()
}

/// Takes the lines in as so many files, over so many nights, some of them twice, and closes the month.
fn carried_out(masters: &Lake, lines: &[Check], files: usize, nights: usize, twice: bool, threads: &str) -> Lake {
    let lake = if masters.on_postgres() { Lake::with_masters() } else { masters.copy() };
    let parts: Vec<&[Check]> = lines.chunks(lines.len().div_ceil(files)).collect();
    for (night, own) in parts.chunks(parts.len().div_ceil(nights)).enumerate() {
        for (n, part) in own.iter().enumerate() {
            let receipt = u32::try_from(night * 100 + n + 1).unwrap();
            let text: Vec<String> = part.iter().map(Check::line).collect();
            let bytes = envelope("CHK", "ONL", receipt, &text);
            // Names in the other order than 受付番号: arrival does not show.
            lake.write(&format!("inbox/checks/{:03}.csv", 900 - n), &bytes);
            if twice {
                lake.write(&format!("inbox/checks/again_{n:03}.csv"), &bytes);
            }
        }
        let date = format!("2026-11-{:02}", night + 2);
        let arguments = ["nightly", "--date", &date];
        let code = lake.command(&arguments).env("RAYON_NUM_THREADS", threads).output().unwrap().status.code();
        assert!(matches!(code, Some(0 | 3)), "{code:?}");
    }
    let close = |what: &str, how: &str| lake.run(&[what, how, "--month", MONTH, "--date", "2026-11-20"]);
    close("fees", "close").exits(0);
    close("stats", "build").exits(0);
    lake
}

#[test]
fn counts_fees_and_statistics_are_those_of_going_through_the_lines_once() {
    let masters = Lake::with_masters();
    // What a night closes by itself would make a version before all has come.
    masters.set("close_day = 1", "close_day = 28");
    let seed = number("SHIKAKU_SEED", 0);
    for case in 0..number("SHIKAKU_CASES", 4) {
        let mut dice = Dice(seed + case);
        let lines: Vec<Check> = (0..60 + dice.below(140)).map(|_| Check::random(&mut dice)).collect();
        let expected = accepted(&lines);
        let treatments = [(1, 1, false, "1"), (5, 1, true, "4"), (6, 3, dice.percent(50), "2")];
        let (files, nights, twice, threads) = treatments[dice.below(3)];
        for (files, nights, twice, threads) in [(1, 1, false, "2"), (files, nights, twice, threads)] {
            let lake = carried_out(&masters, &lines, files, nights, twice, threads);
            let what = format!("seed {}, {files} files, {nights} nights", seed + case);
            let numbers: Vec<&String> = expected.keys().collect();
            let mut stored = lake.column("check_log", "inquiry_no");
            stored.sort();
            assert!(stored.iter().eq(numbers), "{what}: {} checks", stored.len());
            assert_eq!(stored_fees(&lake), fees(&expected), "{what}");
            assert_eq!(stored_stats(&lake), stats(&expected), "{what}");
        }
    }
}
