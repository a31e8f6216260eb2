//! Does the ledger still say what it said? The chain is walked, and every projection is recomputed and compared.

use super::event::Event;
use super::{GENESIS, Ledger, event_hash};
use crate::error::Result;

/// Projection tables: name, columns, number of leading columns that name a row. Compared as text.
const PROJECTIONS: &[(&str, &[&str], usize)] = &[
    (
        "run",
        &[
            "run_id",
            "job",
            "business_date",
            "parameters",
            "code_version",
            "config_digest",
            "status",
            "set_id",
            "started_at",
            "finished_at",
            "outcome",
            "error",
        ],
        1,
    ),
    (
        "run_input",
        &[
            "run_id",
            "sha256",
            "name",
            "kind",
            "origin",
            "receipt_no",
            "bytes",
            "state",
            "code",
            "rows_read",
            "rows_accepted",
            "rows_rejected",
            "rows_duplicate",
            "landing",
            "landed_at",
        ],
        2,
    ),
    (
        "run_output",
        &["run_id", "path", "sha256", "bytes", "rows", "content_digest", "table_name", "partition", "removed_by"],
        2,
    ),
    ("rejection", &["run_id", "sha256", "code", "severity", "count"], 3),
    ("generation", &["table_name", "partition", "set_id", "dir", "run_id", "rows", "content_digest", "removed_by"], 3),
    ("fact", &["name", "key", "value"], 2),
];

impl Ledger {
    /// Every broken place found, in order; empty = intact.
    pub fn verify(&self) -> Result<Vec<String>> {
        let mut findings = Vec::new();
        let fresh = Self::in_memory()?;
        let mut prev = GENESIS.to_owned();
        let mut events = Vec::new();
        for (expected, stored) in (1i64..).zip(self.events()?) {
            let name = format!("ledger event {} ({})", stored.seq, stored.kind);
            if stored.seq != expected {
                findings.push(format!("{name}: an event before it is missing"));
                return Ok(findings);
            }
            let hash = event_hash(stored.seq, stored.tx, &stored.kind, &stored.body, &stored.prev);
            if stored.prev != prev || hash != stored.hash {
                findings.push(format!("{name}: changed, or its predecessor was"));
                return Ok(findings);
            }
            match serde_json::from_str::<Event>(&stored.body) {
                Ok(event) => events.push(event),
                Err(_) => findings.push(format!("{name}: unreadable")),
            }
            prev = stored.hash;
        }
        fresh.append(&events)?;
        for (table, columns, key) in PROJECTIONS {
            self.compare(&fresh, table, columns, *key, &mut findings)?;
        }
        Ok(findings)
    }

    fn compare(&self, fresh: &Self, table: &str, columns: &[&str], key: usize, out: &mut Vec<String>) -> Result<()> {
        let list: Vec<String> = columns.iter().map(|c| format!("CAST({c} AS TEXT)")).collect();
        let sql = format!("SELECT {} FROM {table}", list.join(", "));
        let mut own = self.text_rows(&sql, &[])?;
        let mut expected = fresh.text_rows(&sql, &[])?;
        own.sort();
        expected.sort();
        let name = |row: &[Option<String>]| {
            let parts: Vec<&str> = row[..key].iter().map(|c| c.as_deref().unwrap_or("")).collect();
            format!("ledger table {table}, row {}", parts.join(" "))
        };
        for row in own.iter().filter(|r| expected.binary_search(r).is_err()) {
            out.push(format!("{}: differs from the chain", name(row)));
        }
        for row in expected.iter().filter(|r| own.binary_search(r).is_err()) {
            if !own.iter().any(|o| o[..key] == row[..key]) {
                out.push(format!("{}: missing", name(row)));
            }
        }
        Ok(())
    }
}
