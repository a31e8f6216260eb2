//! `reroute`: the real file through, every byte but SN, IR and GO kept.

use std::collections::BTreeMap;

use crate::common::{Lake, Sub, envelope, insurer_no, samples};

const CUTOFF: [&str; 4] = ["--month", "2021-11", "--date", "2021-11-12"];

fn lake_with_real_file() -> Lake {
    let lake = Lake::new();
    lake.run(&["ingest", "masters", samples().join("public/syukujitsu.csv").to_str().unwrap(), "--date", "2021-11-01"])
        .exits(0);
    lake
}

fn reroute(lake: &Lake) -> crate::common::Done {
    lake.run(&[["reroute"].as_slice(), &CUTOFF].concat())
}

fn take(lake: &Lake) {
    let real = samples().join("public/RECEIPTC_GAIRAI_SAMPLE.UKE");
    lake.run(&["ingest", "receipts", real.to_str().unwrap(), "--date", "2021-11-10"]).exits(0);
}

fn outcomes(lake: &Lake) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for outcome in lake.column("reroute", "outcome") {
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

/// Lines of all outgoing files but IR, GO and SN, sorted; and the SN lines.
fn lines_out(lake: &Lake) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut files = BTreeMap::new();
    crate::common::read_all(&lake.path("outbox/reroute/2021-11/payer"), lake.dir.path(), &mut files);
    split(files.into_values().collect())
}

fn split(files: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut kept, mut sn) = (Vec::new(), Vec::new());
    for file in files {
        for line in file.split_inclusive(|b| *b == b'\n') {
            match &line[..2] {
                b"IR" | b"GO" => {}
                b"SN" => sn.push(line.to_vec()),
                _ => kept.push(line.to_vec()),
            }
        }
    }
    kept.sort();
    (kept, sn)
}

#[test]
fn seventy_five_receipts_go_in_and_out_and_unknown_persons_are_03() {
    let lake = lake_with_real_file();
    take(&lake);
    reroute(&lake).exits(0);
    assert_eq!(outcomes(&lake), BTreeMap::from([("03".to_owned(), 69), ("not_applicable".to_owned(), 6)]));
    let (kept, sn) = lines_out(&lake);
    let (original, _) = split(vec![std::fs::read(samples().join("public/RECEIPTC_GAIRAI_SAMPLE.UKE")).unwrap()]);
    assert_eq!(kept, original);
    assert_eq!(sn, vec![b"SN,1,03,,,,,,\r\n".to_vec(); 69]);
    let kohi = lake.outbox("payer/1/_kohi/1210000000.UKE");
    assert!(kohi.starts_with(b"IR,1,12,1,") && kohi.ends_with(b"GO,0,0,99\r\n"));
    // Again: no new version, no changed byte.
    let before = lake.bytes();
    reroute(&lake).exits(0);
    assert_eq!(lake.bytes(), before);
}

#[test]
fn a_month_loaded_after_its_cut_off_is_decided_as_known_that_day() {
    let lake = lake_with_real_file();
    let real = samples().join("public/RECEIPTC_GAIRAI_SAMPLE.UKE");
    lake.run(&["ingest", "receipts", real.to_str().unwrap()]).exits(0);
    lake.run(&["reroute", "--month", "2021-11"]).exits(0);
    assert_eq!(lake.rows("reroute").len(), 75);
}

/// Masters with the insurer of receipts 2 and 3 and one more; member files for their patients.
#[test]
fn registered_persons_give_02_09_04_06_and_the_lists_say_so() {
    let lake = lake_with_real_file();
    let other = insurer_no("0627001");
    let masters = format!(
        "insurer_code,holder_name,scheme,insurer_no,insurer_name,phone,address,established_on,abolished_on\r\n\
         01130012,協会甲,01,01130012,協会甲,,,,\r\n01010016,協会乙,01,01010016,協会乙,,,,\r\n{other},健保丙,02,{other},健保丙,,,,\r\n"
    );
    lake.ingest("masters", "insurers.csv", masters.as_bytes(), "2021-11-01").exits(0);
    let person = |record, n, insurer: &str, symbol: &str, number: &str, birth: &str| {
        Sub::new(record, n)
            .with("insurer_no", insurer)
            .with("symbol", symbol)
            .with("number", number)
            .with("birth_date", birth)
            .with("link_no", &n.to_string())
            .with("name", "A B")
            .with("kana", "")
    };
    // Receipt 2 (HO 01130012, ６４４４０７１８, ７, SN with 枝番 00, born 1991-01-25): covered → 02.
    let covered = person(1, 1, "01130012", "64440718", "7", "19910125").with("branch_no", "00");
    // Receipts 1 and 3 (HO 01010016, １, １, born 1991-12-11 and no 枝番): 枝番 known now → 09.
    let branch = person(1, 2, "01010016", "1", "1", "19911121").with("branch_no", "02");
    lake.ingest("subscribers", "a", &envelope("SUB", "01130012", 1, &[covered.line()]), "2021-11-10").exits(0);
    lake.ingest("subscribers", "b", &envelope("SUB", "01010016", 1, &[branch.line()]), "2021-11-10").exits(0);
    take(&lake);
    reroute(&lake).exits(0);
    let first = outcomes(&lake);
    assert!(first["02"] >= 1 && first["09"] >= 1, "{first:?}");
    let (_, sn) = lines_out(&lake);
    assert!(sn.contains(&b"SN,1,02,,,,,,\r\n".to_vec()) && sn.contains(&b"SN,1,09,,,,02,,\r\n".to_vec()));

    // The same persons lost before the month, one of them with a new insurer.
    let lost = |sub: Sub| sub.with("operation", "2").with("lost_on", "20211001").with("loss_reason", "01");
    lake.ingest("subscribers", "a2", &envelope("SUB", "01130012", 2, &[lost(covered).line()]), "2021-11-11").exits(0);
    lake.ingest("subscribers", "b2", &envelope("SUB", "01010016", 2, &[lost(branch).line()]), "2021-11-11").exits(0);
    let joined = person(1, 3, &other, "KI-GO", "55", "19910125")
        .with("link_no", "1")
        .with("acquired_on", "20211001")
        .with("branch_no", "03");
    lake.ingest("subscribers", "c", &envelope("SUB", &other, 1, &[joined.line()]), "2021-11-11").exits(0);
    reroute(&lake).exits(0);
    let second = outcomes(&lake);
    // Before 請求年月 202303 a receipt without MF may not move: the new insurer is known, the claim stays (06 no_mf).
    assert_eq!(second.get("04"), None);
    let reasons = lake.column("reroute", "reason");
    assert!(reasons.iter().any(|r| r == "no_mf"), "{reasons:?}");
    assert!(second["06"] >= 2, "{second:?}");
    let list = lake.outbox("institution/1210000000_v2.csv");
    let list = shikaku_pipeline::text::cp932::Encoding::Cp932.decode(&list).unwrap().into_owned();
    assert!(list.contains("202111,2,0,06,no_mf,01130012,６４４４０７１８,７,,,,,11,276\r\n"), "{list}");
    let difference = String::from_utf8(lake.outbox("reroute/2021-11/diff_v2.csv")).unwrap();
    assert!(difference.contains(",確認区分,02,06"), "{difference}");
    lake.run(&["audit", "verify"]).exits(0);
}
