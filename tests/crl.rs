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
fn a_cut_file_a_missing_point_and_a_wrong_moment_are_refused_with_their_code() {
    let lake = Lake::with_masters();
    ingest(&lake, &second(), "2026-10-31").exits(0);
    let before = lake.rows("revocation");
    let done = ingest(&lake, &first(), "2026-11-01").exits(3);
    assert!(done.stdout.contains("400104"), "expired by then: {}", done.stdout);
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
fn of_several_sets_the_newest_is_taken_and_older_ones_land_unread() {
    let lake = Lake::with_masters();
    for (folder, from) in [("20261031", first()), ("20261101", second())] {
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            lake.write(&format!("inbox/crl/{folder}/{name}"), &std::fs::read(&path).unwrap());
        }
        lake.write(&format!("inbox/crl/{folder}/_DONE"), b"");
    }
    let future = lake.write("inbox/crl/20271102/dp0001.crl", b"of another year");
    lake.write("inbox/crl/20271102/_DONE", b"");
    // A folder of a later date is an error that silences nothing.
    let done = lake.run(&["nightly", "--date", "2026-10-31"]).exits(3);
    assert!(done.stdout.contains("20271102"), "{}", done.stdout);
    assert!(future.exists() && !lake.path("inbox/crl/20261031").exists() && !lake.path("inbox/crl/20261101").exists());
    let states: Vec<String> =
        lake.store().ledger.inputs(None).unwrap().into_iter().map(|(_, i)| i.state.word().to_owned()).collect();
    assert!(states.contains(&"passed_over".to_owned()) && !states.contains(&"refused".to_owned()), "{states:?}");
    assert!(!lake.run(&["status"]).exits(0).stdout.contains("STALE"));
    std::fs::remove_dir_all(lake.path("inbox/crl/20271102")).unwrap();
    // One that comes late is passed over too.
    for entry in std::fs::read_dir(first()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        lake.write(&format!("inbox/crl/20261031/{name}"), &std::fs::read(&path).unwrap());
    }
    lake.write("inbox/crl/20261031/_DONE", b"");
    lake.run(&["nightly", "--date", "2026-10-31"]).exits(0);
    assert!(!lake.path("inbox/crl/20261031").exists());
    lake.run(&["audit", "verify"]).exits(0);
}

/// A set that lacks a point, put in force by an operator.
#[test]
fn an_operator_lets_a_refused_set_pass_and_the_ledger_says_who_and_why() {
    let lake = Lake::with_masters();
    let accept = ["crl", "accept", "--reason", "dp0004 was closed", "--by", "operator 7"];
    lake.run(&accept).exits(2);
    ingest(&lake, &first(), "2026-10-30").exits(0);
    let set = changed(&lake, &second(), "dp0004.crl", |b| b);
    std::fs::remove_file(set.join("dp0004.crl")).unwrap();
    ingest(&lake, &set, "2026-10-31").exits(3);
    let status: serde_json::Value = serde_json::from_str(&lake.run(&["--json", "status"]).exits(0).stdout).unwrap();
    assert_eq!(status["crl_stale"], true);
    let refusals = status["crl_refusals"].as_object().unwrap();
    assert!(refusals.iter().all(|(point, code)| point.contains("dp0004") && code == "400106"), "{refusals:?}");
    // The files are gone from their folder: they are taken in from where they landed.
    std::fs::remove_dir_all(&set).unwrap();
    lake.run(&accept).exits(0);
    let points = lake.column("revocation", "distribution_point");
    assert!(!points.is_empty() && points.iter().all(|p| !p.contains("dp0004")));
    assert!(!lake.run(&["status"]).exits(0).stdout.contains("STALE"));
    let said = lake.store().ledger.fact_texts("crl_override").unwrap();
    assert!(said.len() == 1 && said[0].1.contains("operator 7") && said[0].1.contains("dp0004 was closed"));
    lake.run(&accept).exits(2);
    lake.run(&["audit", "verify"]).exits(0);
    // The next set is measured against this one: dp0004 is missed no more.
    ingest(&lake, &set_without_dp0004(&lake), "2026-11-12").exits(0);
}

fn set_without_dp0004(lake: &Lake) -> PathBuf {
    let set = changed(lake, &set("2026-11-12", "20261113"), "dp0001.crl", |b| b);
    let _ = std::fs::remove_file(set.join("dp0004.crl"));
    set
}

#[test]
fn a_set_that_cannot_be_verified_is_never_let_pass() {
    let lake = Lake::with_masters();
    let set = changed(&lake, &first(), "dp0001.crl", |mut b| {
        let last = b.len() - 1;
        b[last] ^= 1;
        b
    });
    ingest(&lake, &set, "2026-10-30").exits(3);
    let done = lake.run(&["crl", "accept", "--reason", "hurry", "--by", "operator 7"]).exits(2);
    assert!(done.stderr.contains("400102"), "{}", done.stderr);
    assert!(lake.store().ledger.fact_texts("crl_override").unwrap().is_empty());
    assert!(lake.rows("revocation").is_empty());
}

#[test]
fn the_set_in_force_and_the_one_before_it_are_kept() {
    let lake = Lake::with_masters();
    ingest(&lake, &first(), "2026-10-30").exits(0);
    ingest(&lake, &second(), "2026-10-31").exits(0);
    let generations = || std::fs::read_dir(lake.path("lake/revocation")).unwrap().flatten().map(|e| e.file_name());
    let kept = || generations().filter(|n| n.to_str().unwrap().starts_with("gen=")).count();
    assert_eq!(kept(), 2);
    let set_of = |date: &str| {
        let runs = lake.store().ledger.runs().unwrap();
        runs.into_iter().find(|r| r.job == "crl" && r.business_date == date).unwrap().set_id.unwrap().to_string()
    };
    let before = lake.path("before.csv");
    let export = |set: &str| lake.run(&["export", "revocation", "--generation", set, "-o", before.to_str().unwrap()]);
    export(&set_of("2026-10-30")).exits(0);
    ingest(&lake, &set("2026-11-12", "20261113"), "2026-11-12").exits(0);
    assert_eq!(kept(), 2);
    // What was removed is said to be gone, not shown as empty; its history stays.
    assert!(export(&set_of("2026-10-30")).exits(2).stderr.contains("removed"));
    assert!(lake.column("revocation_history", "first_seen").iter().any(|d| d == "2026-10-30"));
    lake.run(&["audit", "verify"]).exits(0);
    lake.run(&["views"]).exits(0);
}

#[test]
fn a_certificate_is_told_by_its_link_the_set_and_the_entry_of_that_moment() {
    let lake = Lake::with_masters();
    let serials = |lake: &Lake| lake.column("revocation", "serial");
    let ask = |serial: &str, at: &str| -> serde_json::Value {
        let done = lake.run(&["--json", "inquire", "--serial", serial, "--at", at]).exits(0);
        serde_json::from_str(&done.stdout).unwrap()
    };
    ingest(&lake, &first(), "2026-10-30").exits(0);
    let before = serials(&lake);
    ingest(&lake, &second(), "2026-10-31").exits(0);
    let after = serials(&lake);
    let left = before.iter().find(|s| !after.contains(s)).unwrap();
    let came = after.iter().find(|s| !before.contains(s)).unwrap();
    let link = crate::common::envelope("LNKP", "CHUKAN", 1, &[format!("D,1,{left},77")]);
    lake.ingest("links", "l.csv", &link, "2026-10-31").exits(0);

    assert_eq!(ask(left, "2026-10-30T12:00:00")["certificate"]["validity"], "unverifiable");
    let listed = ask(left, "2026-10-31T12:00:00");
    assert!(listed["state"].as_str().unwrap().starts_with("certificate_"), "{listed}");
    assert_eq!(listed["certificate"]["crl"]["business_date"], "2026-10-30");
    assert_eq!(listed["certificate"]["link"], serde_json::Value::Null);
    // A day later it has left the list, and its person is known.
    let lifted = ask(left, "2026-11-01T12:00:00");
    assert_eq!((&lifted["certificate"]["validity"], &lifted["state"]), (&"valid".into(), &"not_found".into()));
    assert_eq!(lifted["certificate"]["link"]["link_no"], 77);
    assert_eq!(lifted["certificate"]["crl"]["stale"], false);
    assert_eq!(ask(came, "2026-10-31T12:00:00")["certificate"]["validity"], "valid");
    assert_ne!(ask(came, "2026-11-01T12:00:00")["certificate"]["validity"], "valid");
    // Without a new set the old one answers, and says that it is old.
    assert_eq!(ask(came, "2026-11-02T12:00:00")["certificate"]["crl"]["stale"], true);
    lake.run(&["inquire", "--serial", came, "--at", "2026-11-01", "--known-at", "2026-11-01"]).exits(2);
}
