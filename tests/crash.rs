//! `kill -9` at every step of every commit of a night, then the same night again: the tables are those of an undisturbed
//! night, and nothing is half-visible.

use std::collections::BTreeMap;

use crate::common::{Lake, Row, Sub, sub_file};

const D: &str = "2026-10-30";

/// A small night with every kind of commit: tables, landing, outbox, inbox moves, a rejection. The link is of a person whom
/// nobody insures, since whoever is insured when a link is made stands in its row.
fn fill(lake: &Lake) {
    let bad = Sub::new(3, 3).with("sex", "9");
    lake.write("inbox/subscribers/1.csv", &sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2), bad]));
    let link = crate::common::envelope("LNKP", "CHUKAN", 1, &["D,1,a1,9009".to_owned()]);
    lake.write("inbox/links/1.csv", &link);
    let dir = crate::common::samples().join("nights/2026-10-30/crl/20261031");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        lake.write(&format!("inbox/crl/20261031/{name}"), &std::fs::read(&path).unwrap());
    }
}

/// A lake to begin with, and the command that is disturbed. `steps` = how many steps of commits it has at least.
struct Scene {
    begin: Box<dyn Fn() -> Lake>,
    command: &'static [&'static str],
    /// Its exit code when nothing disturbs it.
    code: i32,
    steps: usize,
}

impl Scene {
    fn run(&self, lake: &Lake) -> i32 {
        lake.run(self.command).code
    }

    /// Ends the command at each of its steps, in turn.
    fn killed_at_every_step(&self) {
        let calm = self.calm();
        for step in 0.. {
            if self.disturbed("SHIKAKU_DIE_AT", &step.to_string(), &calm) == Some(self.code) {
                assert!(step >= self.steps, "only {step} steps were passed");
                break;
            }
        }
    }

    /// Makes each kind of step fail, in every run of the command: what was to persist has, and nobody knows.
    fn failed_at_every_step(&self) {
        let calm = self.calm();
        for step in
            ["started", "staged", "committed", "tables", "manifests", "files", "moves", "published", "removed", "done"]
        {
            assert_ne!(self.disturbed("SHIKAKU_FAIL_AT", step, &calm), Some(self.code), "{step} was not passed");
        }
    }

    /// What it comes to when nothing disturbs it.
    fn calm(&self) -> Calm {
        let lake = (self.begin)();
        let before = lake.contents();
        assert_eq!(self.run(&lake), self.code);
        Calm { before, after: lake.contents(), outbox: outbox(&lake) }
    }

    /// Disturbs the command, then runs it again: nothing may tell. Its exit code, none if it was killed.
    fn disturbed(&self, variable: &str, step: &str, calm: &Calm) -> Option<i32> {
        let Calm { before, after, outbox: out } = calm;
        let lake = (self.begin)();
        let what = format!("{variable}={step}");
        let code = lake.command(self.command).env(variable, step).output().unwrap().status.code();
        // Whatever is visible now is the old state or the new one of each run.
        for (table, rows) in &lake.contents() {
            assert!(rows == &before[table] || rows == &after[table], "{what}: {table} is half-visible");
        }
        self.run(&lake);
        // A job that another one's failure kept from running does so the next time.
        if code.is_some() {
            self.run(&lake);
        }
        for (table, rows) in &lake.contents() {
            assert!(rows == &after[table], "{what}: {table} differs");
        }
        assert_eq!(&outbox(&lake), out, "{what}: outbox differs");
        lake.run(&["audit", "verify"]).exits(0);
        let mut left = BTreeMap::new();
        crate::common::read_all(&lake.path("inbox"), &lake.path("inbox"), &mut left);
        assert!(left.is_empty() && !lake.path("lake/_staging").exists(), "{what}: {:?}", left.keys());
        code
    }
}

/// An undisturbed command: tables before and after, bytes of the outbox.
struct Calm {
    before: BTreeMap<String, Vec<Row>>,
    after: BTreeMap<String, Vec<Row>>,
    outbox: BTreeMap<String, Vec<u8>>,
}

/// Lakes that begin alike.
fn each_from(make: fn() -> Lake) -> Box<dyn Fn() -> Lake> {
    let first = make();
    match first.on_postgres() {
        true => Box::new(make),
        false => Box::new(move || first.copy()),
    }
}

/// Files in: subscribers, links and CRLs, each a run of ten steps.
fn intake() -> Scene {
    let begin = || {
        let lake = Lake::with_masters();
        fill(&lake);
        lake
    };
    Scene { begin: each_from(begin), command: &["nightly", "--date", D], code: 3, steps: 30 }
}

/// What a month is made of: checks, receipts, re-routing, fees and statistics.
fn month() -> Scene {
    let begin = || {
        let lake = Lake::with_masters();
        lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), D).exits(0);
        let (code, no) = crate::common::kempo();
        let check = |n: u32| format!("D,Q{n},2021100{n}093000,1319000000,1,01,1,V1,abc123,1,1001,{code},{no},1");
        lake.write("inbox/checks/1.csv", &crate::common::envelope("CHK", "ONL", 1, &[check(1), check(2)]));
        let receipts = crate::common::samples().join("public/RECEIPTC_GAIRAI_SAMPLE.UKE");
        lake.write("inbox/receipts/R.UKE", &std::fs::read(receipts).unwrap());
        lake
    };
    Scene { begin: each_from(begin), command: &["nightly", "--date", "2021-11-12"], code: 0, steps: 50 }
}

fn compaction() -> Scene {
    let begin = || {
        let lake = Lake::with_masters();
        lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2)]), D).exits(0);
        let changed = Sub::new(1, 2).with("operation", "2").with("name", "見本　改");
        lake.ingest("subscribers", "2.csv", &sub_file(2, &[changed]), "2026-10-31").exits(0);
        lake
    };
    Scene { begin: each_from(begin), command: &["compact"], code: 0, steps: 10 }
}

#[test]
fn every_step_of_an_intake_can_be_the_last() {
    intake().killed_at_every_step();
}

#[test]
fn every_step_of_a_month_can_be_the_last() {
    month().killed_at_every_step();
}

#[test]
fn every_step_of_a_compaction_can_be_the_last() {
    compaction().killed_at_every_step();
}

#[test]
fn what_persisted_although_it_is_said_to_have_failed_does_no_harm() {
    intake().failed_at_every_step();
    month().failed_at_every_step();
    compaction().failed_at_every_step();
}

fn outbox(lake: &Lake) -> BTreeMap<String, Vec<u8>> {
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
