//! Subscriber, link and receipt files: what outside eyes found, each by itself (faults S, W, U, C5, C6, C12, M3, M5).

use std::collections::BTreeMap;

use shikaku_pipeline::text::cp932::Encoding;
use shikaku_pipeline::text::digits::my_number_digit;

use crate::common::{Lake, Sub, envelope, kempo, read_all, samples, sub_file, sub_xml};

const D: &str = "2026-10-30";

/// A number that passes as 個人番号, made here.
fn my_number() -> String {
    let body = [2u32, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4];
    let digits: String = body.iter().map(ToString::to_string).collect();
    format!("{digits}{}", my_number_digit(&body))
}

/// Every byte of the lake but its ledger's, landings unpacked.
fn landed(lake: &Lake) -> Vec<u8> {
    let mut files = BTreeMap::new();
    read_all(&lake.path("lake"), lake.dir.path(), &mut files);
    read_all(&lake.path("outbox"), lake.dir.path(), &mut files);
    let mut all = Vec::new();
    for (path, bytes) in files {
        if path.ends_with(".zst") {
            let mut source = shikaku_pipeline::store::landing::open(&lake.path(&path), None).unwrap();
            std::io::Read::read_to_end(&mut source, &mut all).unwrap();
        }
        all.extend(bytes);
    }
    all
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn nothing_of_a_record_that_breaks_off_lands_with_a_likely_my_number() {
    let number = my_number();
    let (family, given) = number.split_at(6);
    let hidden =
        [number.clone(), format!("{family}&#8203;{given}"), number.bytes().map(|b| format!("&#{b};")).collect()];
    for text in hidden {
        let whole = sub_xml(1, &[Sub::new(1, 1).with("address", "ADDRESS")], "UTF-8");
        let whole = String::from_utf8(whole).unwrap().replace("ADDRESS", &format!("東京都{text}"));
        let at = whole.find("</address>").unwrap();
        // Cut or broken at every place behind it inside its record, and whole.
        for end in (at..whole.len()).step_by(13) {
            for broken in
                [whole[..whole.floor_char_boundary(end)].to_owned(), format!("{}<&{}", &whole[..at], &whole[at..])]
            {
                let lake = Lake::with_masters();
                let done = lake.ingest("subscribers", "x.xml", broken.as_bytes(), D).exits(3);
                assert!(done.stdout.contains("900001"), "{text} cut at {end}: {}", done.stdout);
                let bytes = landed(&lake);
                assert!(!holds(&bytes, &number) && !holds(&bytes, family), "{text} cut at {end}");
                if !broken.ends_with('<') && end > at + 26 {
                    break;
                }
            }
            if end > at + 40 {
                break;
            }
        }
    }
}

#[test]
fn a_number_in_groups_of_four_is_one_in_every_place() {
    let n = my_number();
    let written = format!("{}-{}-{}", &n[..4], &n[4..8], &n[8..]);
    let spaced = format!("{} {} {}", &n[..4], &n[4..8], &n[8..]);
    for text in [&written, &spaced] {
        let lake = Lake::with_masters();
        let file = sub_file(1, &[Sub::new(1, 1).with("address", &format!("東京都{text}"))]);
        let done = lake.ingest("subscribers", "a.csv", &file, D).exits(3);
        assert!(done.stdout.contains("900001"), "{text}: {}", done.stdout);
        // The line, not the value, is told.
        let result = String::from_utf8(lake.outbox("/a.csv.")).unwrap();
        assert!(result.contains("2行目") && !result.contains(&n[..4]), "{result}");
        assert!(done.stderr.contains("\"line\":2") && done.stderr.contains("WARN"), "{}", done.stderr);
    }
    // Other runs with spaces are none: a date and a time.
    let lake = Lake::with_masters();
    let file = sub_file(1, &[Sub::new(1, 1).with("address", &format!("{} {}", &n[..8], &n[8..]))]);
    lake.ingest("subscribers", "b.csv", &file, D).exits(0);
}

#[test]
fn a_key_that_is_a_number_without_its_hyphens_is_rejected_and_lands_without_its_digits() {
    let n = my_number();
    for sent in [n.clone(), format!("{}-{}-{}", &n[..4], &n[4..8], &n[8..]), format!("{}‐{}", &n[..3], &n[3..])] {
        for xml in [false, true] {
            for lake in [Lake::with_masters(), Lake::with_keys().load_masters()] {
                let records = [Sub::new(1, 1).with("number", &sent), Sub::new(2, 2)];
                let bytes = if xml { sub_xml(1, &records, "UTF-8") } else { sub_file(1, &records) };
                let done = lake.ingest("subscribers", "k", &bytes, D).exits(3);
                assert!(done.stdout.contains("900002"), "{sent}: {}", done.stdout);
                assert_eq!(lake.rows("member").len(), 1);
                let sha256 = shikaku_pipeline::base::digest::sha256(&bytes);
                let store = lake.store();
                assert_eq!(store.ledger.fact_texts("blanked").unwrap(), [(sha256.clone(), "1".to_owned())]);
                let row = store.ledger.input(&sha256).unwrap().unwrap();
                let path = lake.path("lake").join(row.landing.unwrap());
                let mut kept = Vec::new();
                let mut source = shikaku_pipeline::store::landing::open(&path, store.keys.as_deref()).unwrap();
                std::io::Read::read_to_end(&mut source, &mut kept).unwrap();
                // Nothing but these digits is gone.
                let blank: String = sent.chars().map(|c| if c.is_ascii_digit() { ' ' } else { c }).collect();
                let expected = String::from_utf8(bytes.clone()).unwrap().replacen(&sent, &blank, 1);
                assert_eq!(String::from_utf8(kept).unwrap(), expected);
                lake.run(&["audit", "verify"]).exits(0);
            }
        }
    }
}

#[test]
fn a_row_that_begins_with_another_person_names_the_record_that_moved_it() {
    let lake = Lake::with_masters();
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1), Sub::new(2, 1).with("coverage_seq", "2")]), D)
        .exits(0);
    let moving = Sub::new(7, 1).with("operation", "4").with("link_no", "5555").with("updated_at", "20261031010203");
    let file = sub_file(2, &[moving]);
    lake.ingest("subscribers", "2.csv", &file, "2026-10-31").exits(0);
    let source = shikaku_pipeline::base::digest::sha256(&file)[..16].to_owned();
    for (table, rows) in [("member", 1), ("coverage", 2)] {
        let columns =
            ["link_no", "recorded_to", "source_file", "source_record", "updated_at"].map(|c| lake.column(table, c));
        let open: Vec<usize> = (0..columns[0].len()).filter(|i| columns[1][*i].is_empty()).collect();
        assert_eq!(open.len(), rows);
        for i in open {
            let row: Vec<&str> = columns.iter().map(|c| c[i].as_str()).collect();
            assert_eq!(row, ["5555", "", source.as_str(), "7", "2026-10-31 01:02:03"], "{table}");
        }
    }
}

#[test]
fn what_is_taken_back_or_moved_is_not_judged_by_the_master() {
    let lake = Lake::with_masters();
    let own = |record: Sub, operation: &str| record.with("operation", operation);
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2)]), D).exits(0);
    // The insurer is abolished since before these coverages began.
    let masters = std::fs::read_to_string(samples().join("nights/2026-10-30/masters/insurers.csv")).unwrap();
    let (_, number) = kempo();
    let abolished: String = masters
        .lines()
        .map(|line| if line.split(',').nth(3) == Some(&number) { format!("{line}20191231") } else { line.to_owned() } + "\r\n")
        .collect();
    lake.ingest("masters", "insurers.csv", abolished.as_bytes(), "2026-10-31").exits(0);
    let done = lake.ingest("subscribers", "2.csv", &sub_file(2, &[own(Sub::new(1, 3), "1")]), "2026-10-31").exits(3);
    assert!(done.stdout.contains("300102"), "{}", done.stdout);
    let back = own(Sub::new(1, 1), "3").with("link_no", "");
    let moved = own(Sub::new(2, 2), "4").with("link_no", "77");
    lake.ingest("subscribers", "3.csv", &sub_file(3, &[back, moved]), "2026-11-01").exits(0);
}

#[test]
fn moving_a_coverage_that_is_not_there_is_an_error_and_nobody_is_number_0() {
    let lake = Lake::with_masters();
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), D).exits(0);
    let moving = Sub::new(1, 1).with("operation", "4").with("link_no", "5").with("coverage_seq", "9");
    let done = lake.ingest("subscribers", "2.csv", &sub_file(2, &[moving]), "2026-10-31").exits(3);
    assert!(done.stdout.contains("300105"), "{}", done.stdout);
    let zero = Sub::new(1, 2).with("link_no", "0");
    lake.ingest("subscribers", "3.csv", &sub_file(3, &[zero]), "2026-11-01").exits(3);
    assert_eq!(lake.column("member", "link_no"), ["1001"]);
    let person = envelope("LNKP", "CHUKAN", 1, &["D,1,a1,0".to_owned()]);
    lake.ingest("links", "p.csv", &person, "2026-11-01").exits(3);
    assert!(lake.rows("serial_link").is_empty());
}

#[test]
fn while_definitions_stand_refused_subscriber_files_wait() {
    let lake = Lake::with_masters();
    let (code, _) = kempo();
    let file = sub_file(1, &[Sub::new(1, 1)]);
    for (bad, line, key) in [
        (format!("[{code}]\nencoding = \"utf-8\"\nloss_days = 3\n"), "3行目", "loss_days"),
        (format!("[{code}.code_maps.sex]\n\"M\" = \"1\"\n\"F\" = \"9\"\n"), "3行目", "code_maps.sex.F"),
    ] {
        lake.write("inbox/masters/insurer_definitions.toml", bad.as_bytes());
        lake.write("inbox/subscribers/1.csv", &file);
        let done = lake.run(&["nightly", "--date", D]).exits(3);
        assert!(done.stdout.contains("300003") || line == "3行目" && key.contains("sex"), "{}", done.stdout);
        assert!(lake.rows("member").is_empty() && lake.path("inbox/subscribers/1.csv").exists());
        let mut results = BTreeMap::new();
        read_all(&lake.path("outbox/results/masters"), lake.dir.path(), &mut results);
        let told: String = results.values().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
        assert!(told.contains(line) && told.contains(key), "{told}");
    }
    let good = format!("[{code}]\nencoding = \"utf-8\"\n");
    lake.write("inbox/masters/insurer_definitions.toml", good.as_bytes());
    lake.run(&["nightly", "--date", D]).exits(0);
    assert_eq!(lake.rows("member").len(), 1);
    // Those in force, sent again after refused ones: the sender has said which hold.
    lake.write("inbox/masters/insurer_definitions.toml", format!("{good}loss_days = \"x\"\n").as_bytes());
    lake.write("inbox/subscribers/2.csv", &sub_file(2, &[Sub::new(1, 2)]));
    lake.run(&["nightly", "--date", "2026-10-31"]).exits(3);
    assert_eq!(lake.rows("member").len(), 1);
    lake.write("inbox/masters/insurer_definitions.toml", good.as_bytes());
    lake.run(&["nightly", "--date", "2026-11-01"]).exits(0);
    assert_eq!(lake.rows("member").len(), 2);
}

#[test]
fn nothing_between_the_digits_of_an_xml_value_hides_them() {
    let n = my_number();
    for between in ["<!-- -->", "<?x ?>", "&#x200b;", "<![CDATA[]]>"] {
        let lake = Lake::with_masters();
        let text =
            String::from_utf8(sub_xml(1, &[Sub::new(1, 1).with("number", &n), Sub::new(2, 2)], "UTF-8")).unwrap();
        let bytes = text.replacen(&n, &format!("{}{between}{}", &n[..5], &n[5..]), 1);
        let done = lake.ingest("subscribers", "c", bytes.as_bytes(), D).exits(3);
        assert!(done.stdout.contains("900002") || done.stdout.contains("900001"), "{between}: {}", done.stdout);
        assert!(!holds(&landed(&lake), &n[5..]), "{between}");
    }
}

#[test]
fn characters_whose_stored_bytes_read_as_others_are_rejected() {
    let lake = Lake::with_masters();
    for (n, sign) in (1..).zip(["\u{a5}", "\u{203e}"]) {
        let file = sub_file(n, &[Sub::new(1, n).with("symbol", &format!("記{sign}"))]);
        lake.ingest("subscribers", &format!("{n}.csv"), &file, D).exits(3);
    }
    // A minus sign has bytes that compare as it does.
    lake.ingest("subscribers", "3.csv", &sub_file(3, &[Sub::new(1, 3).with("symbol", "記−1")]), D).exits(0);
    assert_eq!(lake.column("coverage", "symbol_key"), ["記1"]);
}

#[test]
fn status_names_each_held_file_once_and_only_while_it_is_there() {
    let lake = Lake::with_masters();
    lake.write("inbox/subscribers/1.csv", &sub_file(1, &[Sub::new(1, 1)]));
    lake.write("inbox/subscribers/3.csv", &sub_file(3, &[Sub::new(1, 3)]));
    for date in [D, "2026-10-31", "2026-11-01"] {
        lake.run(&["nightly", "--date", date]).exits(3);
    }
    let held = || {
        let status: serde_json::Value = serde_json::from_str(&lake.run(&["--json", "status"]).exits(0).stdout).unwrap();
        status["held_files"].as_array().unwrap().len()
    };
    assert_eq!(held(), 1);
    std::fs::remove_file(lake.path("inbox/subscribers/3.csv")).unwrap();
    assert_eq!(held(), 0);
}

#[test]
fn an_xml_file_whose_header_is_wrong_is_answered_to_its_sender() {
    let lake = Lake::with_masters();
    let file = String::from_utf8(sub_xml(1, &[Sub::new(1, 1)], "UTF-8")).unwrap();
    for (n, bad) in [file.replace("receiptNo=\"1\"", "receiptNo=\"x\""), file.replace("count=\"1\"", "count=\"one\"")]
        .iter()
        .enumerate()
    {
        lake.ingest("subscribers", &format!("{n}.xml"), bad.as_bytes(), D).exits(3);
        let result = String::from_utf8(lake.outbox(&format!("results/{}/{n}.xml", kempo().0))).unwrap();
        assert!(result.contains("400001") && result.contains("XML"), "{result}");
    }
    assert!(!lake.path("outbox/results/unknown").exists());
}

#[test]
fn an_inquiry_says_what_has_ended_and_takes_a_date_for_its_moment() {
    let lake = Lake::with_masters();
    let record = Sub::new(1, 1)
        .with("symbol", "")
        .with("card_kind", "08")
        .with("card_from", "20250401")
        .with("card_to", "20260930");
    let record = record.with("benefit_from", "20250401").with("benefit_to", "20260831");
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[record]), D).exits(0);
    lake.write("ask.json", br#"{"link_no": 1001, "valid_on": "2026-10-01", "known_at": "2026-10-31"}"#);
    let done = lake.run(&["inquire", "ask.json"]).exits(0);
    for text in ["有効です", "資格確認書", "2026-09-30", "給付", "2026-08-31", "記号・番号    1 枝番"]
    {
        assert!(done.stdout.contains(text), "{text}: {}", done.stdout);
    }
    lake.write("ask.json", br#"{"link_no": 1001, "valid_on": "2026-08-01", "known_at": "2026-10-29"}"#);
    assert!(lake.run(&["inquire", "ask.json"]).exits(0).stdout.contains("該当する資格情報がありません"));
    lake.write("ask.json", br#"{"link_no": 1001, "valid_on": "2026-08-01"}"#);
    assert!(!lake.run(&["inquire", "ask.json"]).exits(0).stdout.contains("終わって"));
}

#[test]
fn every_view_is_there_before_the_first_night() {
    let script = Lake::new().run(&["views"]).exits(0).stdout;
    for view in ["member_current", "coverage_current", "serial_link_current", "fee_versions", "reroute_versions"] {
        assert!(script.contains(&format!("VIEW {view} ")), "{view}");
    }
}

fn links(lake: &Lake, kind: &str, origin: &str, receipt: u32, line: &str, date: &str) -> crate::common::Done {
    let file = envelope(kind, origin, receipt, &[line.to_owned()]);
    lake.ingest("links", &format!("{kind}{receipt}.csv"), &file, date)
}

#[test]
fn a_reissue_that_waits_goes_before_one_that_comes_later() {
    let lake = Lake::new();
    links(&lake, "LNKU", "CHUKAN", 1, "D,1,b1,a1", D).exits(0);
    lake.write("inbox/links/p.csv", &envelope("LNKP", "CHUKAN", 1, &["D,1,a1,7".to_owned()]));
    lake.write("inbox/links/u.csv", &envelope("LNKU", "CHUKAN", 2, &["D,1,b3,a1".to_owned()]));
    let done = lake.run(&["nightly", "--date", "2026-10-31"]).exits(3);
    assert!(done.stdout.contains("300203"), "{}", done.stdout);
    let rows = |column: &str| lake.column("serial_link", column);
    assert_eq!(
        (rows("serial"), rows("superseded_by")),
        (vec!["a1".into(), "b1".into()], vec!["b1".into(), String::new()])
    );
}

#[test]
fn request_numbers_go_with_what_could_still_have_used_them() {
    let lake = Lake::new();
    // Refused whole, then sent again in one piece.
    let mut cut = envelope("LNKR", "JLIS", 1, &["D,1,a1,4711".to_owned()]);
    let whole = cut.clone();
    cut.truncate(cut.len() - 5);
    lake.ingest("links", "cut.csv", &cut, D).exits(3);
    lake.ingest("links", "whole.csv", &whole, D).exits(0);
    links(&lake, "REQM", "CHUKAN", 1, "D,1,4711,7", "2026-10-31").exits(0);
    assert!(!lake.path("lake/landing").exists() || !holds(&landed(&lake), "4711"), "in a landing");
    assert!(lake.rows("request_map").is_empty());
    // One that waits and ends in a conflict takes its number with it.
    links(&lake, "LNKP", "CHUKAN", 1, "D,1,c1,9", "2026-11-01").exits(0);
    links(&lake, "LNKR", "JLIS", 2, "D,1,c1,4712", "2026-11-01").exits(0);
    links(&lake, "REQM", "CHUKAN", 2, "D,1,4712,8", "2026-11-02").exits(3);
    assert!(lake.rows("request_map").is_empty() && lake.rows("pending_link").is_empty());
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn each_kind_of_link_file_comes_from_its_own_origin() {
    let lake = Lake::new();
    let done = links(&lake, "LNKP", "JLIS", 1, "D,1,a1,7", D).exits(3);
    assert!(done.stdout.contains("400005"), "{}", done.stdout);
    let done = links(&lake, "LNKR", "CHUKAN", 1, "D,1,a1,7", D).exits(3);
    assert!(done.stdout.contains("400005"), "{}", done.stdout);
    assert!(lake.rows("serial_link").is_empty());
}

fn real_receipts() -> Vec<u8> {
    std::fs::read(samples().join("public/RECEIPTC_GAIRAI_SAMPLE.UKE")).unwrap()
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

#[test]
fn a_second_institution_in_a_file_is_not_swallowed() {
    let lake = Lake::new();
    let bytes = real_receipts();
    let ir = bytes.split_inclusive(|b| *b == b'\n').next().unwrap().to_vec();
    assert!(ir.starts_with(b"IR,"));
    let at = bytes.windows(5).position(|w| w == b"RE,2,").unwrap();
    let second = [&bytes[..at], &ir, &bytes[at..]].concat();
    let done = lake.ingest("receipts", "two.UKE", &second, "2021-11-10").exits(3);
    assert!(done.stdout.contains("400201"), "{}", done.stdout);
    assert!(lake.rows("receipt").is_empty());
}

#[test]
fn a_receipt_whose_month_cannot_be_read_is_rejected_alone_and_never_moves() {
    let bytes = real_receipts();
    let text = Encoding::Cp932.decode(&bytes).unwrap().into_owned();
    let line = text.lines().find(|line| line.starts_with("RE,1,")).unwrap().to_owned();
    let fields: Vec<&str> = line.split(',').collect();
    let start = format!("RE,1,{},{}", fields[2], fields[3]);
    for month in ["", "20261x", "2026-10", "202613"] {
        let lake = Lake::new();
        lake.run(&[
            "ingest",
            "masters",
            samples().join("public/syukujitsu.csv").to_str().unwrap(),
            "--date",
            "2021-11-01",
        ])
        .exits(0);
        let changed = replaced(&bytes, &start, &format!("RE,1,{},{month}", fields[2]));
        let done = lake.ingest("receipts", "R.UKE", &changed, "2021-11-10").exits(3);
        assert!(
            done.stdout.contains("read 75, accepted 74, rejected 1") && done.stdout.contains("190304"),
            "{}",
            done.stdout
        );
        let result = Encoding::Cp932.decode(&lake.outbox("R.UKE.")).unwrap().into_owned();
        assert!(result.contains("190304") && result.contains("行目"), "{result}");
        lake.run(&["reroute", "--month", "2021-11", "--date", "2021-11-12"]).exits(0);
        assert_eq!(lake.rows("reroute").len(), 74);
        let manifest: serde_json::Value = serde_json::from_slice(&lake.outbox("manifest.json")).unwrap();
        assert_eq!(manifest["rejected"]["receipts"], 1);
        assert!(manifest["rejected"]["points"].as_i64().unwrap() > 0);
    }
}

// ---- Two kinds in one folder -----------------------------------------------------------------------------------------

/// A CRT file of the sample's 健保組合 for member 1, who has cover since 2020.
fn crt_file(receipt: u32) -> Vec<u8> {
    let member = crate::common::member_no(1);
    let line = format!("D,1,1,{member},1,04,,,20201001,,,1,10000,20261001120000");
    crate::common::envelope("CRT", &kempo().0, receipt, &[line])
}

#[test]
fn a_file_of_a_shared_folder_goes_to_its_own_kind_and_a_wrongly_named_one_stays() {
    let lake = Lake::with_masters();
    let sub = lake.write("inbox/subscribers/sub.csv", &sub_file(1, &[Sub::new(1, 1)]));
    let crt = lake.write("inbox/subscribers/crt.csv", &crt_file(1));
    let ingest = |kind: &str, path: &std::path::Path| {
        lake.run(&["ingest", kind, path.to_str().unwrap(), "--date", "2026-11-02"])
    };
    // Named to the wrong kind nothing is taken, answered or remembered.
    assert!(ingest("certificates", &sub).exits(2).stderr.contains("SUB"));
    assert!(ingest("subscribers", &crt).exits(2).stderr.contains("CRT"));
    let folder = lake.path("inbox/subscribers");
    ingest("subscribers", &folder).exits(0);
    assert!(!sub.exists() && crt.exists());
    ingest("certificates", &folder).exits(0);
    assert!(!crt.exists());
    assert_eq!(lake.column("certificate", "member_no"), [crate::common::member_no(1)]);
}

#[test]
fn a_release_is_of_one_kind_alone() {
    let lake = Lake::with_masters();
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), "2026-11-02").exits(0);
    lake.write("inbox/masters/insurer_definitions.toml", b"[\"06139901\"]\nencoding = \"utf-99\"\n");
    lake.write("inbox/subscribers/crt.csv", &crt_file(3));
    lake.run(&["nightly", "--date", "2026-11-02"]).exits(3);
    let status = lake.run(&["status"]).exits(0).stdout;
    assert!(status.contains("--receipt 3 --kind CRT"), "{status}");
    let release = |more: &[&str]| {
        let arguments = ["release", "--origin", &kempo().0, "--receipt", "3"].map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        lake.run(&arguments)
    };
    release(&[]).exits(2);
    release(&["--kind", "CRT"]).exits(0);
    let definitions = std::fs::read(samples().join("nights/2026-10-30/masters/insurer_definitions.toml")).unwrap();
    lake.write("inbox/masters/insurer_definitions.toml", &definitions);
    lake.run(&["nightly", "--date", "2026-11-03"]).exits(0);
    assert_eq!(lake.rows("certificate").len(), 1);
    // SUB 2 has not come: SUB 3 waits all the same.
    let third = lake.write("inbox/subscribers/3.csv", &sub_file(3, &[Sub::new(1, 2)]));
    lake.run(&["nightly", "--date", "2026-11-04"]).exits(3);
    assert!(third.exists());
}

#[test]
fn a_kind_without_an_xml_form_is_refused_as_xml_and_a_quarantined_file_has_no_counts() {
    let lake = Lake::with_masters();
    let xml = String::from_utf8(crate::common::sub_xml(1, &[Sub::new(1, 1)], "UTF-8")).unwrap();
    let done = lake.ingest("certificates", "1.xml", xml.replace("SUB", "CRT").as_bytes(), "2026-11-02").exits(3);
    assert!(done.stdout.contains("400004"), "{}", done.stdout);
    let mut file = sub_file(1, &[Sub::new(1, 1)]);
    let number = shikaku_pipeline::text::digits::my_number_digit(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    file.extend_from_slice(format!("x,12345678901{number}\r\n").as_bytes());
    let done = lake.ingest("subscribers", "1.csv", &file, "2026-11-02").exits(3);
    assert!(done.stdout.contains("read 0") && done.stdout.contains("900001"), "{}", done.stdout);
}
