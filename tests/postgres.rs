//! The ledger on PostgreSQL, when `SHIKAKU_TEST_PG` names a server (`.ci/run` starts one).

use crate::common::ledger::create_schema;
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
    let config = shikaku_pipeline::base::config::sample("lake", "");
    let url = format!("url = \"{url}?options=-c%20search_path%3D{schema}\"");
    lake.write("shikaku.toml", config.replace("url = \"\"", &url).as_bytes());
    lake.run(&["init", "--no-keys"]).exits(0);
    assert!(!lake.path("lake/ledger.sqlite").exists());
    let lake = lake.load_masters();
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), "2026-10-30").exits(0);
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), "2026-10-30").exits(0);
    assert_eq!(lake.rows("member").len(), 1);
    lake.run(&["status"]).exits(0);
    for date in ["2026-10-31", "2026-11-01", "2026-11-02"] {
        lake.run(&["nightly", "--date", date]).exits(0);
    }
    // The chain's end is where it is, with more events than one digit counts.
    let done = lake.run(&["audit", "verify"]).exits(0);
    let events = lake.store().ledger.events().unwrap().len();
    assert!(events > 9 && done.stdout.contains(&format!("{events} events")), "{}", done.stdout);
    crate::common::ledger::change(&lake, "DELETE FROM event WHERE seq = (SELECT MAX(seq) FROM event)");
    lake.run(&["audit", "verify"]).exits(5);
}
