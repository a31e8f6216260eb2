//! CRLs byte by byte, with any octets, times and order, signed by throw-away keys; and random sets of them over nights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock};

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use shikaku_pipeline::crl::judge;
use shikaku_schemas::code::Code;

use crate::crl_oracle::{Band, Book, Entry, Fault, List, serial_text};
use crate::plan::Dice;

pub const BAND: Band = Band { entries: 3, shrink: 20, growth: 50 };

// ---- Bytes -----------------------------------------------------------------------------------------------------------

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head: &[u8] = match length {
        0..=127 => &[tag, low],
        128..=255 => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// Of 2.5.29.
fn extension(id: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { tlv(1, &[0xff]) } else { Vec::new() };
    seq(&[tlv(6, &[0x55, 0x1d, id]), flag, tlv(4, value)])
}

fn time(utc: NaiveDateTime, generalized: bool) -> Vec<u8> {
    if generalized || utc.year() >= 2050 {
        return tlv(0x18, utc.format("%Y%m%d%H%M%SZ").to_string().as_bytes());
    }
    tlv(0x17, utc.format("%y%m%d%H%M%SZ").to_string().as_bytes())
}

fn positive(n: u128) -> Vec<u8> {
    let bytes = n.to_be_bytes();
    let first = bytes.iter().position(|b| *b > 0).unwrap_or(15);
    let lead: &[u8] = if bytes[first] >= 0x80 { &[0] } else { &[] };
    tlv(2, &[lead, &bytes[first..]].concat())
}

const ECDSA_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const EC_PUBLIC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const PRIME256V1: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

pub fn key_id(ca: usize) -> Vec<u8> {
    vec![0xc0 + u8::try_from(ca).unwrap(); 20]
}

/// CA 2 is CA 0 with a new key.
fn name(ca: usize) -> Vec<u8> {
    let own = tlv(0x0c, format!("CA {}", if ca == 2 { 0 } else { ca }).as_bytes());
    seq(&[tlv(0x31, &seq(&[tlv(6, &[0x55, 4, 3]), own]))])
}

fn signed(ca: usize, tbs: Vec<u8>, other: bool) -> Vec<u8> {
    let key = SigningKey::from_slice(&[u8::try_from(ca).unwrap() + 1; 32]).unwrap();
    let signature: Signature = if other { key.sign(b"something else") } else { key.sign(&tbs) };
    let bits = [&[0], signature.to_der().as_bytes()].concat();
    seq(&[tbs, seq(&[tlv(6, &ECDSA_SHA256)]), tlv(3, &bits)])
}

pub fn certificate_of(ca: usize) -> Vec<u8> {
    certificate_named(ca, name(ca))
}

/// The certificate of a CA whose name is written in a PrintableString, in other case and with more spaces.
pub fn certificate_written_otherwise(ca: usize) -> Vec<u8> {
    let own = tlv(0x13, format!(" ca   {ca} ").as_bytes());
    certificate_named(ca, seq(&[tlv(0x31, &seq(&[tlv(6, &[0x55, 4, 3]), own]))]))
}

fn certificate_named(ca: usize, name: Vec<u8>) -> Vec<u8> {
    let key = SigningKey::from_slice(&[u8::try_from(ca).unwrap() + 1; 32]).unwrap();
    let public = [&[0], key.verifying_key().to_sec1_point(false).as_bytes()].concat();
    let extensions = [
        extension(14, false, &tlv(4, &key_id(ca))),
        extension(19, true, &seq(&[tlv(1, &[0xff])])),
        extension(15, true, &tlv(3, &[1, 2])),
    ];
    let until = |year: i32| time(NaiveDate::from_ymd_opt(year, 1, 1).unwrap().and_time(NaiveTime::MIN), false);
    let tbs = seq(&[
        tlv(0xa0, &tlv(2, &[2])),
        tlv(2, &[1]),
        seq(&[tlv(6, &ECDSA_SHA256)]),
        name.clone(),
        seq(&[until(2020), until(2040)]),
        name,
        seq(&[seq(&[tlv(6, &EC_PUBLIC_KEY), tlv(6, &PRIME256V1)]), tlv(3, &public)]),
        tlv(0xa3, &seq(&extensions)),
    ]);
    signed(ca, tbs, false)
}

fn entry_der(entry: &Entry, more: &[u8]) -> Vec<u8> {
    let reason = entry.reason.map(|r| extension(21, false, &tlv(10, &[r])));
    let invalid = entry.invalid.map(|at| extension(24, false, &time(at, true)));
    let more = (!more.is_empty()).then(|| more.to_vec());
    let extensions: Vec<Vec<u8>> = reason.into_iter().chain(invalid).chain(more).collect();
    let extensions = if extensions.is_empty() { Vec::new() } else { seq(&extensions) };
    seq(&[tlv(2, &entry.serial), time(entry.at, entry.generalized), extensions])
}

fn list_der(list: &List) -> Vec<u8> {
    list_with(list, 0, &[])
}

/// A list with that many extensions more, whose entries have certificateIssuer, not critical.
pub fn odd_list(list: &List, more: u8, certificate_issuer: bool) -> Vec<u8> {
    let issuer = extension(29, false, &seq(&[tlv(0xa4, &name(1))]));
    list_with(list, more, if certificate_issuer { &issuer } else { &[] })
}

fn list_with(list: &List, more: u8, of_entries: &[u8]) -> Vec<u8> {
    let ca = if list.fault == Fault::Stranger { 7 } else { list.ca };
    let point = tlv(0xa0, &tlv(0xa0, &tlv(0x86, list.point.as_bytes())));
    let mut extensions = vec![extension(28, true, &seq(&[point]))];
    if list.fault != Fault::NoKeyId {
        extensions.push(extension(35, false, &seq(&[tlv(0x80, &key_id(ca))])));
    }
    if list.fault != Fault::NoNumber {
        extensions.push(extension(20, false, &positive(list.number)));
    }
    match list.fault {
        Fault::Delta => extensions.push(extension(27, true, &positive(1))),
        Fault::Critical => extensions.push(extension(99, true, &[5, 0])),
        _ => {}
    }
    extensions.extend((0..more).map(|n| seq(&[tlv(6, &[0x2a, 3, n]), tlv(4, &[5, 0])])));
    let entries: Vec<Vec<u8>> = list.entries.iter().map(|entry| entry_der(entry, of_entries)).collect();
    let entries = if entries.is_empty() && !list.hollow { Vec::new() } else { seq(&entries) };
    let tbs = seq(&[
        tlv(2, &[1]),
        seq(&[tlv(6, &ECDSA_SHA256)]),
        name(ca),
        time(list.this_update, false),
        time(list.next_update, false),
        entries,
        tlv(0xa0, &seq(&extensions)),
    ]);
    let mut bytes = signed(ca, tbs, list.fault == Fault::Signature);
    if list.fault == Fault::Cut {
        bytes.truncate(bytes.len() - 7);
    }
    bytes
}

/// A CRL of this list. Signing is slow in a dev build, so each list is made once.
pub fn bytes_of(list: &List) -> Vec<u8> {
    static MADE: OnceLock<Mutex<BTreeMap<String, Vec<u8>>>> = OnceLock::new();
    let made = || MADE.get_or_init(Mutex::default).lock().unwrap();
    let text = format!("{list:?}");
    let known = made().get(&text).cloned();
    known.unwrap_or_else(|| made().entry(text).or_insert(list_der(list)).clone())
}

pub fn pem(label: &str, bytes: &[u8]) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().fold(0, |n, b| n * 256 + usize::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = alphabet[(n >> (18 - 6 * place)) % 64];
            text.push(if place <= three.len() { digit } else { '=' });
        }
    }
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

// ---- Plans -----------------------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
pub struct Set {
    pub lists: Vec<List>,
    /// If it is refused, the operator lets it pass.
    pub accept: bool,
    /// Lists that may come in PEM.
    pub armour: BTreeSet<usize>,
}

#[derive(Clone)]
pub struct Plan {
    pub nights: Vec<(NaiveDate, Vec<Set>)>,
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (date, sets) in &self.nights {
            for set in sets {
                writeln!(f, "night {date}, accept {}", set.accept)?;
                set.lists.iter().try_for_each(|list| writeln!(f, "  {list:?}"))?;
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Without its n-th set (0), list (1) or entry (2); none if it has fewer.
    pub fn without(&self, mut n: usize, what: u8) -> Option<Self> {
        let mut plan = self.clone();
        for (_, sets) in &mut plan.nights {
            if what == 0 && n < sets.len() {
                sets.remove(n);
                return Some(plan);
            }
            n -= if what == 0 { sets.len() } else { 0 };
            for Set { lists, armour, .. } in sets.iter_mut().filter(|_| what > 0) {
                if what == 1 && n < lists.len() && lists.len() > 1 {
                    lists.remove(n);
                    armour.clear();
                    return Some(plan);
                }
                n = n.saturating_sub(if what == 1 { lists.len() } else { 0 });
                for list in lists.iter_mut().filter(|_| what == 2) {
                    if n < list.entries.len() {
                        list.entries.remove(n);
                        return Some(plan);
                    }
                    n -= list.entries.len();
                }
            }
        }
        None
    }
}

pub fn utc(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y%m%d%H%M%S").unwrap()
}

/// 07:00 in Japan on the morning after.
pub fn now(date: NaiveDate) -> NaiveDateTime {
    date.and_time(NaiveTime::from_hms_opt(22, 0, 0).unwrap())
}

/// Few serials, times and reasons, so that everything collides: 0a and 000a, 80 and 0080 are one serial each.
fn random_entry(dice: &mut Dice) -> Entry {
    let hex =
        dice.of(&["0a", "0a", "0b", "0c", "0d", "0100", "0101", "0080", "80", "000a", "ff85", "ff", "LONG", "WIDE"]);
    let serial = match hex {
        "LONG" => vec![0x7f; 20],
        "WIDE" => vec![0x11; 21],
        _ => (0..hex.len()).step_by(2).map(|n| u8::from_str_radix(&hex[n..n + 2], 16).unwrap()).collect(),
    };
    let at = utc(dice.of(&["20261001000000", "20261001145959", "20261001150000", "20261015030405", "20510101000000"]));
    let reason = if dice.percent(40) { None } else { Some([1, 3, 4, 6, 6, 0, 7, 8, 11][dice.below(9)]) };
    let invalid = dice.percent(15).then(|| utc(dice.of(&["20260930150000", "20260815000000"])));
    Entry { serial, at, generalized: at.year() >= 2050 || dice.percent(5), reason, invalid }
}

fn random_entries(dice: &mut Dice, before: &[Entry]) -> Vec<Entry> {
    let mut entries = before.to_vec();
    if before.is_empty() {
        entries = (0..dice.below(8)).map(|_| random_entry(dice)).collect();
    }
    for _ in 0..dice.below(4) {
        match dice.below(3) {
            0 if !entries.is_empty() => drop(entries.remove(dice.below(entries.len()))),
            1 if !entries.is_empty() => {
                let at = dice.below(entries.len());
                let Entry { serial, .. } = entries[at].clone();
                entries[at] = Entry { serial, ..random_entry(dice) };
            }
            _ => entries.push(random_entry(dice)),
        }
    }
    entries.sort_by_key(|e| (serial_text(&e.serial).len(), e.serial.clone()));
    if dice.percent(20) {
        dice.shuffle(&mut entries);
    }
    entries
}

fn random_set(dice: &mut Dice, book: &Book, date: NaiveDate, points: usize, ca: usize, first: u128) -> Vec<List> {
    let mut lists = Vec::new();
    for n in 0..points {
        let point = format!("http://crl.example.jp/dp{n:04}.crl");
        let before = book.in_force().iter().find(|l| l.point == point);
        let leave_out = if before.is_some() { 3 } else { 25 };
        if dice.percent(leave_out) {
            continue;
        }
        if let Some(before) = before.filter(|b| dice.percent(20) && now(date) < b.next_update) {
            lists.push(before.clone()); // Not issued anew.
            continue;
        }
        let number = before.map_or(first, |b| b.number + 1 + u128::from(dice.percent(30)));
        let entries = random_entries(dice, before.map_or(&[], |b| &b.entries));
        let this_update = now(date) - TimeDelta::seconds([0, 1, 3600][dice.below(3)]);
        let next_update = now(date) + TimeDelta::seconds([1, 90_000, 4_000_000][dice.below(3)]);
        let other = n == 3 || dice.percent(10);
        let (ca, hollow) = (if other { ca } else { 0 }, dice.percent(50));
        lists.push(List { ca, point, number, this_update, next_update, entries, hollow, fault: Fault::None });
    }
    if lists.is_empty() || !dice.percent(35) {
        return lists;
    }
    let at = dice.below(lists.len());
    let before = book.in_force().iter().find(|l| l.point == lists[at].point).map_or(0, |l| l.number);
    let list = &mut lists[at];
    match dice.below(16) {
        0 => list.fault = Fault::Cut,
        1 => list.fault = Fault::Signature,
        2 => list.fault = Fault::Stranger,
        3 => list.fault = Fault::Delta,
        4 => list.fault = Fault::Critical,
        5 => list.fault = Fault::NoNumber,
        6 => list.fault = Fault::NoKeyId,
        7 => list.next_update = now(date),
        8 => list.this_update = now(date) + TimeDelta::seconds(1),
        9 if before > 0 => list.number = before - 1,
        10 if before > 0 => list.number = before,
        11 => {
            let twin = List { number: list.number + 1, ..list.clone() };
            lists.push(twin);
        }
        12 => list.entries.truncate(1),
        13 => list.entries.extend((0..6).map(|_| random_entry(dice))),
        _ => drop(lists.remove(at)),
    }
    lists
}

pub fn random_plan(dice: &mut Dice) -> Plan {
    let dates = ["20261029", "20261030", "20261031", "20261101", "20261105", "20261106"];
    let points = 1 + dice.below(4);
    let first = [1, 127, 255, u128::from(u64::MAX) - 1, 1 << 100][dice.below(5)];
    let (mut book, mut given, ca) = (Book::new(BAND), Vec::new(), dice.below(3));
    let nights = dates[..3 + dice.below(4)].iter().map(|date| {
        let date = NaiveDate::parse_from_str(date, "%Y%m%d").unwrap();
        let mut sets = Vec::new();
        for _ in 0..[1, 1, 1, 1, 2, 2, 3, 0][dice.below(8)] {
            let mut lists = random_set(dice, &book, date, points, ca, first);
            if !given.is_empty() && dice.percent(8) {
                lists.clone_from(&given[dice.below(given.len())]); // An earlier set comes again.
            }
            // The same set in the same night is the same run.
            if lists.is_empty() || sets.iter().any(|s: &Set| s.lists == lists) {
                continue;
            }
            let refusal = book.judge(date, &lists);
            let codes = refusal.codes();
            let certain = refusal.files.values().all(|codes| codes.len() == 1) && !refusal.unreadable;
            let accept = certain && dice.percent(60);
            if codes.is_empty() || (accept && codes.iter().all(|c| overridable(c))) {
                book.take(date, &lists);
            }
            given.push(lists.clone());
            sets.push(Set { lists, accept, armour: BTreeSet::new() });
        }
        (date, sets)
    });
    let mut plan = Plan { nights: nights.collect() };
    for set in plan.nights.iter_mut().flat_map(|(_, sets)| sets) {
        let fit = |l: &List| l.fault != Fault::Cut && l.number.is_multiple_of(2);
        set.armour = (0..set.lists.len()).filter(|n| fit(&set.lists[*n])).collect();
    }
    plan
}

/// Whether an operator may let a code pass.
pub fn overridable(code: &str) -> bool {
    Code::parse(code).is_some_and(judge::is_overridable)
}
