//! The sample: three nights of about a thousand persons, with everything that must come of them.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;

use super::delimited::{Body, Ending, Row};
use super::dice::count;
use super::planted;
use super::script::{self, Expected, Nights};
use super::subscribers::image;
use super::truth::{Findings, State, Truth};
use super::uke::File;
use super::world::{Institution, Person, World, day};
use super::{NIGHTS, Out, crl, links, masters};
use crate::base::error::{Error, Result};
use crate::base::time::hms;
use crate::text::cp932::Encoding;

/// The sample while it is written.
pub struct Sample<'a> {
    pub world: &'a World,
    pub out: &'a mut Out,
    pub truth: Truth,
    pub planted: bool,
    /// Last used receipt number of each kind and origin.
    numbers: BTreeMap<(String, String), u64>,
}

/// 18:00 of a night's day.
pub fn evening(night: usize) -> NaiveDateTime {
    day(&NIGHTS[night].replace('-', "")).and_time(hms(18, 0, 0))
}

impl Sample<'_> {
    /// An empty file with the next receipt number of its origin.
    pub fn body(&self, kind: &str, origin: &str, created: NaiveDateTime, encoding: Encoding) -> Body {
        let last = self.numbers.get(&(kind.to_owned(), origin.to_owned())).copied().unwrap_or(0);
        Body::new(kind, origin, last + 1, created, encoding)
    }

    /// Writes a file that is read; its number is used then.
    pub fn good(&mut self, night: usize, folder: &str, body: &Body, findings: &Findings) -> Result<()> {
        self.numbers.insert((body.kind.clone(), body.origin.clone()), body.receipt_no);
        let path = format!("{folder}/{}", body.name());
        self.truth.records(NIGHTS[night], &path, &body.kind, findings);
        self.out.write(&format!("nights/{}/{path}", NIGHTS[night]), &body.bytes(Ending::Right))
    }

    /// Writes a file that is refused whole; its number stays free.
    pub fn refused(&mut self, night: usize, folder: &str, body: &Body, ending: Ending, state: State) -> Result<()> {
        let path = format!("{folder}/{}", body.name());
        self.truth.file(NIGHTS[night], &path, &body.kind, state, body.count);
        self.out.write(&format!("nights/{}/{path}", NIGHTS[night]), &body.bytes(ending))
    }

    /// Numbers the rows of a file and writes it.
    pub fn numbered(
        &mut self,
        night: usize,
        folder: &str,
        mut body: Body,
        rows: Vec<(Row, Vec<&'static str>)>,
    ) -> Result<()> {
        let mut findings = Findings::new();
        for (number, (mut row, codes)) in (1u64..).zip(rows) {
            row.set("record_no", &number.to_string())?;
            body.push(&row);
            findings.push(codes);
        }
        self.good(night, folder, &body, &findings)
    }
}

/// Writes the whole sample.
pub fn generate(world: &World, seed: u64, planted: bool, out: &mut Out) -> Result<()> {
    let mut sample = Sample { world, out, truth: Truth::default(), planted, numbers: BTreeMap::new() };
    masters::write(world, sample.out, &mut sample.truth)?;
    let mut receipts = Vec::new();
    subscribers(&mut sample, &mut receipts)?;
    links::sample(&mut sample)?;
    crl_sets(&mut sample, seed)?;
    super::checks::sample(&mut sample)?;
    uke_files(&mut sample, receipts)?;
    let Sample { out, truth, .. } = sample;
    truth.write(out, true)
}

/// Persons to whom nothing scripted happens and whose address changes on the second night.
fn moves_house(world: &World, index: u64) -> bool {
    index >= script::scripted_persons() && index < world.persons / 2 && index % 23 == 5
}

fn subscribers(sample: &mut Sample<'_>, receipts: &mut Vec<Expected>) -> Result<()> {
    let world = sample.world;
    let mut nights: Nights = std::array::from_fn(|_| vec![Vec::new(); world.insurers.len()]);
    script::play(world, &mut nights, receipts)?;
    for index in script::scripted_persons()..world.persons {
        let insurer = world.insurer_of(index);
        let mut person = world.person_at(index, insurer);
        let coverage = world.base_coverage(&person, insurer);
        let row = image(&world.insurers[insurer], &person, Some(&coverage), false, NIGHTS[0])?;
        nights[0][insurer].push((row, Vec::new()));
        if moves_house(world, index) {
            "東京都架空区転居町1-1-1".clone_into(&mut person.address);
            let row = image(&world.insurers[insurer], &person, Some(&coverage), true, NIGHTS[1])?;
            nights[1][insurer].push((row, Vec::new()));
        }
    }
    if sample.planted {
        for (insurer, row, code) in planted::records(world)? {
            nights[1][insurer].push((row, vec![code]));
        }
    }
    for (night, insurers) in nights.into_iter().enumerate() {
        for (insurer, mut rows) in insurers.into_iter().enumerate() {
            if night == 2 {
                resubmission(sample, insurer)?;
            }
            let of = &world.insurers[insurer];
            let again = if insurer == 0 && night == 0 { rows.split_off(rows.len() / 2) } else { Vec::new() };
            for part in [rows, again].into_iter().filter(|p| !p.is_empty()) {
                let body = sample.body("SUB", &of.code, evening(night), of.encoding);
                sample.numbered(night, "subscribers", body, part)?;
            }
            if night == 1 && sample.planted {
                refused_file(sample, insurer)?;
            }
        }
    }
    Ok(())
}

/// Updates that two insurers send on the second night in a file that must be refused.
fn refused_rows(sample: &Sample<'_>, insurer: usize, number: Option<&str>) -> Result<Vec<Row>> {
    let (world, mut rows) = (sample.world, Vec::new());
    for k in 2..5 {
        let mut person: Person = planted::known(world, insurer, k)?;
        let coverage = world.base_coverage(&person, insurer);
        person.address = format!("東京都架空区転居町2-{k}");
        // In the first record: what is quarantined is not read on.
        if let (2, Some(number)) = (k, number) {
            person.address += &format!(" {number}");
        }
        rows.push(image(&world.insurers[insurer], &person, Some(&coverage), true, NIGHTS[1])?);
    }
    Ok(rows)
}

fn refused_file(sample: &mut Sample<'_>, insurer: usize) -> Result<()> {
    let of = &sample.world.insurers[insurer];
    let number = planted::number_like_mine();
    let (number, ending, state) = match of.scheme {
        "07" => (None, Ending::Missing, State::Rejected("400002")),
        "06" => (Some(number.as_str()), Ending::Right, State::Quarantined("900001")),
        _ => return Ok(()),
    };
    let mut body = sample.body("SUB", &of.code, evening(1), of.encoding);
    for (k, mut row) in (1u64..).zip(refused_rows(sample, insurer, number)?) {
        row.set("record_no", &k.to_string())?;
        body.push(&row);
    }
    sample.refused(1, "subscribers", &body, ending, state)
}

/// The refused file again, put right, under the number it left unused.
fn resubmission(sample: &mut Sample<'_>, insurer: usize) -> Result<()> {
    let of = &sample.world.insurers[insurer];
    if !matches!(of.scheme, "06" | "07") {
        return Ok(());
    }
    let rows = refused_rows(sample, insurer, None)?.into_iter().map(|row| (row, Vec::new())).collect();
    let body = sample.body("SUB", &of.code, evening(2), of.encoding);
    sample.numbered(2, "subscribers", body, rows)
}

fn crl_sets(sample: &mut Sample<'_>, seed: u64) -> Result<()> {
    let ca = crl::Ca::new(seed)?;
    sample.out.write("ca/sample-ca.pem", ca.certificate().as_bytes())?;
    for (night, number) in [(0, 101), (1, 102), (2, 114)] {
        let revoked = links::revoked(sample.world, night)?;
        let date = crate::base::time::add_days(evening(night).date(), 1);
        let folder = format!("crl/{}", super::world::compact(date));
        for point in 1..=4u64 {
            let own: Vec<&links::Revoked> = revoked.iter().filter(|r| r.point == point).collect();
            let entries: Vec<crl::Entry> = own.iter().map(|r| r.entry.clone()).collect();
            let name = format!("dp{point:04}.crl");
            let path = format!("{folder}/{name}");
            sample.truth.file(NIGHTS[night], &path, "CRL", State::Accepted, count(entries.len()));
            let bytes = ca.crl(&format!("http://crl.example/{name}"), number, date.and_time(hms(6, 0, 0)), entries);
            sample.out.write(&format!("nights/{}/{path}", NIGHTS[night]), &bytes)?;
            if night == 2 {
                own.iter().for_each(|r| sample.truth.revoked(&r.serial));
            }
        }
        sample.out.write(&format!("nights/{}/{folder}/_DONE", NIGHTS[night]), b"")?;
    }
    Ok(())
}

/// One file per institution and payer: the scripted receipts, and unchanged ones all around.
fn uke_files(sample: &mut Sample<'_>, scripted: Vec<Expected>) -> Result<()> {
    let world = sample.world;
    let mut files: BTreeMap<(usize, &'static str), Vec<Expected>> = BTreeMap::new();
    for (k, expected) in scripted.into_iter().enumerate() {
        let fitting: Vec<usize> =
            (0..world.institutions.len()).filter(|i| world.institutions[*i].fee_table == expected.table).collect();
        let turn = k % fitting.len().max(1);
        let institution = *fitting.get(turn).ok_or_else(|| Error::failed("synth: no institution of that kind"))?;
        files.entry((institution, expected.payer)).or_default().push(expected);
    }
    let mut turns: BTreeMap<&'static str, usize> = BTreeMap::new();
    for index in (script::scripted_persons()..world.persons).filter(|i| world.dice.chance("receipt", *i, 1, 3)) {
        let insurer = world.insurer_of(index);
        let turn = turns.entry(world.insurers[insurer].payer()).or_default();
        let institution = *turn % world.institutions.len();
        *turn += 1;
        let expected = script::unchanged(world, index, insurer, world.institutions[institution].fee_table);
        files.entry((institution, expected.payer)).or_default().push(expected);
    }
    for ((institution, payer), receipts) in files {
        let of: &Institution = &world.institutions[institution];
        let mut file = File::new(of, payer)?;
        for expected in receipts {
            let number = file.push(of, &expected.bill)?;
            let result = [expected.outcome, expected.reason, &expected.insurer_no, &expected.branch_no];
            sample.truth.receipt((&of.code, payer, number), result);
        }
        let path = format!("receipts/{}_{payer}_202611.UKE", of.code);
        sample.truth.file(NIGHTS[2], &path, "UKE", State::Accepted, file.receipts);
        let end_mark = institution % 2 == 0;
        sample.out.write(&format!("nights/{}/{path}", NIGHTS[2]), &file.bytes(end_mark)?)?;
    }
    Ok(())
}
