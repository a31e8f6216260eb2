//! The larger scales: the same kinds of files, streamed person by person; nothing is held but the file being filled.

use chrono::NaiveDateTime;

use super::crl::{Ca, Entry, serial_bytes};
use super::delimited::{Body, Ending, Row};
use super::dice::{at, count};
use super::sample::evening;
use super::truth::{State, Truth};
use super::uke::File;
use super::world::{World, compact, day};
use super::{NIGHTS, Out, checks, masters, script, subscribers};
use crate::base::error::Result;
use crate::base::time::{add_days, hms};
use crate::text::cp932::Encoding;

/// SUB files may hold no more (formats.md, Common rules).
const SUB_ROWS: u64 = 100_000;
/// Keeps files of other kinds at a size that fits memory.
const OTHER_ROWS: u64 = 1_000_000;

/// The run: where files go and what is expected of them.
struct Bulk<'a> {
    world: &'a World,
    out: &'a mut Out,
    truth: Truth,
}

/// A series of files of one kind and origin.
struct Series {
    night: usize,
    folder: &'static str,
    body: Body,
    limit: u64,
}

impl Series {
    fn new(night: usize, folder: &'static str, kind: &str, origin: &str, first: u64) -> Self {
        let encoding = if kind == "CHK" { Encoding::Utf8 } else { Encoding::Cp932 };
        let created = if kind == "CHK" { evening(night).date().and_time(hms(20, 0, 0)) } else { evening(night) };
        let limit = if kind == "SUB" { SUB_ROWS } else { OTHER_ROWS };
        Self { night, folder, body: Body::new(kind, origin, first, created, encoding), limit }
    }

    fn push(&mut self, bulk: &mut Bulk<'_>, mut row: Row) -> Result<()> {
        if self.body.kind != "CHK" {
            row.set("record_no", &(self.body.count + 1).to_string())?;
        }
        self.body.push(&row);
        if self.body.count >= self.limit { self.flush(bulk) } else { Ok(()) }
    }

    /// Writes what is there; returns with the next receipt number.
    fn flush(&mut self, bulk: &mut Bulk<'_>) -> Result<()> {
        if self.body.count == 0 {
            return Ok(());
        }
        let (night, body) = (NIGHTS[self.night], &self.body);
        let path = format!("{}/{}", self.folder, body.name());
        bulk.truth.file(night, &path, &body.kind, State::Accepted, body.count);
        bulk.out.write(&format!("nights/{night}/{path}"), &body.bytes(Ending::Right))?;
        self.body = Body::new(&body.kind, &body.origin, body.receipt_no + 1, body.created, body.encoding);
        Ok(())
    }

    fn end(mut self, bulk: &mut Bulk<'_>) -> Result<u64> {
        self.flush(bulk)?;
        Ok(self.body.receipt_no)
    }
}

/// Writes everything.
pub fn generate(world: &World, seed: u64, out: &mut Out) -> Result<()> {
    let mut bulk = Bulk { world, out, truth: Truth::default() };
    masters::write(world, bulk.out, &mut bulk.truth)?;
    for insurer in 0..world.insurers.len() {
        subscriber_files(&mut bulk, insurer)?;
    }
    link_files(&mut bulk)?;
    crl_sets(&mut bulk, seed)?;
    check_files(&mut bulk)?;
    for institution in 0..world.institutions.len() {
        receipt_files(&mut bulk, institution)?;
    }
    let Bulk { out, truth, .. } = bulk;
    truth.write(out, false)
}

/// The insurer that movers of this one go to; neighbours exchange theirs.
fn partner(world: &World, insurer: usize) -> usize {
    let other = insurer ^ 1;
    if other < world.insurers.len() { other } else { insurer }
}

/// Day on which a person moves to the partner insurer, told late.
fn moved_on(world: &World, person: u64) -> Option<chrono::NaiveDate> {
    let moves = world.dice.chance("moves", person, 5, 1_000);
    moves.then(|| day(if world.dice.chance("moves when", person, 1, 2) { "20261001" } else { "20261016" }))
}

fn subscriber_files(bulk: &mut Bulk<'_>, insurer: usize) -> Result<()> {
    let world = bulk.world;
    let of = &world.insurers[insurer];
    let block = |i: usize| world.block_start(i)..world.block_start(i + 1);
    let mut series = Series::new(0, "subscribers", "SUB", &of.code, 1);
    for index in block(insurer) {
        let person = world.person_at(index, insurer);
        let coverage = world.base_coverage(&person, insurer);
        series.push(bulk, subscribers::image(of, &person, Some(&coverage), false, NIGHTS[0])?)?;
    }
    let next = series.end(bulk)?;
    // 182,000 records a day for 130 million persons.
    let mut series = Series::new(1, "subscribers", "SUB", &of.code, next);
    for index in block(insurer).filter(|i| world.dice.chance("changes", *i, 14, 10_000)) {
        let mut person = world.person_at(index, insurer);
        person.address += "-101";
        let coverage = world.base_coverage(&person, insurer);
        series.push(bulk, subscribers::image(of, &person, Some(&coverage), true, NIGHTS[1])?)?;
    }
    let next = series.end(bulk)?;
    let from = partner(world, insurer);
    let mut series = Series::new(2, "subscribers", "SUB", &of.code, next);
    if from != insurer {
        for index in block(insurer) {
            let Some(on) = moved_on(world, index) else { continue };
            let person = world.person_at(index, insurer);
            let mut coverage = world.base_coverage(&person, insurer);
            coverage.lost = Some((on, "04"));
            series.push(bulk, subscribers::image(of, &person, Some(&coverage), true, NIGHTS[2])?)?;
        }
        for index in block(from) {
            let Some(on) = moved_on(world, index) else { continue };
            let person = world.person_at(index, from);
            let coverage = world.coverage(&person, insurer, on, 1);
            series.push(bulk, subscribers::image(of, &person, Some(&coverage), false, NIGHTS[2])?)?;
        }
    }
    series.end(bulk).map(drop)
}

fn link_files(bulk: &mut Bulk<'_>) -> Result<()> {
    let world = bulk.world;
    let row = |kind: &str, pairs: &[(&str, &str)]| Row::new(kind, Encoding::Cp932).with(pairs);
    let mut direct = Series::new(0, "links", "LNKP", "CHUKAN", 1);
    let mut requested = Series::new(0, "links", "LNKR", "JLIS", 1);
    let mut map = Series::new(0, "links", "REQM", "CHUKAN", 1);
    let mut reissued = Series::new(1, "links", "LNKU", "CHUKAN", 1);
    for index in (0..world.persons).filter(|i| world.has_card(*i)) {
        let (serial, link) = (world.serial(index, 0), world.person(index).link_no);
        if index % 50 == 7 {
            let request = (7_000_000_000 + index).to_string();
            requested.push(bulk, row("LNKR", &[("serial", &serial), ("request_no", &request)])?)?;
            map.push(bulk, row("REQM", &[("request_no", &request), ("link_no", &link)])?)?;
        } else {
            direct.push(bulk, row("LNKP", &[("serial", &serial), ("link_no", &link)])?)?;
        }
        if world.dice.chance("reissued", index, 1, 1_000) {
            let new = world.serial(index, 1);
            reissued.push(bulk, row("LNKU", &[("new_serial", &new), ("old_serial", &serial)])?)?;
        }
    }
    for series in [direct, requested, map, reissued] {
        series.end(bulk)?;
    }
    Ok(())
}

fn crl_sets(bulk: &mut Bulk<'_>, seed: u64) -> Result<()> {
    let world = bulk.world;
    let ca = Ca::new(seed)?;
    bulk.out.write("ca/sample-ca.pem", ca.certificate().as_bytes())?;
    // One distribution point per municipality of the nation: 1,741 for 130 million persons.
    let points = (world.persons / 74_000).clamp(4, 1_741);
    let revoked_at = |index| -> NaiveDateTime {
        let days = i64::try_from(world.dice.below("revoked on", index, 1_500)).unwrap_or(0);
        add_days(day("20220901"), days).and_time(hms(10, 0, 0))
    };
    for (night, number, part) in [(0, 101, 7_500), (1, 102, 7_510), (2, 114, 7_560)] {
        let date = add_days(evening(night).date(), 1);
        let folder = format!("crl/{}", compact(date));
        for point in 0..points {
            let mut entries = Vec::new();
            let mut index = point;
            while index < world.persons {
                // 9.75 million entries for 130 million persons; each night adds to the nights before.
                if world.dice.chance("revoked", index, part, 100_000) {
                    let reason = [Some(1), Some(4), Some(9), None][at(index % 4)];
                    let serial = serial_bytes(&world.serial(index, 0))?;
                    entries.push(Entry { serial, revoked_at: revoked_at(index), reason, invalid_from: None });
                }
                index += points;
            }
            let name = format!("dp{:04}.crl", point + 1);
            let path = format!("{folder}/{name}");
            bulk.truth.file(NIGHTS[night], &path, "CRL", State::Accepted, count(entries.len()));
            let bytes = ca.crl(&format!("http://crl.example/{name}"), number, date.and_time(hms(6, 0, 0)), entries);
            bulk.out.write(&format!("nights/{}/{path}", NIGHTS[night]), &bytes)?;
        }
        bulk.out.write(&format!("nights/{}/{folder}/_DONE", NIGHTS[night]), b"")?;
    }
    Ok(())
}

fn check_files(bulk: &mut Bulk<'_>) -> Result<()> {
    let world = bulk.world;
    // 150 million checks a month for 130 million persons.
    let per_day = world.persons * 115 / 100 / 31;
    let mut next = 1;
    for (night, days) in [(0, 1..=30), (1, 31..=31)] {
        let mut series = Series::new(night, "checks", "CHK", "ONL", next);
        for of_day in days {
            for n in 0..per_day {
                series.push(bulk, checks::check(world, of_day, n)?.row)?;
            }
        }
        next = series.end(bulk)?;
    }
    Ok(())
}

fn receipt_files(bulk: &mut Bulk<'_>, institution: usize) -> Result<()> {
    let world = bulk.world;
    let of = &world.institutions[institution];
    // 180 million receipts a month for 130 million persons, two of three through 支払基金.
    let share = (world.persons * 138 / 100 / count(world.institutions.len())).max(3);
    for (payer, n) in [("1", share * 2 / 3), ("2", share / 3)] {
        let mut file = File::new(of, payer)?;
        for ordinal in 0..n {
            let draw = (count(institution) * 2 + u64::from(payer == "2")) * 1_000_000_000 + ordinal * 64;
            let persons = (draw..draw + 64).map(|d| world.dice.below("patient", d, world.persons));
            let fits = |index: &u64| world.insurers[world.insurer_of(*index)].payer() == payer;
            let Some(index) = persons.into_iter().find(fits) else { continue };
            let bill = script::unchanged(world, index, world.insurer_of(index), of.fee_table).bill;
            file.push(of, &bill)?;
        }
        let path = format!("receipts/{}_{payer}_202611.UKE", of.code);
        bulk.truth.file(NIGHTS[2], &path, "UKE", State::Accepted, file.receipts);
        bulk.out.write(&format!("nights/{}/{path}", NIGHTS[2]), &file.bytes(false)?)?;
    }
    Ok(())
}
