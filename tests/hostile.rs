//! Untrusted bytes: every reader ends in a code, never in a panic, whatever is cut, flipped or inserted.

use std::io::Write as _;

use proptest::prelude::*;
use shikaku_pipeline::crl::parse;
use shikaku_pipeline::read::envelope::{self, DataLines, OriginRule};
use shikaku_pipeline::read::master;
use shikaku_pipeline::read::uke::UkeReader;
use shikaku_pipeline::store::landing;
use shikaku_pipeline::text::cp932::Encoding;

use crate::common::samples;

/// A real file with a few bytes changed, cut out or put in.
#[derive(Debug, Clone)]
enum Edit {
    Set(usize, u8),
    Cut(usize, usize),
    Insert(usize, Vec<u8>),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let byte =
        prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(0u8), Just(0x80), Just(0x30), Just(0xff), any::<u8>()];
    let edit = prop_oneof![
        3 => (any::<usize>(), byte.clone()).prop_map(|(at, b)| Edit::Set(at, b)),
        1 => (any::<usize>(), 1usize..2000).prop_map(|(at, n)| Edit::Cut(at, n)),
        1 => (any::<usize>(), proptest::collection::vec(byte, 1..40)).prop_map(|(at, b)| Edit::Insert(at, b)),
    ];
    proptest::collection::vec(edit, 1..6)
}

fn edited(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn delimited_files(edits in edits(), which in 0usize..3) {
        let names = ["subscribers/SUB_01139906_20261030_1.csv", "links/LNKR_JLIS_20261030_1.csv", "checks/CHK_ONL_20261030_1.csv"];
        let bytes = edited(&read(&format!("nights/2026-10-30/{}", names[which])), &edits);
        let file = stored(&bytes);
        let kinds = ["SUB", "LNKR", "CHK"];
        let rule = |_: &shikaku_schemas::layout::Layout, _: &str| Some(OriginRule { encoding: Encoding::Cp932 });
        let seen = envelope::inspect(file.path(), &kinds, &rule, &|_| (100_000, 50_000_000)).unwrap();
        if seen.code.is_none() {
            let mut lines = DataLines::open(file.path()).unwrap();
            let mut rows = 0;
            while lines.next_line().unwrap().is_some() {
                rows += 1;
            }
            prop_assert_eq!(rows, seen.rows);
        }
    }

    #[test]
    fn masters(edits in edits()) {
        let file = stored(&edited(&read("public/syukujitsu.csv"), &edits));
        let _ = master::open(file.path()).unwrap();
    }

    #[test]
    fn receipts(edits in edits()) {
        let bytes = edited(&read("public/RECEIPTC_GAIRAI_SAMPLE.UKE"), &edits);
        if let Ok(mut reader) = UkeReader::open(bytes.as_slice()) {
            while let Ok(Some(receipt)) = reader.next_receipt() {
                let _ = shikaku_pipeline::reroute::month::claim(&reader.head, &receipt);
            }
            let _ = reader.finish();
        }
    }

    #[test]
    fn revocation_lists(edits in edits()) {
        let cas = vec![shikaku_pipeline::crl::ca::load(&samples().join("ca/sample-ca.pem")).unwrap()];
        let original = read("nights/2026-10-30/crl/20261031/dp0001.crl");
        let bytes = edited(&original, &edits);
        let outcome = parse::read(bytes.as_slice(), &cas, |_| {});
        prop_assert_eq!(outcome.is_ok(), bytes == original);
    }

    #[test]
    fn anything_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let file = stored(&bytes);
        let rule = |_: &shikaku_schemas::layout::Layout, _: &str| None;
        prop_assert!(envelope::inspect(file.path(), &["SUB"], &rule, &|_| (10, 10)).unwrap().code.is_some());
        prop_assert!(UkeReader::open(bytes.as_slice()).is_err());
        let crl = parse::read(bytes.as_slice(), &[], |_| {});
        prop_assert!(crl.is_err());
        // A landed file that is no zstd is an error when it is read.
        let mut out = Vec::new();
        let opened = landing::open(file.path(), None).map(|mut r| std::io::Read::read_to_end(&mut r, &mut out).is_err());
        prop_assert!(bytes.is_empty() || opened.unwrap_or(true));
    }
}
