//! Kinds of input by example: `data-samples/kinds/<job>/<date>.csv` are taken in one after the other, on a lake with the masters
//! and subscribers of the first sample night; `expected.txt` is what is answered and what stands in the job's tables then.
//! Each is taken in twice, through the inbox beside other files of its folder, and changes nothing the second time.

use std::fmt::Write as _;
use std::path::Path;

use shikaku_pipeline::INTAKES;
use shikaku_pipeline::intake::Intake;

use crate::common::{Lake, samples};

/// Answers and rows, as they stand in `expected.txt`.
fn told(lake: &Lake, intake: &Intake, dates: &[String]) -> String {
    let mut text = String::new();
    for date in dates {
        let result = lake.outbox(&format!("{date}.csv."));
        let _ = writeln!(text, "== {date}\n{}", readable(&result));
    }
    for table in intake.writes.split(", ").filter(|table| !table.starts_with("outbox/")) {
        let _ = writeln!(text, "== {table}");
        for row in lake.rows(table) {
            // Which file a row came from is told by its digest; the record says enough.
            let cells = row.iter().filter(|(name, value)| **name != "source_file" && !value.is_empty());
            let cells: Vec<String> = cells.map(|(name, value)| format!("{name}={value}")).collect();
            let _ = writeln!(text, "{}", cells.join(" "));
        }
    }
    text
}

/// Text of a result file without its line ends; its codes are ASCII in every encoding.
fn readable(bytes: &[u8]) -> String {
    use shikaku_pipeline::text::cp932::Encoding;
    let text = Encoding::Cp932.decode(bytes).or_else(|_| Encoding::Utf8.decode(bytes)).unwrap().into_owned();
    text.replace("\r\n", "\n")
}

fn check(intake: &Intake, folder: &Path) {
    let mut dates: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    dates.sort();
    assert!(!dates.is_empty(), "{}", folder.display());
    let lake = Lake::with_masters();
    let subscribers = samples().join("nights/2026-10-30/subscribers");
    lake.run(&["ingest", "subscribers", subscribers.to_str().unwrap(), "--date", "2026-10-30"]);
    for date in &dates {
        let bytes = std::fs::read(folder.join(format!("{date}.csv"))).unwrap();
        lake.write(&format!("inbox/{}/{date}.csv", intake.folder), &bytes);
        let night = lake.run(&["nightly", "--date", date]);
        assert!([0, 3].contains(&night.code), "{}{}", night.stdout, night.stderr);
        assert!(!lake.path(&format!("inbox/{}/{date}.csv", intake.folder)).exists(), "{}", night.stdout);
        let before = lake.bytes();
        assert!([0, 3].contains(&lake.ingest(intake.name, &format!("{date}.csv"), &bytes, date).code));
        assert!(lake.bytes() == before, "{date}: the same bytes changed something");
    }
    let (told, expected) = (told(&lake, intake, &dates), folder.join("expected.txt"));
    let expected = std::fs::read_to_string(expected).unwrap_or_default();
    assert!(told == expected, "{}:\n{told}", folder.display());
    lake.run(&["audit", "verify"]).exits(0);
    // Folded into a base, a history says the same.
    lake.run(&["compact"]).exits(0);
    assert_eq!(self::told(&lake, intake, &dates), told);
}

#[test]
fn every_kind_with_samples_is_answered_and_stored_as_they_say() {
    let mut found = 0;
    for entry in std::fs::read_dir(samples().join("kinds")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let intake = INTAKES.iter().find(|intake| intake.name == name);
        check(intake.unwrap_or_else(|| panic!("no job {name}")), &folder);
        found += 1;
    }
    assert!(found > 0);
}
