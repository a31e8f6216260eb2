//! Untrusted bytes: every reader ends in a code, never in a panic, whatever is cut, flipped or inserted.

use std::io::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use shikaku_pipeline::crl::parse;
use shikaku_pipeline::read::envelope::{self, Accepts, DataLines};
use shikaku_pipeline::read::master;
use shikaku_pipeline::read::uke::UkeReader;
use shikaku_pipeline::rules::Context;
use shikaku_pipeline::rules::field::Checker;
use shikaku_pipeline::store::landing;
use shikaku_pipeline::text::cp932::Encoding;

use crate::common::{Sub, samples, sub_xml};

/// A real file with a few bytes changed, cut out or put in.
#[derive(Debug, Clone)]
pub enum Edit {
    Set(usize, u8),
    Cut(usize, usize),
    Insert(usize, Vec<u8>),
}

pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let byte =
        prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(0u8), Just(0x80), Just(0x30), Just(0xff), any::<u8>()];
    let edit = prop_oneof![
        3 => (any::<usize>(), byte.clone()).prop_map(|(at, b)| Edit::Set(at, b)),
        1 => (any::<usize>(), 1usize..2000).prop_map(|(at, n)| Edit::Cut(at, n)),
        1 => (any::<usize>(), proptest::collection::vec(byte, 1..40)).prop_map(|(at, b)| Edit::Insert(at, b)),
    ];
    proptest::collection::vec(edit, 1..6)
}

pub fn edited(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for edit in edits {
        let len = out.len().max(1);
        match edit {
            Edit::Set(at, b) if !out.is_empty() => out[at % len] = *b,
            Edit::Set(..) => {}
            Edit::Cut(at, n) => {
                let from = (at % len).min(out.len());
                let to = (from + n).min(out.len());
                out.drain(from..to);
            }
            Edit::Insert(at, b) => {
                let at = (at % len).min(out.len());
                out.splice(at..at, b.iter().copied());
            }
        }
    }
    out
}

fn stored(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(samples().join(path)).unwrap()
}

/// What a file of any of these kinds is read by: to its verdict, and on to its last record if it has none.
fn delimited(bytes: &[u8]) {
    let file = stored(bytes);
    let kinds = ["SUB", "LNKR", "CHK"];
    let limit = |_: &shikaku_schemas::layout::Layout| (100_000, 50_000_000);
    let accepts = Accepts { kinds: &kinds, encoding_of: &|_| Some(Encoding::Cp932), limit: &limit };
    let seen = envelope::inspect(file.path(), &accepts).unwrap();
    let (Some(header), None) = (&seen.header, seen.code) else { return };
    let layout = shikaku_schemas::layout::find(&header.kind, &header.version).unwrap();
    let context = Context::plain(layout, seen.encoding, header.created);
    let checker = Checker::new(context);
    let mut lines = DataLines::open(file.path(), layout).unwrap();
    let mut rows = 0;
    while let Some(record) = lines.next_line().unwrap() {
        checker.fields(&record, 1, &mut Vec::new());
        rows += 1;
    }
    assert_eq!(rows, seen.rows);
}

fn masters_file(bytes: &[u8]) {
    let _ = master::open(stored(bytes).path()).unwrap();
}

fn uke(bytes: &[u8]) {
    if let Ok(mut reader) = UkeReader::open(bytes) {
        while let Ok(Some(receipt)) = reader.next_receipt() {
            let _ = shikaku_pipeline::reroute::month::claim(&reader.head, &receipt);
        }
        let _ = reader.finish();
    }
}

fn crl(bytes: &[u8]) -> bool {
    let cas = vec![shikaku_pipeline::pki::ca::load(&samples().join("ca/sample-ca.pem")).unwrap()];
    parse::read(bytes, &cas, |_, _| Ok(())).is_ok()
}

/// Valid files to start from, each with what reads it.
type Target = (&'static str, Vec<u8>, fn(&[u8]));

fn targets() -> Vec<Target> {
    let night = |path: &str| read(&format!("nights/2026-10-30/{path}"));
    let records = [Sub::new(1, 1), Sub::new(2, 2).with("workplace", "見本＆＜商事＞"), Sub::new(3, 3)];
    vec![
        ("SUB", night("subscribers/SUB_01139906_20261030_1.csv"), delimited),
        ("SUB XML", sub_xml(1, &records, "UTF-8"), delimited),
        ("SUB XML Shift_JIS", sub_xml(1, &records, "Shift_JIS"), delimited),
        ("LNKR", night("links/LNKR_JLIS_20261030_1.csv"), delimited),
        ("CHK", night("checks/CHK_ONL_20261030_1.csv"), delimited),
        ("masters", read("public/syukujitsu.csv"), masters_file),
        ("UKE", read("public/RECEIPTC_GAIRAI_SAMPLE.UKE"), uke),
        ("CRL", night("crl/20261031/dp0001.crl"), |bytes| assert!(!bytes.is_empty() || !crl(bytes))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn every_reader_ends_in_a_verdict(edits in edits(), which in any::<proptest::sample::Index>()) {
        let targets = targets();
        let (_, bytes, run) = &targets[which.index(targets.len())];
        run(&edited(bytes, &edits));
    }

    #[test]
    fn a_revocation_list_with_a_changed_byte_is_refused(edits in edits()) {
        let original = read("nights/2026-10-30/crl/20261031/dp0001.crl");
        let bytes = edited(&original, &edits);
        prop_assert_eq!(crl(&bytes), bytes == original);
    }

    #[test]
    fn anything_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let file = stored(&bytes);
        let accepts = Accepts { kinds: &["SUB"], encoding_of: &|_| None, limit: &|_| (10, 10) };
        prop_assert!(envelope::inspect(file.path(), &accepts).unwrap().code.is_some());
        prop_assert!(UkeReader::open(bytes.as_slice()).is_err());
        let crl = parse::read(bytes.as_slice(), &[], |_, _| Ok(()));
        prop_assert!(crl.is_err());
        // A landed file that is no zstd is an error when it is read.
        let mut out = Vec::new();
        let opened = landing::open(file.path(), None).map(|mut r| std::io::Read::read_to_end(&mut r, &mut out).is_err());
        prop_assert!(bytes.is_empty() || opened.unwrap_or(true));
    }
}

/// The same for as long as `SHIKAKU_FUZZ_MINUTES` says, with what grew interesting kept as a new start; memory is watched.
/// Says so when it is skipped.
#[test]
#[allow(clippy::disallowed_methods, reason = "a fuzz run ends by the clock")]
fn for_as_long_as_asked() {
    let Some(minutes) = std::env::var("SHIKAKU_FUZZ_MINUTES").ok().and_then(|m| m.parse::<u64>().ok()) else {
        eprintln!("skipped: SHIKAKU_FUZZ_MINUTES is not set");
        return;
    };
    let started = std::time::Instant::now();
    let mut pool: Vec<Target> = targets();
    let seeds = pool.len();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut cases, mut before) = (0u64, resident());
    while started.elapsed().as_secs() < minutes * 60 {
        let edits = edits().new_tree(&mut runner).unwrap().current();
        let which = (0..pool.len()).new_tree(&mut runner).unwrap().current();
        let (name, bytes, run) = &pool[which];
        let (name, bytes, run) = (*name, edited(bytes, &edits), *run);
        run(&bytes);
        cases += 1;
        // Changed files pile further changes up; the pool stays small and its files too.
        if bytes.len() < 200_000 {
            if pool.len() < seeds * 32 {
                pool.push((name, bytes, run));
            } else if which >= seeds {
                pool[which] = (name, bytes, run);
            }
        }
        if cases % 1000 == 0 {
            let now = resident();
            assert!(now < before + 256_000, "{now} kB resident after {cases} cases, {before} before; last: {name}");
            before = before.max(now.min(before + 10_000));
        }
    }
    eprintln!("{cases} cases in {minutes} minutes, {} kB resident", resident());
}

/// Resident memory in kB; 0 where the system does not say.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or("");
    line.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}
