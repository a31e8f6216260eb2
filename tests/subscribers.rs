//! `ingest subscribers`: every outcome a file can have, and what the tables then hold.

use crate::common::{Lake, Sub, envelope, kempo, member_no, sub_file, sub_xml};

const D: &str = "2026-10-30";

fn open_coverages(lake: &Lake) -> Vec<String> {
    let numbers = lake.column("coverage", "number");
    let ends = lake.column("coverage", "recorded_to");
    numbers.into_iter().zip(ends).filter(|(_, end)| end.is_empty()).map(|(n, _)| n).collect()
}

#[test]
fn registers_members_answers_each_record_and_does_nothing_the_second_time() {
    let lake = Lake::with_masters();
    let file = sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2).with("name", "資格太郎")]);
    lake.ingest("subscribers", "SUB.csv", &file, D).exits(0);
    let (code, _) = kempo();
    let result = String::from_utf8(lake.outbox("SUB.csv.")).unwrap();
    let expected = format!(
        "1,1,001,{code},{},1,000000,正常\r\n2,1,002,{code},{},3,100513,「氏名」の姓と名の間を全角空白一つで区切ってください。\r\n",
        member_no(1),
        member_no(2)
    );
    assert_eq!(result, expected);
    assert_eq!(lake.column("member", "recorded_from"), ["2026-10-30 21:00:00"; 2]);
    assert_eq!(lake.column("coverage", "symbol_key"), ["記号1"; 2]);
    let before = lake.bytes();
    lake.ingest("subscribers", "SUB.csv", &file, D).exits(0);
    lake.ingest("subscribers", "again.csv", &file, "2026-10-31").exits(0);
    assert_eq!(lake.bytes(), before);
}

#[test]
fn a_file_without_its_trailer_or_cut_anywhere_is_rejected_whole() {
    let lake = Lake::with_masters();
    let file = sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2)]);
    for cut in (20..file.len() - 2).step_by(37) {
        let done = lake.ingest("subscribers", "cut.csv", &file[..cut], D).exits(3);
        assert!(done.stdout.contains("40000"), "cut at {cut}: {}", done.stdout);
    }
    assert!(lake.rows("member").is_empty());
    // Its number stays unused, so the whole file goes in under it.
    lake.ingest("subscribers", "whole.csv", &file, D).exits(0);
    assert_eq!(lake.rows("member").len(), 2);
}

#[test]
fn file_codes_by_what_is_wrong() {
    let lake = Lake::with_masters();
    let (code, _) = kempo();
    let line = vec![Sub::new(1, 1).line()];
    let good = String::from_utf8(envelope("SUB", &code, 1, &line)).unwrap();
    let cases = [
        ("400001", "what is this\r\n".to_owned()),
        ("400001", good.replace("H,SUB,01", "H,SUB")),
        ("400004", good.replace("H,SUB,01", "H,SUB,07")),
        ("400004", good.replace("H,SUB,01", "H,LNKP,01")),
        ("400005", good.replace(&format!(",{code},1,"), ",99999901,1,")),
        ("400002", good.replace("E,1", "E,2")),
        ("400002", good.replace(",1\r\nD", ",2\r\nD")),
        ("400002", format!("{good}{good}")),
    ];
    for (n, (expected, text)) in cases.into_iter().enumerate() {
        let done = lake.ingest("subscribers", &format!("{n}.csv"), text.as_bytes(), D).exits(3);
        assert!(done.stdout.contains(expected), "{n}: {} instead of {expected}", done.stdout);
    }
    assert!(lake.rows("member").is_empty());
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn a_bom_from_a_cp932_origin_is_400006_and_an_undecodable_byte_is_its_records_error() {
    let lake = Lake::with_masters();
    let masters = std::fs::read_to_string(lake_masters()).unwrap();
    let kyokai = masters.lines().skip(1).map(|l| l.split(',').collect::<Vec<_>>()).find(|f| f[2] == "01").unwrap();
    let (code, number) = (kyokai[0], kyokai[3]);
    let sub = Sub::new(1, 1).with("insurer_no", number).with("name", "X").with("kana", "").with("symbol", "S");
    let file = envelope("SUB", code, 1, &[sub.line()]);
    let bom = [b"\xef\xbb\xbf".as_slice(), &file].concat();
    let done = lake.ingest("subscribers", "bom.csv", &bom, D).exits(3);
    assert!(done.stdout.contains("400006"), "{}", done.stdout);
    // One bad byte in the name: that record alone, with line, byte and hex.
    let at = file.windows(3).position(|w| w == b",X,").unwrap() + 1;
    let mut bad = file.clone();
    bad[at] = 0xa0;
    lake.ingest("subscribers", "bad.csv", &bad, D).exits(3);
    let result = lake.outbox("bad.csv.");
    let text = shikaku_pipeline::text::cp932::Encoding::Cp932.decode(&result).unwrap().into_owned();
    assert!(text.contains(&format!("100508,「氏名」に文字として読めないバイトがあります。文字コードを確認してください。(2行目、オフセット{at}、16進a0)")), "{text}");
}

fn lake_masters() -> std::path::PathBuf {
    crate::common::samples().join("nights/2026-10-30/masters/insurers.csv")
}

#[test]
fn a_likely_my_number_quarantines_the_file_outside_the_lake() {
    let lake = Lake::with_masters();
    let (number, _) = likely_number();
    let file = sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2).with("address", &format!("東京都{number}"))]);
    let inbox = lake.write("inbox/subscribers/SUB.csv", &file);
    let landed = |lake: &Lake| lake.bytes().keys().filter(|p| p.contains("landing/")).count();
    let before = landed(&lake);
    let done = lake.run(&["ingest", "subscribers", inbox.to_str().unwrap(), "--date", D]).exits(3);
    assert!(done.stdout.contains("900001"));
    assert!(!inbox.exists() && lake.rows("member").is_empty());
    assert_eq!(std::fs::read_dir(lake.path("inbox/quarantine")).unwrap().count(), 1);
    // The number stands nowhere: not in the lake, the outbox, the ledger or a log line.
    let mut files = std::collections::BTreeMap::new();
    crate::common::read_all(&lake.path("lake"), &lake.path("lake"), &mut files);
    crate::common::read_all(&lake.path("outbox"), &lake.path("outbox"), &mut files);
    files.insert("stdout".into(), done.stdout.into_bytes());
    files.insert("stderr".into(), done.stderr.into_bytes());
    for (path, bytes) in files {
        assert!(!bytes.windows(12).any(|w| w == number.as_bytes()), "{path}");
    }
    assert_eq!(landed(&lake), before);
    // In 記号 or 番号 it rejects the record alone.
    let file = sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2).with("number", &number)]);
    let done = lake.ingest("subscribers", "key.csv", &file, D).exits(3);
    assert!(done.stdout.contains("900002") && done.stdout.contains("accepted 1"), "{}", done.stdout);
}

#[test]
fn resubmitting_only_the_failed_records_leads_to_the_state_of_a_clean_file() {
    let good: Vec<Sub> = (1..=4).map(|n| Sub::new(n, n)).collect();
    let clean = Lake::with_masters();
    clean.ingest("subscribers", "clean.csv", &sub_file(1, &good), D).exits(0);
    let mixed = Lake::with_masters();
    let mut broken = good.clone();
    broken[1] = broken[1].clone().with("sex", "7");
    broken[3] = broken[3].clone().with("acquired_on", "20260231");
    mixed.ingest("subscribers", "mixed.csv", &sub_file(1, &broken), D).exits(3);
    assert_eq!(open_coverages(&mixed).len(), 2);
    mixed.ingest("subscribers", "rest.csv", &sub_file(2, &[good[1].clone(), good[3].clone()]), D).exits(0);
    let said = |lake: &Lake| {
        (
            lake.column("coverage", "number"),
            lake.column("member", "member_no"),
            lake.column("coverage", "recorded_from"),
        )
    };
    assert_eq!(said(&mixed), said(&clean));
}

#[test]
fn a_gap_holds_later_files_visibly_until_it_is_filled_or_released() {
    let lake = Lake::with_masters();
    let inbox = |n: u32| lake.write(&format!("inbox/subscribers/{n}.csv"), &sub_file(n, &[Sub::new(1, n)]));
    inbox(1);
    let third = inbox(3);
    lake.run(&["nightly", "--date", D]).exits(3);
    assert!(third.exists(), "a held file stays in the inbox");
    assert_eq!(open_coverages(&lake), ["1"]);
    assert!(lake.run(&["status"]).exits(0).stdout.contains("受付番号 3"));
    // Nothing new: still held, still exit 3.
    lake.run(&["nightly", "--date", D]).exits(3);
    inbox(2);
    lake.run(&["nightly", "--date", D]).exits(0);
    assert_eq!(open_coverages(&lake), ["1", "2", "3"]);
    inbox(6);
    lake.run(&["nightly", "--date", D]).exits(3);
    lake.run(&["release", "--origin", &kempo().0, "--receipt", "6"]).exits(0);
    // Released, it goes in the same night.
    lake.run(&["nightly", "--date", D]).exits(0);
    assert_eq!(open_coverages(&lake), ["1", "2", "3", "6"]);
    let used = lake.ingest("subscribers", "used.csv", &sub_file(2, &[Sub::new(1, 9)]), "2026-10-31").exits(3);
    assert!(used.stdout.contains("300001"));
}

#[test]
fn update_delete_and_relink_close_what_was_and_the_past_stays_answerable() {
    let lake = Lake::with_masters();
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1), Sub::new(2, 2), Sub::new(3, 3)]), D).exits(0);
    let lost = Sub::new(1, 1).with("operation", "2").with("lost_on", "20261001").with("loss_reason", "01");
    let gone = Sub(Sub::new(2, 2)
        .0
        .into_iter()
        .filter(|(k, _)| matches!(k.as_str(), "record_no" | "member_no" | "sex" | "updated_at"))
        .collect())
    .with("operation", "3");
    let moved = Sub::new(3, 3).with("operation", "4").with("link_no", "555");
    lake.ingest("subscribers", "2.csv", &sub_file(2, &[lost, gone, moved]), "2026-10-31").exits(0);
    let rows: Vec<String> = ["number", "lost_on", "link_no", "recorded_from", "recorded_to"]
        .iter()
        .map(|c| lake.column("coverage", c))
        .fold(vec![String::new(); 5], |rows, column| {
            rows.iter().zip(column).map(|(r, c)| format!("{r}|{c}")).collect()
        });
    assert_eq!(
        rows,
        [
            "|1||1001|2026-10-30 21:00:00|2026-10-31 21:00:00",
            "|1|2026-10-01|1001|2026-10-31 21:00:00|",
            "|2||1002|2026-10-30 21:00:00|2026-10-31 21:00:00",
            "|3||1003|2026-10-30 21:00:00|2026-10-31 21:00:00",
            "|3||555|2026-10-31 21:00:00|",
        ]
    );
}

#[test]
fn a_file_of_an_unknown_origin_is_read_once_its_master_has_come() {
    let lake = Lake::new();
    let file = lake.write("sub.csv", &sub_file(1, &[Sub::new(1, 1)]));
    let ingest = || lake.run(&["ingest", "subscribers", file.to_str().unwrap(), "--date", D]);
    assert!(ingest().exits(3).stdout.contains("400005"));
    let lake = lake.load_masters();
    lake.run(&["ingest", "subscribers", file.to_str().unwrap(), "--date", D]).exits(0);
    assert_eq!(open_coverages(&lake), ["1"]);
}

#[test]
fn recorded_time_never_goes_back() {
    let lake = Lake::with_masters();
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), D).exits(0);
    lake.ingest("subscribers", "2.csv", &sub_file(2, &[Sub::new(1, 2)]), "2026-10-29").exits(2);
}

#[test]
fn a_file_that_no_layout_fits_does_not_land_with_a_likely_my_number() {
    let lake = Lake::with_masters();
    let (number, wide) = likely_number();
    for (kind, text) in [
        ("subscribers", format!("name,number\r\nA,{number}\r\n")),
        ("subscribers", format!("H,SUB,09,06139901,1,20261030120000,1\r\nD,{wide}\r\nE,1\r\n")),
        ("subscribers", {
            let line = format!("{},{number}", Sub::new(1, 1).line());
            String::from_utf8(envelope("SUB", &kempo().0, 1, &[line])).unwrap()
        }),
        ("receipts", format!("IR,1,13,1,1234567,,X,202611,00,\r\nXX,{number}\r\n")),
        ("masters", format!("a,b\r\n1,{wide}\r\n")),
    ] {
        let done = lake.ingest(kind, &format!("{kind}{}.txt", text.len()), text.as_bytes(), D).exits(3);
        assert!(done.stdout.contains("900001"), "{kind}: {}", done.stdout);
        assert!(!done.stdout.contains(&number) && !done.stderr.contains(&number));
    }
    let bytes = lake.bytes();
    assert!(!bytes.iter().any(|(_, b)| b.windows(12).any(|w| w == number.as_bytes())));
}

#[test]
fn the_xml_form_leads_to_the_same_rows_in_either_encoding() {
    let records = [Sub::new(1, 1), Sub::new(2, 2).with("workplace", "見本＆商事 <&>"), Sub::new(3, 3).with("sex", "7")];
    let columns = ["member_no", "name", "workplace", "symbol_key", "number_raw", "recorded_from"];
    let of = |bytes: Vec<u8>| {
        let lake = Lake::with_masters();
        lake.ingest("subscribers", "file", &bytes, D).exits(3);
        let result = String::from_utf8(lake.outbox("file.")).unwrap();
        let rows = |t: &str, c: &str| lake.column(t, c);
        let tables = [rows("member", columns[0]), rows("member", columns[1]), rows("coverage", columns[2])];
        (tables, columns[3..].iter().map(|c| rows("coverage", c)).collect::<Vec<_>>(), result)
    };
    let csv = of(sub_file(1, &records));
    assert_eq!(of(sub_xml(1, &records, "UTF-8")), csv);
    assert_eq!(of(sub_xml(1, &records, "Shift_JIS")), csv);
}

#[test]
fn xml_with_a_document_type_a_wrong_count_or_a_cut_end_is_refused_whole() {
    let good = String::from_utf8(sub_xml(1, &[Sub::new(1, 1)], "UTF-8")).unwrap();
    for (text, code) in [
        (good.replace("<SubscriberFile", "<!DOCTYPE x [<!ENTITY a \"b\">]><SubscriberFile"), "400001"),
        (good.replace("count=\"1\"", "count=\"2\""), "400002"),
        (good[..good.len() - 20].to_owned(), "400002"),
        (good.replace("encoding=\"UTF-8\"", "encoding=\"EUC-JP\""), "400006"),
        (good.replace("version=\"01\"", "version=\"77\""), "400004"),
        (good.replace("<sex>1", "<sex>&a;"), "400002"),
    ] {
        let lake = Lake::with_masters();
        assert!(
            lake.ingest("subscribers", "x.xml", text.as_bytes(), D).exits(3).stdout.contains(code),
            "{code}: {text}"
        );
        assert!(lake.rows("member").is_empty());
    }
}

#[test]
fn an_insurer_not_yet_switched_sends_version_00_without_branch_number() {
    let lake = Lake::with_masters();
    let layout = shikaku_schemas::layout::find("SUB", "00").unwrap();
    let record = Sub::new(1, 1).with("lost_on", "20261001");
    let fields: Vec<&str> = layout.fields.iter().map(|f| record.0.get(&f.name).map_or("", String::as_str)).collect();
    let old = |receipt: u32, line: String| {
        let text = String::from_utf8(envelope("SUB", &kempo().0, receipt, &[line])).unwrap();
        text.replacen("SUB,01", "SUB,00", 1).into_bytes()
    };
    // The codes are those of the current version: 200104 (資格喪失事由), not moved by the missing fields.
    let done = lake.ingest("subscribers", "1.csv", &old(1, format!("D,{}", fields.join(","))), D).exits(3);
    assert!(done.stdout.contains("200104"));
    let line = format!("D,{}", fields.join(",")).replace(",20261001,,", ",,,");
    lake.ingest("subscribers", "2.csv", &old(2, line), D).exits(0);
    assert_eq!(lake.column("coverage", "branch_no"), [""]);
    // Switched: the same insurer sends 01, and the branch number comes with it.
    lake.ingest("subscribers", "3.csv", &sub_file(3, &[Sub::new(1, 1).with("operation", "2")]), "2026-10-31").exits(0);
    assert_eq!(lake.column("coverage", "branch_no"), ["", "01"]);
}

#[test]
fn user_defined_characters_are_reported_by_field_without_any_text_of_the_record() {
    let lake = Lake::with_masters();
    let record = Sub::new(1, 1).with("name", "\u{e000}　\u{e001}").with("address", "東京都\u{e000}区");
    let done = lake.ingest("subscribers", "g.csv", &sub_file(1, &[record]), D).exits(0);
    assert!(done.stdout.contains("g.csv"));
    let report = String::from_utf8(lake.outbox(".gaiji.csv")).unwrap();
    assert_eq!(
        report,
        "項目,文字コード,Unicode,件数\r\n氏名,F040,U+E000,1\r\n氏名,F041,U+E001,1\r\n住所,F040,U+E000,1\r\n"
    );
}

/// A likely 個人番号, made here.
fn likely_number() -> (String, String) {
    let body = [3u32, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
    let digits: String = body.iter().map(ToString::to_string).collect();
    let number = format!("{digits}{}", shikaku_pipeline::text::digits::my_number_digit(&body));
    let wide = number.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect();
    (number, wide)
}

#[test]
fn a_likely_my_number_is_seen_beside_a_broken_byte_in_utf_16_in_comments_and_in_names() {
    let (number, wide) = likely_number();
    let lake = Lake::with_masters();
    let cp932 = |text: &str| shikaku_pipeline::text::cp932::Encoding::Cp932.encode(text).unwrap();
    let xml = String::from_utf8(sub_xml(1, &[Sub::new(1, 1)], "UTF-8")).unwrap();
    let broken = {
        let line = Sub::new(1, 1).with("address", &format!("東京都{wide}X")).line();
        let mut bytes = cp932(&String::from_utf8(envelope("SUB", &kempo().0, 1, &[line])).unwrap());
        let at = bytes.windows(2).position(|w| w == b"X,").unwrap();
        bytes[at] = 0x80;
        bytes
    };
    let utf16: Vec<u8> = format!("\u{feff}氏名,{wide}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let comment = xml.replace("<Subscriber>", &format!("<!-- {wide} --><Subscriber>")).into_bytes();
    for (name, bytes) in [("broken.csv", broken), ("wide.csv", utf16), ("comment.xml", comment)] {
        let done = lake.ingest("subscribers", name, &bytes, D).exits(3);
        assert!(done.stdout.contains("900001"), "{name}: {}", done.stdout);
    }
    // A name is no better place: it never reaches the ledger or a message.
    lake.write(&format!("inbox/subscribers/{number}/SUB_{number}.csv"), &sub_file(1, &[Sub::new(1, 1)]));
    let done = lake.run(&["nightly", "--date", D]).exits(0);
    assert!(!done.stdout.contains(&number) && !done.stderr.contains(&number));
    let events = lake.store().ledger.events().unwrap();
    assert!(events.iter().all(|event| !event.body.contains(&number)));
    assert_eq!(open_coverages(&lake), ["1"]);
}

#[test]
fn a_long_name_a_pipe_or_a_link_in_the_inbox_does_not_stop_the_others() {
    let lake = Lake::with_masters();
    lake.write(&format!("inbox/subscribers/{}.csv", "あ".repeat(80)), &sub_file(1, &[Sub::new(1, 1)]));
    #[cfg(unix)]
    {
        let pipe = lake.path("inbox/subscribers/pipe.csv");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/nowhere", lake.path("inbox/subscribers/link.csv")).unwrap();
    }
    lake.run(&["nightly", "--date", D]).exits(0);
    assert_eq!(open_coverages(&lake), ["1"]);
}

#[test]
fn where_a_row_came_from_does_not_tell_how_many_runs_a_night_had() {
    let files = [
        sub_file(2, &[Sub::new(1, 1).with("operation", "2").with("updated_at", "20261101090000")]),
        sub_file(3, &[Sub::new(1, 1).with("operation", "4").with("link_no", "2002")]),
    ];
    let night = |apart: bool| {
        let lake = Lake::with_masters();
        lake.ingest("subscribers", "1.csv", &sub_file(1, &[Sub::new(1, 1)]), D).exits(0);
        for (n, file) in files.iter().enumerate() {
            lake.write(&format!("inbox/subscribers/{n}.csv"), file);
            if apart || n == 1 {
                lake.run(&["nightly", "--date", "2026-10-31"]).exits(0);
            }
        }
        (lake.rows("member"), lake.rows("coverage"))
    };
    assert_eq!(night(true), night(false));
}
