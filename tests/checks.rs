//! `ingest checks`, `fees close`, `stats build`: each inquiry counted once, and every sum the same.

use crate::common::{Lake, envelope, kempo};

const D: &str = "2026-11-01";

/// One CHK line: inquiry number, day of October, access kind, validity.
fn check(number: &str, day: u32, access: &str, validity: &str) -> String {
    let (code, no) = kempo();
    let serial = if matches!(access, "1" | "4") { "abc123" } else { "" };
    format!("D,{number},202610{day:02}093000,1319000000,{access},01,1,V1,{serial},{validity},1001,{code},{no},1")
}

fn ingest(lake: &Lake, receipt: u32, lines: &[String]) -> crate::common::Done {
    lake.ingest("checks", &format!("{receipt}.csv"), &envelope("CHK", "ONL", receipt, lines), D)
}

#[test]
fn equal_content_is_a_duplicate_and_other_content_an_error_for_ever() {
    let lake = Lake::with_masters();
    ingest(&lake, 1, &[check("Q1", 1, "1", "1"), check("Q2", 1, "2", ""), check("Q1", 1, "1", "1")]).exits(0);
    let done =
        ingest(&lake, 2, &[check("Q1", 1, "1", "1"), check("Q2", 2, "2", ""), check("Q3", 2, "4", "2")]).exits(3);
    assert!(done.stdout.contains("accepted 1, rejected 1, duplicate 1, 300501"), "{}", done.stdout);
    assert_eq!(lake.column("check_log", "inquiry_no"), ["Q1", "Q2", "Q3"]);
}

#[test]
fn a_month_closes_once_and_a_late_row_makes_the_next_version_with_its_difference() {
    let lake = Lake::with_masters();
    ingest(&lake, 1, &[check("Q1", 1, "1", "1"), check("Q2", 1, "2", ""), check("Q3", 31, "4", "2")]).exits(0);
    for _ in 0..2 {
        lake.run(&["fees", "close", "--month", "2026-10", "--date", D]).exits(0);
        lake.run(&["stats", "build", "--month", "2026-10", "--date", D]).exits(0);
    }
    let paid =
        String::from_utf8(lake.outbox("fees/2026-10/利用者証明用電子証明書有効性確認の実施回数情報（支払）.csv"))
            .unwrap();
    assert_eq!(paid, "\u{feff}No,年月,回数\r\n1,202610,2\r\n");
    let (code, _) = kempo();
    let billed =
        String::from_utf8(lake.outbox("fees/2026-10/利用者証明用電子証明書有効性確認の実施回数情報（請求）.csv"))
            .unwrap();
    assert_eq!(
        billed,
        format!(
            "\u{feff}No,年月日,負担者区分,負担者コード,有効性確認結果,確認回数,全体回数\r\n\
             1,20261001,01,{code},1,1,1\r\n2,20261001,02,1319000000,1,1,1\r\n\
             3,20261031,01,{code},2,1,1\r\n4,20261031,02,1319000000,2,1,1\r\n"
        )
    );
    let stat =
        String::from_utf8(lake.outbox("stats/2026-10/資格確認実績月次統計（医療機関等の都道府県別）.csv")).unwrap();
    let lines: Vec<&str> = stat.lines().collect();
    let heading = ["\u{feff}資格確認実績月次統計（医療機関等の都道府県別）", ",2026年度,,", ",10月,,"];
    assert_eq!(lines[..3], heading);
    assert_eq!(lines[3..6], [",合計,マイナンバーカード,被保険者証", "全国,3,2,1", "北海道,0,0,0"]);
    assert_eq!(lines.len(), 4 + 1 + 47);
    assert!(lines.contains(&"東京,3,2,1"));

    ingest(&lake, 2, &[check("Q4", 31, "1", "1")]).exits(0);
    assert!(lake.run(&["status"]).exits(0).stdout.contains("checks/2026-10"));
    lake.run(&["fees", "close", "--month", "2026-10", "--date", D]).exits(0);
    let difference = String::from_utf8(lake.outbox("fees/2026-10/diff_v2.csv")).unwrap();
    assert!(difference.contains(",回数,2,3\r\n"), "{difference}");
    // The first version stays as it was.
    assert!(
        lake.path("lake/fee/month=2026-10/version=1").is_dir()
            && lake.path("lake/fee/month=2026-10/version=2").is_dir()
    );
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn with_prices_the_amounts_follow_and_other_results_can_be_left_out() {
    let lake = Lake::with_masters();
    lake.set("# validity_check = 2", "validity_check = 2");
    lake.set("billable_results = []", "billable_results = [\"1\"]");
    ingest(&lake, 1, &[check("Q1", 1, "1", "1"), check("Q2", 1, "1", "2")]).exits(0);
    lake.run(&["fees", "close", "--month", "2026-10", "--date", D]).exits(0);
    let paid =
        String::from_utf8(lake.outbox("fees/2026-10/利用者証明用電子証明書有効性確認の実施回数情報（支払）.csv"))
            .unwrap();
    assert_eq!(paid, "\u{feff}No,年月,回数,金額\r\n1,202610,1,2\r\n");
}
