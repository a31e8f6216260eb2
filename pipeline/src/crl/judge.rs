//! What a set must be to be taken: each CRL against the moment and against the one in force of its distribution point, and the
//! set as a whole. Pure: headers in, codes out.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::parse::Header;
use crate::config::CrlSection;

/// What the ledger keeps of a distribution point in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub crl_number: String,
    /// [`Header::identity`].
    pub identity: String,
    pub this_update: NaiveDateTime,
    pub entries: u64,
}

impl Point {
    pub fn of(header: &Header) -> Self {
        let (crl_number, identity) = (header.crl_number.clone(), header.identity.clone());
        Self { crl_number, identity, this_update: header.this_update, entries: header.entries }
    }
}

/// What an operator may let pass (`crl accept`): out of date, a number or a date that goes back, a missing point, a change
/// beyond the band. Bytes that cannot be read or verified, and two CRLs of one point, never are.
const OVERRIDABLE: [&str; 5] = ["400104", "400105", "400106", "400110", "400113"];

/// Whether a code can be overridden.
pub fn is_overridable(code: &str) -> bool {
    OVERRIDABLE.contains(&code)
}

/// What a set is judged by.
pub struct Measure<'a> {
    pub config: &'a CrlSection,
    /// The moment that thisUpdate and nextUpdate are compared with.
    pub now: NaiveDateTime,
    /// In force, by distribution point.
    pub points: &'a BTreeMap<String, Point>,
    /// An operator let this very set pass.
    pub accepted: bool,
}

impl Measure<'_> {
    fn unless_accepted(&self, code: &'static str) -> Option<&'static str> {
        (!(self.accepted && is_overridable(code))).then_some(code)
    }

    /// One CRL that was read and verified.
    pub fn one(&self, header: &Header) -> Option<&'static str> {
        if !(header.this_update <= self.now && self.now < header.next_update) {
            return self.unless_accepted("400104");
        }
        let before = self.points.get(&header.distribution_point)?;
        // As hex without leading zeros, the longer number is the greater.
        let order = |n: &str| (n.len(), n.to_owned());
        let code = match order(&header.crl_number).cmp(&order(&before.crl_number)) {
            std::cmp::Ordering::Less => Some("400105"),
            std::cmp::Ordering::Equal if before.identity != header.identity => Some("400105"),
            _ if header.this_update < before.this_update => Some("400113"),
            _ => self.out_of_band(before.entries, header.entries).then_some("400110"),
        };
        code.and_then(|code| self.unless_accepted(code))
    }

    fn out_of_band(&self, before: u64, now: u64) -> bool {
        let (change, percent) = if now < before {
            (before - now, self.config.shrink_percent)
        } else {
            (now - before, self.config.growth_percent)
        };
        change >= self.config.band_entries && change.saturating_mul(100) > before.saturating_mul(percent)
    }

    /// Points in force that a set (its points ascending) does not have.
    pub fn missing(&self, names: &[&str]) -> Vec<String> {
        if self.accepted {
            return Vec::new();
        }
        self.points.keys().filter(|p| names.binary_search(&p.as_str()).is_err()).cloned().collect()
    }
}
