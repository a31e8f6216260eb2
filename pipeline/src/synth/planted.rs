//! Planted errors: bad records inside good files of the second night, one code each.

use super::NIGHTS;
use super::delimited::Row;
use super::masters::ABOLISHED_ON;
use super::subscribers::{Operation, image, other};
use super::world::{Coverage, Person, World};
use crate::base::error::{Error, Result};
use crate::text::digits::my_number_digit;

/// A record, the insurer whose file it stands in, and its code.
pub type Bad = (usize, Row, &'static str);

/// A person that no other record names.
fn newcomer(world: &World, insurer: usize, k: u64) -> (Person, Coverage) {
    let person = world.person_at(world.persons + 300 + k, insurer);
    let coverage = world.coverage(&person, insurer, super::world::day("20261001"), 1);
    (person, coverage)
}

/// The last persons of an insurer, whom no other event touches.
pub fn known(world: &World, insurer: usize, k: usize) -> Result<Person> {
    let found = (0..world.persons).rev().filter(|i| world.insurer_of(*i) == insurer).nth(k);
    found.map(|i| world.person_at(i, insurer)).ok_or_else(|| Error::failed("synth: an insurer has too few persons"))
}

/// A digit run that the guard must take for a 個人番号: made here, nobody's.
pub fn number_like_mine() -> String {
    let body = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1];
    format!("12345678901{}", my_number_digit(&body))
}

/// All planted SUB records.
pub fn records(world: &World) -> Result<Vec<Bad>> {
    let night = NIGHTS[1];
    let make = |insurer: usize, k: u64, code: &'static str, changes: &[(&str, &str)]| -> Result<Bad> {
        let (person, coverage) = newcomer(world, insurer, k);
        let row = image(&world.insurers[insurer], &person, Some(&coverage), false, night)?;
        Ok((insurer, row.with(changes)?, code))
    };
    let (_, coverage) = newcomer(world, 0, 1);
    let wrong_digit = other_digit(&coverage.member_no);
    let long_name = format!("{}　{}", "見".repeat(50), "本".repeat(50));
    let number = |insurer: usize, n: usize| world.insurers[insurer].numbers.get(n).map_or("", |(number, _)| number);
    let mut bad = vec![
        make(0, 1, "100307", &[("member_no", &wrong_digit)])?,
        make(1, 2, "100706", &[("sex", "9")])?,
        make(0, 3, "101905", &[("acquired_on", "20260230")])?,
        make(0, 4, "100503", &[("name", &long_name)])?,
        make(0, 5, "200103", &[("lost_on", "20260930"), ("loss_reason", "01")])?,
        make(1, 6, "200104", &[("lost_on", "20261015")])?,
        make(1, 8, "100401", &[("link_no", "")])?,
        make(2, 9, "102612", &[("workplace", "架空商事株式会社")])?,
        make(0, 10, "300101", &[("insurer_no", number(1, 0))])?,
        make(1, 11, "300102", &[("insurer_no", number(1, 1)), ("acquired_on", ABOLISHED_ON)])?,
        make(3, 12, "300104", &[("operation", "2")])?,
        make(3, 13, "200111", &[("number", "")])?,
        make(0, 14, "100811", &[("birth_date", "20270101")])?,
        make(1, 15, "100513", &[("name", "資格空白無")])?,
    ];
    for (k, code, bytes) in [(7, "100908", vec![0xff]), (16, "100914", vec![0xf0, 0x40])] {
        let (insurer, mut row, code) = make(0, k, code, &[])?;
        row.set_bytes("address", bytes)?;
        bad.push((insurer, row, code));
    }
    let municipal = known(world, 2, 0)?;
    let member_no = world.base_coverage(&municipal, 2).member_no;
    bad.push((2, other(&world.insurers[2], &municipal, &member_no, Operation::Delete, "", night)?, "200109"));
    // Registered the night before: once with another number, once the same.
    for (k, code, number) in [(0, "300103", Some("999999")), (1, "300106", None)] {
        let person = known(world, 0, k)?;
        let mut coverage = world.base_coverage(&person, 0);
        if let Some(number) = number {
            number.clone_into(&mut coverage.number);
        }
        bad.push((0, image(&world.insurers[0], &person, Some(&coverage), false, night)?, code));
    }
    Ok(bad)
}

/// The same number with another last digit.
pub fn other_digit(number: &str) -> String {
    let (body, last) = number.split_at(number.len().saturating_sub(1));
    format!("{body}{}", if last == "9" { "0" } else { "9" })
}
