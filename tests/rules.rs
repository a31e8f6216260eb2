//! One rule = one code = one sample: every file of data-samples/rules is answered with exactly the code it is named for.

use shikaku_pipeline::INTAKES;

use crate::common::{Lake, samples};

fn kind_of(bytes: &[u8]) -> &'static str {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
    let kind = head.split(',').nth(1).unwrap_or_default();
    INTAKES.iter().find(|intake| intake.kinds.contains(&kind)).map_or("subscribers", |intake| intake.name)
}

/// Codes of a result file, each once.
fn codes(result: &[u8]) -> Vec<String> {
    let mut codes: Vec<String> = result
        .split(|b| *b == b'\n')
        .filter_map(|line| line.split(|b| *b == b',').nth(6).map(|c| String::from_utf8_lossy(c).into_owned()))
        .filter(|code| code != "000000")
        .collect();
    codes.sort();
    codes.dedup();
    codes
}

#[test]
fn every_sample_is_answered_with_exactly_its_code() {
    let mut files: Vec<_> = std::fs::read_dir(samples().join("rules"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "csv"))
        .collect();
    files.sort();
    assert!(files.len() > 200, "{}", files.len());
    let masters = Lake::with_masters();
    let copied = |lake: &Lake| if lake.on_postgres() { Lake::with_masters() } else { lake.copy() };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(4));
        let part = |chunk| {
            let masters = &masters;
            let wrong = move |file| wrong_answer(&copied(masters), file);
            scope.spawn(move || <[_]>::iter(chunk).filter_map(wrong).collect::<Vec<_>>())
        };
        let threads: Vec<_> = parts.map(part).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Takes one sample into a lake of its own, which has the masters; says what was wrong.
fn wrong_answer(lake: &Lake, file: &std::path::PathBuf) -> Option<String> {
    let code = file.file_stem().unwrap().to_str().unwrap().to_owned();
    let bytes = std::fs::read(file).unwrap();
    let done = lake.ingest(kind_of(&bytes), "rule.csv", &bytes, "2026-10-30");
    let severity = shikaku_schemas::messages::of(&code).severity;
    let expected = if severity == shikaku_schemas::messages::Severity::Error { 3 } else { 0 };
    let mut found = codes(&lake.outbox("rule.csv."));
    // The good line beside a bad one of LNKR or LNKU waits for its other half, which is as it should be.
    found.retain(|c| c != "300201" || code == "300201");
    (found != [code.clone()] || done.code != expected)
        .then(|| format!("{code}: {found:?}, exit {} instead of {expected}", done.code))
}

/// Codes of the delimited files' catalogue have a sample, or a line that says why not.
#[test]
fn every_code_has_a_sample_or_a_reason() {
    let reasons = std::fs::read_to_string(samples().join("rules/NOT_IN_ISOLATION.txt")).unwrap();
    let missing: Vec<&str> = shikaku_schemas::messages::all()
        .map(|m| m.code.as_str())
        .filter(|c| !samples().join(format!("rules/{c}.csv")).exists() && !reasons.contains(c))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
