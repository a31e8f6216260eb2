//! The ledger on PostgreSQL, when `SHIKAKU_TEST_PG` names a server (`.ci/run` starts one).

use crate::common::{Lake, Sub, sub_file};

#[test]
fn the_ledger_works_the_same_on_postgresql() {
    let Ok(url) = std::env::var("SHIKAKU_TEST_PG") else {
        eprintln!("skipped: SHIKAKU_TEST_PG is not set");
        return;
    };
    // A schema of its own, so that tests can be repeated on one server.
    let schema = format!("t{}", std::process::id());
    create_schema(&url, &schema);
    // The configuration comes first, then the lake.
    let lake = Lake::empty();
    let config = shikaku_pipeline::config::sample("lake", "");
    let url = format!("url = \"{url}?options=-c%20search_path%3D{schema}\"");
    lake.write("shikaku.toml", config.replace("url = \"\"", &url).as_bytes());
    lake.run(&["init", "--no-keys"]).exits(0);
    assert!(!lake.path("lake/ledger.sqlite").exists());
    let lake = lake.load_masters();
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), "2026-10-30").exits(0);
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), "2026-10-30").exits(0);
    assert_eq!(lake.rows("member").len(), 1);
    lake.run(&["status"]).exits(0);
    lake.run(&["audit", "verify"]).exits(0);
}

fn create_schema(url: &str, schema: &str) {
    use sqlx::{AssertSqlSafe, Connection, Executor};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
        connection.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.unwrap();
    });
}
