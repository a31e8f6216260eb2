//! The rules of links on plain maps, without files: who holds a serial, what waits, what conflicts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, NaiveDateTime};

use crate::base::time::{Day, Moment};
use crate::lake::tables::{pending_link, request_map, serial_link};
use shikaku_schemas::code::Code;

/// Where a record came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub file: String,
    pub record: i64,
    /// ファイル作成日時: the moment of acquisition.
    pub created: NaiveDateTime,
}

/// Current state of one serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    pub link_no: i64,
    pub superseded_by: Option<String>,
    pub file: String,
    pub record: i64,
}

impl LinkState {
    /// A row of `serial_link`; recorded times are set by the history.
    pub fn to_row(&self, issuer: &str, serial: &str) -> serial_link::Row<'static> {
        serial_link::Row {
            issuer_key_id: issuer.to_owned().into(),
            serial: serial.to_owned().into(),
            link_no: self.link_no,
            superseded_by: self.superseded_by.clone().map(Cow::Owned),
            recorded_from: Moment(0),
            recorded_to: None,
            source_file: self.file.clone().into(),
            source_record: self.record,
        }
    }
}

/// A link that was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub kind: &'static str,
    pub serial: String,
    pub link_no: i64,
    pub source: Source,
}

/// A record that waits: LNKR for its 処理通番, LNKU for its old serial.
#[derive(Debug, Clone)]
pub struct Pending {
    pub kind: &'static str,
    pub serial: String,
    pub old_serial: Option<String>,
    pub request_no: Option<String>,
    /// Night of acceptance; none = this one.
    pub first_seen: Option<NaiveDate>,
    pub tries: i64,
    pub source: Source,
}

/// Kind, serial, what it waits for.
pub type PendingKey = (&'static str, String, String);

impl Pending {
    pub fn key(&self) -> PendingKey {
        let awaited = self.old_serial.clone().or_else(|| self.request_no.clone()).unwrap_or_default();
        (self.kind, self.serial.clone(), awaited)
    }

    pub fn serials(&self) -> impl Iterator<Item = String> {
        [Some(self.serial.clone()), self.old_serial.clone()].into_iter().flatten()
    }

    /// A stored row; one more night has come, so `tries` counts up once per night.
    pub fn from_row(row: pending_link::Row<'_>, date: NaiveDate) -> Self {
        let first_seen = row.first_seen.date();
        Self {
            kind: if row.kind == "LNKR" { "LNKR" } else { "LNKU" },
            serial: row.serial.unwrap_or_default().into_owned(),
            old_serial: row.old_serial.map(Cow::into_owned),
            request_no: row.request_no.map(Cow::into_owned),
            first_seen: Some(first_seen),
            // Nights since it came: a function of the date alone, so that a second run of a night changes nothing.
            tries: date.signed_duration_since(first_seen).num_days().max(row.tries),
            source: Source { file: row.source_file.into_owned(), record: row.source_record, created: row.created.at() },
        }
    }

    pub fn to_row(&self, date: NaiveDate) -> pending_link::Row<'_> {
        pending_link::Row {
            kind: self.kind.into(),
            serial: Some(self.serial.as_str().into()),
            old_serial: self.old_serial.as_deref().map(Cow::Borrowed),
            request_no: self.request_no.as_deref().map(Cow::Borrowed),
            first_seen: self.first_seen.unwrap_or(date).into(),
            tries: self.tries,
            created: self.source.created.into(),
            link_no: None,
            source_file: self.source.file.as_str().into(),
            source_record: self.source.record,
        }
    }
}

/// Whose 処理通番 it is, until a serial has used it.
#[derive(Clone)]
pub struct Request {
    pub link_no: i64,
    /// Night of acceptance; none = this one.
    pub first_seen: Option<NaiveDate>,
    pub file: String,
    pub record: i64,
}

impl Request {
    /// 処理通番 and whose it is, of a stored row.
    pub fn from_row(row: request_map::Row<'_>) -> (String, Self) {
        let (first_seen, file) = (Some(row.first_seen.date()), row.source_file.into_owned());
        (row.request_no.into_owned(), Self { link_no: row.link_no, first_seen, file, record: row.source_record })
    }

    pub fn to_row<'r>(&'r self, request_no: &'r str, date: NaiveDate) -> request_map::Row<'r> {
        request_map::Row {
            request_no: request_no.into(),
            link_no: self.link_no,
            first_seen: Day::from(self.first_seen.unwrap_or(date)),
            source_file: self.file.as_str().into(),
            source_record: self.record,
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    Waits,
    /// The same was said before.
    Known,
    /// Code of the conflict; nothing changed.
    Conflict(Code),
}

/// The one conflict that a claim on a serial can meet: it is already held by another person.
pub const OF_ANOTHER: Verdict = Verdict::Conflict(Code::SerialOfAnother);

/// What a claim on a serial comes to: first come holds it, for ever.
pub fn claim(holder: Option<i64>, link_no: i64) -> Verdict {
    match holder {
        None => Verdict::Done,
        Some(holder) if holder == link_no => Verdict::Known,
        Some(_) => OF_ANOTHER,
    }
}

/// The links that a night's chains and what waits can touch.
#[derive(Default)]
pub struct Links {
    pub issuer: String,
    pub states: BTreeMap<String, LinkState>,
    /// Stored rows by serial.
    pub rows: BTreeMap<String, Vec<serial_link::Row<'static>>>,
    pub touched: BTreeSet<String>,
    /// By 処理通番.
    pub requests: BTreeMap<String, Request>,
    pub pending: BTreeMap<PendingKey, Pending>,
    /// What waits for an old serial or a 処理通番, by that.
    waiting: BTreeMap<String, BTreeSet<PendingKey>>,
    pub made: Vec<Made>,
    /// 処理通番 that were converted; they go at the end of the run.
    used: BTreeSet<String>,
    /// What waited and turned out to conflict when a later record asked for the same.
    late: Vec<(Pending, Code)>,
}

impl Links {
    /// Adds a stored row of `serial_link`.
    pub fn known(&mut self, row: serial_link::Row<'static>) {
        let serial = row.serial.clone().into_owned();
        if row.recorded_to.is_none() {
            let state = LinkState {
                link_no: row.link_no,
                superseded_by: row.superseded_by.clone().map(Cow::into_owned),
                file: row.source_file.clone().into_owned(),
                record: row.source_record,
            };
            self.states.insert(serial.clone(), state);
        }
        self.rows.entry(serial).or_default().push(row);
    }

    /// Successors of the serials known so far, but those in `asked`.
    pub fn successors_beyond(&self, asked: &BTreeSet<String>) -> Vec<String> {
        let successors = self.states.values().filter_map(|state| state.superseded_by.as_ref());
        let beyond: BTreeSet<&String> = successors.filter(|serial| !asked.contains(*serial)).collect();
        beyond.into_iter().cloned().collect()
    }

    /// Adds a record that waits.
    pub fn await_other(&mut self, pending: Pending) {
        let key = pending.key();
        self.waiting.entry(key.2.clone()).or_default().insert(key.clone());
        self.pending.insert(key, pending);
    }

    fn take_waiting(&mut self, key: &PendingKey) -> Option<Pending> {
        if let Some(same) = self.waiting.get_mut(&key.2) {
            same.remove(key);
        }
        self.pending.remove(key)
    }

    /// The reissue that waits for this old serial: its new one.
    fn waiting_successor(&self, old: &str) -> Option<&str> {
        let same = self.waiting.get(old)?;
        same.iter().find(|key| key.0 == "LNKU").map(|key| key.1.as_str())
    }

    /// シリアル＋紐付番号.
    pub fn person(&mut self, serial: &str, link_no: i64, source: Source, kind: &'static str) -> Verdict {
        let verdict = claim(self.states.get(serial).map(|own| own.link_no), link_no);
        if verdict == Verdict::Done {
            let state = LinkState { link_no, superseded_by: None, file: source.file.clone(), record: source.record };
            self.states.insert(serial.to_owned(), state);
            self.touched.insert(serial.to_owned());
            self.made.push(Made { kind, serial: serial.to_owned(), link_no, source });
        }
        verdict
    }

    /// 処理通番 → 紐付番号; kept until a serial has used it, then dropped (002: never beside personal data).
    pub fn request(&mut self, request_no: &str, link_no: i64, source: &Source) -> Verdict {
        match self.requests.get(request_no) {
            Some(own) if own.link_no == link_no => Verdict::Known,
            Some(_) => Verdict::Conflict(Code::RequestOfAnother),
            None => {
                let own = Request { link_no, first_seen: None, file: source.file.clone(), record: source.record };
                self.requests.insert(request_no.to_owned(), own);
                Verdict::Done
            }
        }
    }

    /// シリアル＋処理通番.
    pub fn by_request(&mut self, serial: &str, request_no: &str, source: Source) -> Verdict {
        let pending = Pending {
            kind: "LNKR",
            serial: serial.to_owned(),
            old_serial: None,
            request_no: Some(request_no.to_owned()),
            first_seen: None,
            tries: 0,
            source,
        };
        if self.pending.contains_key(&pending.key()) {
            return Verdict::Known;
        }
        match self.requests.get(request_no).map(|own| own.link_no) {
            None => self.wait(pending),
            Some(link_no) => {
                let verdict = self.person(serial, link_no, pending.source, "LNKR");
                if !matches!(verdict, Verdict::Conflict(_)) {
                    self.used.insert(request_no.to_owned());
                }
                verdict
            }
        }
    }

    /// 新シリアル＋旧シリアル: the person follows the old serial.
    pub fn reissue(&mut self, new: &str, old: &str, source: Source) -> Verdict {
        if new == old {
            return Verdict::Conflict(Code::LinkToItself);
        }
        if self.pending.contains_key(&("LNKU", new.to_owned(), old.to_owned())) {
            return Verdict::Known;
        }
        // What waits for the old serial was accepted first, and holds.
        if self.states.contains_key(old) {
            self.settle_waiting(old, new);
        }
        let Some(before) = self.states.get(old).cloned() else {
            if self.waits_in_a_circle(new, old) {
                return Verdict::Conflict(Code::LinkCycle);
            }
            if self.waiting_successor(old).is_some_and(|successor| successor != new) {
                return Verdict::Conflict(Code::TwoSuccessors);
            }
            return self.wait(Pending {
                kind: "LNKU",
                serial: new.to_owned(),
                old_serial: Some(old.to_owned()),
                request_no: None,
                first_seen: None,
                tries: 0,
                source,
            });
        };
        match before.superseded_by.as_deref() {
            Some(successor) if successor == new => return Verdict::Known,
            Some(_) => return Verdict::Conflict(Code::TwoSuccessors),
            None => {}
        }
        match self.states.get(new) {
            Some(own) if own.link_no != before.link_no => return OF_ANOTHER,
            Some(_) if self.leads_to(new, old) => return Verdict::Conflict(Code::LinkCycle),
            _ => {}
        }
        if let Some(state) = self.states.get_mut(old) {
            state.superseded_by = Some(new.to_owned());
            // A row names the record that made it what it is.
            state.file.clone_from(&source.file);
            state.record = source.record;
        }
        // The serial may have come by LNKP before; then only the succession is new.
        self.person(new, before.link_no, source, "LNKU");
        self.touched.insert(old.to_owned());
        Verdict::Done
    }

    /// Reissues of a serial that is known by now are carried out before another one of it is looked at.
    fn settle_waiting(&mut self, old: &str, but: &str) {
        let own = |key: &&PendingKey| key.0 == "LNKU" && key.1 != but;
        while let Some(key) = self.waiting.get(old).into_iter().flatten().find(own).cloned() {
            let Some(pending) = self.take_waiting(&key) else { break };
            if let Verdict::Conflict(code) = self.reissue(&pending.serial, old, pending.source.clone()) {
                self.late.push((pending, code));
            }
        }
    }

    fn wait(&mut self, pending: Pending) -> Verdict {
        if self.pending.contains_key(&pending.key()) {
            return Verdict::Known;
        }
        self.await_other(pending);
        Verdict::Waits
    }

    /// Whether the successors of `from` reach `to`.
    fn leads_to(&self, from: &str, to: &str) -> bool {
        let mut at = from;
        let mut steps = 0;
        while let Some(next) = self.states.get(at).and_then(|s| s.superseded_by.as_deref()) {
            steps += 1;
            if next == to || steps > self.states.len() {
                return true;
            }
            at = next;
        }
        at == to
    }

    /// Whether waiting reissues already lead from `new` back to `old`.
    fn waits_in_a_circle(&self, new: &str, old: &str) -> bool {
        let mut at = new;
        for _ in 0..=self.pending.len() {
            let Some(next) = self.waiting_successor(at) else { return false };
            if next == old {
                return true;
            }
            at = next;
        }
        true
    }

    fn is_ready(&self, pending: &Pending) -> bool {
        match (&pending.request_no, &pending.old_serial) {
            (Some(request), _) => self.requests.contains_key(request),
            (None, Some(old)) => self.states.contains_key(old),
            (None, None) => false,
        }
    }

    /// Tries what waits until nothing changes, in the order of its keys; returns what turned out to conflict.
    pub fn settle(&mut self) -> Vec<(Pending, Code)> {
        let mut conflicts = Vec::new();
        let is_ready = |(key, pending): (&PendingKey, &Pending)| self.is_ready(pending).then(|| key.clone());
        let mut ready: BTreeSet<PendingKey> = self.pending.iter().filter_map(is_ready).collect();
        while let Some(key) = ready.pop_first() {
            let Some(pending) = self.take_waiting(&key) else { continue };
            let held = self.states.contains_key(&pending.serial);
            let verdict = match (&pending.request_no, &pending.old_serial) {
                (Some(request), _) => self.by_request(&pending.serial, request, pending.source.clone()),
                (None, Some(old)) => self.reissue(&pending.serial, old, pending.source.clone()),
                (None, None) => Verdict::Known,
            };
            // Whoever waits for the serial that has come to be held can go on.
            if !held && self.states.contains_key(&pending.serial) {
                let next = self.waiting.get(&pending.serial).into_iter().flatten();
                ready.extend(next.filter(|key| key.0 == "LNKU").cloned());
            }
            if let Verdict::Conflict(code) = verdict {
                // Nothing will ask for its 処理通番 any more.
                self.used.extend(pending.request_no.clone());
                conflicts.push((pending, code));
            }
        }
        conflicts.append(&mut self.late);
        for request in std::mem::take(&mut self.used) {
            self.requests.remove(&request);
        }
        conflicts
    }
}
