//! A night's set of CRLs: every one verified, compared with the generation in force, taken whole or refused with reasons.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shikaku_schemas::tables;

use super::ca::{self, Ca};
use super::parse::{self, Entry, Header};
use crate::error::{At, Result};
use crate::inbox::Input;
use crate::lake::history::{Columns, HistoryScan, night_rows};
use crate::lake::layer;
use crate::lake::row::{Cell, Row};
use crate::ledger::InputRow;
use crate::outbox;
use crate::store::{Stage, Store};
use crate::text::cp932::Encoding;

/// Largest CRL that is taken, in bytes: 10 million entries are 350–420 MB (libs.md §b).
const MAX_BYTES: i64 = 2_000_000_000;

/// What the ledger keeps of a distribution point in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub crl_number: String,
    pub sha256: String,
    pub entries: u64,
}

/// Files of a set: `*.crl` of one folder; everything else is counted and ignored.
pub fn files(dir: &Path) -> Result<(Vec<PathBuf>, u64)> {
    let (mut found, mut ignored) = (Vec::new(), 0);
    for entry in std::fs::read_dir(dir).at(dir)? {
        let path = entry.at(dir)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == "crl") {
            found.push(path);
        } else if path.file_name().is_some_and(|n| n != "_DONE") {
            ignored += 1;
        }
    }
    found.sort();
    Ok((found, ignored))
}

/// `YYYYMMDD` of a set's folder.
pub fn date_of(dir: &Path) -> Option<String> {
    let name = dir.file_name()?.to_str()?;
    (name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.to_owned())
}

/// The newest finished set of the inbox: `crl/<YYYYMMDD>/` with `_DONE` in it.
pub fn newest(dir: &Path) -> Result<Option<PathBuf>> {
    let mut sets = Vec::new();
    if dir.is_dir() {
        for entry in std::fs::read_dir(dir).at(dir)? {
            let path = entry.at(dir)?.path();
            if date_of(&path).is_some() && path.join("_DONE").exists() {
                sets.push(path);
            }
        }
    }
    sets.sort();
    Ok(sets.pop())
}

/// Loads the configured trust anchors.
pub fn trust_anchors(store: &Store) -> Result<Vec<Ca>> {
    store.config.crl.ca_files.iter().map(|f| ca::load(f)).collect()
}

struct Read {
    input: Input,
    outcome: std::result::Result<(Header, Vec<Entry>), &'static str>,
    rows: i64,
}

/// Reads, verifies and, if all is well, commits a set. Returns whether it was taken.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<bool> {
    stage.store.check_business_date(stage.date)?;
    let cas = trust_anchors(stage.store)?;
    let mut inputs: Vec<&Input> = inputs.iter().collect();
    inputs.sort_by(|a, b| (&a.sha256, &a.name).cmp(&(&b.sha256, &b.name)));
    let twice = inputs.windows(2).any(|w| w[0].sha256 == w[1].sha256);
    for pair in inputs.windows(2).filter(|w| w[0].sha256 == w[1].sha256) {
        stage.release(pair[1]);
    }
    inputs.dedup_by(|b, a| b.sha256 == a.sha256);
    let mut read: Vec<Read> = inputs.par_iter().map(|input| read_one(input, &cas)).collect::<Result<_>>()?;
    let points: BTreeMap<String, Point> = stage
        .store
        .ledger
        .facts("crl_point")?
        .into_iter()
        .filter_map(|(key, value)| Some((key, serde_json::from_str(&value).ok()?)))
        .collect();
    check_each(stage, &mut read, &points);
    let set_codes = check_set(&read, &points, twice);
    let good = set_codes.is_empty() && read.iter().all(|r| r.outcome.is_ok());
    for one in &read {
        finish_file(stage, one, good, set_codes.first().copied())?;
    }
    if good {
        commit_set(stage, read, &points)?;
        stage.fact("crl", "in_force", stage.date.to_string());
        stage.fact("crl", "stale", "0");
    } else {
        stage.fact("crl", "stale", "1");
        stage.fact("crl", "refused", stage.date.to_string());
    }
    Ok(good)
}

fn read_one(input: &Input, cas: &[Ca]) -> Result<Read> {
    if input.bytes > MAX_BYTES {
        return Ok(Read { input: input.clone(), outcome: Err("400003"), rows: 0 });
    }
    let mut entries = Vec::new();
    let mut file = File::open(&input.path).at(&input.path)?;
    let outcome = if is_pem(&mut file).at(&input.path)? {
        let bytes = std::fs::read(&input.path).at(&input.path)?;
        match parse::pem_body(&bytes, "X509 CRL").flatten() {
            Some(der) => parse::read(der.as_slice(), cas, |e| entries.push(e)),
            None => return Ok(Read { input: input.clone(), outcome: Err("400101"), rows: 0 }),
        }
    } else {
        parse::read(file, cas, |e| entries.push(e))
    };
    let rows = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let outcome = match outcome {
        Ok(header) => Ok((header, entries)),
        Err(bad) => {
            tracing::warn!(file = %&input.sha256[..12], code = bad.code, offset = bad.offset, "CRL refused: {}", bad.what);
            Err(bad.code)
        }
    };
    Ok(Read { input: input.clone(), outcome, rows })
}

fn is_pem(file: &mut File) -> std::io::Result<bool> {
    use std::io::{Read as _, Seek as _};
    let mut start = [0u8; 11];
    let n = file.read(&mut start)?;
    file.rewind()?;
    Ok(start[..n].starts_with(b"-----BEGIN "))
}

/// Checks each CRL against the moment and against the one in force of its distribution point.
fn check_each(stage: &Stage<'_>, read: &mut [Read], points: &BTreeMap<String, Point>) {
    let config = &stage.store.config.crl;
    let now = stage.date.crl_now(stage.store.config.crl_now_time);
    for one in read {
        let Ok((header, _)) = &one.outcome else { continue };
        let code = if !(header.this_update <= now && now < header.next_update) {
            Some("400104")
        } else {
            points.get(&header.distribution_point).and_then(|before| {
                let order = |n: &str| (n.len(), n.to_owned());
                let same_bytes = before.sha256 == one.input.sha256;
                match order(&header.crl_number).cmp(&order(&before.crl_number)) {
                    std::cmp::Ordering::Less => Some("400105"),
                    std::cmp::Ordering::Equal if !same_bytes => Some("400105"),
                    _ => out_of_band(config, before.entries, header.entries).then_some("400110"),
                }
            })
        };
        if let Some(code) = code {
            one.outcome = Err(code);
        }
    }
}

fn out_of_band(config: &crate::config::CrlSection, before: u64, now: u64) -> bool {
    let (change, percent) =
        if now < before { (before - now, config.shrink_percent) } else { (now - before, config.growth_percent) };
    change >= config.band_entries && change.saturating_mul(100) > before.saturating_mul(percent)
}

/// Codes that concern the set as a whole.
fn check_set(read: &[Read], points: &BTreeMap<String, Point>, twice: bool) -> Vec<&'static str> {
    let mut names: Vec<&str> =
        read.iter().filter_map(|r| r.outcome.as_ref().ok()).map(|(h, _)| h.distribution_point.as_str()).collect();
    names.sort_unstable();
    let repeated = twice || names.windows(2).any(|w| w[0] == w[1]);
    let whole = read.iter().all(|r| r.outcome.is_ok());
    let missing = whole && points.keys().any(|p| names.binary_search(&p.as_str()).is_err());
    let mut codes = Vec::new();
    codes.extend(read.is_empty().then_some("400111"));
    codes.extend(repeated.then_some("400107"));
    codes.extend(missing.then_some("400106"));
    codes
}

fn finish_file(stage: &mut Stage<'_>, one: &Read, good: bool, set_code: Option<&'static str>) -> Result<()> {
    let code = match (&one.outcome, good) {
        (Err(code), _) => Some(*code),
        (Ok(_), true) => None,
        (Ok(_), false) => Some(set_code.unwrap_or("400112")),
    };
    if let Some(code) = code {
        stage.reject(&one.input.sha256, code, "error", 1);
    }
    let result = outbox::whole_file(Encoding::Cp932, None, None, code.unwrap_or("000000"));
    stage.outbox(&outbox::result_path(Some("crl"), &one.input), &result)?;
    let landing = Some(stage.land(&one.input)?);
    let header = one.outcome.as_ref().ok().map(|(h, _)| h);
    stage.inputs.push(InputRow {
        sha256: one.input.sha256.clone(),
        name: one.input.name.clone(),
        kind: "CRL".to_owned(),
        origin: header.map(|h| h.distribution_point.clone()),
        receipt_no: None,
        bytes: one.input.bytes,
        state: if code.is_none() { "accepted" } else { "refused" }.to_owned(),
        code: code.map(str::to_owned),
        rows_read: one.rows,
        rows_accepted: if code.is_none() { one.rows } else { 0 },
        rows_rejected: if code.is_none() { 0 } else { one.rows },
        rows_duplicate: 0,
        landing,
        landed_at: stage.recorded_at().to_string(),
    });
    Ok(())
}

/// One entry of the new set in table order.
struct Listed {
    issuer: String,
    serial: String,
    revoked_at: chrono::NaiveDateTime,
    reason: Option<u8>,
    point: usize,
}

fn reason_cell(reason: Option<u8>) -> Cell {
    reason.map_or(Cell::Null, |r| Cell::text(r.to_string()))
}

fn commit_set(stage: &mut Stage<'_>, read: Vec<Read>, before: &BTreeMap<String, Point>) -> Result<()> {
    let mut points: Vec<(String, String)> = Vec::new();
    let mut listed = Vec::new();
    let mut odd = 0;
    for one in read {
        let Ok((header, entries)) = one.outcome else { continue };
        let point =
            Point { crl_number: header.crl_number.clone(), sha256: one.input.sha256.clone(), entries: header.entries };
        if before.get(&header.distribution_point) != Some(&point) {
            stage.fact("crl_point", &header.distribution_point, serde_json::to_string(&point)?);
        }
        let o = header.oddities;
        odd += o.generalized_time + o.negative + o.not_minimal + o.oversized + o.unsorted;
        for entry in entries {
            listed.push(Listed {
                issuer: header.issuer_key_id.clone(),
                serial: entry.serial,
                revoked_at: entry.revoked_at,
                reason: entry.reason,
                point: points.len(),
            });
        }
        points.push((header.distribution_point, header.crl_number));
    }
    listed.sort_by(|a, b| (&a.issuer, &a.serial, a.revoked_at).cmp(&(&b.issuer, &b.serial, b.revoked_at)));
    let all = listed.len();
    // The same serial twice is an oddity: the earlier revocation holds.
    listed.dedup_by(|b, a| a.issuer == b.issuer && a.serial == b.serial);
    let odd = odd + u64::try_from(all - listed.len()).unwrap_or(0);
    stage.fact("crl", "oddities", odd.to_string());

    let table = tables::of("revocation");
    let mut writer = stage.table(table, "")?;
    for entry in &listed {
        writer.push(&[
            Cell::text(&entry.issuer),
            Cell::text(&entry.serial),
            Cell::timestamp(entry.revoked_at),
            reason_cell(entry.reason),
            Cell::text(&points[entry.point].0),
        ])?;
    }
    stage.finish_table(table, "", writer)?;
    history(stage, &listed, &points)
}

/// Added, removed and changed entries against the history: a merge of two sorted lists.
fn history(stage: &mut Stage<'_>, listed: &[Listed], points: &[(String, String)]) -> Result<()> {
    let table = tables::of("revocation_history");
    let columns = Columns::of(table);
    let at = |name: &str| table.at(name);
    let (first_seen, last_seen) = (at("first_seen"), at("last_seen"));
    let date = stage.date.0;
    let same = |a: &[Cell], b: &[Cell]| a[2..4] == b[2..4] && a[last_seen] == b[last_seen];
    let reader = stage.store.reader()?;
    let mut writer = stage.table(table, layer(false))?;
    let (mut added, mut removed, mut changed) = (0u64, 0u64, 0u64);
    let fresh = |entry: &Listed, first: Cell| -> Row {
        vec![
            Cell::text(&entry.issuer),
            Cell::text(&entry.serial),
            Cell::timestamp(entry.revoked_at),
            reason_cell(entry.reason),
            first,
            Cell::Null,
            Cell::text(&points[entry.point].1),
            Cell::Timestamp(0),
            Cell::Null,
        ]
    };
    let mut scan = HistoryScan::new(&reader, table, None)?.peekable();
    let mut next = listed.iter().peekable();
    loop {
        // All rows of the least key on either side.
        let stored_key = match scan.peek() {
            Some(Ok(row)) => {
                Some((row[0].as_text().unwrap_or_default().to_owned(), row[1].as_text().unwrap_or_default().to_owned()))
            }
            Some(Err(_)) => match scan.next() {
                Some(Err(error)) => return Err(error),
                _ => None,
            },
            None => None,
        };
        let new_key = next.peek().map(|e| (e.issuer.clone(), e.serial.clone()));
        let key = match (&stored_key, &new_key) {
            (None, None) => break,
            (Some(a), Some(b)) => a.min(b).clone(),
            (Some(a), None) | (None, Some(a)) => a.clone(),
        };
        let mut rows = Vec::new();
        while let Some(row) =
            scan.next_if(|r| r.as_ref().is_ok_and(|r| r[0].as_text() == Some(&key.0) && r[1].as_text() == Some(&key.1)))
        {
            rows.push(row?);
        }
        let entry = next.next_if(|e| e.issuer == key.0 && e.serial == key.1);
        let open = rows.iter().find(|r| columns.is_open(r)).cloned();
        let on_list = open.as_ref().is_some_and(|r| r[last_seen] == Cell::Null);
        let last = match (entry, open) {
            (Some(entry), Some(row)) if on_list => {
                let new = fresh(entry, row[first_seen].clone());
                changed += u64::from(!same(&row, &new));
                Some(new)
            }
            (Some(entry), _) => {
                added += 1;
                Some(fresh(entry, Cell::date(date)))
            }
            (None, Some(mut row)) => {
                if on_list {
                    removed += 1;
                    row[last_seen] = Cell::date(crate::time::add_days(date, -1));
                }
                Some(row)
            }
            (None, None) => None,
        };
        for row in night_rows(&columns, &rows, last, stage.recorded_at(), &same) {
            writer.push(&row)?;
        }
    }
    stage.finish_table(table, layer(false), writer)?;
    stage.fact("crl", "changes", format!("added {added}, removed {removed}, changed {changed}"));
    Ok(())
}
