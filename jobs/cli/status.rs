//! `status`: what the lake holds, what needs attention, and what to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Serialize;
use shikaku_pipeline::Result;
use shikaku_pipeline::crl::judge;
use shikaku_pipeline::crl::listing::Changes;
use shikaku_pipeline::crl::set::CauseOf;
use shikaku_pipeline::crl::state::{self, Overdue};
use shikaku_pipeline::intake::inbox;
use shikaku_pipeline::ledger::RunState;
use shikaku_pipeline::ledger::facts::BUSINESS_DATE;
use shikaku_pipeline::links::Waiting;
use shikaku_pipeline::store::Store;
use shikaku_pipeline::store::versions::LATE;
use shikaku_schemas::code::Code;
use shikaku_schemas::{operator, tables};

use super::show;
use crate::outside;

#[derive(Serialize)]
struct Status {
    business_date: Option<String>,
    set_id: i64,
    tables: Vec<TableStatus>,
    crl_in_force: Option<String>,
    crl_stale: bool,
    /// A list of the set in force has passed its nextUpdate: then.
    crl_expired: Option<String>,
    /// Why the newest set was refused: distribution point (or file) → its first code.
    crl_refusals: BTreeMap<String, Code>,
    /// The same with every cause, its dates and counts.
    crl_causes: BTreeMap<String, Vec<CauseOf>>,
    /// Sets taken in, newest last: night#set → what changed against the set before.
    crl_changes: BTreeMap<String, Changes>,
    /// Link records whose other half has not come.
    waiting_links: Waiting,
    /// 処理通番 whose serial has not come.
    waiting_requests: Waiting,
    /// In words, as before; `held` has the same in fields.
    held_files: Vec<String>,
    held: Vec<Held>,
    late_months: Vec<String>,
    failed_runs: Vec<String>,
}

/// A file that waits in the inbox.
#[derive(Serialize, PartialEq, Eq)]
struct Held {
    kind: String,
    origin: String,
    receipt_no: i64,
    file: String,
}

#[derive(Serialize)]
struct TableStatus {
    table: String,
    generations: usize,
    rows: i64,
    restricted: bool,
}

fn collect(store: &Store) -> Result<Status> {
    let reader = store.reader()?;
    let business_date = store.ledger.fact(&BUSINESS_DATE)?;
    let tables = tables::all()
        .iter()
        .map(|table| {
            let current = reader.snapshot.current(table);
            TableStatus {
                table: table.name.clone(),
                generations: current.len(),
                rows: current.iter().map(|g| g.rows).sum(),
                restricted: table.restricted,
            }
        })
        .collect();
    let today = business_date.map(|date| date.0);
    let limit = store.config.links.pending_warn_days;
    let waiting = |table: &str| Waiting::stored(&reader, table, today, limit);
    let (waiting_links, waiting_requests) = (waiting("pending_link")?, waiting("request_map")?);
    let held = held(store)?;
    Ok(Status {
        business_date: business_date.map(|date| date.to_string()),
        set_id: reader.snapshot.set_id,
        tables,
        crl_in_force: store.ledger.fact(&state::IN_FORCE)?.map(|date| date.to_string()),
        crl_stale: store.ledger.fact(&state::STALE)? == Some(true),
        crl_expired: match state::overdue(store, outside::now())? {
            Some(Overdue::Expired(end)) => Some(end.to_string()),
            _ => None,
        },
        crl_refusals: store.ledger.fact(&state::REFUSALS)?.map(|refusals| refusals.0).unwrap_or_default(),
        crl_causes: crate::crl::causes(store)?,
        crl_changes: recent_changes(store)?,
        waiting_links,
        waiting_requests,
        held_files: held.iter().map(|h| format!("{} 受付番号 {}", h.origin, h.receipt_no)).collect(),
        held,
        late_months: store.ledger.facts(&LATE)?.into_iter().map(|(key, _)| key).collect(),
        failed_runs: store
            .ledger
            .runs()?
            .iter()
            .filter(|r| matches!(r.status, RunState::Failed | RunState::Started))
            .map(|r| {
                let run = &r.run_id[..12];
                let values: [(&str, &dyn Display); 4] =
                    [("run", &run), ("date", &r.business_date), ("job", &r.job), ("state", &r.status)];
                say("status.unfinished", &values)
            })
            .collect(),
    })
}

/// Files that wait and still lie in the inbox: one that the operator took away waits no more.
fn held(store: &Store) -> Result<Vec<Held>> {
    let dir = store.config.inbox.join("subscribers");
    let files = if dir.is_dir() { inbox::files(&[dir])?.files } else { Vec::new() };
    let name = |path: &std::path::PathBuf| {
        shikaku_pipeline::store::input::safe_name(&path.file_name().unwrap_or_default().to_string_lossy())
    };
    let there: BTreeSet<String> = files.iter().map(name).collect();
    let held = store.ledger.held()?.into_iter().filter(|input| there.contains(&input.name));
    let mut held: Vec<Held> = held
        .map(|input| Held {
            kind: input.kind,
            origin: input.origin.unwrap_or_else(|| "?".to_owned()),
            receipt_no: input.receipt_no.unwrap_or(0),
            file: input.name,
        })
        .collect();
    held.dedup();
    Ok(held)
}

/// Sets that are shown.
const NIGHTS: usize = 14;
/// Distribution points that are named per reason.
const SHOWN: usize = 5;

fn recent_changes(store: &Store) -> Result<BTreeMap<String, Changes>> {
    let facts = store.ledger.facts(&state::CHANGES)?;
    Ok(facts.into_iter().rev().take(NIGHTS).map(|(night, changes)| (night, changes.0)).collect())
}

/// How `release` is told of a kind that is not the usual one.
fn kind_of(kind: &str) -> String {
    if kind == "SUB" { String::new() } else { format!(" --kind {kind}") }
}

fn say(key: &str, values: &[(&str, &dyn Display)]) -> String {
    operator::text(outside::language(), key, values)
}

/// Prints the status.
pub fn status(store: &Store, json: bool) -> Result<u8> {
    let status = collect(store)?;
    if json {
        show::document(&status)?;
        return Ok(0);
    }
    let none_yet = say("status.none_yet", &[]);
    say!("{}", say("status.business_date", &[("date", &status.business_date.as_deref().unwrap_or(&none_yet))]));
    say!("{}", say("status.set", &[("set", &status.set_id)]));
    for table in status.tables.iter().filter(|t| t.generations > 0) {
        let mark = if table.restricted { " *" } else { "" };
        let (name, rows) = (format!("{:<20}", table.table), format!("{:>12}", table.rows));
        let values: [(&str, &dyn Display); 4] =
            [("table", &name), ("rows", &rows), ("generations", &table.generations), ("mark", &mark)];
        say!("{}", say("status.table", &values));
    }
    crl(&status);
    for (key, waiting) in
        [("status.waiting_links", &status.waiting_links), ("status.waiting_requests", &status.waiting_requests)]
    {
        let oldest = waiting.oldest.map(|day| say("status.oldest", &[("day", &day)])).unwrap_or_default();
        let (records, too_long) = (&waiting.records, &waiting.too_long);
        say!("{}", say(key, &[("records", records), ("oldest", &oldest), ("too_long", too_long)]));
    }
    for held in &status.held {
        say!(
            "{}",
            say(
                "status.held",
                &[("origin", &held.origin), ("receipt", &held.receipt_no), ("kind", &kind_of(&held.kind))]
            )
        );
    }
    for month in &status.late_months {
        say!("{}", say("status.late", &[("month", month)]));
    }
    for run in &status.failed_runs {
        say!("{run}");
    }
    Ok(0)
}

/// The CRL set in force, why the newest one was refused, and what to do about it.
fn crl(status: &Status) {
    let none = say("status.none", &[]);
    let state = match (status.crl_stale, &status.crl_expired) {
        (true, _) => say("status.stale", &[]),
        (false, Some(end)) => say("status.expired", &[("end", end)]),
        (false, None) => String::new(),
    };
    let date: &dyn Display = status.crl_in_force.as_ref().map_or(&none, |date| date);
    say!("{}", say("status.crl", &[("date", date), ("state", &state)]));
    let mut by_code: BTreeMap<Code, Vec<(&String, &CauseOf)>> = BTreeMap::new();
    for (place, causes) in &status.crl_causes {
        for cause in causes {
            by_code.entry(cause.cause.code).or_default().push((place, cause));
        }
    }
    for (own, places) in &by_code {
        say!("{}", say("status.refused", &[("code", own), ("text", &own.message().ja)]));
        for (place, cause) in places.iter().take(SHOWN) {
            let file = cause.file.as_deref().unwrap_or("");
            let values: [(&str, &dyn Display); 3] =
                [("place", place), ("file", &file), ("detail", &cause.cause.detail)];
            say!("{}", say("status.refused_at", &values).trim_end());
        }
        if places.len() > SHOWN {
            say!("{}", say("status.refused_more", &[("count", &places.len())]));
        }
    }
    if !by_code.is_empty() && status.crl_stale {
        let all = by_code.keys().all(|code| judge::is_overridable(*code));
        say!("{}", say(if all { "status.next_accept" } else { "status.next_new_set" }, &[]));
    }
    if let Some((night, c)) = status.crl_changes.last_key_value() {
        let night = night.split('#').next().unwrap_or_default();
        let values: [(&str, &dyn Display); 5] = [
            ("night", &night),
            ("added", &c.added),
            ("removed", &c.removed),
            ("changed", &c.changed),
            ("entries", &c.entries),
        ];
        say!("{}", say("status.crl_changes", &values));
    }
}
