//! Link files of the sample and what its CRLs revoke.

use super::crl::{Entry, serial_bytes};
use super::delimited::Row;
use super::planted;
use super::sample::{Sample, evening};
use super::script::scripted_persons;
use super::world::{World, day};
use crate::base::error::Result;
use crate::base::time::{add_days, hms};
use crate::text::cp932::Encoding;

type Rows = Vec<(Row, Vec<&'static str>)>;

/// One row of two keys; the layout's second and third field.
fn pair(kind: &str, first: &str, second: &str) -> Result<Row> {
    let (a, b) = match kind {
        "LNKP" => ("serial", "link_no"),
        "LNKR" => ("serial", "request_no"),
        "REQM" => ("request_no", "link_no"),
        _ => ("new_serial", "old_serial"),
    };
    Row::new(kind, Encoding::Cp932).with(&[(a, first), (b, second)])
}

/// A serial as some senders write it.
fn written(index: u64, serial: &str) -> String {
    if index.is_multiple_of(7) { format!("00{}", serial.to_uppercase()) } else { serial.to_owned() }
}

fn put(sample: &mut Sample<'_>, night: usize, kind: &str, rows: Rows) -> Result<()> {
    let origin = if kind == "LNKR" { "JLIS" } else { "CHUKAN" };
    let body = sample.body(kind, origin, evening(night), Encoding::Cp932);
    sample.numbered(night, "links", body, rows)
}

fn request_no(index: u64) -> String {
    (700_000_000 + index).to_string()
}

/// Whether the first issue came by request number.
fn by_request(index: u64) -> bool {
    index % 20 == 7
}

/// Persons whose card is reissued on the second night.
fn reissued(world: &World, index: u64) -> bool {
    index % 30 == 3 && index >= scripted_persons() && world.has_card(index) && !by_request(index)
}

/// Writes the link files of all nights.
pub fn sample(sample: &mut Sample<'_>) -> Result<()> {
    let world = sample.world;
    let (mut direct, mut requested, mut map) = (Rows::new(), Rows::new(), Rows::new());
    for index in (0..world.persons).filter(|i| world.has_card(*i)) {
        let (serial, link) = (world.serial(index, 0), world.person(index).link_no);
        if by_request(index) {
            requested.push((pair("LNKR", &written(index, &serial), &request_no(index))?, Vec::new()));
            map.push((pair("REQM", &request_no(index), &link)?, Vec::new()));
        } else {
            direct.push((pair("LNKP", &written(index, &serial), &link)?, Vec::new()));
        }
        sample.truth.serial(&serial, &link, "linked");
    }
    put(sample, 0, "LNKP", direct)?;
    put(sample, 0, "LNKR", requested)?;
    put(sample, 0, "REQM", map)?;
    changes(sample)
}

fn changes(sample: &mut Sample<'_>) -> Result<()> {
    let world = sample.world;
    let (mut first, mut second) = (Rows::new(), Rows::new());
    let mut reissues = (0..world.persons).filter(|i| reissued(world, *i)).peekable();
    let conflict = reissues.peek().copied();
    for (turn, index) in reissues.enumerate() {
        let serials = [0, 1, 2].map(|generation| world.serial(index, generation));
        let link = world.person(index).link_no;
        if turn == 1 {
            // The second reissue comes before the first one and waits for it.
            first.push((pair("LNKU", &serials[2], &serials[1])?, vec!["300201"]));
            second.push((pair("LNKU", &serials[1], &serials[0])?, Vec::new()));
            sample.truth.serial(&serials[2], &link, "linked");
        } else {
            first.push((pair("LNKU", &written(index, &serials[1]), &serials[0])?, Vec::new()));
        }
        sample.truth.serial(&serials[1], &link, "linked");
    }
    let stray = |n| world.serial_of("stray", n);
    second.push((pair("LNKU", &stray(1), &stray(2))?, vec!["300201"]));
    sample.truth.serial(&stray(1), "", "pending");
    put(sample, 1, "LNKU", first)?;
    put(sample, 1, "LNKU", second)?;

    // A known pair again and, planted, a serial that is another person's.
    let mut holders = (0..world.persons).filter(|i| world.has_card(*i) && !by_request(*i));
    let (known, other) = (holders.next().unwrap_or(0), holders.next().unwrap_or(0));
    let link = |index| world.person(index).link_no;
    let mut pairs = vec![(pair("LNKP", &world.serial(known, 0), &link(known))?, vec!["300205"])];
    if sample.planted {
        pairs.push((pair("LNKP", &world.serial(known, 0), &link(other))?, vec!["300202"]));
    }
    put(sample, 1, "LNKP", pairs)?;

    // A card whose request number is not mapped until the third night.
    let late = planted::known(world, 0, 5)?;
    let request = request_no(world.persons + 1);
    put(sample, 1, "LNKR", vec![(pair("LNKR", &stray(3), &request)?, vec!["300201"])])?;
    put(sample, 2, "REQM", vec![(pair("REQM", &request, &late.link_no)?, Vec::new())])?;
    sample.truth.serial(&stray(3), &late.link_no, "linked");

    if let (true, Some(index)) = (sample.planted, conflict) {
        put(sample, 2, "LNKU", vec![(pair("LNKU", &stray(4), &world.serial(index, 0))?, vec!["300203"])])?;
    }
    Ok(())
}

/// A revoked certificate and its distribution point.
pub struct Revoked {
    pub serial: String,
    pub point: u64,
    pub entry: Entry,
}

/// Whether a person's first certificate is revoked from the first night on.
pub fn revoked_at_first(world: &World, index: u64) -> bool {
    index % 25 == 4 && world.has_card(index)
}

/// What is revoked as of a night.
pub fn revoked(world: &World, night: usize) -> Result<Vec<Revoked>> {
    let mut all = Vec::new();
    let mut add = |serial: String, index: u64, days: i64, reason: Option<u8>| -> Result<()> {
        let revoked_at = add_days(day("20261001"), days).and_time(hms(10, 0, 0));
        // One entry in each ten knows when the key was lost.
        let invalid_from = (index % 10 == 4).then(|| add_days(revoked_at.date(), -2).and_time(hms(12, 30, 0)));
        let entry = Entry { serial: serial_bytes(&serial)?, revoked_at, reason, invalid_from };
        all.push(Revoked { serial, point: index % 4 + 1, entry });
        Ok(())
    };
    for index in 0..world.persons {
        if revoked_at_first(world, index) {
            let (reason, days) = match index % 4 {
                0 => (Some(1), 3),
                1 => (Some(4), 12),
                2 => (None, 20),
                _ => (Some(6), 25),
            };
            // A hold is lifted after the first night: the entry leaves the list.
            if reason != Some(6) || night == 0 {
                add(world.serial(index, 0), index, days, reason)?;
            }
        } else if night >= 1 && reissued(world, index) && index % 60 != 3 {
            add(world.serial(index, 0), index, 30, Some(4))?;
        } else if night >= 2 && index % 40 == 21 && world.has_card(index) {
            add(world.serial(index, 0), index, 40, Some(9))?;
        }
    }
    // Certificates of persons whose cards no link names.
    for k in 0..24 {
        add(world.serial_of("foreign", k), k, 1, Some(1))?;
    }
    Ok(all)
}
