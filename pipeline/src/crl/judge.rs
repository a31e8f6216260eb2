//! What a set must be to be taken: each CRL against the moment and against the one in force of its distribution point, and the
//! set as a whole. Pure: headers in, causes out. Every cause is named, so that an operator sees all of them before letting
//! any pass.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::parse::Header;
use crate::base::config::CrlSection;
use shikaku_schemas::code::Code;

/// What the ledger keeps of a distribution point in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub crl_number: String,
    /// [`Header::identity`].
    pub identity: String,
    pub this_update: NaiveDateTime,
    /// None of a list that was taken before it was kept.
    #[serde(default)]
    pub next_update: Option<NaiveDateTime>,
    /// Entries as the list has them, doubled ones too.
    pub entries: u64,
}

impl Point {
    pub fn of(header: &Header) -> Self {
        let (crl_number, identity) = (header.crl_number.clone(), header.identity.clone());
        let next_update = Some(header.next_update);
        Self { crl_number, identity, this_update: header.this_update, next_update, entries: header.entries }
    }
}

/// One reason to refuse a CRL or a set: its code, and what of it is so, in Japanese and without personal data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cause {
    pub code: Code,
    pub detail: String,
}

impl Cause {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Under this name stands what is wrong with the set as a whole.
pub const SET: &str = "set";

/// What an operator may let pass (`crl accept`): out of date, a number or a date that goes back, a missing point, a change
/// beyond the band. Bytes that cannot be read or verified, and two CRLs of one point, never are.
const OVERRIDABLE: [Code; 5] =
    [Code::CrlNotCurrent, Code::CrlNumberBackwards, Code::CrlPointMissing, Code::CrlShrinkGrowth, Code::CrlOlder];

/// Whether a code can be overridden.
pub fn is_overridable(code: Code) -> bool {
    OVERRIDABLE.contains(&code)
}

/// Codes that an operator was shown and let pass, by distribution point (or [`SET`]).
pub type Accepted = BTreeMap<String, BTreeSet<Code>>;

/// What a set is judged by.
pub struct Measure<'a> {
    pub config: &'a CrlSection,
    /// The moment that thisUpdate and nextUpdate are compared with.
    pub now: NaiveDateTime,
    /// In force, by distribution point.
    pub points: &'a BTreeMap<String, Point>,
    /// What of this very set an operator let pass.
    pub accepted: Accepted,
}

impl Measure<'_> {
    /// Only what was shown is let pass.
    fn unless_accepted(&self, place: &str, causes: Vec<Cause>) -> Vec<Cause> {
        let passed = self.accepted.get(place);
        let stays = |cause: &Cause| !(is_overridable(cause.code) && passed.is_some_and(|p| p.contains(&cause.code)));
        causes.into_iter().filter(stays).collect()
    }

    /// One CRL that was read and verified: everything that is wrong with it.
    pub fn one(&self, header: &Header) -> Vec<Cause> {
        let mut causes = Vec::new();
        if !(header.this_update <= self.now && self.now < header.next_update) {
            let (from, to, now) = (header.this_update, header.next_update, self.now);
            causes.push(Cause::new(Code::CrlNotCurrent, format!("有効期間 {from} から {to}、基準時刻 {now}")));
        }
        let place = header.distribution_point.as_str();
        let Some(before) = self.points.get(place) else { return self.unless_accepted(place, causes) };
        // As hex without leading zeros, the longer number is the greater.
        let order = |n: &str| (n.len(), n.to_owned());
        let (new, old) = (&header.crl_number, &before.crl_number);
        match order(new).cmp(&order(old)) {
            Ordering::Less => {
                causes.push(Cause::new(Code::CrlNumberBackwards, format!("採用中の番号 {old}、今回の番号 {new}(16進)")))
            }
            Ordering::Equal if before.identity != header.identity => {
                causes
                    .push(Cause::new(Code::CrlNumberBackwards, format!("番号 {new}(16進)は同じで、内容が異なります")));
            }
            _ => {}
        }
        if header.this_update < before.this_update {
            let (old, new) = (before.this_update, header.this_update);
            causes.push(Cause::new(Code::CrlOlder, format!("採用中の発行日時 {old}、今回の発行日時 {new}")));
        }
        if self.out_of_band(before.entries, header.entries) {
            causes.push(self.band(before.entries, header.entries));
        }
        self.unless_accepted(place, causes)
    }

    /// The set as a whole, when `removed` of the entries in force are no longer listed anywhere: what each list loses may be
    /// little and be much together, and what comes new does not make up for it.
    pub fn whole(&self, before: u64, removed: u64) -> Option<Cause> {
        let cause = self.shrinks(before, removed).then(|| {
            let percent = self.config.shrink_percent;
            Cause::new(
                Code::CrlShrinkGrowth,
                format!("一式 {before} 件のうち {removed} 件が掲載されなくなります(許容 {percent}%)"),
            )
        });
        self.unless_accepted(SET, cause.into_iter().collect()).pop()
    }

    fn band(&self, before: u64, now: u64) -> Cause {
        let (shrink, growth) = (self.config.shrink_percent, self.config.growth_percent);
        Cause::new(Code::CrlShrinkGrowth, format!("件数 {before} から {now}(許容 減少{shrink}% 増加{growth}%)"))
    }

    fn out_of_band(&self, before: u64, now: u64) -> bool {
        if now < before {
            return self.shrinks(before, before - now);
        }
        let change = now - before;
        change >= self.config.band_entries
            && change.saturating_mul(100) > before.saturating_mul(self.config.growth_percent)
    }

    /// Few entries may always go, but not most of a list.
    fn shrinks(&self, before: u64, removed: u64) -> bool {
        let swallowed = before >= self.config.small_list && removed.saturating_mul(2) > before;
        let few = removed < self.config.band_entries && !swallowed;
        !few && removed.saturating_mul(100) > before.saturating_mul(self.config.shrink_percent)
    }

    /// Points in force that a set (its points ascending) does not have.
    pub fn missing(&self, names: &[&str]) -> Vec<String> {
        let passed =
            |point: &String| self.accepted.get(point).is_some_and(|codes| codes.contains(&Code::CrlPointMissing));
        let missing = self.points.keys().filter(|p| names.binary_search(&p.as_str()).is_err());
        missing.filter(|point| !passed(point)).cloned().collect()
    }
}
