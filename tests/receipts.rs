//! `ingest receipts`: totals checked, anything cut or odd refused whole, with a code.

use crate::common::{Lake, samples};

fn real() -> Vec<u8> {
    std::fs::read(samples().join("public/RECEIPTC_GAIRAI_SAMPLE.UKE")).unwrap()
}

#[test]
fn the_real_file_is_taken_in_with_its_75_receipts_and_control_totals() {
    let lake = Lake::new();
    let done = lake.ingest("receipts", "R.UKE", &real(), "2021-11-10").exits(0);
    assert!(done.stdout.contains("read 75, accepted 75"));
    let points: i64 = lake.column("receipt", "points").iter().map(|p| p.parse::<i64>().unwrap()).sum();
    assert_eq!(points, 86_392);
    let before = lake.bytes();
    lake.ingest("receipts", "R.UKE", &real(), "2021-11-11").exits(0);
    assert_eq!(lake.bytes(), before);
}

#[test]
fn a_file_cut_anywhere_or_with_other_totals_is_refused() {
    let lake = Lake::new();
    let bytes = real();
    for cut in (1..bytes.len() - 1).step_by(1999) {
        lake.ingest("receipts", "cut.UKE", &bytes[..cut], "2021-11-10").exits(3);
    }
    let text = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    };
    for (changed, code) in [
        (text("GO,140,86392", "GO,141,86392"), "400007"),
        (text("GO,140,86392", "GO,140,86393"), "400007"),
        (text("RE,2,1112", "RE,1,1112"), "400202"),
        (text("IR,1,12,1", "IR,9,12,1"), "400001"),
        (text("IR,1,12,1", "IR,1,12,7"), "400004"),
    ] {
        let done = lake.ingest("receipts", "x.UKE", &changed, "2021-11-10").exits(3);
        assert!(done.stdout.contains(code), "{code}: {}", done.stdout);
    }
    assert!(lake.rows("receipt").is_empty());
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn a_likely_my_number_in_a_comment_quarantines_the_file() {
    let lake = Lake::new();
    let body = [3u32, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
    let digits: String = body.iter().map(ToString::to_string).collect();
    let number = format!("{digits}{}", shikaku_pipeline::text::digits::my_number_digit(&body));
    let mut bytes = real();
    let at = bytes.windows(9).position(|w| w == b"CO,22,2,8").unwrap();
    bytes.splice(at..at, format!("CO,22,2,810000001,{number}\r\n").into_bytes());
    let done = lake.ingest("receipts", "R.UKE", &bytes, "2021-11-10").exits(3);
    assert!(done.stdout.contains("900001"));
    assert!(!lake.path("lake/landing").exists());
}
