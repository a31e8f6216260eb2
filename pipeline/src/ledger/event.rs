//! What can happen, as it is chained. Texts only; no personal data: inputs are named by digest and file name.

use serde::{Deserialize, Serialize};

use super::rows::{InputRow, OutputRow, RejectionRow};
use super::words::RunOutcome;

/// One run: a job with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    pub run_id: String,
    pub job: String,
    /// `YYYY-MM-DD`.
    pub business_date: String,
    /// JSON object, keys sorted.
    pub parameters: String,
    pub code_version: String,
    pub config_digest: String,
}

/// What becomes of an inbox file once its run is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Path below the inbox.
    pub from: String,
    pub sha256: String,
    /// New path below the inbox; none = removed (its bytes have landed).
    pub to: Option<String>,
}

/// One published folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRow {
    pub table: String,
    pub partition: String,
    pub dir: String,
    pub rows: i64,
    pub content_digest: String,
}

/// Everything that a committed run made true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    pub run_id: String,
    /// Set of generations; none when the run wrote no table.
    pub set_id: Option<i64>,
    pub outcome: RunOutcome,
    pub inputs: Vec<InputRow>,
    pub rejections: Vec<RejectionRow>,
    pub outputs: Vec<OutputRow>,
    pub generations: Vec<GenerationRow>,
    /// (name, key, value): small state that later runs read.
    pub facts: Vec<(String, String, String)>,
    pub moves: Vec<Move>,
    /// Places below the lake that go once the run is published: landed files, or folders of superseded generations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<String>,
}

/// A file whose data key was wrapped anew, with its digests before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrapped {
    /// `lake/…`.
    pub path: String,
    pub old: String,
    pub new: String,
    /// Digest of its footer afterwards, if it is a Parquet part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
}

/// The key file as the ledger knows it: id of the current master key, and keyed marks of it and of the chain key, by which
/// other keys show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMark {
    pub id: String,
    pub mark: String,
    pub chain: String,
}

/// One event of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    LakeCreated {
        encrypted: bool,
        /// What `lake/.id` says too, so that lake and ledger know each other.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyMark>,
    },
    RunStarted {
        run: RunRow,
        at: String,
    },
    RunCommitted(Committed),
    RunPublished {
        run_id: String,
        at: String,
    },
    RunFailed {
        run_id: String,
        error: String,
        at: String,
    },
    /// The same run was asked for again and changed nothing.
    RunRepeated {
        run_id: String,
        at: String,
    },
    /// Data keys were wrapped anew: these files changed in their wrapped key alone.
    KeysRotated {
        /// Id of the master key.
        key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<String>,
        files: Vec<Rewrapped>,
        at: String,
    },
    /// Somebody saw restricted data. What was asked stands as a keyed hash.
    Accessed {
        /// inquire or export.
        what: String,
        asked: String,
        /// What came of it: a state, or a number of rows.
        outcome: String,
        by: String,
        at: String,
    },
    /// An operator let held files go, or overrode a refusal.
    Fact {
        name: String,
        key: String,
        value: String,
        at: String,
    },
}

/// Kinds of events that this program knows.
pub const KINDS: [&str; 9] = [
    "lake_created",
    "run_started",
    "run_committed",
    "run_published",
    "run_failed",
    "run_repeated",
    "keys_rotated",
    "accessed",
    "fact",
];

impl Event {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LakeCreated { .. } => "lake_created",
            Self::RunStarted { .. } => "run_started",
            Self::RunCommitted(_) => "run_committed",
            Self::RunPublished { .. } => "run_published",
            Self::RunFailed { .. } => "run_failed",
            Self::RunRepeated { .. } => "run_repeated",
            Self::KeysRotated { .. } => "keys_rotated",
            Self::Accessed { .. } => "accessed",
            Self::Fact { .. } => "fact",
        }
    }
}
