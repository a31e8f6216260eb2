//! The ledger: an append-only chain of events, and tables that are projections of it.
//!
//! Every write is one transaction of [`Ledger::append`]: the events are chained and projected by the same function that
//! `audit verify` uses to recompute the projections. SQLite in the lake by default, PostgreSQL with `ledger.url`; one SQL
//! text for both (libs.md §e).

pub mod event;
mod project;
pub mod query;
pub mod verify;

use std::path::Path;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, AssertSqlSafe, ConnectOptions as _, Executor as _, Row as _};
use tokio::runtime::Runtime;

pub use event::{Event, InputRow, Move, OutputRow, RejectionRow, RunRow};

use crate::digest;
use crate::error::{Error, Result};

/// Hash before the first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One connection pool and the runtime it needs; everything outside is synchronous.
pub struct Ledger {
    runtime: Runtime,
    pool: AnyPool,
    sqlite: bool,
}

/// A stored event.
#[derive(Debug, Clone)]
pub struct Stored {
    pub seq: i64,
    pub tx: i64,
    pub kind: String,
    pub body: String,
    pub prev: String,
    pub hash: String,
}

/// Hash of an event: of its place, its text and the hash before.
pub fn event_hash(seq: i64, tx: i64, kind: &str, body: &str, prev: &str) -> String {
    digest::of_parts([seq.to_string().as_str(), &tx.to_string(), kind, body, prev])
}

impl Ledger {
    /// Opens the SQLite ledger of a lake.
    pub fn open_sqlite(path: &Path, create: bool) -> Result<Self> {
        let mode = if create { "rwc" } else { "rw" };
        Self::open(&format!("sqlite://{}?mode={mode}", path.display()), true)
    }

    /// Opens a ledger on PostgreSQL. The URL may hold a password and is never shown.
    pub fn open_postgres(url: &str) -> Result<Self> {
        Self::open(url, false)
    }

    /// A ledger in memory, for recomputing projections.
    pub fn in_memory() -> Result<Self> {
        Self::open("sqlite::memory:", true)
    }

    fn open(url: &str, sqlite: bool) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::failed(format!("ledger runtime: {e}")))?;
        let options: AnyConnectOptions = url.parse().map_err(|_| Error::usage("ledger.url cannot be read"))?;
        // Statements are ours and would only fill the log.
        let options = options.disable_statement_logging();
        let pool = AnyPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
            Box::pin(async move {
                if sqlite {
                    // WAL + FULL: a committed event survives a power cut; readers do not block the night.
                    connection.execute("PRAGMA journal_mode = WAL").await?;
                    connection.execute("PRAGMA synchronous = FULL").await?;
                    connection.execute("PRAGMA busy_timeout = 30000").await?;
                }
                Ok(())
            })
        });
        let pool = runtime.block_on(pool.connect_with(options))?;
        let ledger = Self { runtime, pool, sqlite };
        ledger.migrate()?;
        Ok(ledger)
    }

    /// Applies missing migrations; refuses a ledger of a newer program.
    fn migrate(&self) -> Result<()> {
        let create = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)";
        self.runtime.block_on(async {
            let mut tx = self.pool.begin_with(self.begin()).await?;
            tx.execute(create).await?;
            let row = sqlx::query("SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM schema_version")
                .fetch_one(&mut *tx)
                .await?;
            let version: i64 = row.try_get(0)?;
            let newest = shikaku_schemas::MIGRATIONS.last().map_or(0, |m| m.0);
            if version > newest {
                return Err(Error::usage(format!("the ledger has schema {version}, this program knows {newest}")));
            }
            for (number, sql) in shikaku_schemas::MIGRATIONS.iter().filter(|m| m.0 > version) {
                // One statement at a time: PostgreSQL takes no list in a prepared statement.
                for statement in strip_comments(sql).split(';').map(str::trim).filter(|s| !s.is_empty()) {
                    tx.execute(AssertSqlSafe(statement.to_owned())).await?;
                }
                sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(number).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }

    fn begin(&self) -> &'static str {
        // A deferred SQLite transaction that reads first fails under contention (libs.md §e 6).
        if self.sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }
    }

    /// Appends events and projects them, in one transaction. Returns the new head.
    pub fn append(&self, events: &[Event]) -> Result<String> {
        self.runtime.block_on(async {
            let mut tx = self.pool.begin_with(self.begin()).await?;
            let last = sqlx::query("SELECT seq, tx, hash FROM event ORDER BY seq DESC LIMIT 1")
                .fetch_optional(&mut *tx)
                .await?;
            let (mut seq, number, mut prev): (i64, i64, String) = match last {
                Some(row) => (row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)? + 1, row.try_get::<String, _>(2)?),
                None => (0, 1, GENESIS.to_owned()),
            };
            for event in events {
                seq += 1;
                let (kind, body) = (event.kind(), serde_json::to_string(event)?);
                let hash = event_hash(seq, number, kind, &body, &prev);
                sqlx::query("INSERT INTO event (seq, tx, kind, body, prev, hash) VALUES ($1, $2, $3, $4, $5, $6)")
                    .bind(seq)
                    .bind(number)
                    .bind(kind)
                    .bind(&body)
                    .bind(&prev)
                    .bind(&hash)
                    .execute(&mut *tx)
                    .await?;
                project::project(&mut tx, event).await?;
                prev = hash;
            }
            tx.commit().await?;
            Ok(prev)
        })
    }

    /// All events in order.
    pub fn events(&self) -> Result<Vec<Stored>> {
        self.runtime.block_on(async {
            let rows = sqlx::query("SELECT seq, tx, kind, body, prev, hash FROM event ORDER BY seq")
                .fetch_all(&self.pool)
                .await?;
            rows.iter()
                .map(|r| {
                    Ok(Stored {
                        seq: r.try_get(0)?,
                        tx: r.try_get(1)?,
                        kind: r.try_get(2)?,
                        body: r.try_get(3)?,
                        prev: r.try_get(4)?,
                        hash: r.try_get(5)?,
                    })
                })
                .collect()
        })
    }

    /// Rows of a query the program names, every column as text.
    fn text_rows(&self, sql: &str, binds: &[&str]) -> Result<Vec<Vec<Option<String>>>> {
        self.runtime.block_on(async {
            let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
            for bind in binds {
                query = query.bind((*bind).to_owned());
            }
            let rows = query.fetch_all(&self.pool).await?;
            rows.iter()
                .map(|row| (0..row.len()).map(|i| Ok(row.try_get::<Option<String>, _>(i)?)).collect::<Result<Vec<_>>>())
                .collect()
        })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Closes the connection now, so that SQLite folds its write-ahead log back before the process goes on.
        self.runtime.block_on(self.pool.close());
    }
}

fn strip_comments(sql: &str) -> String {
    sql.lines().filter(|l| !l.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}
