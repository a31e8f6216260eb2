//! `ingest links`: persons behind serials, in whatever order the records come.

use crate::common::{Lake, Sub, envelope, sub_file};

const D: &str = "2026-10-30";

fn file(kind: &str, receipt: u32, lines: &[&str]) -> Vec<u8> {
    let origin = if kind == "LNKR" { "JLIS" } else { "CHUKAN" };
    let lines: Vec<String> = (1..).zip(lines).map(|(n, l)| format!("D,{n},{l}")).collect();
    envelope(kind, origin, receipt, &lines)
}

fn links(lake: &Lake) -> Vec<String> {
    let columns = ["serial", "link_no", "superseded_by", "recorded_to"].map(|c| lake.column("serial_link", c));
    (0..columns[0].len())
        .filter(|i| columns[3][*i].is_empty())
        .map(|i| format!("{}={}>{}", columns[0][i], columns[1][i], columns[2][i]))
        .collect()
}

#[test]
fn chains_resolve_in_any_order_across_files_and_nights() {
    let expected = ["a1=7>b2", "b2=7>c3", "c3=7>"];
    let person = file("LNKP", 1, &["00A1,7"]);
    let first = file("LNKU", 1, &["b2,a1"]);
    let second = file("LNKU", 2, &["c3,b2"]);
    // All in one night, in order.
    let lake = Lake::new();
    for (name, bytes) in [("p", &person), ("1", &first), ("2", &second)] {
        lake.ingest("links", name, bytes, D).exits(0);
    }
    assert_eq!(links(&lake), expected);
    // The person last, over three nights; what waits is a warning, not an error.
    let lake = Lake::new();
    let done = lake.ingest("links", "1", &first, D).exits(0);
    assert!(done.stdout.contains("accepted 1"));
    lake.ingest("links", "2", &second, "2026-10-31").exits(0);
    assert_eq!(lake.rows("pending_link").len(), 2);
    assert!(lake.run(&["status"]).exits(0).stdout.contains("links waiting  2"));
    lake.ingest("links", "p", &person, "2026-11-01").exits(0);
    assert_eq!(links(&lake), expected);
    assert!(lake.rows("pending_link").is_empty());
    // Every link made is an acquisition, once.
    assert_eq!(lake.column("acquisition", "serial").len(), 3);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn a_request_number_waits_for_its_person_and_is_not_kept_once_converted() {
    let lake = Lake::new();
    lake.ingest("links", "r", &file("LNKR", 1, &["a1,123456"]), D).exits(0);
    assert_eq!(lake.rows("pending_link").len(), 1);
    lake.ingest("links", "m", &file("REQM", 1, &["123456,9"]), "2026-10-31").exits(0);
    assert_eq!(links(&lake), ["a1=9>"]);
    assert!(lake.rows("pending_link").is_empty() && lake.rows("request_map").is_empty());
    // Nor in an earlier generation, nor in a landed file: 処理通番 and person are nowhere side by side.
    let mut files = std::collections::BTreeMap::new();
    crate::common::read_all(&lake.path("lake"), &lake.path("lake"), &mut files);
    let left = |part: &str| files.keys().filter(|f| f.starts_with(part) && !f.contains("_manifest")).count();
    let kept = (left("pending_link/"), left("request_map/"), left("landing/"));
    assert_eq!(kept, (1, 0, 0), "but for the generation that says that nothing waits: {:?}", files.keys());
    lake.run(&["audit", "verify"]).exits(0);
    // The same bytes again are known by their digest all the same.
    let again = lake.ingest("links", "r", &file("LNKR", 1, &["a1,123456"]), "2026-11-01").exits(0);
    assert!(again.stdout.contains("nothing"), "{}", again.stdout);
}

#[test]
fn a_file_one_of_whose_rows_waits_stays_until_that_one_is_resolved() {
    let lake = Lake::new();
    lake.ingest("links", "r", &file("LNKR", 1, &["a1,1", "b2,2"]), D).exits(0);
    lake.ingest("links", "m", &file("REQM", 1, &["1,9"]), "2026-10-31").exits(0);
    let landed = || {
        let mut files = std::collections::BTreeMap::new();
        crate::common::read_all(&lake.path("lake/landing"), &lake.path("lake"), &mut files);
        files.len()
    };
    assert_eq!((links(&lake), landed()), (vec!["a1=9>".to_owned()], 1));
    lake.ingest("links", "m2", &file("REQM", 2, &["0002,9"]), "2026-11-01").exits(0);
    assert_eq!((links(&lake).len(), landed()), (2, 0));
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn conflicts_are_rejected_with_their_code_and_change_nothing() {
    let lake = Lake::new();
    lake.ingest("links", "p", &file("LNKP", 1, &["a,1", "b,2"]), D).exits(0);
    lake.ingest("links", "u", &file("LNKU", 1, &["c,a"]), D).exits(0);
    let before = links(&lake);
    for (n, kind, line, code) in [
        (2, "LNKP", "a,2", "300202"),
        (2, "LNKU", "d,a", "300203"),
        (3, "LNKU", "b,c", "300202"),
        (4, "LNKU", "a,c", "300204"),
        (5, "LNKU", "c,c", "200401"),
        (3, "LNKP", "zz,2", "130204"),
        (4, "LNKP", "-5,2", "130204"),
        (5, "LNKP", "10000000000000000000000000000000000000000ab,2", "130203"),
    ] {
        let done = lake.ingest("links", &format!("{kind}{n}"), &file(kind, n, &[line]), D).exits(3);
        assert!(done.stdout.contains(code), "{kind} {line}: {}", done.stdout);
    }
    assert_eq!(links(&lake), before);
    let known = lake.ingest("links", "known", &file("LNKP", 6, &["a,1"]), D).exits(0);
    assert!(known.stdout.contains("duplicate 1"));
}

#[test]
fn the_acquisition_names_the_insurer_of_that_moment_or_nobody() {
    let lake = Lake::with_masters();
    lake.ingest("subscribers", "s", &sub_file(1, &[Sub::new(1, 1)]), D).exits(0);
    lake.ingest("links", "p", &file("LNKP", 1, &["a,1001", "b,77"]), D).exits(0);
    let (code, _) = crate::common::kempo();
    assert_eq!(lake.column("acquisition", "insurer_code"), [code.as_str(), "99999999"]);
}
