//! What readers ask of the ledger.

use serde::Serialize;

use super::event::InputRow;
use super::{Event, Ledger};
use crate::error::{Error, Result};
use crate::lake::Generation;

/// A run as `runs list` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct RunStatus {
    pub run_id: String,
    pub job: String,
    pub business_date: String,
    pub parameters: String,
    pub code_version: String,
    pub config_digest: String,
    pub status: String,
    pub set_id: Option<i64>,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub outcome: Option<String>,
    pub error: Option<String>,
}

fn number(cell: &Option<String>) -> i64 {
    cell.as_deref().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn text(cell: &Option<String>) -> String {
    cell.clone().unwrap_or_default()
}

impl Ledger {
    /// Runs in order of their start, the newest last.
    pub fn runs(&self) -> Result<Vec<RunStatus>> {
        let rows = self.text_rows(
            "SELECT run_id, job, business_date, parameters, code_version, config_digest, status, \
             CAST(set_id AS TEXT), started_at, finished_at, outcome, error FROM run ORDER BY started_at, set_id, run_id",
            &[],
        )?;
        Ok(rows
            .iter()
            .map(|r| RunStatus {
                run_id: text(&r[0]),
                job: text(&r[1]),
                business_date: text(&r[2]),
                parameters: text(&r[3]),
                code_version: text(&r[4]),
                config_digest: text(&r[5]),
                status: text(&r[6]),
                set_id: r[7].as_deref().and_then(|n| n.parse().ok()),
                started_at: text(&r[8]),
                finished_at: r[9].clone(),
                outcome: r[10].clone(),
                error: r[11].clone(),
            })
            .collect())
    }

    /// The run of that id, or of the one id that starts so.
    pub fn run(&self, id: &str) -> Result<RunStatus> {
        let mut found: Vec<RunStatus> = self.runs()?.into_iter().filter(|r| r.run_id.starts_with(id)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(run), true) => Ok(run),
            (Some(_), false) => Err(Error::usage(format!("several runs start with {id}"))),
            (None, _) => Err(Error::usage(format!("no run {id}"))),
        }
    }

    /// Inputs of one run, or of all.
    pub fn inputs(&self, run_id: Option<&str>) -> Result<Vec<(String, InputRow)>> {
        let filter = if run_id.is_some() { "WHERE run_id = $1" } else { "" };
        let rows = self.text_rows(
            &format!(
                "SELECT run_id, sha256, name, kind, origin, CAST(receipt_no AS TEXT), CAST(bytes AS TEXT), state, code, \
                 CAST(rows_read AS TEXT), CAST(rows_accepted AS TEXT), CAST(rows_rejected AS TEXT), \
                 CAST(rows_duplicate AS TEXT), landing, landed_at FROM run_input {filter} ORDER BY run_id, sha256"
            ),
            run_id.as_slice(),
        )?;
        Ok(rows
            .iter()
            .map(|r| {
                let input = InputRow {
                    sha256: text(&r[1]),
                    name: text(&r[2]),
                    kind: text(&r[3]),
                    origin: r[4].clone(),
                    receipt_no: r[5].as_deref().and_then(|n| n.parse().ok()),
                    bytes: number(&r[6]),
                    state: text(&r[7]),
                    code: r[8].clone(),
                    rows_read: number(&r[9]),
                    rows_accepted: number(&r[10]),
                    rows_rejected: number(&r[11]),
                    rows_duplicate: number(&r[12]),
                    landing: r[13].clone(),
                    landed_at: text(&r[14]),
                };
                (text(&r[0]), input)
            })
            .collect())
    }

    /// Whether bytes of this digest were taken in before and so change nothing now. A file whose origin was not registered
    /// (`400005`) is looked at again, since the master may have it by now.
    pub fn is_known_input(&self, sha256: &str) -> Result<bool> {
        let rows = self.text_rows(
            "SELECT run_id FROM run_input WHERE sha256 = $1 AND state NOT IN ('refused', 'held') AND (code IS NULL OR code <> '400005') \
             AND run_id IN (SELECT run_id FROM run WHERE status = 'published') LIMIT 1",
            &[sha256],
        )?;
        Ok(!rows.is_empty())
    }

    /// Code counts: (run, sha256, code, severity, count).
    pub fn rejections(&self, run_id: &str) -> Result<Vec<(String, String, String, i64)>> {
        let rows = self.text_rows(
            "SELECT sha256, code, severity, CAST(count AS TEXT) FROM rejection WHERE run_id = $1 ORDER BY sha256, code",
            &[run_id],
        )?;
        Ok(rows.iter().map(|r| (text(&r[0]), text(&r[1]), text(&r[2]), number(&r[3]))).collect())
    }

    /// Published files of one run, or of all, that no later run removed: (path, sha256).
    pub fn outputs(&self, run_id: Option<&str>) -> Result<Vec<(String, String)>> {
        let (filter, binds) = match &run_id {
            Some(id) => ("removed_by IS NULL AND run_id = $1", std::slice::from_ref(id)),
            None => {
                ("removed_by IS NULL AND run_id IN (SELECT run_id FROM run WHERE status = 'published')", [].as_slice())
            }
        };
        let sql = format!("SELECT path, sha256 FROM run_output WHERE {filter} ORDER BY path");
        Ok(self.text_rows(&sql, binds)?.iter().map(|r| (text(&r[0]), text(&r[1]))).collect())
    }

    /// All generations of published runs.
    pub fn generations(&self) -> Result<Vec<Generation>> {
        let rows = self.text_rows(
            "SELECT table_name, partition, CAST(set_id AS TEXT), dir, CAST(rows AS TEXT), content_digest, removed_by FROM generation \
             WHERE run_id IN (SELECT run_id FROM run WHERE status = 'published') ORDER BY set_id, table_name, partition",
            &[],
        )?;
        Ok(rows
            .iter()
            .map(|r| Generation {
                table: text(&r[0]),
                partition: text(&r[1]),
                set_id: number(&r[2]),
                dir: text(&r[3]),
                rows: number(&r[4]),
                content_digest: text(&r[5]),
                removed: r[6].is_some(),
            })
            .collect())
    }

    /// Published sets that wrote a table, oldest first: number, run, business date.
    pub fn sets_of(&self, table: &str) -> Result<Vec<(i64, String, chrono::NaiveDate)>> {
        let rows = self.text_rows(
            "SELECT CAST(generation.set_id AS TEXT), run.run_id, business_date FROM generation \
             JOIN run ON run.run_id = generation.run_id WHERE table_name = $1 AND status = 'published' \
             ORDER BY generation.set_id",
            &[table],
        )?;
        let date =
            |cell: &Option<String>| text(cell).parse().map_err(|_| Error::integrity("a run has no business date"));
        rows.iter().map(|r| Ok((number(&r[0]), text(&r[1]), date(&r[2])?))).collect()
    }

    /// Digest of the input that its first digits name; these themselves if it is unknown.
    pub fn input_digest(&self, first_digits: &str) -> Result<String> {
        let pattern = format!("{first_digits}%");
        let rows =
            self.text_rows("SELECT sha256 FROM run_input WHERE sha256 LIKE $1 ORDER BY sha256 LIMIT 1", &[&pattern])?;
        Ok(rows.first().map_or_else(|| first_digits.to_owned(), |r| text(&r[0])))
    }

    /// Newest committed set.
    pub fn last_set(&self) -> Result<i64> {
        let rows = self.text_rows("SELECT CAST(COALESCE(MAX(set_id), 0) AS TEXT) FROM generation", &[])?;
        Ok(rows.first().map_or(0, |r| number(&r[0])))
    }

    pub fn fact(&self, name: &str, key: &str) -> Result<Option<String>> {
        let rows = self.text_rows("SELECT value FROM fact WHERE name = $1 AND key = $2", &[name, key])?;
        Ok(rows.into_iter().next().and_then(|mut r| r.pop().flatten()))
    }

    /// All facts of a name: (key, value) in key order.
    pub fn facts(&self, name: &str) -> Result<Vec<(String, String)>> {
        let rows = self.text_rows("SELECT key, value FROM fact WHERE name = $1 ORDER BY key", &[name])?;
        Ok(rows.iter().map(|r| (text(&r[0]), text(&r[1]))).collect())
    }

    /// Runs that are committed but not published, with what they committed and the hash of that event.
    pub fn unpublished(&self) -> Result<Vec<(super::event::Committed, String)>> {
        let rows = self.text_rows("SELECT run_id FROM run WHERE status = 'committed'", &[])?;
        let open: Vec<String> = rows.iter().map(|r| text(&r[0])).collect();
        let mut found = Vec::new();
        if open.is_empty() {
            return Ok(found);
        }
        for event in self.events()?.into_iter().filter(|e| e.kind == "run_committed") {
            if let Event::RunCommitted(committed) = serde_json::from_str(&event.body)?
                && open.contains(&committed.run_id)
            {
                found.push((committed, event.hash));
            }
        }
        Ok(found)
    }

    /// What the newest commit removed, if it is published: all that a kill can have left undone.
    pub fn last_removals(&self) -> Result<Vec<String>> {
        let newest = "SELECT body FROM event WHERE kind = 'run_committed' ORDER BY seq DESC LIMIT 1";
        let rows = self.text_rows(newest, &[])?;
        let Some(body) = rows.first().map(|r| text(&r[0])) else { return Ok(Vec::new()) };
        let Event::RunCommitted(committed) = serde_json::from_str(&body)? else { return Ok(Vec::new()) };
        let published = "SELECT run_id FROM run WHERE status = 'published' AND run_id = $1";
        let published = !self.text_rows(published, &[&committed.run_id])?.is_empty();
        Ok(if published { committed.removals } else { Vec::new() })
    }

    /// Landed inputs of some kinds that were read and whose bytes are still kept: (sha256, place below the lake).
    pub fn kept_landings(&self, kinds: &[&str]) -> Result<Vec<(String, String)>> {
        let list: Vec<String> = (1..=kinds.len()).map(|n| format!("${n}")).collect();
        let rows = self.text_rows(
            &format!(
                "SELECT DISTINCT run_input.sha256, landing FROM run_input JOIN run_output \
                 ON run_output.path = 'lake/' || landing WHERE removed_by IS NULL AND state = 'accepted' \
                 AND kind IN ({}) ORDER BY 1",
                list.join(", ")
            ),
            kinds,
        )?;
        Ok(rows.iter().map(|r| (text(&r[0]), text(&r[1]))).collect())
    }

    /// Hash of the event with that number.
    pub fn event_hash_at(&self, seq: i64) -> Result<Option<String>> {
        let rows = self.text_rows("SELECT hash FROM event WHERE CAST(seq AS TEXT) = $1", &[&seq.to_string()])?;
        Ok(rows.first().map(|r| text(&r[0])))
    }

    /// Head of the chain.
    pub fn head(&self) -> Result<(i64, String)> {
        let rows = self.text_rows("SELECT CAST(seq AS TEXT), hash FROM event ORDER BY seq DESC LIMIT 1", &[])?;
        Ok(rows.first().map_or((0, super::GENESIS.to_owned()), |r| (number(&r[0]), text(&r[1]))))
    }
}

impl Ledger {
    /// State of an input by its digest: the newest run's.
    pub fn input_state(&self, sha256: &str) -> Result<Option<String>> {
        let rows = self.text_rows(
            "SELECT i.state FROM run_input i JOIN run r ON r.run_id = i.run_id WHERE i.sha256 = $1 \
             AND r.status = 'published' ORDER BY r.started_at DESC LIMIT 1",
            &[sha256],
        )?;
        Ok(rows.first().map(|r| text(&r[0])))
    }
}
