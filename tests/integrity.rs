//! What is obeyed and what is read is what the lake wrote: signed events, contained places, compared files, known keys.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::ledger::{change, forge};
use crate::common::{Lake, Sub, read_all, sub_file};

const D: &str = "2026-10-30";

/// A lake with two nights of subscribers.
fn two_nights(lake: Lake) -> Lake {
    let lake = lake.load_masters();
    for (receipt, date) in [(1, D), (2, "2026-10-31")] {
        let file = sub_file(receipt, &[Sub::new(1, receipt), Sub::new(2, 10 + receipt)]);
        lake.ingest("subscribers", &format!("{receipt}.csv"), &file, date).exits(0);
    }
    lake
}

/// Everything beside lake, inbox and outbox: what no command may touch.
fn around(lake: &Lake) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    read_all(lake.dir.path(), lake.dir.path(), &mut files);
    files.retain(|path, _| !["lake/", "inbox/", "outbox/"].iter().any(|own| path.starts_with(own)));
    files
}

/// Something to lose beside the lake, above it and where a link leads.
fn with_victims(lake: &Lake) {
    lake.write("victim/precious.csv", b"1,2,3\r\n");
    lake.write("victim/2026/deep.csv", b"4\r\n");
}

#[test]
fn an_event_that_names_places_outside_the_lake_is_not_obeyed() {
    for (what, text) in [
        ("removals", r#""removals":["../victim"]"#),
        ("removals", r#""removals":["landing/../../victim"]"#),
        ("removals", r#""removals":["chain.head"]"#),
        ("moves", r#""moves":[{"from":"../victim/precious.csv","sha256":"x","to":null}]"#),
        ("moves", r#""moves":[{"from":"subscribers/a","sha256":"x","to":"../../victim/b"}]"#),
        (
            "outputs",
            r#""outputs":[{"path":"outbox/../victim/precious.csv","sha256":"x","bytes":1,"rows":null,"content_digest":null,"table_name":null,"partition":null}]"#,
        ),
    ] {
        let lake = two_nights(Lake::new());
        with_victims(&lake);
        let before = around(&lake);
        // Somebody who can write every file of a lake without keys, chain and head included.
        forge(&lake, |body| replace_list(body, what, text));
        let done = lake.run(&["nightly", "--date", "2026-11-01"]);
        assert_eq!(done.code, 5, "{text}: {}{}", done.stdout, done.stderr);
        lake.run(&["audit", "verify"]).exits(5);
        assert_eq!(around(&lake), before, "{text}");
    }
}

/// The JSON list of that name in a commit event, replaced; put in where there is none.
fn replace_list(body: &str, name: &str, by: &str) -> String {
    let key = format!("\"{name}\":[");
    let Some(at) = body.find(&key) else {
        return format!("{},{by}}}", body.strip_suffix('}').unwrap());
    };
    let mut depth = 0;
    let end = body[at + key.len() - 1..].find(|c| {
        depth += match c {
            '[' => 1,
            ']' => -1,
            _ => 0,
        };
        depth == 0
    });
    format!("{}{by}{}", &body[..at], &body[at + key.len() + end.unwrap()..])
}

#[test]
fn a_lake_with_keys_obeys_and_believes_signed_events_alone() {
    // A commit changed with its chain and head: without the key no MAC of it can be made.
    let lake = two_nights(Lake::with_keys());
    forge(&lake, |body| body.replace("\"outcome\":\"done\"", "\"outcome\":\"gone\""));
    lake.run(&["audit", "verify"]).exits(5);
    lake.run(&["nightly", "--date", "2026-11-01"]).exits(5);

    // An event put behind an old, well signed head.
    let lake = two_nights(Lake::with_keys());
    let head = std::fs::read(lake.path("lake/chain.head")).unwrap();
    change(
        &lake,
        "INSERT INTO event (seq, tx, kind, body, prev, hash) SELECT seq + 1, tx + 1, kind, body, hash, 'x' FROM event WHERE seq = (SELECT MAX(seq) FROM event)",
    );
    let done = lake.run(&["audit", "verify"]).exits(5);
    assert!(done.stdout.contains("ledger event"), "{}", done.stdout);
    lake.run(&["nightly", "--date", "2026-11-01"]).exits(5);
    assert_eq!(std::fs::read(lake.path("lake/chain.head")).unwrap(), head, "neither signs what it did not write");

    // A signature taken away.
    let lake = two_nights(Lake::with_keys());
    change(&lake, "UPDATE event SET mac = NULL WHERE seq = 3");
    lake.run(&["audit", "verify"]).exits(5);
}

#[test]
fn verify_reads_only() {
    let lake = two_nights(Lake::with_keys());
    let all = |lake: &Lake| {
        let mut files = BTreeMap::new();
        read_all(lake.dir.path(), lake.dir.path(), &mut files);
        files.retain(|path, _| !path.contains("ledger.sqlite-"));
        files
    };
    // A run cut off after its commit, and one while it was staged.
    for (receipt, step) in [(3, "committed"), (4, "staged")] {
        lake.write("given/next.csv", &sub_file(receipt, &[Sub::new(1, receipt)]));
        let ingest = ["ingest", "subscribers", "given/next.csv", "--date", "2026-11-01"];
        let mut command = lake.command(&ingest);
        assert!(command.env("SHIKAKU_DIE_AT", step).status().unwrap().code().is_none());
        let before = all(&lake);
        let done = lake.run(&["audit", "verify"]).exits(0);
        assert_eq!(done.stdout.contains("cut off"), step == "committed", "{}", done.stdout);
        assert_eq!(all(&lake), before, "{step}");
        lake.run(&ingest).exits(0);
        lake.run(&["audit", "verify"]).exits(0);
    }
}

fn parts(lake: &Lake, table: &str) -> Vec<std::path::PathBuf> {
    let mut files = BTreeMap::new();
    read_all(&lake.path("lake").join(table), lake.dir.path(), &mut files);
    files.into_keys().filter(|path| path.ends_with(".parquet")).map(|path| lake.path(&path)).collect()
}

#[test]
fn a_part_that_is_not_the_published_one_is_never_read() {
    for lake in [Lake::new(), Lake::with_keys()] {
        let lake = two_nights(lake);
        let parts = parts(&lake, "coverage");
        let (old, new) = (std::fs::read(&parts[0]).unwrap(), std::fs::read(&parts[1]).unwrap());
        let export = |code: i32| lake.run(&["export", "coverage", "-o", "../x.csv"]).exits(code);
        let ask = r#"{"link_no": 1001, "valid_on": "2026-11-01"}"#;
        lake.write("ask.json", ask.as_bytes());
        export(0);
        let inquire = |code: i32| lake.run(&["inquire", "ask.json"]).exits(code);
        inquire(0);
        // Replaced by an older one, swapped, cut, changed in one byte in the middle.
        let mut flipped = new.clone();
        let at = flipped.len() / 3;
        flipped[at] ^= 1;
        for bad in [&old, &new[..new.len() - 1].to_vec(), &flipped] {
            std::fs::write(&parts[1], bad).unwrap();
            lake.run(&["status"]);
            let done = lake.run(&["export", "coverage", "-o", "../x.csv"]);
            assert!(done.code == 5 || done.code == 1, "{}{}", done.stdout, done.stderr);
            let done = lake.run(&["ingest", "subscribers", "given/2.csv", "--date", "2026-11-01"]);
            assert_eq!(done.code, 0, "known bytes need no table");
            lake.run(&["audit", "verify"]).exits(5);
            std::fs::write(&parts[1], &new).unwrap();
        }
        // One that nobody published lies beside it: it is not read, and verify names it.
        let rows = export(0).stdout;
        std::fs::write(parts[1].with_file_name("part-00001.parquet"), &old).unwrap();
        assert_eq!(export(0).stdout, rows);
        inquire(0);
        lake.run(&["audit", "verify"]).exits(5);
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_stays_for_the_next_run() {
    let lake = Lake::with_masters();
    let path = lake.write("inbox/subscribers/1.csv", &sub_file(1, &[Sub::new(1, 1)]));
    let other = lake.write("other.csv", &sub_file(1, &[Sub::new(1, 7)]));
    // Between digest and reading another file takes its name.
    let night = |at: &str, from: &Path, to: &Path| {
        let script = format!("mv {} {}", from.display(), to.display());
        let mut command = lake.command(&["nightly", "--date", D]);
        command.env("SHIKAKU_DO_AT", format!("{at}={script}")).output().unwrap().status.code()
    };
    // The night's own event comes first, then the masters' run is not due: the second start is that of the files.
    assert_eq!(night("started", &other, &path), Some(1));
    assert!(lake.rows("member").is_empty() && path.exists());
    lake.run(&["audit", "verify"]).exits(0);
    lake.run(&["nightly", "--date", D]).exits(0);
    assert_eq!(lake.column("member", "link_no"), ["1007"]);
    // The same name with a new file after the commit: the new one is not the one that landed.
    let second = lake.write("inbox/subscribers/2.csv", &sub_file(2, &[Sub::new(1, 8)]));
    let third = lake.write("third.csv", &sub_file(3, &[Sub::new(1, 9)]));
    assert_eq!(night("committed", &third, &second), Some(0));
    assert!(second.exists(), "a file that nobody has read is never removed");
    lake.run(&["nightly", "--date", D]).exits(0);
    assert_eq!(lake.rows("member").len(), 3);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn what_is_committed_shows_once_it_is_published() {
    let lake = two_nights(Lake::new());
    let csv = |lake: &Lake| {
        lake.run(&["export", "member", "-o", "../m.csv"]).exits(0);
        std::fs::read(lake.path("../m.csv")).unwrap_or_default()
    };
    let (before, status) = (csv(&lake), lake.run(&["status", "--json"]).exits(0).stdout);
    lake.write("given/3.csv", &sub_file(3, &[Sub::new(1, 3)]));
    let mut command = lake.command(&["ingest", "subscribers", "given/3.csv", "--date", "2026-11-01"]);
    assert!(command.env("SHIKAKU_DIE_AT", "committed").status().unwrap().code().is_none());
    assert_eq!(csv(&lake), before);
    let now = lake.run(&["status", "--json"]).exits(0).stdout;
    let (then, now): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&status).unwrap(), serde_json::from_str(&now).unwrap());
    for field in ["business_date", "set_id", "tables"] {
        assert_eq!(then[field], now[field], "{field}");
    }
    lake.run(&["ingest", "subscribers", "given/3.csv", "--date", "2026-11-01"]).exits(0);
    assert_ne!(csv(&lake), before);
}

#[test]
fn a_lake_and_its_ledger_know_each_other() {
    let (a, b) = (two_nights(Lake::new()), two_nights(Lake::new()));
    let checkpointed = |lake: &Lake| {
        change(lake, "UPDATE schema_version SET version = version");
        std::fs::read(lake.path("lake/ledger.sqlite")).unwrap()
    };
    if a.on_postgres() {
        return;
    }
    let other = checkpointed(&b);
    // A ledger of another lake below a lake, and as the start of a new one.
    std::fs::write(a.path("lake/ledger.sqlite"), &other).unwrap();
    for command in [["status"].as_slice(), &["nightly", "--date", "2026-11-01"], &["audit", "verify"]] {
        a.run(command).exits(5);
    }
    a.run(&["doctor"]).exits(1);
    let fresh = Lake::empty();
    fresh.write("lake/ledger.sqlite", &other);
    fresh.run(&["init", "--no-keys"]).exits(2);
}

#[test]
fn no_key_file_but_the_lakes_own_is_written_under() {
    let lake = two_nights(Lake::with_keys());
    let key = lake.path("shikaku.key");
    let own = std::fs::read_to_string(&key).unwrap();
    let stranger = std::fs::read_to_string(two_nights(Lake::with_keys()).path("shikaku.key")).unwrap();
    let value = |text: &str, at: &str| -> String {
        serde_json::from_str::<serde_json::Value>(text).unwrap().pointer(at).unwrap().as_str().unwrap().to_owned()
    };
    let swapped = |at: &str| own.replace(&value(&own, at), &value(&stranger, at));
    let refused = |text: &str, why: &str| {
        std::fs::write(&key, text).unwrap();
        for command in [["nightly", "--date", "2026-11-01"].as_slice(), &["status"], &["audit", "verify"]] {
            let done = lake.run(command);
            assert_eq!(done.code, 2, "{why}: {}{}", done.stdout, done.stderr);
        }
        assert!(lake.run(&["doctor"]).exits(1).stdout.contains("BAD"), "{why}");
        std::fs::write(&key, &own).unwrap();
    };
    refused(&stranger, "another lake's");
    refused(&swapped("/chain"), "another chain key");
    refused(&swapped("/master/0/key"), "another master key");
    // No key file at all on a sealed lake.
    lake.set("key_file = \"shikaku.key\"", "key_file = \"\"");
    lake.run(&["nightly", "--date", "2026-11-01"]).exits(2);
    lake.run(&["doctor"]).exits(1);
    lake.set("key_file = \"\"", "key_file = \"shikaku.key\"");
    lake.run(&["keys", "rotate", "--forget"]).exits(0);
    let rotated = std::fs::read_to_string(&key).unwrap();
    refused(&own, "a copy from before the rotation");
    std::fs::write(&key, &rotated).unwrap();
    lake.run(&["nightly", "--date", "2026-11-01"]).exits(0);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn a_key_file_behind_a_link_is_rotated_where_it_is() {
    let lake = two_nights(Lake::with_keys());
    std::fs::create_dir(lake.path("safe")).unwrap();
    std::fs::rename(lake.path("shikaku.key"), lake.path("safe/real.key")).unwrap();
    std::os::unix::fs::symlink("safe/real.key", lake.path("shikaku.key")).unwrap();
    lake.run(&["keys", "rotate"]).exits(0);
    assert!(std::fs::symlink_metadata(lake.path("shikaku.key")).unwrap().is_symlink());
    assert!(std::fs::read_to_string(lake.path("safe/real.key")).unwrap().contains("k0002"));
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn a_link_in_the_outbox_or_the_lake_is_named_and_not_followed() {
    let lake = two_nights(Lake::new());
    with_victims(&lake);
    let before = around(&lake);
    // Results of the next file would go through it.
    let origin = crate::common::kempo().0;
    std::fs::rename(lake.path("outbox/results"), lake.path("outbox/kept")).unwrap();
    std::fs::create_dir(lake.path("outbox/results")).unwrap();
    std::os::unix::fs::symlink(lake.path("victim"), lake.path("outbox/results").join(&origin)).unwrap();
    lake.write("inbox/subscribers/3.csv", &sub_file(3, &[Sub::new(1, 3)]));
    let done = lake.run(&["nightly", "--date", "2026-11-01"]);
    assert!(matches!(done.code, 1 | 5), "{}{}", done.stdout, done.stderr);
    assert_eq!(around(&lake), before);
    // Put right, the night goes on: nothing was committed.
    std::fs::remove_dir_all(lake.path("outbox/results")).unwrap();
    std::fs::rename(lake.path("outbox/kept"), lake.path("outbox/results")).unwrap();
    lake.run(&["nightly", "--date", "2026-11-01"]).exits(0);
    lake.run(&["audit", "verify"]).exits(0);
    // Links that lead to each other, and a folder of nobody's.
    std::os::unix::fs::symlink("../outbox/b", lake.path("outbox/a")).unwrap();
    std::os::unix::fs::symlink("../outbox", lake.path("outbox/b")).unwrap();
    std::fs::create_dir_all(lake.path("lake/member/layer=delta/gen=000099")).unwrap();
    let done = lake.run(&["audit", "verify"]).exits(5);
    for name in ["outbox/a", "outbox/b", "gen=000099"] {
        assert!(done.stdout.contains(name), "{name}: {}", done.stdout);
    }
}

#[test]
fn an_export_is_recorded_before_it_is_written_and_follows_no_link() {
    let lake = two_nights(Lake::with_keys());
    with_victims(&lake);
    let before = around(&lake);
    std::fs::create_dir(lake.path("out")).unwrap();
    // What the half-written file was once called, planted beforehand.
    std::os::unix::fs::symlink(lake.path("victim/precious.csv"), lake.path("out/.member.csv.tmp")).unwrap();
    std::os::unix::fs::symlink(lake.path("victim/precious.csv"), lake.path("out/member.csv")).unwrap();
    lake.run(&["export", "member", "-o", "out/member.csv"]).exits(0);
    std::fs::remove_file(lake.path("out/.member.csv.tmp")).unwrap();
    let out = std::fs::symlink_metadata(lake.path("out/member.csv")).unwrap();
    assert!(out.is_file());
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&out.permissions()) & 0o777, 0o600);
    std::fs::remove_dir_all(lake.path("out")).unwrap();
    assert_eq!(around(&lake), before);
    // An export that fails on its way leaves its record and nothing in clear.
    let accesses = |lake: &Lake| lake.store().ledger.events().unwrap().iter().filter(|e| e.kind == "accessed").count();
    let records = accesses(&lake);
    let part = &parts(&lake, "member")[0];
    let bytes = std::fs::read(part).unwrap();
    std::fs::write(part, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::create_dir(lake.path("out")).unwrap();
    assert_ne!(lake.run(&["export", "member", "-o", "out/member.csv"]).code, 0);
    assert_eq!(accesses(&lake), records + 1);
    assert_eq!(std::fs::read_dir(lake.path("out")).unwrap().count(), 0);
}

#[test]
fn nothing_outside_is_touched_by_nights_with_odd_names_and_links() {
    let lake = Lake::with_masters();
    with_victims(&lake);
    std::os::unix::fs::symlink(lake.path("victim"), lake.path("inbox/subscribers/folder")).unwrap();
    std::os::unix::fs::symlink(lake.path("victim/precious.csv"), lake.path("inbox/checks/file.csv")).unwrap();
    std::os::unix::fs::symlink(lake.path("victim"), lake.path("inbox/crl/20261031")).unwrap();
    for name in ["..csv", "a\nb.csv", "名前　.csv", "-rf", "%2e%2e%2fx.csv", "x.csv;rm"] {
        lake.write(&format!("inbox/subscribers/{name}"), &sub_file(1, &[Sub::new(1, 1)]));
    }
    let before = around(&lake);
    let done = lake.run(&["nightly", "--date", D]);
    assert!(matches!(done.code, 0 | 3), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("passed over"), "{}", done.stdout);
    assert_eq!(around(&lake), before);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn objects_in_the_ledger_that_are_not_of_its_schema_are_named() {
    for sql in [
        "CREATE TRIGGER t AFTER INSERT ON fact BEGIN DELETE FROM rejection; END",
        "CREATE TABLE x (a INTEGER)",
        "DROP INDEX run_input_origin",
    ] {
        let lake = two_nights(Lake::new());
        if lake.on_postgres() {
            return;
        }
        change(&lake, sql);
        assert!(lake.run(&["audit", "verify"]).exits(5).stdout.contains("ledger: "), "{sql}");
        // A trigger would work for whoever made it inside each of our own transactions.
        if sql.contains("TRIGGER") {
            lake.run(&["nightly", "--date", "2026-11-01"]).exits(5);
        }
    }
}

#[test]
fn a_ledger_of_a_newer_program_is_left_alone() {
    let lake = two_nights(Lake::new());
    crate::common::ledger::append_raw(&lake, "lake_moved", "{\"event\":\"lake_moved\",\"to\":\"x\"}");
    lake.run(&["nightly", "--date", "2026-11-01"]).exits(2);
    lake.run(&["audit", "verify"]).exits(2);
    assert!(lake.run(&["doctor"]).exits(1).stdout.contains("lake_moved"));
}

#[test]
fn the_ends_of_the_chain_are_not_signed_anew() {
    for spoil in [
        |lake: &Lake| change(lake, "DELETE FROM event WHERE seq = (SELECT MAX(seq) FROM event)"),
        |lake: &Lake| std::fs::remove_file(lake.path("lake/chain.head")).unwrap(),
    ] {
        let lake = two_nights(Lake::with_keys());
        let ask = ["inquire", "--serial", "1", "--at", "2026-10-31"];
        lake.run(&ask).exits(0);
        spoil(&lake);
        // The record of who asked is gone: the next one who asks is not what hides it.
        lake.run(&ask).exits(5);
        lake.run(&["nightly", "--date", "2026-11-01"]).exits(5);
        lake.run(&["audit", "verify"]).exits(5);
    }
}
