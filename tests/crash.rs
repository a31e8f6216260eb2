//! `kill -9` at every step of every commit of a night, then the same night again: the tables are those of an undisturbed
//! night, and nothing is half-visible.

use crate::common::{Lake, Sub, sub_file};

const D: &str = "2026-10-30";

/// A small night with every kind of commit: tables, landing, outbox, inbox moves, a rejection.
fn fill(lake: &Lake) {
    let bad = Sub::new(3, 3).with("sex", "9");
    lake.write("inbox/subscribers/1.csv", &sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2), bad]));
    let link = crate::common::envelope("LNKP", "CHUKAN", 1, &["D,1,a1,1001".to_owned()]);
    lake.write("inbox/links/1.csv", &link);
    let dir = crate::common::samples().join("nights/2026-10-30/crl/20261031");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        lake.write(&format!("inbox/crl/20261031/{name}"), &std::fs::read(&path).unwrap());
    }
}

fn night(lake: &Lake) -> i32 {
    lake.run(&["nightly", "--date", D]).code
}

#[test]
fn every_step_can_be_the_last() {
    let calm = Lake::with_masters();
    fill(&calm);
    assert_eq!(night(&calm), 3);
    let expected = (calm.contents(), outbox(&calm));
    let mut died = 0;
    // Each commit passes ten steps; three runs commit in this night.
    for step in 0..40 {
        let lake = Lake::with_masters();
        fill(&lake);
        let status = lake.command(&["nightly", "--date", D]).env("SHIKAKU_DIE_AT", step.to_string()).status().unwrap();
        if status.code().is_some() {
            assert!(step >= 30, "only {step} steps were passed");
            break;
        }
        died += 1;
        // Whatever is visible now is the old state or the new one of each run.
        let visible = lake.contents();
        for (table, rows) in &visible {
            assert!(rows.is_empty() || rows == &expected.0[table], "step {step}: {table} is half-visible");
        }
        night(&lake);
        assert!(lake.contents() == expected.0, "step {step}: tables differ");
        assert_eq!(outbox(&lake), expected.1, "step {step}: outbox differs");
        lake.run(&["audit", "verify"]).exits(0);
        assert!(!lake.path("inbox/subscribers/1.csv").exists() && !lake.path("inbox/crl/20261031").exists());
        assert!(!lake.path("lake/_staging").exists());
    }
    assert!(died >= 24);
}

fn outbox(lake: &Lake) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut files = lake.bytes();
    files.retain(|path, _| path.starts_with("outbox"));
    files
}

#[test]
fn a_night_that_was_cut_off_keeps_its_business_date() {
    let lake = Lake::with_masters();
    fill(&lake);
    let status = lake.command(&["nightly", "--date", D]).env("SHIKAKU_DIE_AT", "3").status().unwrap();
    assert!(status.code().is_none());
    lake.run(&["nightly", "--date", D]).exits(3);
    assert_eq!(lake.column("coverage", "recorded_from"), ["2026-10-30 21:00:00"; 2]);
}
