//! What readers ask of the ledger. Only published runs show, in the order of their start events, whatever the clock said.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, FromRow};

use super::event::Committed;
use super::rows::{FolderRow, InputRow, Run, select};
use super::words::{InputState, RunState};
use super::{Event, Ledger, Stored, last_event};
use crate::base::error::{Error, Result};
use crate::lake::{Generation, PartRef};

/// An input with the run that took it in.
#[derive(FromRow)]
struct InputOf {
    run_id: String,
    #[sqlx(flatten)]
    input: InputRow,
}

#[derive(FromRow)]
struct PartRecord {
    path: String,
    sha256: String,
    bytes: i64,
    footer: Option<String>,
}

impl Ledger {
    /// Runs in the order of their start, the newest last.
    pub fn runs(&self) -> Result<Vec<Run>> {
        self.rows(select::<Run>("ORDER BY started_seq"), &[])
    }

    /// Runs of one job for one business date, the newest last.
    pub fn runs_of(&self, job: &str, business_date: &str) -> Result<Vec<Run>> {
        self.rows(select::<Run>("WHERE job = $1 AND business_date = $2 ORDER BY started_seq"), &[job, business_date])
    }

    /// The newest run of a job.
    pub fn newest_run(&self, job: &str) -> Result<Option<Run>> {
        Ok(self.rows(select::<Run>("WHERE job = $1 ORDER BY started_seq DESC LIMIT 1"), &[job])?.pop())
    }

    /// Runs that are committed and not published, whatever else their rows say: `audit verify` goes by it.
    pub fn committed_runs(&self) -> Result<Vec<String>> {
        let rows: Vec<(String,)> =
            self.rows("SELECT run_id FROM run WHERE status = $1 ORDER BY run_id", &[RunState::Committed.word()])?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// Whether a run of that id is published.
    pub fn is_published(&self, run_id: &str) -> Result<bool> {
        let rows: Vec<(String,)> = self
            .rows("SELECT run_id FROM run WHERE run_id = $1 AND status = $2", &[run_id, RunState::Published.word()])?;
        Ok(!rows.is_empty())
    }

    /// The run of that id, or of the one id that starts so.
    pub fn run(&self, id: &str) -> Result<Run> {
        let mut found: Vec<Run> = self.runs()?.into_iter().filter(|r| r.run_id.starts_with(id)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(run), true) => Ok(run),
            (Some(_), false) => Err(Error::usage(format!("several runs start with {id}"))),
            (None, _) => Err(Error::usage(format!("no run {id}"))),
        }
    }

    /// Inputs of one run, or of all.
    pub fn inputs(&self, run_id: Option<&str>) -> Result<Vec<(String, InputRow)>> {
        let filter = if run_id.is_some() { "WHERE run_id = $1" } else { "" };
        let sql = select::<InputRow>(&format!("{filter} ORDER BY run_id, sha256"));
        let rows: Vec<InputOf> = self.rows(sql, run_id.as_slice())?;
        Ok(rows.into_iter().map(|row| (row.run_id, row.input)).collect())
    }

    /// Held inputs whose newest run says so: those that were taken in or refused later are not held any more.
    pub fn held(&self) -> Result<Vec<InputRow>> {
        let newest = "JOIN run r ON r.run_id = run_input.run_id WHERE state = $1 AND NOT EXISTS \
             (SELECT 1 FROM run_input o JOIN run p ON p.run_id = o.run_id \
             WHERE o.sha256 = run_input.sha256 AND p.started_seq > r.started_seq) \
             ORDER BY origin, receipt_no, run_input.sha256";
        self.rows(select::<InputRow>(newest), &[InputState::Held.word()])
    }

    /// Whether bytes of this digest were taken in before and so change nothing now. A file whose origin was not registered
    /// (`400005`) is looked at again, since the master may have it by now.
    pub fn is_known_input(&self, sha256: &str) -> Result<bool> {
        let rows: Vec<(String,)> = self.rows(
            "SELECT run_id FROM run_input WHERE sha256 = $1 AND state NOT IN ($2, $3) \
             AND (code IS NULL OR code <> '400005') LIMIT 1",
            &[sha256, InputState::Refused.word(), InputState::Held.word()],
        )?;
        Ok(!rows.is_empty())
    }

    /// Code counts: (sha256, code, severity, count).
    pub fn rejections(&self, run_id: &str) -> Result<Vec<(String, String, String, i64)>> {
        self.rows(
            "SELECT sha256, code, severity, count FROM rejection WHERE run_id = $1 ORDER BY sha256, code",
            &[run_id],
        )
    }

    /// Published files of one run, or of all, that no later run removed: (path, sha256).
    pub fn outputs(&self, run_id: Option<&str>) -> Result<Vec<(String, String)>> {
        const ALL: &str = "SELECT path, sha256 FROM run_output WHERE removed_by IS NULL";
        match run_id {
            Some(id) => self.rows(AssertSqlSafe(format!("{ALL} AND run_id = $1 ORDER BY path")), &[id]),
            None => self.rows(AssertSqlSafe(format!("{ALL} ORDER BY path")), &[]),
        }
    }

    /// What was published at a path, whichever run wrote it.
    pub fn output_digest(&self, path: &str) -> Result<Option<String>> {
        let rows: Vec<(String,)> =
            self.rows("SELECT sha256 FROM run_output WHERE path = $1 AND removed_by IS NULL", &[path])?;
        Ok(rows.into_iter().next().map(|row| row.0))
    }

    /// All published generations with their parts.
    pub fn generations(&self) -> Result<Vec<Generation>> {
        let parts: Vec<PartRecord> = self.rows(
            "SELECT path, sha256, bytes, footer FROM run_output WHERE table_name IS NOT NULL ORDER BY path",
            &[],
        )?;
        let mut by_dir: BTreeMap<String, Vec<PartRef>> = BTreeMap::new();
        for part in parts {
            let path = part.path.strip_prefix("lake/").unwrap_or(&part.path).to_owned();
            let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
            let PartRecord { sha256, bytes, footer, .. } = part;
            by_dir.entry(dir).or_default().push(PartRef { path, sha256, bytes, footer });
        }
        let rows: Vec<FolderRow> = self.rows(select::<FolderRow>("ORDER BY set_id, table_name, partition"), &[])?;
        let generation = |row: FolderRow| Generation {
            parts: Arc::from(by_dir.remove(&row.dir).unwrap_or_default()),
            table: row.table_name,
            partition: row.partition,
            set_id: row.set_id,
            removed: row.removed_by.is_some(),
            dir: row.dir,
            rows: row.rows,
            content_digest: row.content_digest,
        };
        Ok(rows.into_iter().map(generation).collect())
    }

    /// Published sets that wrote a table, oldest first: number, run, business date.
    pub fn sets_of(&self, table: &str) -> Result<Vec<(i64, String, chrono::NaiveDate)>> {
        let rows: Vec<(i64, String, String)> = self.rows(
            "SELECT generation.set_id, run.run_id, business_date FROM generation \
             JOIN run ON run.run_id = generation.run_id WHERE table_name = $1 ORDER BY generation.set_id",
            &[table],
        )?;
        let date = |text: &str| text.parse().map_err(|_| Error::integrity("a run has no business date"));
        rows.into_iter().map(|(set, run, day)| Ok((set, run, date(&day)?))).collect()
    }

    /// Digest of the input that its first digits name; these themselves if it is unknown.
    pub fn input_digest(&self, first_digits: &str) -> Result<String> {
        let sql = "SELECT sha256 FROM run_input WHERE substr(sha256, 1, length($1)) = $2 ORDER BY sha256 LIMIT 1";
        let rows: Vec<(String,)> = self.rows(sql, &[first_digits, first_digits])?;
        Ok(rows.into_iter().next().map_or_else(|| first_digits.to_owned(), |row| row.0))
    }

    /// Newest set that a run committed, published or not.
    pub fn last_set(&self) -> Result<i64> {
        let rows: Vec<(i64,)> = self.rows("SELECT CAST(COALESCE(MAX(set_id), 0) AS BIGINT) FROM run", &[])?;
        Ok(rows.first().map_or(0, |row| row.0))
    }

    /// Runs that are committed but not published, in the order of their commits, with what they committed and the hash of
    /// that event; only what is chained and signed as it was written.
    pub fn unpublished(&self) -> Result<Vec<(Committed, String)>> {
        let open: Vec<(Option<i64>,)> = self
            .rows("SELECT commit_seq FROM run WHERE status = $1 ORDER BY commit_seq", &[RunState::Committed.word()])?;
        let mut found = Vec::new();
        for seq in open.into_iter().filter_map(|row| row.0) {
            found.extend(self.committed_at(seq)?);
        }
        Ok(found)
    }

    fn committed_at(&self, seq: i64) -> Result<Option<(Committed, String)>> {
        let Some(stored) = self.event(seq)? else { return Ok(None) };
        match stored.trusted(self.keys())? {
            Event::RunCommitted(committed) => Ok(Some((committed, stored.hash))),
            _ => Err(Error::integrity(format!("ledger event {seq} is no commit; run `shikaku audit verify`"))),
        }
    }

    /// What the newest commit removed, if it is published: all that a kill can have left undone.
    pub fn last_removals(&self) -> Result<Option<Committed>> {
        let newest: Vec<(i64,)> = self.rows(
            "SELECT commit_seq FROM run WHERE status = $1 AND commit_seq = (SELECT MAX(commit_seq) FROM run)",
            &[RunState::Published.word()],
        )?;
        let Some((seq,)) = newest.first() else { return Ok(None) };
        Ok(self.committed_at(*seq)?.map(|(committed, _)| committed))
    }

    /// Inputs of some kinds, or of a job that could not tell their kind, whose bytes are still kept: (sha256, place below
    /// the lake).
    pub fn kept_landings(&self, kinds: &[&str], job: &str) -> Result<Vec<(String, String)>> {
        let list: Vec<String> = (1..=kinds.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT DISTINCT i.sha256, landing FROM run_input i JOIN run ON run.run_id = i.run_id JOIN run_output o \
             ON o.path = 'lake/' || landing WHERE removed_by IS NULL AND landing IS NOT NULL \
             AND (kind IN ({}) OR (kind = '?' AND job = ${})) ORDER BY 1",
            list.join(", "),
            kinds.len() + 1
        );
        self.rows(AssertSqlSafe(sql), &[kinds, &[job]].concat())
    }

    /// Number and hash of the newest event.
    pub fn head(&self) -> Result<(i64, String)> {
        let rows: Vec<Stored> = self.rows(last_event(), &[])?;
        Ok(rows.into_iter().next().map_or((0, super::GENESIS.to_owned()), |e| (e.seq, e.hash)))
    }

    /// Kinds of events that this program does not know: a newer one wrote them.
    pub fn unknown_kinds(&self) -> Result<Vec<String>> {
        let kinds: Vec<(String,)> = self.rows("SELECT DISTINCT kind FROM event ORDER BY kind", &[])?;
        let known = super::event::KINDS;
        Ok(kinds.into_iter().map(|row| row.0).filter(|kind| !known.contains(&kind.as_str())).collect())
    }

    /// State of an input by its digest: the newest run's.
    pub fn input_state(&self, sha256: &str) -> Result<Option<InputState>> {
        Ok(self.input(sha256)?.map(|input| input.state))
    }

    /// What the newest run says of an input.
    pub fn input(&self, sha256: &str) -> Result<Option<InputRow>> {
        let newest = "JOIN run r ON r.run_id = run_input.run_id WHERE sha256 = $1 ORDER BY r.started_seq DESC LIMIT 1";
        let rows: Vec<InputRow> = self.rows(select::<InputRow>(newest), &[sha256])?;
        Ok(rows.into_iter().next())
    }

    /// Business date of the first run that took in bytes of this digest.
    pub fn first_night_of(&self, sha256: &str) -> Result<Option<String>> {
        let rows: Vec<(String,)> = self.rows(
            "SELECT business_date FROM run_input i JOIN run r ON r.run_id = i.run_id \
             WHERE i.sha256 = $1 ORDER BY r.started_seq LIMIT 1",
            &[sha256],
        )?;
        Ok(rows.into_iter().next().map(|row| row.0))
    }
}
