//! What the ledger keeps of CRL sets: the one in force, what an operator let pass, and whether it is older than it should be.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;

use super::judge::{Accepted, Point};
use crate::base::error::{Error, Result};
use crate::store::{Stage, Store};

/// The run whose set this set is, or was, judged against: part of what a run over it is. A set that was refused is looked at
/// again once another is in force; the one in force stays done.
pub fn judged_against(store: &Store, set: &str) -> Result<String> {
    let fact = |key: &str| store.ledger.fact("crl", key);
    let same = fact("in_force_identity")?.as_deref() == Some(set);
    Ok(fact(if same { "in_force_judged" } else { "in_force_run" })?.unwrap_or_default())
}

/// What an operator was shown of this set and let pass, in this night.
pub(super) fn accepted(stage: &Stage<'_>, set: &str) -> Result<Accepted> {
    let Some(text) = stage.store.ledger.fact("crl_override", set)? else { return Ok(Accepted::new()) };
    let said: Override = serde_json::from_str(&text)?;
    Ok(if said.date == stage.date.to_string() { said.shown } else { Accepted::new() })
}

/// What the ledger keeps of an override (fact `crl_override`, key = identity of the set).
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Override {
    pub by: String,
    pub reason: String,
    pub shown: Accepted,
    /// The night that it is for.
    pub date: String,
    pub at: String,
}

/// Distribution points in force. A point that was let go stands as an empty text; any other that cannot be read is damage:
/// without it the guards would look away.
pub fn points_in_force(store: &Store) -> Result<BTreeMap<String, Point>> {
    let facts = store.ledger.facts("crl_point")?.into_iter().filter(|(_, value)| !value.is_empty());
    let damaged =
        |name: &str| Error::integrity(format!("the ledger's entry of distribution point {name} cannot be read"));
    facts.map(|(key, value)| Ok((key.clone(), serde_json::from_str(&value).map_err(|_| damaged(&key))?))).collect()
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
    if store.ledger.fact("crl", "in_force")?.is_none() {
        return Ok(None);
    }
    if store.ledger.fact("crl", "stale")?.as_deref() == Some("1") {
        return Ok(Some(Overdue::Stale));
    }
    let ends = points_in_force(store)?.into_values().filter_map(|point| point.next_update).min();
    Ok(ends.filter(|end| *end <= now).map(Overdue::Expired))
}
