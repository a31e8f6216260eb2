//! `ingest crl`: a set is taken whole or the one before stays in force.

use std::path::{Path, PathBuf};

use crate::common::{Lake, samples};

fn set(night: &str, folder: &str) -> PathBuf {
    samples().join("nights").join(night).join("crl").join(folder)
}

fn first() -> PathBuf {
    set("2026-10-30", "20261031")
}

fn second() -> PathBuf {
    set("2026-10-31", "20261101")
}

/// Copies a set, with one file changed.
fn changed(lake: &Lake, from: &Path, name: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> PathBuf {
    let to = lake.path("changed");
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let own = path.file_name().unwrap().to_str().unwrap();
        std::fs::write(to.join(own), if own == name { change(bytes) } else { bytes }).unwrap();
    }
    to
}

fn ingest(lake: &Lake, dir: &Path, date: &str) -> crate::common::Done {
    lake.run(&["ingest", "crl", dir.to_str().unwrap(), "--date", date])
}

#[test]
fn a_good_set_replaces_the_one_before_and_keeps_the_history() {
    let lake = Lake::with_masters();
    ingest(&lake, &first(), "2026-10-30").exits(0);
    let before = lake.rows("revocation").len();
    assert_eq!(before, 53);
    ingest(&lake, &second(), "2026-10-31").exits(0);
    assert_eq!(lake.rows("revocation").len(), 57);
    // Every serial ever listed has a history; those that left have a last day.
    let left = lake.column("revocation_history", "last_seen").iter().filter(|d| *d == "2026-10-30").count();
    assert!(left > 0);
    // Again: nothing changes.
    let bytes = lake.bytes();
    ingest(&lake, &second(), "2026-10-31").exits(0);
    assert_eq!(lake.bytes(), bytes);
}

#[test]
fn any_flipped_byte_refuses_the_whole_set() {
    let lake = Lake::with_masters();
    ingest(&lake, &first(), "2026-10-30").exits(0);
    let before = lake.rows("revocation");
    let size = std::fs::read(second().join("dp0002.crl")).unwrap().len();
    for at in (0..size).step_by(size / 23) {
        let dir = changed(&lake, &second(), "dp0002.crl", |mut b| {
            b[at] ^= 0x10;
            b
        });
        let done = ingest(&lake, &dir, "2026-10-31").exits(3);
        assert!(done.stdout.contains("4001"), "byte {at}: {}", done.stdout);
        assert_eq!(lake.rows("revocation"), before, "byte {at}");
    }
    assert!(lake.run(&["status"]).exits(0).stdout.contains("STALE"));
    ingest(&lake, &second(), "2026-10-31").exits(0);
    assert!(!lake.run(&["status"]).exits(0).stdout.contains("STALE"));
}

#[test]
fn a_cut_file_an_older_number_a_missing_point_and_a_wrong_moment_are_refused_with_their_code() {
    let lake = Lake::with_masters();
    ingest(&lake, &second(), "2026-10-31").exits(0);
    let before = lake.rows("revocation");
    let done = ingest(&lake, &first(), "2026-11-01").exits(3);
    assert!(done.stdout.contains("400104"), "expired by then: {}", done.stdout);
    // Its moment moved back, the number still goes backwards.
    let lake2 = Lake::with_masters();
    lake2.set("now_time = \"07:00\"", "now_time = \"06:30\"");
    ingest(&lake2, &second(), "2026-10-31").exits(0);
    let cut = changed(&lake, &second(), "dp0001.crl", |b| b[..b.len() - 9].to_vec());
    assert!(ingest(&lake, &cut, "2026-10-31").exits(3).stdout.contains("400101"));
    let third = set("2026-11-12", "20261113");
    let missing = lake.path("missing");
    std::fs::create_dir_all(&missing).unwrap();
    for name in ["dp0001.crl", "dp0002.crl", "dp0003.crl"] {
        std::fs::copy(third.join(name), missing.join(name)).unwrap();
    }
    assert!(ingest(&lake, &missing, "2026-11-12").exits(3).stdout.contains("400106"));
    let twice = changed(&lake, &third, "dp0001.crl", |_| std::fs::read(third.join("dp0002.crl")).unwrap());
    assert!(ingest(&lake, &twice, "2026-11-12").exits(3).stdout.contains("400107"));
    assert_eq!(lake.rows("revocation"), before);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn without_a_trusted_ca_nothing_is_taken_and_with_it_the_same_set_is() {
    let lake = Lake::new();
    assert!(ingest(&lake, &first(), "2026-10-30").exits(3).stdout.contains("400103"));
    // The same set with the same CA files is the same run: still refused.
    ingest(&lake, &first(), "2026-10-30").exits(3);
    let lake = lake.load_masters();
    ingest(&lake, &first(), "2026-10-30").exits(0);
    assert!(!lake.run(&["status"]).exits(0).stdout.contains("STALE"));
}

#[test]
fn a_set_older_than_the_one_in_force_stays_in_the_inbox() {
    let lake = Lake::with_masters();
    for (folder, from) in [("20261031", first()), ("20261101", second())] {
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            lake.write(&format!("inbox/crl/{folder}/{name}"), &std::fs::read(&path).unwrap());
        }
        lake.write(&format!("inbox/crl/{folder}/_DONE"), b"");
    }
    lake.run(&["nightly", "--date", "2026-10-31"]).exits(0);
    lake.run(&["nightly", "--date", "2026-10-31"]).exits(0);
    assert!(!lake.run(&["status"]).exits(0).stdout.contains("STALE"));
    assert!(lake.path("inbox/crl/20261031/_DONE").exists());
}
