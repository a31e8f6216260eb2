//! What the ledger keeps of CRL sets: the one in force, what an operator let pass, and whether it is older than it should be.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use shikaku_schemas::code::Code;

use super::judge::{Accepted, Point};
use super::listing::Changes;
use super::set::CauseOf;
use crate::base::error::Result;
use crate::base::time::BusinessDate;
use crate::ledger::facts::{Fact, Facts, Json};
use crate::store::{Stage, Store};

/// Night of the set in force.
pub const IN_FORCE: Fact<BusinessDate> = Fact::new("crl", "in_force");
/// Night of the set that was in force before that night's.
pub const IN_FORCE_BEFORE: Fact<BusinessDate> = Fact::new("crl", "in_force_before");
/// Identity of the set in force.
pub const IN_FORCE_IDENTITY: Fact<String> = Fact::new("crl", "in_force_identity");
/// Run that the set in force was judged against.
pub const IN_FORCE_JUDGED: Fact<String> = Fact::new("crl", "in_force_judged");
/// Run that put it in force.
pub const IN_FORCE_RUN: Fact<String> = Fact::new("crl", "in_force_run");
/// The newest set was refused.
pub const STALE: Fact<bool> = Fact::new("crl", "stale");
/// Night of the set that was refused last.
pub const REFUSED: Fact<BusinessDate> = Fact::new("crl", "refused");
/// Run that refused it.
pub const REFUSED_RUN: Fact<String> = Fact::new("crl", "refused_run");
/// Why the newest set was refused, by distribution point: empty when it was taken.
pub const CAUSES: Fact<Json<BTreeMap<String, Vec<CauseOf>>>> = Fact::new("crl", "causes");
/// The first code of each.
pub const REFUSALS: Fact<Json<BTreeMap<String, Code>>> = Fact::new("crl", "refusals");
/// Newest folder of the inbox that was looked at, `YYYYMMDD`.
pub const NEWEST_SET: Fact<String> = Fact::new("crl", "newest_set");
/// Distribution points in force, by name. One that was let go has no value.
pub const POINTS: Facts<Json<Point>> = Facts::new("crl_point");
/// What an operator let pass, by identity of the set.
pub const OVERRIDES: Facts<Json<Override>> = Facts::new("crl_override");
/// Earliest nextUpdate of a set, by its number.
pub const NEXT_UPDATES: Facts<NaiveDateTime> = Facts::new("crl_next_update");
/// What a set changed, by `<night>#<number>`.
pub const CHANGES: Facts<Json<Changes>> = Facts::new("crl_changes");

/// The run whose set this set is, or was, judged against: part of what a run over it is. A set that was refused is looked at
/// again once another is in force; the one in force stays done.
pub fn judged_against(store: &Store, set: &str) -> Result<String> {
    let same = store.ledger.fact(&IN_FORCE_IDENTITY)?.as_deref() == Some(set);
    let run = if same { IN_FORCE_JUDGED } else { IN_FORCE_RUN };
    Ok(store.ledger.fact(&run)?.unwrap_or_default())
}

/// What an operator was shown of this set and let pass, in this night.
pub(super) fn accepted(stage: &Stage<'_>, set: &str) -> Result<Accepted> {
    let said = stage.store.ledger.fact(&OVERRIDES.at(set))?;
    Ok(said.filter(|said| said.0.date == stage.date.to_string()).map(|said| said.0.shown).unwrap_or_default())
}

/// What the ledger keeps of an override ([`OVERRIDES`]).
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Override {
    pub by: String,
    pub reason: String,
    pub shown: Accepted,
    /// The night that it is for.
    pub date: String,
    pub at: String,
}

/// Distribution points in force. One that cannot be read is damage: without it the guards would look away.
pub fn points_in_force(store: &Store) -> Result<BTreeMap<String, Point>> {
    Ok(store.ledger.facts(&POINTS)?.into_iter().map(|(name, point)| (name, point.0)).collect())
}

/// Why the list in force is not what the morning should have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    /// The newest set was refused.
    Stale,
    /// A list of the set in force ended at this moment.
    Expired(NaiveDateTime),
}

/// Whether the set in force is older than it should be at a moment; a lake that never had a set has none to be old.
pub fn overdue(store: &Store, now: NaiveDateTime) -> Result<Option<Overdue>> {
    if store.ledger.fact(&IN_FORCE)?.is_none() {
        return Ok(None);
    }
    if store.ledger.fact(&STALE)? == Some(true) {
        return Ok(Some(Overdue::Stale));
    }
    let ends = points_in_force(store)?.into_values().filter_map(|point| point.next_update).min();
    Ok(ends.filter(|end| *end <= now).map(Overdue::Expired))
}
