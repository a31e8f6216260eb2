//! `ingest masters`: whole or not at all.

use crate::common::{Lake, samples};

#[test]
fn the_real_holiday_file_is_taken_in_and_a_second_time_changes_nothing() {
    let lake = Lake::new();
    let file = samples().join("public/syukujitsu.csv");
    for _ in 0..2 {
        lake.run(&["ingest", "masters", file.to_str().unwrap(), "--date", "2026-10-29"]).exits(0);
        assert_eq!(lake.rows("holiday").len(), 1067);
    }
    assert_eq!(lake.rows("run").len(), 1);
}

#[test]
fn one_bad_row_refuses_the_file_and_the_master_stays() {
    let lake = Lake::with_masters();
    let before = lake.rows("insurer");
    let text = std::fs::read_to_string(samples().join("nights/2026-10-30/masters/insurers.csv")).unwrap();
    let broken = text.replacen(",01,", ",99,", 1);
    lake.ingest("masters", "insurers.csv", broken.as_bytes(), "2026-10-30").exits(3);
    assert_eq!(lake.rows("insurer"), before);
    let done = lake.ingest("masters", "other.csv", b"what,is,this\n", "2026-10-30").exits(3);
    assert!(done.stdout.contains("400301"), "{}", done.stdout);
}
