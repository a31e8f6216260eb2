//! `status`: what the lake holds and what needs attention. `doctor`: is everything in place for a night?

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use shikaku_pipeline::config::Config;
use shikaku_pipeline::crl::listing::Changes;
use shikaku_pipeline::links::Waiting;
use shikaku_pipeline::masters::Masters;
use shikaku_pipeline::store::Store;
use shikaku_pipeline::time::BusinessDate;
use shikaku_pipeline::{Result, calendar, crl};
use shikaku_schemas::{messages, tables};

use crate::{outside, show};

#[derive(Serialize)]
struct Status {
    business_date: Option<String>,
    set_id: i64,
    tables: Vec<TableStatus>,
    crl_in_force: Option<String>,
    crl_stale: bool,
    /// Why the newest set was refused: distribution point (or file) → code.
    crl_refusals: BTreeMap<String, String>,
    /// Sets taken in, newest last: night#set → what changed against the set before.
    crl_changes: BTreeMap<String, Changes>,
    /// Link records whose other half has not come.
    waiting_links: Waiting,
    /// 処理通番 whose serial has not come.
    waiting_requests: Waiting,
    held_files: Vec<String>,
    late_months: Vec<String>,
    failed_runs: Vec<String>,
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
    let business_date = store.ledger.fact("state", "business_date")?;
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
    let today = business_date.as_deref().and_then(|d| d.parse::<chrono::NaiveDate>().ok());
    let limit = store.config.links.pending_warn_days;
    let waiting = |table: &str| -> Result<Waiting> {
        let table = tables::of(table);
        Ok(Waiting::of(table, &reader.current(table)?, today, limit))
    };
    let (waiting_links, waiting_requests) = (waiting("pending_link")?, waiting("request_map")?);
    // A held file that was taken in later is no longer held.
    let inputs = store.ledger.inputs(None)?;
    let mut held: Vec<String> = inputs
        .iter()
        .filter(|(_, i)| i.state == "held")
        .filter(|(_, i)| !inputs.iter().any(|(_, o)| o.sha256 == i.sha256 && o.state != "held"))
        .map(|(_, i)| format!("{} 受付番号 {}", i.origin.as_deref().unwrap_or("?"), i.receipt_no.unwrap_or(0)))
        .collect();
    held.dedup();
    Ok(Status {
        business_date,
        set_id: reader.snapshot.set_id,
        tables,
        crl_in_force: store.ledger.fact("crl", "in_force")?,
        crl_stale: store.ledger.fact("crl", "stale")?.as_deref() == Some("1"),
        crl_refusals: match store.ledger.fact("crl", "refusals")? {
            Some(text) => serde_json::from_str(&text)?,
            None => BTreeMap::new(),
        },
        crl_changes: recent_changes(store)?,
        waiting_links,
        waiting_requests,
        held_files: held,
        late_months: store
            .ledger
            .facts("late")?
            .into_iter()
            .filter(|(_, since)| !since.is_empty())
            .map(|(key, _)| key)
            .collect(),
        failed_runs: store
            .ledger
            .runs()?
            .iter()
            .filter(|r| r.status == "failed" || r.status == "started")
            .map(|r| format!("{} {} {} {}", &r.run_id[..12], r.business_date, r.job, r.status))
            .collect(),
    })
}

/// Sets that are shown.
const NIGHTS: usize = 14;
/// Distribution points that are named per reason.
const SHOWN: usize = 5;

fn recent_changes(store: &Store) -> Result<BTreeMap<String, Changes>> {
    let facts = store.ledger.facts("crl_changes")?;
    let recent = facts.into_iter().rev().take(NIGHTS);
    recent.map(|(night, text)| Ok((night, serde_json::from_str(&text)?))).collect()
}

/// Prints the status.
pub fn status(store: &Store, json: bool) -> Result<u8> {
    let status = collect(store)?;
    if json {
        show::document(&status)?;
        return Ok(0);
    }
    say!("business date  {}", status.business_date.as_deref().unwrap_or("none yet"));
    say!("set            {}", status.set_id);
    for table in status.tables.iter().filter(|t| t.generations > 0) {
        let mark = if table.restricted { " *" } else { "" };
        say!("  {:<20} {:>12} rows in {} generations{mark}", table.table, table.rows, table.generations);
    }
    let stale = if status.crl_stale { "  STALE: the newest set was refused" } else { "" };
    say!("CRL in force   {}{stale}", status.crl_in_force.as_deref().unwrap_or("none"));
    let mut by_code: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (point, code) in &status.crl_refusals {
        by_code.entry(code).or_default().push(point);
    }
    for (code, points) in by_code {
        let more = if points.len() > SHOWN { format!(" … {} in all", points.len()) } else { String::new() };
        say!("  refused      {code} {}", messages::of(code).ja);
        say!("               {}{more}", points.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", "));
    }
    if let Some((night, c)) = status.crl_changes.last_key_value() {
        let night = night.split('#').next().unwrap_or_default();
        say!(
            "CRL changes    {night}: added {}, removed {}, changed {} of {}",
            c.added,
            c.removed,
            c.changed,
            c.entries
        );
    }
    for (what, waiting) in [("links waiting ", &status.waiting_links), ("requests      ", &status.waiting_requests)] {
        let oldest = waiting.oldest.map(|day| format!(", oldest of {day}")).unwrap_or_default();
        say!("{what} {}{oldest}, {} of them too long", waiting.records, waiting.too_long);
    }
    for file in &status.held_files {
        say!("held           {file} (shikaku release --origin … --receipt …)");
    }
    for month in &status.late_months {
        say!("late rows      {month} was closed before them; close it again");
    }
    for run in &status.failed_runs {
        say!("not finished   {run}");
    }
    Ok(0)
}

#[derive(Serialize)]
struct Check {
    what: String,
    ok: bool,
    detail: String,
}

/// Checks what a night needs; exit 1 when something is not as it must be.
pub fn doctor(file: &Path, config: Config, json: bool) -> Result<u8> {
    let mut checks = Vec::new();
    let mut check = |what: &str, ok: bool, detail: String| {
        checks.push(Check { what: what.to_owned(), ok, detail });
    };
    check("configuration", true, format!("{} ({})", file.display(), &config.digest[..12]));
    for (what, dir) in [("inbox", &config.inbox), ("lake", &config.lake)] {
        let writable = tempfile_in(dir);
        check(what, writable, format!("{}{}", dir.display(), if writable { "" } else { ": cannot be written" }));
    }
    for ca in &config.crl.ca_files {
        match crl::ca::load(ca) {
            Ok(ca) => check("CA certificate", true, format!("key {}", ca.key_id)),
            Err(error) => check("CA certificate", false, error.to_string()),
        }
    }
    if config.crl.ca_files.is_empty() {
        check("CA certificate", false, "crl.ca_files is empty: every CRL set will be refused".to_owned());
    }
    match &config.key_file {
        Some(key) => {
            check("key file", is_private(key), format!("{} (must be readable by its owner alone)", key.display()))
        }
        None => check("key file", true, "none: stored in clear".to_owned()),
    }
    match Store::open(config, outside::outside()) {
        Err(error) => check("ledger", false, error.to_string()),
        Ok(store) => {
            let (events, _) = store.ledger.head()?;
            check("ledger", true, format!("{events} events"));
            let open = store.ledger.unpublished()?.len();
            check("unfinished runs", open == 0, format!("{open}; the next run finishes them"));
            let today = BusinessDate::of(outside::now()).0;
            let masters = Masters::load(&store.reader()?)?;
            let missing = calendar::missing_year(today, &masters.holidays);
            let detail = missing.map_or_else(
                || "the calendar reaches far enough".to_owned(),
                |year| format!("{year} is not in the holiday file; take in the Cabinet Office's newest one"),
            );
            check("holidays", missing.is_none(), detail);
            check("insurers", !masters.insurers.is_empty(), format!("{} in the master", masters.insurers.len()));
        }
    }
    let ok = checks.iter().all(|c| c.ok);
    if json {
        show::document(&checks)?;
    } else {
        for check in &checks {
            say!("{:<4} {:<16} {}", if check.ok { "ok" } else { "BAD" }, check.what, check.detail);
        }
    }
    Ok(if ok { 0 } else { 1 })
}

/// Whether a file can be made in a folder.
fn tempfile_in(dir: &Path) -> bool {
    let probe = dir.join(".shikaku-doctor");
    let made = std::fs::write(&probe, b"").is_ok();
    made && std::fs::remove_file(&probe).is_ok()
}

#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode().trailing_zeros() >= 6)
}

#[cfg(not(unix))]
fn is_private(path: &Path) -> bool {
    path.exists()
}
