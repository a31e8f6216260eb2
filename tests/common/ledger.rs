//! Writing into a ledger behind the program's back, as somebody with its file or its database could.

use std::sync::atomic::{AtomicUsize, Ordering};

use shikaku_pipeline::ledger::{GENESIS, event_hash};
use shikaku_pipeline::store::head::Head;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};

use super::Lake;

/// With `SHIKAKU_TEST_LEDGER=postgres` every lake of the tests has its ledger on the server of `SHIKAKU_TEST_PG`, in a schema
/// of its own: the same tests for both.
pub fn prepare(lake: &Lake, no_keys: bool) {
    if std::env::var("SHIKAKU_TEST_LEDGER").as_deref() != Ok("postgres") {
        return;
    }
    let url = std::env::var("SHIKAKU_TEST_PG").unwrap();
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let schema = format!("t{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    create_schema(&url, &schema);
    let config = shikaku_pipeline::base::config::sample("lake", if no_keys { "" } else { "shikaku.key" });
    let url = format!("url = \"{url}?options=-c%20search_path%3D{schema}\"");
    lake.write("shikaku.toml", config.replace("url = \"\"", &url).as_bytes());
}

pub fn create_schema(url: &str, schema: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(url).await.unwrap();
        connection.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// Runs something on the lake's ledger.
fn with<T>(lake: &Lake, work: impl AsyncFnOnce(&mut AnyConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&lake.ledger_url()).await.unwrap();
        let done = work(&mut connection).await;
        connection.close().await.unwrap();
        done
    })
}

/// One statement.
pub fn change(lake: &Lake, sql: &str) {
    with(lake, async |connection| {
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    });
}

/// Changes the body of the newest commit, then makes chain and head whole again as far as that goes without keys.
pub fn forge(lake: &Lake, edit: impl Fn(&str) -> String) {
    let (seq, hash) = with(lake, async |connection| {
        let events: Vec<(i64, i64, String, String)> =
            sqlx::query_as("SELECT seq, tx, kind, body FROM event ORDER BY seq")
                .fetch_all(&mut *connection)
                .await
                .unwrap();
        let newest = events.iter().filter(|e| e.2 == "run_committed").map(|e| e.0).max().unwrap();
        let (mut prev, mut last) = (GENESIS.to_owned(), 0);
        for (seq, tx, kind, body) in events {
            let body = if seq == newest { edit(&body) } else { body };
            let hash = event_hash(seq, tx, &kind, &body, &prev);
            sqlx::query("UPDATE event SET body = $1, prev = $2, hash = $3 WHERE seq = $4")
                .bind(&body)
                .bind(&prev)
                .bind(&hash)
                .bind(seq)
                .execute(&mut *connection)
                .await
                .unwrap();
            (prev, last) = (hash, seq);
        }
        (last, prev)
    });
    write_head(lake, seq, hash);
}

/// Appends an event of any kind, chained and with its head, unsigned.
pub fn append_raw(lake: &Lake, kind: &str, body: &str) {
    let (seq, hash) = with(lake, async |connection| {
        let (seq, tx, prev): (i64, i64, String) =
            sqlx::query_as("SELECT seq, tx, hash FROM event ORDER BY seq DESC LIMIT 1")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
        let hash = event_hash(seq + 1, tx + 1, kind, body, &prev);
        sqlx::query("INSERT INTO event (seq, tx, kind, body, prev, hash) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(seq + 1)
            .bind(tx + 1)
            .bind(kind)
            .bind(body)
            .bind(&prev)
            .bind(&hash)
            .execute(&mut *connection)
            .await
            .unwrap();
        (seq + 1, hash)
    });
    write_head(lake, seq, hash);
}

fn write_head(lake: &Lake, seq: i64, hash: String) {
    let head = Head::new(seq, hash, None);
    std::fs::write(lake.path("lake/chain.head"), serde_json::to_string_pretty(&head).unwrap() + "\n").unwrap();
}
