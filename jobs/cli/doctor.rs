//! `doctor`: is everything in place for a night? Looks, writes nothing but a probe in each folder, and says what to do.

use std::fmt::Display;
use std::path::Path;

use serde::Serialize;
use shikaku_pipeline::Result;
use shikaku_pipeline::base::calendar;
use shikaku_pipeline::base::config::{self, Config};
use shikaku_pipeline::base::time::{BusinessDate, add_days};
use shikaku_pipeline::crl::state::{self, Overdue};
use shikaku_pipeline::ledger::facts::HISTORY_DATE;
use shikaku_pipeline::masters::Masters;
use shikaku_pipeline::pki::ca;
use shikaku_pipeline::store::{Store, check_places, head};
use shikaku_schemas::{operator, tables};

use super::show;
use crate::outside;

/// A CA certificate that ends sooner is spoken of.
const SOON_DAYS: i64 = 60;

#[derive(Serialize)]
struct Check {
    what: String,
    ok: bool,
    detail: String,
}

/// What was looked at, in order.
#[derive(Default)]
struct Checks(Vec<Check>);

fn say(key: &str, values: &[(&str, &dyn Display)]) -> String {
    operator::text(outside::language(), key, values)
}

impl Checks {
    fn add(&mut self, what: &str, ok: bool, detail: String) {
        self.0.push(Check { what: say(what, &[]), ok, detail });
    }

    /// A check that may itself fail: then it says why.
    fn of(&mut self, what: &str, looked: Result<(bool, String)>) {
        let (ok, detail) = looked.unwrap_or_else(|error| (false, error.to_string()));
        self.add(what, ok, detail);
    }
}

/// Checks what a night needs; exit 1 when something is not as it must be.
pub fn doctor(file: &Path, config: Config, json: bool) -> Result<u8> {
    let mut checks = Checks::default();
    checks.add("doctor.configuration", true, format!("{} ({})", file.display(), &config.digest[..12]));
    folders(&mut checks, &config);
    authorities(&mut checks, &config);
    match &config.key_file {
        Some(key) if is_private(key) => checks.add("doctor.key_file", true, key.display().to_string()),
        Some(key) => checks.add("doctor.key_file", false, say("doctor.key_open", &[("path", &key.display())])),
        None => checks.add("doctor.key_file", true, say("doctor.key_none", &[])),
    }
    match Store::open(config, outside::outside()) {
        Err(error) => checks.add("doctor.ledger", false, error.to_string()),
        Ok(store) => lake(&mut checks, &store),
    }
    let ok = checks.0.iter().all(|c| c.ok);
    if json {
        show::document(&checks.0)?;
    } else {
        for check in &checks.0 {
            say!("{:<4} {:<16} {}", if check.ok { "ok" } else { "BAD" }, check.what, check.detail);
        }
    }
    Ok(if ok { 0 } else { 1 })
}

fn folders(checks: &mut Checks, config: &Config) {
    let inbox = config::inbox_folders().map(|kind| config.inbox.join(kind));
    for dir in [config.lake.clone(), config.inbox.clone()].into_iter().chain(inbox) {
        let detail = match probe(&dir) {
            Ok(()) => Ok(dir.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(say("doctor.not_there", &[("path", &dir.display())]))
            }
            Err(error) => Err(say("doctor.not_writable", &[("path", &dir.display()), ("why", &error)])),
        };
        checks.add("doctor.folder", detail.is_ok(), detail.unwrap_or_else(|bad| bad));
    }
    if let Err(error) = check_places(config) {
        checks.add("doctor.folder", false, error.to_string());
    }
    let outbox = &config.outbox;
    // Made by the first run; until then its place must take it.
    let place = if outbox.exists() { outbox.as_path() } else { outbox.parent().unwrap_or(outbox) };
    let detail = match renames(&config.lake, place) {
        Ok(()) => Ok(outbox.display().to_string()),
        Err(error) => Err(say("doctor.no_rename", &[("path", &outbox.display()), ("why", &error)])),
    };
    checks.add("doctor.outbox", detail.is_ok(), detail.unwrap_or_else(|bad| bad));
}

/// Whether a file can be made in a folder.
fn probe(dir: &Path) -> std::io::Result<()> {
    if !dir.is_dir() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    let probe = dir.join(PROBE);
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

/// A name that no run looks at.
const PROBE: &str = ".shikaku-probe";

/// Whether a file of the lake can be moved into a folder.
fn renames(lake: &Path, to: &Path) -> std::io::Result<()> {
    let (from, to) = (lake.join(PROBE), to.join(PROBE));
    std::fs::write(&from, b"")?;
    let renamed = std::fs::rename(&from, &to);
    let _ = std::fs::remove_file(if renamed.is_ok() { &to } else { &from });
    renamed
}

fn authorities(checks: &mut Checks, config: &Config) {
    let today = outside::now();
    for file in &config.crl.ca_files {
        let looked = ca::load(file).map(|ca| {
            let (strength, strong) = ca.strength();
            let (key, end) = (&ca.key_id, ca.not_after);
            match () {
                () if end <= today => (false, say("doctor.ca_expired", &[("key", key), ("end", &end)])),
                () if !strong => (false, say("doctor.ca_weak", &[("key", key), ("strength", &strength)])),
                () if end.date() <= add_days(today.date(), SOON_DAYS) => {
                    (false, say("doctor.ca_ends_soon", &[("key", key), ("end", &end)]))
                }
                () => (true, say("doctor.ca_ok", &[("key", key), ("strength", &strength), ("end", &end)])),
            }
        });
        checks.of("doctor.ca", looked);
    }
    if config.crl.ca_files.is_empty() {
        checks.add("doctor.ca", false, say("doctor.ca_none", &[]));
    }
}

fn lake(checks: &mut Checks, store: &Store) {
    checks.of(
        "doctor.ledger",
        store.ledger.head().map(|(events, _)| (true, say("doctor.events", &[("events", &events)]))),
    );
    let known = store.ledger.unknown_kinds().map(|kinds| {
        let kinds = kinds.join(", ");
        (kinds.is_empty(), if kinds.is_empty() { String::new() } else { say("doctor.newer", &[("kinds", &kinds)]) })
    });
    if !matches!(known, Ok((true, _))) {
        checks.of("doctor.ledger", known);
    }
    let head = head::check(&store.config.lake, &store.ledger, store.keys.as_deref());
    checks.of("doctor.chain_head", head.map(|seq| (true, say("doctor.events", &[("events", &seq)]))));
    checks.of("doctor.tables", parts(store));
    let open =
        store.ledger.unpublished().map(|open| (open.is_empty(), say("doctor.runs_open", &[("count", &open.len())])));
    checks.of("doctor.runs", open);
    checks.of("doctor.dates", dates(store));
    checks.of("doctor.crl", crl(store));
    let today = BusinessDate::of(outside::now()).0;
    match store.reader().and_then(|reader| Masters::load(&reader)) {
        Err(error) => checks.add("doctor.insurers", false, error.to_string()),
        Ok(masters) => {
            let missing = calendar::missing_year(today, &masters.holidays);
            let detail = match missing {
                None => say("doctor.holidays_ok", &[]),
                Some(year) => say("doctor.holidays_missing", &[("year", &year)]),
            };
            checks.add("doctor.holidays", missing.is_none(), detail);
            let count = masters.insurers.len();
            checks.add("doctor.insurers", count > 0, say("doctor.insurers_count", &[("count", &count)]));
        }
    }
}

/// The parts that readers would open: there, of their size, with their footers.
fn parts(store: &Store) -> Result<(bool, String)> {
    let reader = store.reader()?;
    let mut count = 0;
    for table in tables::all() {
        for generation in reader.snapshot.current(table).into_iter().filter(|g| !g.removed) {
            for part in reader.snapshot.parts(generation)? {
                reader.check_footer(part)?;
                count += 1;
            }
        }
    }
    Ok((true, say("doctor.parts", &[("parts", &count)])))
}

fn dates(store: &Store) -> Result<(bool, String)> {
    let date = store.ledger.fact(&HISTORY_DATE)?.map_or_else(String::new, |date| date.to_string());
    let ahead = date > outside::now().date().to_string();
    let none = say("status.none_yet", &[]);
    let shown: &dyn Display = if date.is_empty() { &none } else { &date };
    Ok((!ahead, say(if ahead { "doctor.dates_ahead" } else { "doctor.dates_ok" }, &[("date", shown)])))
}

fn crl(store: &Store) -> Result<(bool, String)> {
    Ok(match state::overdue(store, outside::now())? {
        Some(Overdue::Stale) => (false, say("doctor.crl_stale", &[])),
        Some(Overdue::Expired(end)) => (false, say("doctor.crl_expired", &[("end", &end)])),
        None => {
            let date =
                store.ledger.fact(&state::IN_FORCE)?.map_or_else(|| say("status.none", &[]), |date| date.to_string());
            (true, say("doctor.crl_ok", &[("date", &date)]))
        }
    })
}

#[cfg(unix)]
pub fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    // Not there is another check's matter.
    std::fs::metadata(path).map_or(true, |m| m.permissions().mode().trailing_zeros() >= 6)
}

#[cfg(not(unix))]
pub fn is_private(path: &Path) -> bool {
    path.exists()
}
