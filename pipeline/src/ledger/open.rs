//! Opening a ledger: where it is, what it may do, and what is wrong with it when it cannot be opened.

use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::runtime::Runtime;

use super::{EVENT, Event, Ledger, Stored, project, rows};
use crate::base::error::{Error, Result};

/// What the ledger is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written, not even a migration: works on a lake that is mounted read-only.
    Read,
    Write,
    /// An empty one is made.
    Create,
}

const VERSION: &str = "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM schema_version";

/// Longest wait for a connection. A server that is away is an error of the command, not a night of waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for another writer of the same SQLite file.
const BUSY: &str = "PRAGMA busy_timeout = 30000";

impl Ledger {
    /// Opens the SQLite ledger of a lake.
    pub fn open_sqlite(path: &Path, access: Access) -> Result<Self> {
        let url = |mode: &str| format!("sqlite://{}?{mode}", path.display());
        match access {
            Access::Create => Self::open(&url("mode=rwc"), true, access),
            Access::Write => Self::open(&url("mode=rw"), true, access),
            Access::Read => Self::open(&url("mode=ro"), true, access).or_else(|error| {
                // Beside a file that nobody may write its log's index cannot be made; without a log it is not needed.
                let log = path.with_extension("sqlite-wal");
                let no_log = std::fs::metadata(&log).map_or(true, |log| log.len() == 0);
                match error {
                    Error::Ledger(_) if no_log => Self::open(&url("mode=ro&immutable=1"), true, access),
                    error => Err(error),
                }
            }),
        }
    }

    /// Opens a ledger on PostgreSQL. The URL is never shown, nor what the driver says of it.
    pub fn open_postgres(url: &str, access: Access) -> Result<Self> {
        Self::open(url, false, access)
    }

    /// A ledger in memory, for recomputing projections.
    pub fn in_memory() -> Result<Self> {
        Self::open("sqlite::memory:", true, Access::Create)
    }

    fn open(url: &str, sqlite: bool, access: Access) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::failed(format!("ledger runtime: {e}")))?;
        let options: AnyConnectOptions = url.parse().map_err(|_| unusable_url())?;
        // Statements are ours and would only fill the log.
        let options = options.disable_statement_logging();
        let memory = url == "sqlite::memory:";
        if !memory {
            // A pool would try again until its patience ends; one connection says at once what is wrong.
            probe(&runtime, &options, sqlite)?;
        }
        let log = sqlite && access != Access::Read;
        let pool = AnyPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).after_connect(move |own, _| {
            Box::pin(async move {
                if log {
                    // WAL + FULL: a committed event survives a power cut; readers do not block the night.
                    own.execute("PRAGMA journal_mode = WAL").await?;
                    own.execute("PRAGMA synchronous = FULL").await?;
                }
                if sqlite {
                    own.execute(BUSY).await?;
                }
                Ok(())
            })
        });
        let pool: AnyPool = runtime.block_on(pool.connect_with(options)).map_err(|e| connecting(e, sqlite))?;
        let ledger = Self { runtime, pool, sqlite, keys: None };
        let version = if access == Access::Create { 0 } else { ledger.version()? };
        ledger.migrate(version, access)?;
        // A table that is gone is damage, whatever the command would have asked of it.
        for table in std::iter::once("event").chain(projections()) {
            let _: Vec<(i64,)> =
                ledger.rows(AssertSqlSafe(format!("SELECT CAST(1 AS BIGINT) FROM {table} LIMIT 1")), &[])?;
        }
        Ok(ledger)
    }

    /// Version of the schema.
    fn version(&self) -> Result<i64> {
        let version: (i64,) = self.runtime.block_on(sqlx::query_as(VERSION).fetch_one(&self.pool))?;
        let newest = shikaku_schemas::MIGRATIONS.last().map_or(0, |m| m.0);
        if version.0 > newest {
            let text =
                format!("the ledger has schema {}, this program knows {newest}; use the newer program", version.0);
            return Err(Error::usage(text));
        }
        Ok(version.0)
    }

    /// Applies missing migrations, then makes the projections anew, since what they hold may have changed.
    fn migrate(&self, version: i64, access: Access) -> Result<()> {
        let missing: Vec<_> = shikaku_schemas::MIGRATIONS.iter().filter(|m| m.0 > version).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if access == Access::Read {
            let text = format!(
                "the ledger has schema {version}; any command that writes, for example a night, brings it up to date"
            );
            return Err(Error::usage(text));
        }
        self.runtime.block_on(async {
            let mut tx = self.pool.begin_with(self.begin()).await?;
            tx.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)").await?;
            let made: (i64,) = sqlx::query_as(VERSION).fetch_one(&mut *tx).await?;
            for (number, sql) in missing.iter().filter(|m| m.0 > made.0) {
                // One statement at a time: PostgreSQL takes no list in a prepared statement.
                for statement in strip_comments(sql).split(';').map(str::trim).filter(|s| !s.is_empty()) {
                    tx.execute(AssertSqlSafe(statement.to_owned())).await?;
                }
                sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(number).execute(&mut *tx).await?;
            }
            if version > 0 {
                for table in projections() {
                    tx.execute(AssertSqlSafe(format!("DELETE FROM {table}"))).await?;
                }
                let events: Vec<Stored> =
                    sqlx::query_as(AssertSqlSafe(format!("{EVENT} ORDER BY seq"))).fetch_all(&mut *tx).await?;
                for stored in events {
                    let event: Event = serde_json::from_str(&stored.body)?;
                    project::project(&mut tx, stored.seq, &event).await?;
                }
            }
            tx.commit().await?;
            Ok(())
        })
    }
}

/// Tables that follow from the events.
fn projections() -> impl Iterator<Item = &'static str> {
    rows::projections().into_iter().map(|projection| projection.table)
}

/// One connection, opened and asked for something.
fn probe(runtime: &Runtime, options: &AnyConnectOptions, sqlite: bool) -> Result<()> {
    runtime.block_on(async {
        let connect = AnyConnection::connect_with(options);
        let mut connection = match tokio::time::timeout(PATIENCE, connect).await {
            Ok(connection) => connection.map_err(|e| connecting(e, sqlite))?,
            Err(_) => return Err(Error::failed("the ledger's server does not answer; is it running?")),
        };
        if sqlite {
            connection.execute(BUSY).await?;
            // Reads the file's head, so that a file that is none shows here.
            connection.execute("SELECT name FROM sqlite_master LIMIT 1").await?;
        }
        connection.close().await?;
        Ok(())
    })
}

/// What went wrong while connecting. A server's driver may repeat parts of the URL, so its words are not passed on.
fn connecting(error: sqlx::Error, sqlite: bool) -> Error {
    match error {
        error if sqlite => error.into(),
        sqlx::Error::Configuration(_) => unusable_url(),
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            Error::failed(format!("the ledger's server refuses the connection (SQLSTATE {code}); see its log"))
        }
        _ => Error::failed("the ledger's server cannot be reached; is it running, and is ledger.url right?"),
    }
}

fn unusable_url() -> Error {
    Error::usage("ledger.url cannot be read; it has the form postgres://user@host:port/database?options")
}

fn strip_comments(sql: &str) -> String {
    sql.lines().filter(|l| !l.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}
