//! Events → tables. The only place that writes a projection, used by the live ledger and by `audit verify`.
//!
//! What a run made true shows in them once it is published, not before: a reader between the two sees the state before.

use sqlx::AnyConnection;

use super::event::{Committed, Event, GenerationRow, RunRow};
use super::facts::{CHAIN_MARK, CURRENT_KEY, ENCRYPTED, Fact, KEY_MARKS, LAKE_ID, Value};
use super::rows::{self, FolderRow, Run};
use super::words::RunState;
use crate::base::error::{Error, Result};

/// Applies one event, which has that number, to the projections.
pub async fn project(connection: &mut AnyConnection, seq: i64, event: &Event) -> Result<()> {
    match event {
        Event::LakeCreated { encrypted, id, key } => {
            set_fact(connection, &ENCRYPTED, encrypted).await?;
            if let Some(id) = id {
                set_fact(connection, &LAKE_ID, id).await?;
            }
            if let Some(key) = key {
                set_key(connection, &key.id, Some(&key.mark)).await?;
                set_fact(connection, &CHAIN_MARK, &key.chain).await?;
            }
        }
        Event::RunStarted { run, at } => {
            // A run that failed or was cut off may start again under the same id.
            sqlx::query("DELETE FROM run WHERE run_id = $1").bind(run.run_id.clone()).execute(&mut *connection).await?;
            let RunRow { run_id, job, business_date, parameters, code_version, config_digest } = run.clone();
            let (status, started_at, started_seq) = (RunState::Started, at.clone(), seq);
            let (set_id, finished_at, outcome, error, commit_seq) = (None, None, None, None, None);
            let row = Run {
                run_id,
                job,
                business_date,
                parameters,
                code_version,
                config_digest,
                status,
                set_id,
                started_at,
                finished_at,
                outcome,
                error,
                started_seq,
                commit_seq,
            };
            rows::insert(connection, &[], &row).await?;
        }
        Event::RunCommitted(committed) => {
            sqlx::query("UPDATE run SET status = $1, set_id = $2, outcome = $3, commit_seq = $4 WHERE run_id = $5")
                .bind(RunState::Committed)
                .bind(committed.set_id)
                .bind(committed.outcome)
                .bind(seq)
                .bind(committed.run_id.clone())
                .execute(connection)
                .await?;
        }
        Event::RunPublished { run_id, at } => {
            if let Some(committed) = committed(connection, run_id).await? {
                publish(connection, &committed).await?;
            }
            end(connection, run_id, RunState::Published, at, None).await?;
        }
        Event::RunFailed { run_id, error, at } => end(connection, run_id, RunState::Failed, at, Some(error)).await?,
        Event::KeysRotated { key, mark, files, .. } => {
            set_key(connection, key, mark.as_deref()).await?;
            for file in files {
                sqlx::query("UPDATE run_output SET sha256 = $1, footer = $2 WHERE path = $3")
                    .bind(file.new.clone())
                    .bind(file.footer.clone())
                    .bind(file.path.clone())
                    .execute(&mut *connection)
                    .await?;
            }
        }
        // These stand in the chain alone.
        Event::RunRepeated { .. } | Event::Accessed { .. } => {}
        Event::Fact { name, key, value, .. } => put_fact(connection, name, key, value).await?,
    }
    Ok(())
}

/// The master key that wraps from here on. Ids that were current before stay as `key/<id>`: they are retired.
async fn set_key(connection: &mut AnyConnection, id: &str, mark: Option<&str>) -> Result<()> {
    set_fact(connection, &CURRENT_KEY, &id.to_owned()).await?;
    let mark = mark.map(str::to_owned).unwrap_or_default();
    set_fact(connection, &KEY_MARKS.at(id), &mark).await
}

/// What a run committed; `None` of one that only starts and ends (a night).
async fn committed(connection: &mut AnyConnection, run_id: &str) -> Result<Option<Committed>> {
    let body: Option<(String,)> =
        sqlx::query_as("SELECT event.body FROM event JOIN run ON run.commit_seq = event.seq WHERE run.run_id = $1")
            .bind(run_id.to_owned())
            .fetch_optional(connection)
            .await?;
    match body.map(|(body,)| serde_json::from_str(&body)).transpose()? {
        Some(Event::RunCommitted(committed)) => Ok(Some(committed)),
        _ => Ok(None),
    }
}

async fn end(
    connection: &mut AnyConnection,
    run_id: &str,
    state: RunState,
    at: &str,
    error: Option<&str>,
) -> Result<()> {
    sqlx::query("UPDATE run SET status = $1, finished_at = $2, error = $3 WHERE run_id = $4")
        .bind(state)
        .bind(at.to_owned())
        .bind(error.map(str::to_owned))
        .bind(run_id.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

async fn set_fact<T: Value>(connection: &mut AnyConnection, fact: &Fact<T>, value: &T) -> Result<()> {
    let (name, key, value) = fact.row(Some(value))?;
    put_fact(connection, &name, &key, &value).await
}

async fn put_fact(connection: &mut AnyConnection, name: &str, key: &str, value: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO fact (name, key, value) VALUES ($1, $2, $3) \
         ON CONFLICT (name, key) DO UPDATE SET value = excluded.value",
    )
    .bind(name.to_owned())
    .bind(key.to_owned())
    .bind(value.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}

async fn publish(connection: &mut AnyConnection, c: &Committed) -> Result<()> {
    let run = [c.run_id.as_str()];
    for input in &c.inputs {
        rows::insert(connection, &run, input).await?;
    }
    for rejection in &c.rejections {
        rows::insert(connection, &run, rejection).await?;
    }
    for output in &c.outputs {
        rows::insert(connection, &run, output).await?;
    }
    for folder in &c.generations {
        let GenerationRow { table, partition, dir, rows, content_digest } = folder.clone();
        let set_id = c.set_id.ok_or_else(|| Error::integrity("a run wrote a table and has no set"))?;
        let (table_name, run_id, removed_by) = (table, c.run_id.clone(), None);
        let row = FolderRow { table_name, partition, set_id, dir, run_id, rows, content_digest, removed_by };
        rows::insert(connection, &[], &row).await?;
    }
    for place in &c.removals {
        // Not LIKE: `_`, which names of tables have, would stand for any letter.
        sqlx::query("UPDATE run_output SET removed_by = $1 WHERE path = $2 OR substr(path, 1, length($3)) = $4")
            .bind(c.run_id.clone())
            .bind(format!("lake/{place}"))
            .bind(format!("lake/{place}/"))
            .bind(format!("lake/{place}/"))
            .execute(&mut *connection)
            .await?;
        sqlx::query("UPDATE generation SET removed_by = $1 WHERE dir = $2")
            .bind(c.run_id.clone())
            .bind(place.clone())
            .execute(&mut *connection)
            .await?;
    }
    for (name, key, value) in &c.facts {
        put_fact(connection, name, key, value).await?;
    }
    Ok(())
}
