//! `audit verify`: one changed byte anywhere is exit 5 and is named.

use crate::common::ledger::change;
use crate::common::{Lake, read_all};
use crate::nightly::{NIGHTS, fill, sample_lake};

#[test]
fn one_changed_byte_in_any_published_file_is_named() {
    let lake = sample_lake(Lake::new());
    fill(&lake, NIGHTS[0]);
    lake.run(&["nightly", "--date", NIGHTS[0]]);
    lake.run(&["audit", "verify"]).exits(0);
    let mut files = std::collections::BTreeMap::new();
    read_all(&lake.path("lake"), lake.dir.path(), &mut files);
    read_all(&lake.path("outbox"), lake.dir.path(), &mut files);
    files.retain(|path, bytes| {
        !path.contains("ledger.sqlite") && !path.ends_with("lock") && path != "lake/.id" && !bytes.is_empty()
    });
    // Every kind of file, and of each kind a few: all of them would take minutes.
    let chosen: Vec<_> =
        files.iter().enumerate().filter(|(i, (p, _))| i % 9 == 0 || p.ends_with("chain.head")).collect();
    assert!(chosen.len() > 15);
    for (i, (path, bytes)) in chosen {
        let mut changed = bytes.clone();
        let at = (i * 7919) % changed.len();
        changed[at] ^= 1;
        std::fs::write(lake.path(path), &changed).unwrap();
        // Reading commands take no lock and mend nothing; verify must not mend the head either.
        let done = lake.run(&["audit", "verify"]);
        assert_eq!(done.code, 5, "{path} byte {at}: {}{}", done.stdout, done.stderr);
        assert!(done.stdout.contains(path.as_str()) || path.ends_with("chain.head"), "{path}: {}", done.stdout);
        std::fs::write(lake.path(path), bytes).unwrap();
    }
    std::fs::remove_file(lake.path(files.keys().find(|p| p.contains("lake/coverage/layer")).unwrap())).unwrap();
    lake.run(&["audit", "verify"]).exits(5);
    std::fs::write(lake.path("lake/stray.parquet"), b"x").unwrap();
    assert!(lake.run(&["audit", "verify"]).exits(5).stdout.contains("lake/stray.parquet"));
}

#[test]
fn a_changed_or_deleted_ledger_row_is_named() {
    let two_nights = || {
        let lake = sample_lake(Lake::new());
        for night in &NIGHTS[..2] {
            fill(&lake, night);
            lake.run(&["nightly", "--date", night]);
        }
        lake
    };
    let mut lake = two_nights();
    let ledger = lake.path("lake/ledger.sqlite");
    let original = (!lake.on_postgres()).then(|| {
        change(&lake, "PRAGMA wal_checkpoint(TRUNCATE)");
        std::fs::read(&ledger).unwrap()
    });
    for (sql, named) in [
        (
            "UPDATE event SET body = replace(body, 'done', 'gone') WHERE kind = 'run_committed' AND seq = (SELECT MIN(seq) FROM event WHERE kind = 'run_committed')",
            "ledger event",
        ),
        ("DELETE FROM event WHERE seq = 5", "ledger event"),
        ("DELETE FROM event WHERE seq = (SELECT MAX(seq) FROM event)", "chain.head"),
        ("UPDATE run SET outcome = 'x' WHERE job = 'links'", "ledger table run,"),
        (
            "UPDATE run_input SET rows_accepted = rows_accepted + 1, rows_read = rows_read + 1",
            "ledger table run_input,",
        ),
        ("UPDATE run_output SET sha256 = 'x' WHERE path LIKE '%coverage%'", "ledger table run_output,"),
        ("DELETE FROM rejection", "ledger table rejection,"),
        ("UPDATE generation SET rows = 0 WHERE table_name = 'coverage'", "ledger table generation,"),
        ("DELETE FROM fact WHERE name = 'receipt_no'", "ledger table fact,"),
    ] {
        change(&lake, sql);
        let done = lake.run(&["audit", "verify"]);
        assert!(done.code == 5 && done.stdout.contains(named), "{sql}: {}", done.stdout);
        match &original {
            None => lake = two_nights(),
            Some(original) => {
                for suffix in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(lake.path(&format!("lake/ledger.sqlite{suffix}")));
                }
                std::fs::write(&ledger, original).unwrap();
            }
        }
    }
    lake.run(&["audit", "verify"]).exits(0);
}
