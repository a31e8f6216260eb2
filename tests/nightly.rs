//! `nightly`: every job that is due, in order, under one lock.

use std::fs::File;

use crate::common::{Lake, Sub, samples, sub_file};

pub const NIGHTS: [&str; 3] = ["2026-10-30", "2026-10-31", "2026-11-12"];

/// Puts a sample night into the inbox.
pub fn fill(lake: &Lake, night: &str) {
    copy(&samples().join("nights").join(night), &lake.path("inbox"));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { std::fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

pub fn sample_lake(lake: Lake) -> Lake {
    lake.set("ca_files = []", &format!("ca_files = [{:?}]", samples().join("ca/sample-ca.pem").display().to_string()));
    lake
}

/// Runs all sample nights.
pub fn run_all(lake: &Lake) {
    for night in NIGHTS {
        fill(lake, night);
        let done = lake.run(&["nightly", "--date", night]);
        assert!(matches!(done.code, 0 | 3), "{night}: {}{}", done.stdout, done.stderr);
    }
}

#[test]
fn the_sample_nights_run_and_running_the_last_again_changes_no_byte() {
    let lake = sample_lake(Lake::new());
    run_all(&lake);
    let before = lake.bytes();
    fill(&lake, NIGHTS[2]);
    lake.run(&["nightly", "--date", NIGHTS[2]]);
    assert_eq!(lake.bytes(), before);
    lake.run(&["nightly", "--date", NIGHTS[2], "--force"]);
    let after = lake.bytes();
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>(),
        "a forced repeat finds nothing new"
    );
    assert_eq!(after, before);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn the_number_of_threads_and_the_order_of_arrival_do_not_show() {
    let bytes: Vec<_> = [("1", false), ("4", true)]
        .iter()
        .map(|(threads, renamed)| {
            let lake = sample_lake(Lake::new());
            for night in NIGHTS {
                fill(&lake, night);
                // Files of no kind of ours but UKE and masters tell by their names what they are.
                for folder in ["subscribers", "links", "checks"].iter().filter(|_| *renamed) {
                    turn_names_round(&lake.path(&format!("inbox/{folder}")));
                }
                let status =
                    lake.command(&["nightly", "--date", night]).env("RAYON_NUM_THREADS", threads).output().unwrap();
                assert!(matches!(status.status.code(), Some(0 | 3)));
            }
            // Results go by the name of the file that they answer.
            let mut bytes = lake.bytes();
            bytes.retain(|path, _| !path.contains("/results/"));
            bytes
        })
        .collect();
    assert!(bytes[0].keys().eq(bytes[1].keys()) && bytes[0] == bytes[1]);
}

/// Gives the files of a folder other names, which sort the other way round.
fn turn_names_round(folder: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for (n, file) in files.iter().rev().enumerate() {
        std::fs::rename(file, folder.join(format!("arrived_{n:03}.csv"))).unwrap();
    }
}

#[test]
fn a_second_run_while_the_lock_is_held_is_exit_4_and_touches_nothing() {
    let lake = Lake::with_masters();
    let file = lake.write("inbox/subscribers/1.csv", &sub_file(1, &[Sub::new(1, 1)]));
    let lock = File::options().write(true).open(lake.path("lake/.lock")).unwrap();
    lock.lock().unwrap();
    lake.run(&["nightly", "--date", "2026-10-30"]).exits(4);
    assert!(file.exists());
    drop(lock);
    lake.run(&["nightly", "--date", "2026-10-30"]).exits(0);
    assert!(!file.exists());
}

#[test]
fn due_input_that_did_not_come_is_exit_3() {
    let lake = Lake::with_masters();
    lake.set("due = []", "due = [\"crl\"]");
    let done = lake.run(&["nightly", "--date", "2026-10-30"]).exits(3);
    assert!(done.stdout.contains("absent"), "{}", done.stdout);
}

#[test]
fn reading_commands_print_one_json_document() {
    let lake = sample_lake(Lake::new());
    fill(&lake, NIGHTS[0]);
    lake.run(&["nightly", "--date", NIGHTS[0], "--json"]);
    for command in [["status"].as_slice(), &["runs", "list"], &["doctor"], &["views"], &["audit", "verify"]] {
        let done = lake.run(&[command, &["--json"]].concat());
        assert!(serde_json::from_str::<serde_json::Value>(&done.stdout).is_ok(), "{command:?}: {}", done.stdout);
    }
    let runs = lake.run(&["runs", "list", "--json"]).exits(0);
    let runs: serde_json::Value = serde_json::from_str(&runs.stdout).unwrap();
    let id = runs[0]["run_id"].as_str().unwrap();
    lake.run(&["runs", "show", &id[..12]]).exits(0);
}

#[test]
fn log_lines_are_json_off_a_terminal_and_hold_no_personal_data() {
    let lake = Lake::with_masters();
    let sub = Sub::new(1, 1)
        .with("name", "秘密　花子")
        .with("sex", "9")
        .with("address", "東京都秘密町")
        .with("link_no", "987612345");
    lake.write("inbox/subscribers/1.csv", &sub_file(1, &[sub]));
    let done = lake.run(&["nightly", "--date", "2026-10-30", "-v"]).exits(3);
    for line in done.stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    for text in [done.stdout, done.stderr] {
        for secret in ["秘密", &crate::common::member_no(1), "987612345"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn links_are_due_on_business_days_and_the_calendar_must_reach_the_coming_year() {
    let lake = Lake::with_masters();
    lake.set("due = []", "due = [\"links\"]");
    let night = |date: &str| lake.run(&["--json", "nightly", "--date", date]);
    // A Friday, a Saturday, 文化の日, and a day after it.
    assert!(night("2026-10-30").exits(3).stdout.contains("absent"));
    night("2026-10-31").exits(0);
    night("2026-11-03").exits(0);
    night("2026-11-04").exits(3);
    // The sample's file ends with 2027.
    let done = lake.run(&["--json", "nightly", "--date", "2027-03-01", "--force"]).exits(3);
    assert!(done.stdout.contains("year_missing") && done.stdout.contains("2028"), "{}", done.stdout);
    // What doctor says of the calendar is said of the coming year, so it depends on the day of the test: either line names it.
    let doctor: serde_json::Value = serde_json::from_str(&lake.run(&["--json", "doctor"]).stdout).unwrap();
    let checks = doctor.as_array().unwrap();
    let calendar = checks.iter().find(|check| check["what"] == "holidays").unwrap();
    let (year, ok) = (calendar["detail"].as_str().unwrap().contains("202"), calendar["ok"].as_bool().unwrap());
    assert!(ok != year, "{calendar}");
}

#[test]
fn a_holiday_file_that_ends_too_early_is_refused_and_the_calendar_stays() {
    let lake = Lake::with_masters();
    let before = lake.rows("holiday");
    let text = "国民の祝日・休日月日,国民の祝日・休日名称\r\n2026/11/23,勤労感謝の日\r\n";
    let bytes = shikaku_pipeline::text::cp932::Encoding::Cp932.encode(text).unwrap();
    let done = lake.ingest("masters", "syukujitsu.csv", &bytes, "2026-10-31").exits(3);
    assert!(done.stdout.contains("400303"), "{}", done.stdout);
    assert_eq!(lake.rows("holiday"), before);
    lake.run(&["nightly", "--date", "2026-10-31"]).exits(0);
}

#[test]
fn an_unknown_folder_in_schedule_due_is_a_fault_of_the_configuration() {
    let lake = Lake::new();
    lake.set("due = []", "due = [\"crls\"]");
    assert!(lake.run(&["status"]).exits(2).stderr.contains("crls"));
}
