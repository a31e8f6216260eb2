//! State of a certificate at a moment, as the online side would have judged it: from the link, from the CRL set in force, and
//! from the entry in it, each with where it came from.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use serde::Serialize;
use shikaku_schemas::tables;

use crate::crl::ca::Ca;
use crate::error::Result;
use crate::lake::history::Columns;
use crate::lake::lookup;
use crate::lake::read::Reader;
use crate::lake::row::Row;
use crate::ledger::Ledger;
use crate::text::normal;
use crate::time::BusinessDate;

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
    let linked = newest(reader, "serial_link", &serial, at, &|_| true)?;
    let link = linked.as_ref().map(link_fact);
    let issuer = linked.as_ref().and_then(|row| row[0].as_text()).filter(|issuer| *issuer != UNKNOWN_ISSUER);
    let sets = ledger.sets_of("revocation")?;
    let ends: BTreeMap<i64, NaiveDateTime> = ledger
        .facts("crl_next_update")?
        .into_iter()
        .filter_map(|(set, end)| Some((set.parse().ok()?, end.parse().ok()?)))
        .collect();
    let known = |set: &&PublishedSet| BusinessDate(set.2).recorded_at() < at;
    let crl = sets.iter().rev().find(known).map(|(set_id, run_id, business_date)| {
        // The night whose evening lies last before the moment should have brought a set.
        let last = at - TimeDelta::milliseconds(1);
        let evening = BusinessDate(last.date());
        let due = if evening.recorded_at() < at { evening.0 } else { crate::time::add_days(evening.0, -1) };
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
    let entry = newest(reader, "revocation_history", &serial, at, &counts)?.and_then(|row| entry_fact(&row));
    let validity = match (&crl, &entry) {
        (None, _) => Validity::Unverifiable,
        (Some(_), None) => Validity::Valid,
        (Some(_), Some(entry)) if entry.reason.as_deref() == Some(HOLD) => Validity::Suspended,
        (Some(_), Some(_)) => Validity::Revoked,
    };
    Ok(Certificate { at, validity, link, crl, entry })
}

/// The row of a serial that was known; of several CAs' (a key rollover) one that still lists it, the last by key.
fn newest(
    reader: &Reader,
    table: &str,
    serial: &str,
    at: NaiveDateTime,
    of_issuer: &dyn Fn(&str) -> bool,
) -> Result<Option<Row>> {
    let table = tables::of(table);
    let columns = Columns::of(table);
    let rows = lookup::rows_with(reader, table, "serial", &[serial])?;
    let own = |row: &Row| columns.known_before(row, at) && row[0].as_text().is_some_and(of_issuer);
    let known = rows.into_iter().filter(own);
    Ok(known.max_by_key(|row| table.index("last_seen").is_some_and(|seen| row[seen].as_date().is_none())))
}

/// Whether two keys are those of one CA, before and after a key rollover: certificates of one name.
fn is_one_ca(cas: &[Ca], a: &str, b: &str) -> bool {
    let name = |key_id: &str| cas.iter().find(|ca| ca.key_id == key_id).map(|ca| &ca.subject);
    name(a).is_some_and(|a| name(b) == Some(a))
}

fn link_fact(row: &Row) -> LinkFact {
    let table = tables::of("serial_link");
    let at = |name: &str| &row[table.at(name)];
    LinkFact {
        link_no: at("link_no").as_int().unwrap_or_default(),
        superseded: at("superseded_by").as_text().is_some(),
        recorded_from: at("recorded_from").as_timestamp(),
        source_file: at("source_file").as_text().unwrap_or_default().to_owned(),
        source_record: at("source_record").as_int().unwrap_or_default(),
    }
}

/// `None` when the serial had left the list.
fn entry_fact(row: &Row) -> Option<EntryFact> {
    let table = tables::of("revocation_history");
    let at = |name: &str| &row[table.at(name)];
    let text = |name: &str| at(name).as_text().map(str::to_owned);
    at("last_seen").as_date().is_none().then(|| EntryFact {
        issuer_key_id: text("issuer_key_id").unwrap_or_default(),
        revoked_at: at("revoked_at").as_timestamp(),
        reason: text("reason"),
        first_seen: at("first_seen").as_date(),
        crl_number: text("crl_number").unwrap_or_default(),
        recorded_from: at("recorded_from").as_timestamp(),
    })
}
