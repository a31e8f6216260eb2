//! With keys: the same rows, and nothing personal in clear anywhere.

use crate::common::{Lake, Sub, read_all, sub_file};
use crate::nightly::{run_all, sample_lake};

#[test]
fn encrypted_and_plain_lakes_hold_the_same_rows() {
    let plain = sample_lake(Lake::new());
    let sealed = sample_lake(Lake::with_keys());
    run_all(&plain);
    run_all(&sealed);
    assert!(plain.contents() == sealed.contents());
    let digests = |lake: &Lake| {
        let generations = lake.store().ledger.generations().unwrap();
        let own = generations.into_iter().filter(|g| !g.table.starts_with("run") && g.table != "rejection");
        own.map(|g| (g.dir, g.content_digest)).collect::<Vec<_>>()
    };
    assert_eq!(digests(&plain), digests(&sealed));
    sealed.run(&["audit", "verify"]).exits(0);
}

#[test]
fn nothing_personal_stands_in_clear() {
    let lake = Lake::with_keys().load_masters();
    let sub = Sub::new(1, 1).with("name", "秘密　花子").with("number", "HIMITSU77");
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[sub]), "2026-10-30").exits(0);
    let mut files = std::collections::BTreeMap::new();
    read_all(&lake.path("lake"), lake.dir.path(), &mut files);
    for (path, bytes) in files {
        for secret in ["秘密".as_bytes(), b"HIMITSU77"] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{path}");
        }
        if path.contains("/member/") && path.ends_with(".parquet") {
            assert_eq!(&bytes[..4], b"PARE", "{path} is not sealed");
        }
    }
    assert_eq!(lake.column("member", "name"), ["秘密　花子"]);
    // A lost key is a clear error, not a panic.
    std::fs::write(lake.path("shikaku.key"), "{}").unwrap();
    lake.run(&["status"]).exits(2);
}

#[test]
fn an_export_is_in_clear_and_leaves_an_access_record() {
    let lake = Lake::with_keys().load_masters();
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), "2026-10-30").exits(0);
    let to = |name: &str| lake.path(name).display().to_string();
    lake.run(&["export", "member", "--format", "csv", "-o", &to("member.csv")]).exits(0);
    let text = std::fs::read_to_string(lake.path("member.csv")).unwrap();
    assert!(text.starts_with("insurer_code,member_no,") && text.contains("資格　太郎"), "{text}");
    lake.run(&["export", "coverage", "--format", "parquet", "-o", &to("coverage.parquet")]).exits(0);
    let bytes = std::fs::read(lake.path("coverage.parquet")).unwrap();
    assert_eq!(&bytes[..4], b"PAR1");
    // As of the set before the file came there is nobody yet.
    lake.run(&["export", "member", "--generation", "1", "-o", &to("empty.csv")]).exits(0);
    assert_eq!(std::fs::read_to_string(lake.path("empty.csv")).unwrap().lines().count(), 1);
    lake.run(&["export", "persons", "-o", &to("x.csv")]).exits(2);
    // Each before its first byte and, with its rows, at its end.
    let events = lake.store().ledger.events().unwrap();
    assert_eq!(events.iter().filter(|e| e.kind == "accessed").count(), 6);
}

/// A lake with tables, landings and more than one set.
fn sealed() -> Lake {
    let lake = Lake::with_keys().load_masters();
    for (receipt, date) in [(1, "2026-10-30"), (2, "2026-10-31")] {
        let file = sub_file(receipt, &[Sub::new(1, receipt)]);
        lake.ingest("subscribers", &format!("{receipt}.csv"), &file, date).exits(0);
    }
    lake
}

#[test]
fn a_rotation_wraps_every_key_anew_and_the_old_master_can_go() {
    let lake = sealed();
    let rows = lake.contents();
    let old = std::fs::read_to_string(lake.path("shikaku.key")).unwrap();
    let done = lake.run(&["keys", "rotate", "--forget"]).exits(0);
    assert!(done.stdout.contains("k0002"), "{}", done.stdout);
    assert!(!std::fs::read_to_string(lake.path("shikaku.key")).unwrap().contains("k0001"));
    assert_eq!(lake.contents(), rows);
    lake.run(&["audit", "verify"]).exits(0);
    // The night goes on; a second rotation finds everything again.
    lake.ingest("subscribers", "3.csv", &sub_file(3, &[Sub::new(1, 3)]), "2026-11-01").exits(0);
    lake.run(&["keys", "rotate"]).exits(0);
    lake.run(&["audit", "verify"]).exits(0);
    assert_eq!(lake.rows("member").len(), 3);
    // The first master key opens nothing any more, and is not written under either.
    std::fs::write(lake.path("shikaku.key"), old).unwrap();
    lake.run(&["export", "member", "-o", &lake.path("x.csv").display().to_string()]).exits(2);
    lake.run(&["nightly", "--date", "2026-11-02"]).exits(2);
}

#[test]
fn a_rotation_that_was_killed_is_finished_or_dropped() {
    for step in 0..6 {
        let lake = sealed();
        let rows = lake.contents();
        let mut command = lake.command(&["keys", "rotate"]);
        let status = command.env("SHIKAKU_DIE_AT", step.to_string()).status().unwrap();
        lake.run(&["audit", "verify"]).exits(0);
        assert_eq!(lake.contents(), rows, "step {step}");
        lake.run(&["keys", "rotate"]).exits(0);
        assert!(!lake.path("lake/_rotation").exists());
        lake.run(&["audit", "verify"]).exits(0);
        assert_eq!(lake.contents(), rows, "step {step}");
        assert!(status.code().is_none() || step >= 3, "only {step} steps");
    }
}
