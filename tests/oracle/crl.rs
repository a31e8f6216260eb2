//! CRL sets, slowly: what the documents say of a set, of the rows it leaves and of a certificate's state. Everything is
//! worked out anew from the sets taken, by plain loops. "ASSUMED" marks what no document says.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

/// As it stands in a list; times in UTC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Content octets of the INTEGER.
    pub serial: Vec<u8>,
    pub at: NaiveDateTime,
    /// GeneralizedTime; UTCTime can name years up to 2049 only.
    pub generalized: bool,
    pub reason: Option<u8>,
    pub invalid: Option<NaiveDateTime>,
}

/// What is wrong with a list, whatever stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Cut,
    Signature,
    Stranger,
    Delta,
    Critical,
    NoNumber,
    NoKeyId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    pub ca: usize,
    pub point: String,
    pub number: u128,
    pub this_update: NaiveDateTime,
    pub next_update: NaiveDateTime,
    pub entries: Vec<Entry>,
    /// Without entries: an empty SEQUENCE stands there all the same.
    pub hollow: bool,
    pub fault: Fault,
}

/// `[crl]` of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    pub entries: usize,
    pub shrink: usize,
    pub growth: usize,
}

/// What is said of a revoked serial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub revoked_at: NaiveDateTime,
    pub reason: Option<u8>,
    pub invalid: Option<NaiveDateTime>,
    /// Where it may have been read, and the number of the list: of entries that say the same, no document prefers one.
    pub points: BTreeSet<String>,
    pub numbers: BTreeSet<u128>,
}

impl Listed {
    /// ASSUMED: a serial that is listed at another point, or by a list with another number, is not a changed one.
    fn says(&self) -> (NaiveDateTime, Option<u8>, Option<NaiveDateTime>) {
        (self.revoked_at, self.reason, self.invalid)
    }
}

/// CA and serial.
pub type Key = (usize, String);
pub type Rows = BTreeMap<Key, Listed>;

/// One state of one serial in recorded time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub key: Key,
    pub listed: Listed,
    pub first_seen: NaiveDate,
    pub last_seen: Option<NaiveDate>,
    pub from: NaiveDate,
    pub to: Option<NaiveDate>,
}

/// Refused: the codes a file may have, by its place in the set, and the missing points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    pub files: BTreeMap<usize, BTreeSet<&'static str>>,
    pub missing: BTreeSet<String>,
    /// Which points these lists stand for is not known, so that perhaps none is missing.
    pub unreadable: bool,
    /// Too much goes from the set as a whole.
    pub whole: bool,
}

impl Refusal {
    pub fn codes(&self) -> BTreeSet<&'static str> {
        let missing = self.missing.iter().map(|_| "400106");
        let whole = self.whole.then_some("400110");
        self.files.values().flatten().copied().chain(missing).chain(whole).collect()
    }

    /// Codes that the n-th file may have. ASSUMED: without one of its own 400112, or what is wrong with the whole set.
    pub fn of_file(&self, n: usize) -> BTreeSet<&'static str> {
        let whole =
            self.codes().into_iter().filter(|c| matches!(*c, "400106" | "400107") || self.whole && *c == "400110");
        self.files.get(&n).cloned().unwrap_or_else(|| whole.chain(["400112"]).collect())
    }
}

/// A certificate just before a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub validity: &'static str,
    /// Night of the set in force, and whether it was old.
    pub set: Option<(NaiveDate, bool)>,
    pub listed: Option<Listed>,
}

#[derive(Clone, Debug)]
pub struct Book {
    pub band: Band,
    /// All sets that were taken, with their nights.
    pub taken: Vec<(NaiveDate, Vec<List>)>,
    pub stale: bool,
}

fn jst(utc: NaiveDateTime) -> NaiveDateTime {
    utc + TimeDelta::hours(9)
}

fn evening(date: NaiveDate) -> NaiveDateTime {
    date.and_time(NaiveTime::from_hms_opt(21, 0, 0).unwrap())
}

/// "Hex of the integer without leading zero nibbles" (rules.md); a negative one has its sign (fault C9, message 400123).
pub fn serial_text(octets: &[u8]) -> String {
    if octets[0] >= 0x80 {
        // Two's complement, as decimal arithmetic would do it: 256^n − the octets.
        let mut rest = 256 - i32::from(*octets.last().unwrap());
        let mut magnitude = vec![(rest % 256) as u8];
        for octet in octets.iter().rev().skip(1) {
            rest = 255 - i32::from(*octet) + rest / 256;
            magnitude.push((rest % 256) as u8);
        }
        magnitude.reverse();
        return format!("-{}", hex(&magnitude));
    }
    hex(octets)
}

fn hex(octets: &[u8]) -> String {
    let hex: String = octets.iter().map(|b| format!("{b:02x}")).collect();
    hex.trim_start_matches('0').to_owned()
}

/// "For duplicates the earliest revocation holds" (message 400121), in one list or in several. ASSUMED: of equally early
/// ones that without a reason or with the lower one, then that without 無効化日時 or with the earlier one.
pub fn rows(set: &[List]) -> Rows {
    let mut rows = Rows::new();
    let mut graver: BTreeMap<Key, Vec<(NaiveDateTime, Option<u8>, Option<NaiveDateTime>)>> = BTreeMap::new();
    for list in set {
        for entry in &list.entries {
            let key = (list.ca, serial_text(&entry.serial));
            let new = Listed {
                revoked_at: jst(entry.at),
                reason: entry.reason,
                invalid: entry.invalid.map(jst),
                points: BTreeSet::from([list.point.clone()]),
                numbers: BTreeSet::from([list.number]),
            };
            // "The graver reason should show" (fault C11), whichever entry is the earliest.
            let grave = graver.entry(key.clone()).or_insert_with(Vec::new);
            grave.push((entry.at, entry.reason, entry.invalid));
            let old = rows.entry(key).or_insert(new.clone());
            if new.says() < old.says() {
                *old = new;
            } else if new.says() == old.says() {
                old.points.extend(new.points);
                old.numbers.extend(new.numbers);
            }
        }
    }
    for (key, mut entries) in graver {
        entries.sort();
        let gravity = |reason: Option<u8>| match reason {
            Some(1 | 2 | 10) => 2,
            Some(6 | 8) => 0,
            _ => 1,
        };
        let most = entries.iter().map(|e| gravity(e.1)).max().unwrap();
        // ASSUMED: of equally grave reasons that of the earliest entry.
        let reason = entries.iter().find(|e| gravity(e.1) == most).unwrap().1;
        rows.get_mut(&key).unwrap().reason = reason;
    }
    rows
}

/// Code 400121. ASSUMED: the entries of a set that leave no row since another one has their serial, in whatever list.
pub fn duplicates(set: &[List]) -> usize {
    set.iter().map(|list| list.entries.len()).sum::<usize>() - rows(set).len()
}

/// Codes 400122 to 400128 of one list. ASSUMED: all count entries, 400122 those that are lower than the one before them;
/// 400128 counts the list.
pub fn oddities(list: &List) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let mut count = |code: &'static str, n: usize| *counts.entry(code).or_default() += n;
    let order = |e: &Entry| (hex(&e.serial).len(), hex(&e.serial));
    count("400122", list.entries.windows(2).filter(|two| order(&two[1]) < order(&two[0])).count());
    for entry in &list.entries {
        let negative = entry.serial[0] >= 0x80;
        let padded = match entry.serial[..] {
            [0, next, ..] => next < 0x80,
            [0xff, next, ..] => next >= 0x80,
            _ => false,
        };
        // ASSUMED: the zero octet before a top bit does not count.
        let octets = entry.serial.len() - usize::from(entry.serial[0] == 0);
        count("400123", usize::from(negative));
        count("400124", usize::from(octets > 20));
        count("400125", usize::from(padded));
        count("400126", usize::from(entry.generalized && entry.at.format("%Y").to_string().as_str() < "2050"));
        // RFC 5280 §5.3.1: 0 should be left out, 7 is not used, 8 is for delta CRLs, there is none above 10.
        count("400127", usize::from(entry.reason.is_some_and(|r| matches!(r, 0 | 7 | 8) || r > 10)));
    }
    count("400128", usize::from(list.entries.is_empty() && list.hollow));
    counts.retain(|_, n| *n > 0);
    counts
}

impl Book {
    pub fn new(band: Band) -> Self {
        Self { band, taken: Vec::new(), stale: false }
    }

    pub fn in_force(&self) -> &[List] {
        self.taken.last().map_or(&[], |(_, set)| set)
    }

    /// "Every CRL verified against the configured CA certificate, in date (thisUpdate ≤ now < nextUpdate), no CRL number
    /// going back, and no distribution point of the previous generation missing" (domain.md §4); "CRL now = D+1 07:00",
    /// "equal CRL number: accepted iff the bytes are equal", "two CRLs of one distribution point: refused", "first set: no
    /// missing-point check" (rules.md). Which of several codes a file has is not said, so any of them will do.
    pub fn judge(&self, date: NaiveDate, set: &[List]) -> Refusal {
        let now = date.succ_opt().unwrap().and_time(NaiveTime::from_hms_opt(7, 0, 0).unwrap());
        let mut refusal = Refusal::default();
        for (n, list) in set.iter().enumerate() {
            let mut codes = BTreeSet::new();
            let own = match list.fault {
                Fault::None => None,
                Fault::Cut => Some("400101"),
                Fault::Signature => Some("400102"),
                Fault::Stranger => Some("400103"),
                Fault::Delta => Some("400108"),
                Fault::Critical | Fault::NoNumber | Fault::NoKeyId => Some("400109"),
            };
            // ASSUMED: the point of a list that cannot be trusted neither counts twice nor stands for the one before.
            refusal.unreadable |= own.is_some();
            codes.extend(own);
            if own.is_none() {
                if jst(list.this_update) > now || now >= jst(list.next_update) {
                    codes.insert("400104");
                }
                if set.iter().filter(|l| l.fault == Fault::None && l.point == list.point).count() > 1 {
                    codes.insert("400107");
                }
                if let Some(before) = self.in_force().iter().find(|l| l.point == list.point) {
                    if list.number < before.number || (list.number == before.number && list != before) {
                        codes.insert("400105");
                    }
                    // Never an older CRL than the one in force, whatever its number (rules.md §6, 4).
                    if list.this_update < before.this_update {
                        codes.insert("400113");
                    }
                    if !self.within(before.entries.len(), list.entries.len()) {
                        codes.insert("400110");
                    }
                }
            }
            if !codes.is_empty() {
                refusal.files.insert(n, codes);
            }
        }
        for list in self.in_force() {
            if !set.iter().any(|l| l.point == list.point) {
                refusal.missing.insert(list.point.clone());
            }
        }
        // "A band over the whole set too, over removed entries and not the net" (fault C2), where every list can be read.
        if !refusal.unreadable && !set.is_empty() {
            let (before, after) = (rows(self.in_force()), rows(set));
            let removed = before.keys().filter(|key| !after.contains_key(*key)).count();
            refusal.whole = !self.within(before.len(), before.len() - removed);
        }
        refusal
    }

    /// "A distribution point whose number of entries changes by more is refused. Changes of fewer entries than this are
    /// always allowed" (configuration). ASSUMED: entries as they stand in the list, duplicates too.
    fn within(&self, before: usize, after: usize) -> bool {
        let Band { entries, shrink, growth } = self.band;
        // "No exemption that swallows a list" (fault C2); lists of fewer than 20 may go (configuration, small_list).
        let swallowed = after < before && before >= 20 && (before - after) * 2 > before;
        if before.abs_diff(after) < entries && !swallowed {
            true
        } else if after < before {
            (before - after) * 100 <= before * shrink
        } else {
            (after - before) * 100 <= before * growth
        }
    }

    pub fn take(&mut self, date: NaiveDate, set: &[List]) {
        self.taken.push((date, set.to_vec()));
        self.stale = false;
    }

    /// Added, removed, changed and all entries of the n-th set taken, against the set before it.
    pub fn changes(&self, n: usize) -> [usize; 4] {
        let before = n.checked_sub(1).map_or_else(Rows::new, |n| rows(&self.taken[n].1));
        let after = rows(&self.taken[n].1);
        let added = after.keys().filter(|k| !before.contains_key(*k)).count();
        let removed = before.keys().filter(|k| !after.contains_key(*k)).count();
        let changed = after.iter().filter(|(k, l)| before.get(*k).is_some_and(|b| b.says() != l.says())).count();
        [added, removed, changed, after.len()]
    }

    /// The last set of each night: "only the last state of a night becomes a row" (rules.md).
    fn nights(&self) -> BTreeMap<NaiveDate, Rows> {
        self.taken.iter().map(|(date, set)| (*date, rows(set))).collect()
    }

    /// All states, by serial and recorded time; that a serial is gone is known from the night on that lacks it, in a row of
    /// its own. ASSUMED: a serial that comes back begins anew, one whose reason changes keeps its first day.
    pub fn history(&self) -> Vec<Past> {
        let nights = self.nights();
        let keys: BTreeSet<&Key> = nights.values().flat_map(|rows| rows.keys()).collect();
        let mut all = Vec::new();
        for key in keys {
            let mut own: Vec<Past> = Vec::new();
            let mut before = None;
            for (date, rows) in &nights {
                let past = own.last().cloned();
                let stays = past.as_ref().filter(|p| p.last_seen.is_none());
                let next = match (rows.get(key), stays) {
                    (Some(listed), Some(past)) if past.listed.says() == listed.says() => None,
                    (Some(listed), stays) => Some((listed.clone(), stays.map_or(*date, |past| past.first_seen), None)),
                    (None, Some(past)) => Some((past.listed.clone(), past.first_seen, before)),
                    (None, None) => None,
                };
                if let Some((listed, first_seen, last_seen)) = next {
                    own.last_mut().into_iter().for_each(|past| past.to = Some(*date));
                    own.push(Past { key: key.clone(), listed, first_seen, last_seen, from: *date, to: None });
                }
                before = Some(*date);
            }
            all.extend(own);
        }
        all
    }

    /// 1 有効, 2 失効, 3 一時停止 (reason 6), 5 検証エラー before the first set; "recorded time = D 21:00:00" (rules.md).
    /// Old when a night has passed whose set is not in force.
    pub fn certificate(&self, serial: &str, moment: NaiveDateTime) -> State {
        let mut state = State { validity: "unverifiable", set: None, listed: None };
        for (date, rows) in self.nights() {
            if evening(date) < moment {
                let passed = evening(date.succ_opt().unwrap()) < moment;
                let listed = rows.into_iter().find(|((_, own), _)| own == serial).map(|(_, listed)| listed);
                let validity = match &listed {
                    None => "valid",
                    Some(listed) if listed.reason == Some(6) => "suspended",
                    Some(_) => "revoked",
                };
                state = State { validity, set: Some((date, passed)), listed };
            }
        }
        state
    }
}
