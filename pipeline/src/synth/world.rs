//! The invented nation: insurers, institutions, persons and their first coverage, each from its index alone.

use chrono::{Datelike, NaiveDate};

use super::dice::{Dice, at, count};
use super::names::{FAMILY, GIVEN, TOWNS};
use crate::base::time::{add_days, parse_date};
use crate::text::cp932::Encoding;
use crate::text::digits::luhn_digit;

/// Persons of one household (世帯).
pub const HOUSEHOLD: u64 = 3;

/// A submitting insurer (保険者コード) and its 保険者番号.
#[derive(Debug, Clone)]
pub struct Insurer {
    pub code: String,
    pub holder: String,
    pub scheme: &'static str,
    /// 保険者番号 and 名称; the first ones are in use.
    pub numbers: Vec<(String, String)>,
    pub encoding: Encoding,
    /// Own code of 本人・家族の別 for 本人, where it differs.
    pub insured_code: &'static str,
}

impl Insurer {
    /// 審査支払機関: 国保 and 後期高齢 by 国保連合会.
    pub fn payer(&self) -> &'static str {
        if matches!(self.scheme, "05" | "06" | "07") { "2" } else { "1" }
    }
}

/// A medical institution.
#[derive(Debug, Clone)]
pub struct Institution {
    pub code: String,
    pub name: String,
    pub prefecture: u64,
    /// 点数表, or `dpc`.
    pub fee_table: &'static str,
}

/// A person with the attributes that every insurer is told.
#[derive(Debug, Clone)]
pub struct Person {
    pub index: u64,
    pub link_no: String,
    /// Place in the household; 0 = 本人・世帯主.
    pub place: u64,
    pub family: (&'static str, &'static str),
    pub given: (&'static str, &'static str),
    pub sex: &'static str,
    pub birth: NaiveDate,
    pub address: String,
}

impl Person {
    pub fn name(&self) -> String {
        format!("{}　{}", self.family.0, self.given.0)
    }

    pub fn kana(&self) -> String {
        format!("{}　{}", self.family.1, self.given.1)
    }
}

/// One period of coverage as an insurer reports it.
#[derive(Debug, Clone)]
pub struct Coverage {
    /// Index of the insurer.
    pub insurer: usize,
    pub insurer_no: String,
    pub member_no: String,
    pub seq: u64,
    pub symbol: String,
    pub number: String,
    pub branch: String,
    pub acquired: NaiveDate,
    pub lost: Option<(NaiveDate, &'static str)>,
    pub returned: Option<NaiveDate>,
    pub card_kind: &'static str,
}

/// Everything that follows from scale and seed.
#[derive(Debug)]
pub struct World {
    pub dice: Dice,
    pub persons: u64,
    pub insurers: Vec<Insurer>,
    pub institutions: Vec<Institution>,
    /// Small: insurers are drawn; else each has one block of persons.
    pub small: bool,
    /// Insurers of the first households, where a script names them.
    pub scripted: Vec<usize>,
}

/// A date the program names, `YYYYMMDD`.
pub fn day(text: &str) -> NaiveDate {
    parse_date(text.as_bytes()).unwrap_or(NaiveDate::MIN)
}

/// `YYYYMMDD`.
pub fn compact(date: NaiveDate) -> String {
    date.format("%Y%m%d").to_string()
}

/// Appends the check digit.
pub fn checked(body: &str) -> String {
    format!("{body}{}", luhn_digit(body))
}

/// 保険者番号: 法別番号, prefecture, a number from 900, check digit.
pub fn insurer_no(law: &str, prefecture: u64, serial: u64) -> String {
    checked(&format!("{law}{prefecture:02}{serial:03}"))
}

impl World {
    pub fn insurer_of(&self, person: u64) -> usize {
        if !self.small {
            // Blocks of whole households, so that an insurer's file is one range of persons.
            return at((person / HOUSEHOLD).saturating_mul(count(self.insurers.len())) / self.households());
        }
        if let Some(insurer) = self.scripted.get(at(person / HOUSEHOLD)) {
            return *insurer;
        }
        match self.dice.below("insurer", person / HOUSEHOLD, 20) {
            0..8 => 0,
            8..13 => 1,
            13..18 => 2,
            _ => 3,
        }
    }

    fn households(&self) -> u64 {
        self.persons.div_ceil(HOUSEHOLD).max(1)
    }

    /// First person of an insurer's block; the block ends where the next one starts.
    pub fn block_start(&self, insurer: usize) -> u64 {
        let household = (count(insurer) * self.households()).div_ceil(count(self.insurers.len()));
        (household * HOUSEHOLD).min(self.persons)
    }

    pub fn person(&self, index: u64) -> Person {
        self.person_at(index, self.insurer_of(index))
    }

    /// A person whose insurer is known; it decides the age.
    pub fn person_at(&self, index: u64, insurer: usize) -> Person {
        let (dice, household, place) = (self.dice, index / HOUSEHOLD, index % HOUSEHOLD);
        let elderly = self.insurers[insurer].scheme == "07";
        // No two of a household share a birthday by chance: days of different places differ modulo the size.
        let days = dice.below("birth", index, 365 * 5) * HOUSEHOLD + place;
        let from = match (elderly, place) {
            (true, _) => day("19350401"),
            (false, 0) => day("19550401"),
            (false, 1) => day("19710401"),
            (false, _) => day("20100401"),
        };
        let female = dice.chance("sex", index, 1, 2);
        let given = GIVEN[at(dice.below("given", index, 20) * 2 + u64::from(female))];
        let town = dice.pick("town", household, &TOWNS);
        let block = |purpose: &str, bound| dice.below(purpose, household, bound) + 1;
        let (chome, banchi, go) = (block("chome", 5), block("banchi", 30), block("go", 20));
        Person {
            index,
            link_no: (100_000_000 + index * 7).to_string(),
            place,
            family: dice.pick("family", household, &FAMILY),
            given,
            sex: if female { "2" } else { "1" },
            birth: add_days(from, i64::try_from(days).unwrap_or(0)),
            address: format!("東京都{town}{chome}-{banchi}-{go}"),
        }
    }

    /// The person's coverage at an insurer from a day on; `seq` 1 is the first one there.
    pub fn coverage(&self, person: &Person, insurer: usize, acquired: NaiveDate, seq: u64) -> Coverage {
        let of = &self.insurers[insurer];
        let household = person.index / HOUSEHOLD;
        // A second period has a new number.
        let number = household + 1 + (seq - 1) * 500_000_000;
        let (symbol, number) = match of.scheme {
            "01" => ((21_000_000 + household).to_string(), number.to_string()),
            "02" => (format!("ミ-{}", household % 100), number.to_string()),
            "06" => ("架空".to_owned(), format!("{number:08}")),
            "07" => (String::new(), format!("{:08}", person.index + 1)),
            _ => ("見本".to_owned(), number.to_string()),
        };
        let in_use = if of.scheme == "02" { 1 } else { count(of.numbers.len()) };
        let (insurer_no, _) = &of.numbers[at(self.dice.below("branch office", household, in_use))];
        Coverage {
            insurer,
            insurer_no: insurer_no.clone(),
            member_no: checked(&format!("{:05}{:010}", insurer + 1, person.index + 1)),
            seq,
            symbol,
            number,
            branch: if of.scheme == "07" { String::new() } else { format!("{:02}", person.place) },
            acquired,
            lost: None,
            returned: None,
            card_kind: if self.dice.chance("card kind", household, 1, 2) { "08" } else { "01" },
        }
    }

    /// The coverage a person has had for some time.
    pub fn base_coverage(&self, person: &Person, insurer: usize) -> Coverage {
        let days = i64::try_from(self.dice.below("acquired", person.index / HOUSEHOLD, 3650)).unwrap_or(0);
        let acquired = add_days(day("20160401"), days).max(person.birth);
        self.coverage(person, insurer, acquired, 1)
    }

    /// Serial of a person's certificate; `generation` counts reissues.
    pub fn serial(&self, person: u64, generation: u64) -> String {
        self.serial_of("serial", person * 8 + generation)
    }

    /// A serial: letters every few digits, so that no run of digits looks like a number of the field.
    pub fn serial_of(&self, purpose: &str, index: u64) -> String {
        let words =
            [self.dice.value(purpose, index), self.dice.value("serial low", index ^ self.dice.value(purpose, 0))];
        let hex = format!("{:016x}{:016x}", words[0], words[1]);
        // Two lengths, one of them odd.
        let length = if self.dice.chance("serial length", index, 1, 5) { 31 } else { 32 };
        let letters = |(i, c): (usize, char)| match (i % 8, c) {
            (7, '0'..='9') => 'c',
            (0, '0') => '7',
            _ => c,
        };
        hex.chars().take(length).enumerate().map(letters).collect()
    }

    /// Whether the person has a card with a certificate.
    pub fn has_card(&self, person: u64) -> bool {
        self.dice.chance("has card", person, 7, 10)
    }
}

/// Age in full years.
pub fn age(birth: NaiveDate, on: NaiveDate) -> i32 {
    let had = (on.month(), on.day()) >= (birth.month(), birth.day());
    on.year() - birth.year() - i32::from(!had)
}
