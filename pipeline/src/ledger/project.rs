//! Events → tables. The only place that writes a projection, used by the live ledger and by `audit verify`.
//!
//! What a run made true shows in them once it is published, not before: a reader between the two sees the state before.

use sqlx::AnyConnection;

use super::event::{Committed, Event};
use crate::error::Result;

/// Applies one event, which has that number, to the projections.
pub async fn project(connection: &mut AnyConnection, seq: i64, event: &Event) -> Result<()> {
    match event {
        Event::LakeCreated { encrypted, id, key } => {
            set_fact(connection, "lake", "encrypted", if *encrypted { "1" } else { "0" }).await?;
            if let Some(id) = id {
                set_fact(connection, "lake", "id", id).await?;
            }
            if let Some(key) = key {
                set_key(connection, &key.id, Some(&key.mark)).await?;
                set_fact(connection, "key_mark", "chain", &key.chain).await?;
            }
        }
        Event::RunStarted { run, at } => {
            // A run that failed or was cut off may start again under the same id.
            sqlx::query("DELETE FROM run WHERE run_id = $1").bind(run.run_id.clone()).execute(&mut *connection).await?;
            sqlx::query(
                "INSERT INTO run (run_id, job, business_date, parameters, code_version, config_digest, status, started_at, \
                 started_seq) VALUES ($1, $2, $3, $4, $5, $6, 'started', $7, $8)",
            )
            .bind(run.run_id.clone())
            .bind(run.job.clone())
            .bind(run.business_date.clone())
            .bind(run.parameters.clone())
            .bind(run.code_version.clone())
            .bind(run.config_digest.clone())
            .bind(at.clone())
            .bind(seq)
            .execute(&mut *connection)
            .await?;
        }
        Event::RunCommitted(committed) => {
            sqlx::query(
                "UPDATE run SET status = 'committed', set_id = $1, outcome = $2, commit_seq = $3 WHERE run_id = $4",
            )
            .bind(committed.set_id)
            .bind(committed.outcome.clone())
            .bind(seq)
            .bind(committed.run_id.clone())
            .execute(connection)
            .await?;
        }
        Event::RunPublished { run_id, at } => {
            if let Some(committed) = committed(connection, run_id).await? {
                publish(connection, &committed).await?;
            }
            end(connection, run_id, "published", at, None).await?;
        }
        Event::RunFailed { run_id, error, at } => end(connection, run_id, "failed", at, Some(error)).await?,
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
        Event::Fact { name, key, value, .. } => set_fact(connection, name, key, value).await?,
    }
    Ok(())
}

/// The master key that wraps from here on. Ids that were current before stay as `key/<id>`: they are retired.
async fn set_key(connection: &mut AnyConnection, id: &str, mark: Option<&str>) -> Result<()> {
    set_fact(connection, "keys", "current", id).await?;
    set_fact(connection, "key_mark", id, mark.unwrap_or_default()).await
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

async fn end(connection: &mut AnyConnection, run_id: &str, status: &str, at: &str, error: Option<&str>) -> Result<()> {
    sqlx::query("UPDATE run SET status = $1, finished_at = $2, error = $3 WHERE run_id = $4")
        .bind(status.to_owned())
        .bind(at.to_owned())
        .bind(error.map(str::to_owned))
        .bind(run_id.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

async fn set_fact(connection: &mut AnyConnection, name: &str, key: &str, value: &str) -> Result<()> {
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
    for i in &c.inputs {
        sqlx::query(
            "INSERT INTO run_input (run_id, sha256, name, kind, origin, receipt_no, bytes, state, code, rows_read, \
             rows_accepted, rows_rejected, rows_duplicate, landing, landed_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(c.run_id.clone())
        .bind(i.sha256.clone())
        .bind(i.name.clone())
        .bind(i.kind.clone())
        .bind(i.origin.clone())
        .bind(i.receipt_no)
        .bind(i.bytes)
        .bind(i.state.clone())
        .bind(i.code.clone())
        .bind(i.rows_read)
        .bind(i.rows_accepted)
        .bind(i.rows_rejected)
        .bind(i.rows_duplicate)
        .bind(i.landing.clone())
        .bind(i.landed_at.clone())
        .execute(&mut *connection)
        .await?;
    }
    for r in &c.rejections {
        sqlx::query("INSERT INTO rejection (run_id, sha256, code, severity, count) VALUES ($1, $2, $3, $4, $5)")
            .bind(c.run_id.clone())
            .bind(r.sha256.clone())
            .bind(r.code.clone())
            .bind(r.severity.clone())
            .bind(r.count)
            .execute(&mut *connection)
            .await?;
    }
    for o in &c.outputs {
        sqlx::query(
            "INSERT INTO run_output (run_id, path, sha256, bytes, rows, content_digest, table_name, partition, \
             footer) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(c.run_id.clone())
        .bind(o.path.clone())
        .bind(o.sha256.clone())
        .bind(o.bytes)
        .bind(o.rows)
        .bind(o.content_digest.clone())
        .bind(o.table_name.clone())
        .bind(o.partition.clone())
        .bind(o.footer.clone())
        .execute(&mut *connection)
        .await?;
    }
    for g in &c.generations {
        sqlx::query(
            "INSERT INTO generation (table_name, partition, set_id, dir, run_id, rows, content_digest) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(g.table.clone())
        .bind(g.partition.clone())
        .bind(c.set_id)
        .bind(g.dir.clone())
        .bind(c.run_id.clone())
        .bind(g.rows)
        .bind(g.content_digest.clone())
        .execute(&mut *connection)
        .await?;
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
        set_fact(connection, name, key, value).await?;
    }
    Ok(())
}
