//! CHK files: eligibility checks of October, a few of them late, repeated or in a file that is refused.

use chrono::{NaiveDateTime, TimeDelta};

use super::delimited::{Body, Ending, Row};
use super::dice::at;
use super::links::revoked_at_first;
use super::sample::{Sample, evening};
use super::truth::{Findings, State};
use super::world::{World, day};
use crate::base::error::Result;
use crate::base::time::{add_days, hms};
use crate::text::cp932::Encoding;

/// Checks of one day that arrive in time.
const PER_DAY: u64 = 30;
/// Days whose last checks arrive on the second night.
const LATE_DAYS: [u64; 3] = [5, 12, 20];

/// One check.
pub struct Check {
    pub row: Row,
    on_date: String,
    insurer: String,
    institution: String,
    validity: &'static str,
}

/// The `n`th check of a day of October.
pub fn check(world: &World, of_day: u64, n: u64) -> Result<Check> {
    let (dice, index) = (world.dice, of_day * 1_000_000_000 + n);
    let person = dice.below("checked person", index, world.persons);
    let institution = world.institutions
        [at(dice.below("checking", index, super::dice::count(world.institutions.len())))]
    .code
    .clone();
    let date = add_days(day("20261001"), i64::try_from(of_day).unwrap_or(1) - 1);
    let minutes = TimeDelta::minutes(i64::try_from(n * 20 % 700).unwrap_or(0));
    let checked_at = date.and_time(hms(8, 5, 0)) + minutes + TimeDelta::seconds(i64::try_from(n % 60).unwrap_or(0));
    let (access, validity) = if world.has_card(person) {
        let validity = match dice.below("validity", index, 40) {
            _ if revoked_at_first(world, person) => "2",
            0 => "4",
            1 => "5",
            2 => "",
            _ => "1",
        };
        (if dice.chance("smartphone", index, 1, 8) { "4" } else { "1" }, validity)
    } else {
        (if dice.chance("bulk", index, 1, 10) { "3" } else { "2" }, "")
    };
    let unknown = dice.chance("unknown insurer", index, 1, 40);
    let insurer = world.insurer_of(person);
    let coverage = world.base_coverage(&world.person_at(person, insurer), insurer);
    let insurer = if unknown { String::new() } else { world.insurers[insurer].code.clone() };
    let on_date = date.to_string();
    let mut row = Row::new("CHK", Encoding::Utf8).with(&[
        ("inquiry_no", &format!("Q{}-{n:06}", date.format("%Y%m%d"))),
        ("checked_at", &checked_at.format("%Y%m%d%H%M%S").to_string()),
        ("institution_code", &institution),
        ("access_kind", access),
        ("purpose", "01"),
        (
            "eligibility",
            if unknown {
                "3"
            } else if n % 19 == 7 {
                "2"
            } else {
                "1"
            },
        ),
        ("insurer_code", &insurer),
    ])?;
    if !unknown {
        row.set("link_no", &world.person_at(person, world.insurer_of(person)).link_no)?;
        row.set("insurer_no", &coverage.insurer_no)?;
    }
    if matches!(access, "1" | "4") {
        row.set("serial", &world.serial(person, 0))?;
        row.set("validity", validity)?;
        row.set("verifier_kind", "1")?;
        row.set("verifier_id", "V00001")?;
    }
    Ok(Check { row, on_date, insurer, institution, validity })
}

fn days(world: &World, from: u64, to: u64) -> Result<Vec<Check>> {
    (from..=to).flat_map(|d| (0..PER_DAY).map(move |n| (d, n))).map(|(d, n)| check(world, d, n)).collect()
}

fn late_evening(night: usize) -> NaiveDateTime {
    evening(night).date().and_time(hms(20, 0, 0))
}

fn body(sample: &Sample<'_>, night: usize, checks: &[Check]) -> Body {
    let mut body = sample.body("CHK", "ONL", late_evening(night), Encoding::Utf8);
    checks.iter().for_each(|c| body.push(&c.row));
    body
}

/// Writes a good file; the checks named `known` were sent before.
fn put(sample: &mut Sample<'_>, night: usize, checks: &[Check], known: usize) -> Result<()> {
    let new = checks.len() - known.min(checks.len());
    let findings: Findings = (0..checks.len()).map(|i| if i < new { Vec::new() } else { vec!["300502"] }).collect();
    for check in &checks[..new] {
        sample.truth.check(&check.on_date, &check.insurer, &check.institution, check.validity);
    }
    let body = body(sample, night, checks);
    sample.good(night, "checks", &body, &findings)
}

/// Writes the CHK files of all nights.
pub fn sample(sample: &mut Sample<'_>) -> Result<()> {
    let world = sample.world;
    for (from, to) in [(1, 7), (8, 14), (15, 21), (22, 28), (29, 30)] {
        put(sample, 0, &days(world, from, to)?, 0)?;
    }
    let mut second: Vec<Check> = days(world, 31, 31)?;
    for late in LATE_DAYS {
        for n in PER_DAY..PER_DAY + 3 {
            second.push(check(world, late, n)?);
        }
    }
    // The very same record that came in the first file.
    second.push(check(world, 1, 0)?);
    put(sample, 1, &second, 1)?;
    let rest: Vec<Check> = (PER_DAY..PER_DAY + 4).map(|n| check(world, 31, n)).collect::<Result<_>>()?;
    if sample.planted {
        let body = body(sample, 1, &rest);
        sample.refused(1, "checks", &body, Ending::WrongCount, State::Rejected("400002"))?;
    }
    put(sample, 2, &rest, 0)
}
