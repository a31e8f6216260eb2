//! The ledger: an append-only chain of events, and tables that are projections of it.
//!
//! Every write is one transaction of [`Ledger::append`]: the events are chained, signed when the lake has keys, and projected
//! by the same function that `audit verify` uses to recompute the projections. SQLite in the lake by default, PostgreSQL with
//! `ledger.url`; one SQL text for both.

pub mod event;
pub mod facts;
mod open;
pub mod place;
mod project;
pub mod query;
pub mod rows;
pub mod verify;
pub mod words;

use std::sync::Arc;

use sqlx::{AnyPool, AssertSqlSafe, Executor as _, FromRow, Row as _};
use tokio::runtime::Runtime;

pub use event::{Event, Move, RunRow};
pub use open::Access;
pub use rows::{InputRow, OutputRow, RejectionRow, Run};
pub use words::{InputState, RunOutcome, RunState};

use crate::base::digest;
use crate::base::error::{Error, Result};
use crate::seal::keys::Keys;

/// Hash before the first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One connection pool and the runtime it needs; everything outside is synchronous.
pub struct Ledger {
    runtime: Runtime,
    pool: AnyPool,
    sqlite: bool,
    /// They sign each event.
    keys: Option<Arc<Keys>>,
}

/// A stored event.
#[derive(Debug, Clone, FromRow)]
pub struct Stored {
    pub seq: i64,
    pub tx: i64,
    pub kind: String,
    pub body: String,
    pub prev: String,
    pub hash: String,
    pub mac: Option<String>,
}

impl Stored {
    /// Whether its text is what its hash says, after the event before it.
    pub fn is_chained_to(&self, prev: &str) -> bool {
        self.prev == prev && self.hash == event_hash(self.seq, self.tx, &self.kind, &self.body, &self.prev)
    }

    /// Whether it was signed by these keys; without keys nothing is.
    pub fn is_signed(&self, keys: Option<&Keys>) -> bool {
        keys.is_none_or(|keys| self.mac.as_deref() == Some(&keys.event_mac(self.seq, &self.hash)))
    }

    /// The event, only if it is what was chained and signed. What is obeyed is read through here.
    pub fn trusted(&self, keys: Option<&Keys>) -> Result<Event> {
        let damaged = |how: &str| {
            let (seq, kind) = (self.seq, &self.kind);
            Error::integrity(format!("ledger event {seq} ({kind}) {how}; run `shikaku audit verify`"))
        };
        if !self.is_chained_to(&self.prev) || !self.is_signed(keys) {
            return Err(damaged("was changed"));
        }
        serde_json::from_str(&self.body).map_err(|_| damaged("cannot be read"))
    }
}

/// Hash of an event: of its place, its text and the hash before.
pub fn event_hash(seq: i64, tx: i64, kind: &str, body: &str, prev: &str) -> String {
    digest::of_parts([seq.to_string().as_str(), &tx.to_string(), kind, body, prev])
}

const EVENT: &str = "SELECT seq, tx, kind, body, prev, hash, mac FROM event";

impl Ledger {
    /// From here on events are signed by these keys.
    pub fn sign_with(&mut self, keys: Option<Arc<Keys>>) {
        self.keys = keys;
    }

    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.as_deref()
    }

    /// Appends events and projects them, in one transaction. Returns the hash of the last one.
    pub fn append(&self, events: &[Event]) -> Result<String> {
        self.runtime.block_on(async {
            let mut connection = self.pool.acquire().await?;
            let begin = self.begin();
            let appended: Result<String> = async {
                let mut tx = sqlx::Connection::begin_with(&mut *connection, begin).await?;
                // What SQLite's own kind of transaction holds, PostgreSQL's must ask for.
                if !self.sqlite {
                    tx.execute("LOCK TABLE event IN EXCLUSIVE MODE").await?;
                }
                let last: Option<Stored> = sqlx::query_as(last_event()).fetch_optional(&mut *tx).await?;
                let (mut seq, number, mut prev) =
                    last.map_or((0, 1, GENESIS.to_owned()), |e| (e.seq, e.tx + 1, e.hash));
                for event in events {
                    seq += 1;
                    let (kind, body) = (event.kind(), serde_json::to_string(event)?);
                    let hash = event_hash(seq, number, kind, &body, &prev);
                    let mac = self.keys.as_ref().map(|keys| keys.event_mac(seq, &hash));
                    sqlx::query(
                        "INSERT INTO event (seq, tx, kind, body, prev, hash, mac) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    )
                    .bind(seq)
                    .bind(number)
                    .bind(kind)
                    .bind(&body)
                    .bind(&prev)
                    .bind(&hash)
                    .bind(mac)
                    .execute(&mut *tx)
                    .await?;
                    project::project(&mut tx, seq, event).await?;
                    prev = hash;
                }
                tx.commit().await?;
                Ok(prev)
            }
            .await;
            if appended.is_err() {
                // What a failed commit leaves of a connection (a full disk) is not used again.
                connection.close_on_drop();
            }
            appended
        })
    }

    /// A deferred SQLite transaction that reads first fails under contention.
    fn begin(&self) -> &'static str {
        if self.sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }
    }

    /// All events in order.
    pub fn events(&self) -> Result<Vec<Stored>> {
        self.stored("", &[])
    }

    /// Events after a place in the chain, in order.
    pub fn events_after(&self, seq: i64) -> Result<Vec<Stored>> {
        self.stored("WHERE seq > $1", &[seq])
    }

    /// The event of that number.
    pub fn event(&self, seq: i64) -> Result<Option<Stored>> {
        Ok(self.stored("WHERE seq = $1", &[seq])?.pop())
    }

    fn stored(&self, filter: &'static str, binds: &[i64]) -> Result<Vec<Stored>> {
        let sql = AssertSqlSafe(format!("{EVENT} {filter} ORDER BY seq"));
        self.runtime.block_on(async {
            let mut query = sqlx::query_as(sql);
            for bind in binds {
                query = query.bind(*bind);
            }
            Ok(query.fetch_all(&self.pool).await?)
        })
    }

    /// Rows of a query as a type of ours; what does not fit the type is damage.
    fn rows<T>(&self, sql: impl sqlx::SqlSafeStr, binds: &[&str]) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, sqlx::any::AnyRow> + Send + Unpin,
    {
        self.runtime.block_on(async {
            let mut query = sqlx::query_as(sql);
            for bind in binds {
                query = query.bind((*bind).to_owned());
            }
            Ok(query.fetch_all(&self.pool).await?)
        })
    }

    /// Rows of a query that the program makes of its own names, every column as text: for comparing whole tables.
    fn text_rows(&self, sql: String) -> Result<Vec<Vec<Option<String>>>> {
        self.runtime.block_on(async {
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
            let row = |row: &sqlx::any::AnyRow| {
                (0..row.len()).map(|i| Ok(row.try_get::<Option<String>, _>(i)?)).collect::<Result<Vec<_>>>()
            };
            rows.iter().map(row).collect()
        })
    }
}

fn last_event() -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("{EVENT} ORDER BY seq DESC LIMIT 1"))
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Closes the connection now, so that SQLite folds its write-ahead log back before the process goes on.
        self.runtime.block_on(self.pool.close());
    }
}
