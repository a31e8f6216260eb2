//! State of a certificate at a moment, as the online side would have judged it: from the link, from the CRL set in force, and
//! from the entry in it, each with where it came from.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use serde::Serialize;

use crate::base::error::Result;
use crate::base::time::BusinessDate;
use crate::crl::state::NEXT_UPDATES;
use crate::lake::history::known_before;
use crate::lake::lookup;
use crate::lake::read::Reader;
use crate::lake::tables::{revocation_history, serial_link};
use crate::lake::typed::Recorded as _;
use crate::ledger::Ledger;
use crate::pki::ca::Ca;
use crate::text::normal;

/// Issuer of serials while no CA is configured.
const UNKNOWN_ISSUER: &str = "-";
/// reasonCode certificateHold: the only one that can be lifted.
const HOLD: &str = "6";

/// 有効性確認結果 (formats.md §6), as far as links and CRLs tell: 4 期限切れ stands in the certificate itself, which is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// 1 有効: not listed.
    Valid,
    /// 2 失効
    Revoked,
    /// 3 一時停止
    Suspended,
    /// 5 検証エラー: no CRL set was in force.
    Unverifiable,
}

impl Validity {
    /// As it stands in 有効性確認結果.
    pub fn text(self) -> &'static str {
        match self {
            Self::Valid => "1 有効",
            Self::Revoked => "2 失効",
            Self::Suspended => "3 一時停止",
            Self::Unverifiable => "5 検証エラー",
        }
    }
}

/// Who the serial belonged to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkFact {
    pub link_no: i64,
    /// A newer certificate of the same person was known.
    pub superseded: bool,
    pub recorded_from: Option<NaiveDateTime>,
    pub source_file: String,
    pub source_record: i64,
}

/// The set that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetFact {
    pub business_date: NaiveDate,
    pub set_id: i64,
    pub run_id: String,
    /// It was older than the last morning's: that set was refused or did not come.
    pub stale: bool,
    /// A list of it had passed its nextUpdate.
    pub expired: bool,
}

/// What it said of the serial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryFact {
    pub issuer_key_id: String,
    pub revoked_at: Option<NaiveDateTime>,
    pub reason: Option<String>,
    pub first_seen: Option<NaiveDate>,
    /// CRLNumber of the list that first said so.
    pub crl_number: String,
    pub recorded_from: Option<NaiveDateTime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    pub at: NaiveDateTime,
    pub validity: Validity,
    pub link: Option<LinkFact>,
    pub crl: Option<SetFact>,
    pub entry: Option<EntryFact>,
}

/// A published CRL set: number, run, business date.
pub type PublishedSet = (i64, String, NaiveDate);

/// State of a certificate as known just before a moment. `cas` tell which issuers are one CA.
pub fn state(reader: &Reader, ledger: &Ledger, cas: &[Ca], serial: &str, at: NaiveDateTime) -> Result<Certificate> {
    let serial = normal::serial(serial).unwrap_or_default();
    let linked = linked(reader, &serial, at)?;
    let link = linked.as_ref().map(link_fact);
    let issuer = linked.as_ref().map(|row| &*row.issuer_key_id).filter(|issuer| *issuer != UNKNOWN_ISSUER);
    let sets = ledger.sets_of("revocation")?;
    let ends: BTreeMap<i64, NaiveDateTime> =
        ledger.facts(&NEXT_UPDATES)?.into_iter().filter_map(|(set, end)| Some((set.parse().ok()?, end))).collect();
    let known = |set: &&PublishedSet| BusinessDate(set.2).recorded_at() < at;
    let crl = sets.iter().rev().find(known).map(|(set_id, run_id, business_date)| {
        // The night whose evening lies last before the moment should have brought a set.
        let last = at - TimeDelta::milliseconds(1);
        let evening = BusinessDate(last.date());
        let due = if evening.recorded_at() < at { evening.0 } else { crate::base::time::add_days(evening.0, -1) };
        SetFact {
            business_date: *business_date,
            set_id: *set_id,
            run_id: run_id.clone(),
            stale: *business_date < due,
            expired: ends.get(set_id).is_some_and(|end| *end < at),
        }
    });
    // Two CAs may give one serial to different certificates: an entry counts if its CA is that of the link.
    let counts = |own: &str| issuer.is_none_or(|issuer| issuer == own || is_one_ca(cas, issuer, own));
    let entry = listed(reader, &serial, at, &counts)?.and_then(entry_fact);
    let validity = match (&crl, &entry) {
        (None, _) => Validity::Unverifiable,
        (Some(_), None) => Validity::Valid,
        (Some(_), Some(entry)) if entry.reason.as_deref() == Some(HOLD) => Validity::Suspended,
        (Some(_), Some(_)) => Validity::Revoked,
    };
    Ok(Certificate { at, validity, link, crl, entry })
}

/// The link of a serial that was known; of several CAs' (a key rollover) the last by key.
fn linked(reader: &Reader, serial: &str, at: NaiveDateTime) -> Result<Option<serial_link::Row<'static>>> {
    let rows: Vec<serial_link::Row<'static>> = lookup::rows_with(reader, serial_link::SERIAL.name, &[serial])?;
    Ok(rows.into_iter().rfind(|row| known_before(row.span(), at.into())))
}

/// The entry of a serial that was known; of several CAs' one that still lists it, the last by key.
fn listed(
    reader: &Reader,
    serial: &str,
    at: NaiveDateTime,
    of_issuer: &dyn Fn(&str) -> bool,
) -> Result<Option<revocation_history::Row<'static>>> {
    let rows: Vec<revocation_history::Row<'static>> =
        lookup::rows_with(reader, revocation_history::SERIAL.name, &[serial])?;
    let known = rows.into_iter().filter(|row| known_before(row.span(), at.into()) && of_issuer(&row.issuer_key_id));
    Ok(known.max_by_key(|row| row.last_seen.is_none()))
}

/// Whether two keys are those of one CA, before and after a key rollover: certificates of one name.
fn is_one_ca(cas: &[Ca], a: &str, b: &str) -> bool {
    let name = |key_id: &str| cas.iter().find(|ca| ca.key_id == key_id).map(|ca| &ca.subject);
    name(a).is_some_and(|a| name(b) == Some(a))
}

fn link_fact(row: &serial_link::Row<'_>) -> LinkFact {
    LinkFact {
        link_no: row.link_no,
        superseded: row.superseded_by.is_some(),
        recorded_from: Some(row.recorded_from.at()),
        source_file: row.source_file.clone().into_owned(),
        source_record: row.source_record,
    }
}

/// `None` when the serial had left the list.
fn entry_fact(row: revocation_history::Row<'_>) -> Option<EntryFact> {
    row.last_seen.is_none().then(|| EntryFact {
        issuer_key_id: row.issuer_key_id.into_owned(),
        revoked_at: Some(row.revoked_at.at()),
        reason: row.reason.map(Cow::into_owned),
        first_seen: Some(row.first_seen.date()),
        crl_number: row.crl_number.into_owned(),
        recorded_from: Some(row.recorded_from.at()),
    })
}
