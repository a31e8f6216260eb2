//! Rows of the projections. Each is declared once; writing, reading and `audit verify` go by the declaration.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sqlx::any::AnyArguments;
use sqlx::{Any, AnyConnection, AssertSqlSafe, FromRow};

use super::words::{InputState, RunOutcome, RunState};
use crate::base::error::Result;

type Query<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

/// A row of a table that follows from the events.
pub trait Projected {
    const TABLE: &'static str;
    /// Columns before and behind those of the type: the run that made the row, and what later runs say of it.
    const LED_BY: &'static [&'static str];
    const FIELDS: &'static [&'static str];
    const ENDED_BY: &'static [&'static str];
    /// Number of columns, from the first on, that name a row.
    const KEY: usize;

    fn bind<'q>(&self, query: Query<'q>) -> Query<'q>;
}

macro_rules! projection {
    ($(#[$about:meta])* $name:ident of $table:literal, key of $key:literal, [$($led:literal)?] .. [$($ended:literal)?]
     { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Projected for $name {
            const TABLE: &'static str = $table;
            const LED_BY: &'static [&'static str] = &[$($led)?];
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
            const ENDED_BY: &'static [&'static str] = &[$($ended)?];
            const KEY: usize = $key;

            fn bind<'q>(&self, query: Query<'q>) -> Query<'q> {
                query$(.bind(self.$field.clone()))*
            }
        }
    };
}

projection! {
    /// A run as `runs list` shows it.
    #[derive(Debug, Clone, Serialize, FromRow)]
    Run of "run", key of 1, [] .. [] {
        run_id: String,
        job: String,
        /// `YYYY-MM-DD`.
        business_date: String,
        /// JSON object.
        parameters: String,
        code_version: String,
        config_digest: String,
        status: RunState,
        set_id: Option<i64>,
        started_at: String,
        finished_at: Option<String>,
        /// None before the commit.
        outcome: Option<RunOutcome>,
        error: Option<String>,
        /// Number of the event that started it.
        #[serde(skip)]
        started_seq: i64,
        /// Number of the event that says what it committed.
        #[serde(skip)]
        commit_seq: Option<i64>,
    }
}

projection! {
    /// One input of a run and what became of it.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
    InputRow of "run_input", key of 2, ["run_id"] .. [] {
        sha256: String,
        /// File name as received.
        name: String,
        kind: String,
        origin: Option<String>,
        receipt_no: Option<i64>,
        bytes: i64,
        state: InputState,
        /// Code of a whole-file rejection.
        code: Option<String>,
        rows_read: i64,
        rows_accepted: i64,
        rows_rejected: i64,
        rows_duplicate: i64,
        /// Place below the lake; none when quarantined.
        landing: Option<String>,
        /// Recorded time of the night, `YYYY-MM-DD hh:mm:ss`.
        landed_at: String,
    }
}

projection! {
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    RejectionRow of "rejection", key of 3, ["run_id"] .. [] {
        sha256: String,
        code: String,
        severity: String,
        count: i64,
    }
}

projection! {
    /// One file that a run published.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    OutputRow of "run_output", key of 2, ["run_id"] .. ["removed_by"] {
        /// `lake/…` or `outbox/…`.
        path: String,
        sha256: String,
        bytes: i64,
        rows: Option<i64>,
        content_digest: Option<String>,
        table_name: Option<String>,
        partition: Option<String>,
        /// SHA-256 of a Parquet part's footer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
    }
}

projection! {
    /// One published folder.
    #[derive(Debug, Clone, FromRow)]
    FolderRow of "generation", key of 3, [] .. [] {
        table_name: String,
        partition: String,
        set_id: i64,
        dir: String,
        run_id: String,
        rows: i64,
        content_digest: String,
        /// A later run that removed it.
        removed_by: Option<String>,
    }
}

projection! {
    /// Small state that later runs read; the only row that a later event writes over (`project::put_fact`).
    #[derive(Debug, Clone)]
    FactRow of "fact", key of 2, [] .. [] {
        name: String,
        key: String,
        value: String,
    }
}

/// A projection: its table, all columns, how many of them name a row.
pub struct Projection {
    pub table: &'static str,
    pub columns: Vec<&'static str>,
    pub key: usize,
}

fn projection<R: Projected>() -> Projection {
    Projection { table: R::TABLE, columns: [R::LED_BY, R::FIELDS, R::ENDED_BY].concat(), key: R::KEY }
}

/// All of them.
pub fn projections() -> [Projection; 6] {
    [
        projection::<Run>(),
        projection::<InputRow>(),
        projection::<OutputRow>(),
        projection::<RejectionRow>(),
        projection::<FolderRow>(),
        projection::<FactRow>(),
    ]
}

/// `SELECT` of the columns of a row, with what stands before them.
pub fn select<R: Projected>(rest: &str) -> AssertSqlSafe<String> {
    let columns = [R::LED_BY, R::FIELDS].concat();
    let columns: Vec<String> = columns.iter().map(|column| format!("{}.{column}", R::TABLE)).collect();
    AssertSqlSafe(format!("SELECT {} FROM {} {rest}", columns.join(", "), R::TABLE))
}

/// Writes a row of a run.
pub async fn insert<R: Projected>(connection: &mut AnyConnection, led_by: &[&str], row: &R) -> Result<()> {
    let columns = [R::LED_BY, R::FIELDS].concat();
    let mut places = String::new();
    for number in 1..=columns.len() {
        let _ = write!(places, "{}${number}", if number > 1 { ", " } else { "" });
    }
    let sql = format!("INSERT INTO {} ({}) VALUES ({places})", R::TABLE, columns.join(", "));
    let query = led_by.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| query.bind((*value).to_owned()));
    row.bind(query).execute(connection).await?;
    Ok(())
}
