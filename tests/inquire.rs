//! `inquire`: the states of 000 図「照会結果の表示パターン」, and that the past stays as it was told.

use serde_json::Value;

use crate::common::{Lake, Sub, envelope, kempo, sub_file};

/// Registers a person who moved: lost at the union on 9/1, at the association since 9/1 (registered on 9/5).
fn moved() -> Lake {
    let lake = Lake::with_masters();
    let lake_file = |receipt: u32, record: Sub, date: &str| {
        lake.ingest("subscribers", &format!("{receipt}.csv"), &sub_file(receipt, &[record]), date).exits(0);
    };
    lake_file(1, Sub::new(1, 1), "2026-08-01");
    let lost = Sub::new(1, 1).with("operation", "2").with("lost_on", "20260901").with("loss_reason", "01");
    lake_file(2, lost, "2026-09-02");
    let masters =
        std::fs::read_to_string(crate::common::samples().join("nights/2026-10-30/masters/insurers.csv")).unwrap();
    let other: Vec<String> =
        masters.lines().find(|l| l.split(',').nth(2) == Some("01")).unwrap().split(',').map(str::to_owned).collect();
    let new = Sub::new(1, 1)
        .with("insurer_no", &other[3])
        .with("acquired_on", "20260901")
        .with("name", "A")
        .with("kana", "")
        .with("symbol", "S9")
        .with("number", "777");
    let link = envelope("LNKP", "CHUKAN", 1, &["D,1,abc1,1001".to_owned()]);
    lake.ingest("subscribers", "new.csv", &envelope("SUB", &other[0], 1, &[new.line()]), "2026-09-05").exits(0);
    lake.ingest("links", "l.csv", &link, "2026-09-05").exits(0);
    lake
}

fn ask(lake: &Lake, arguments: &[&str]) -> Value {
    let done = lake.run(&[&["--json", "inquire"], arguments].concat()).exits(0);
    serde_json::from_str(&done.stdout).unwrap()
}

fn card(lake: &Lake, day: &str, more: &[&str]) -> Value {
    let number = kempo().1;
    let own = ["--insurer-no", &number, "--symbol", "記号1", "--number", "１", "--valid-on", day];
    ask(lake, &[&own, more].concat())
}

#[test]
fn a_card_is_valid_lost_or_lost_with_a_successor_that_is_not_shown() {
    let lake = moved();
    assert_eq!(card(&lake, "2026-08-31", &[])["state"], "valid");
    let lost = card(&lake, "2026-09-01", &[]);
    assert_eq!(lost["state"], "lost_with_successor");
    assert_eq!(lost["coverages"][0]["lost_on"], "2026-09-01");
    assert!(!lost.to_string().contains("777"), "the new insurer's data is never shown: {lost}");
    // As known before the new insurer's file came, nobody could tell.
    assert_eq!(card(&lake, "2026-09-01", &["--known-at", "2026-09-04"])["state"], "lost");
    // As known before the loss was reported, it was valid.
    assert_eq!(card(&lake, "2026-09-01", &["--known-at", "2026-09-01"])["state"], "valid");
    assert_eq!(card(&lake, "2026-09-01", &["--branch", "02"])["state"], "not_found");
    assert_eq!(card(&lake, "2020-03-31", &[])["state"], "not_yet");
    assert_eq!(card(&lake, "2026-08-31", &["--birth-date", "1980-01-02"])["state"], "not_found");
}

#[test]
fn a_person_or_a_certificate_is_told_the_newest_coverage() {
    let lake = moved();
    for by in [["--link-no", "1001"], ["--serial", "00ABC1"]] {
        let answer = ask(&lake, &[&by[..], &["--valid-on", "2026-09-10"]].concat());
        assert_eq!((&answer["state"], &answer["coverages"][0]["number"]), (&"valid".into(), &"777".into()));
    }
    // A certificate was not linked before its file came.
    let before = ask(&lake, &["--serial", "abc1", "--valid-on", "2026-09-10", "--known-at", "2026-09-04"]);
    assert_eq!(before["state"], "not_found");
    let early = ask(&lake, &["--link-no", "1001", "--valid-on", "2026-09-10", "--known-at", "2026-09-04"]);
    assert_eq!((&early["state"], &early["coverages"][0]["lost_on"]), (&"lost".into(), &"2026-09-01".into()));
    assert_eq!(ask(&lake, &["--link-no", "9", "--valid-on", "2026-09-10"])["state"], "not_found");
}

#[test]
fn answers_for_a_past_moment_never_change_not_even_by_compact() {
    let lake = moved();
    let days = ["2026-08-31", "2026-09-01", "2026-09-10"];
    let told = |lake: &Lake| -> Vec<Value> {
        let moments = ["2026-08-15", "2026-09-01", "2026-09-04", "2026-09-05T21:00:01"];
        let pairs = days.iter().flat_map(|day| moments.iter().map(move |at| (*day, *at)));
        pairs.map(|(day, at)| card(lake, day, &["--known-at", at])).collect()
    };
    let before = told(&lake);
    let later = Sub::new(1, 1).with("operation", "2").with("lost_on", "20260815").with("loss_reason", "01");
    lake.ingest("subscribers", "3.csv", &sub_file(3, &[later]), "2026-10-01").exits(0);
    assert_eq!(card(&lake, "2026-08-31", &[])["state"], "lost");
    assert_eq!(told(&lake), before);
    let rows = lake.contents();
    lake.run(&["compact"]).exits(0);
    assert_eq!(told(&lake), before);
    assert_eq!(lake.contents(), rows);
    let bytes = lake.bytes();
    lake.run(&["compact"]).exits(0);
    assert_eq!(lake.bytes(), bytes);
    // Nights go on above the new base.
    let again = Sub::new(1, 1).with("operation", "2");
    lake.ingest("subscribers", "4.csv", &sub_file(4, &[again]), "2026-10-02").exits(0);
    assert_eq!(card(&lake, "2026-09-10", &[])["state"], "valid");
    assert_eq!(told(&lake), before);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn a_request_is_read_from_a_file_and_leaves_a_record_without_what_was_asked() {
    let lake = moved();
    let request = lake.write("request.json", br#"{"link_no": 1001, "valid_on": "2026-09-10"}"#);
    let done = lake.run(&["inquire", request.to_str().unwrap()]).exits(0);
    assert!(done.stdout.contains("資格は有効です。"), "{}", done.stdout);
    let events = lake.store().ledger.events().unwrap();
    let records: Vec<&str> = events.iter().filter(|e| e.kind == "accessed").map(|e| e.body.as_str()).collect();
    assert_eq!(records.len(), 1);
    assert!(records[0].contains("\"valid\"") && !records[0].contains("1001"), "{}", records[0]);
    lake.write("request.json", br#"{"name": "x"}"#);
    let done = lake.run(&["inquire", request.to_str().unwrap()]).exits(2);
    assert!(!done.stderr.contains("\"x\""));
    lake.run(&["inquire", "--link-no", "1", "--serial", "2", "--valid-on", "2026-09-10"]).exits(2);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn several_members_of_one_number_must_be_told_apart() {
    let lake = Lake::with_masters();
    let second = Sub::new(2, 2).with("number", "1").with("branch_no", "02").with("birth_date", "20100101");
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1), second]), "2026-08-01").exits(0);
    assert_eq!(card(&lake, "2026-08-31", &[])["state"], "ambiguous");
    assert_eq!(card(&lake, "2026-08-31", &["--branch", "02"])["state"], "valid");
    assert_eq!(card(&lake, "2026-08-31", &["--birth-date", "1980-01-01"])["coverages"][0]["branch_no"], "01");
}
