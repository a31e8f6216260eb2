//! Links against the plain model: random nights of records in any order.

use proptest::prelude::*;
use shikaku_pipeline::links::resolve::{Links, Source, Verdict};
use shikaku_schemas::code::Code;

use crate::links_oracle as oracle;

fn record() -> impl Strategy<Value = oracle::Rec> {
    let (serial, request, link) = (0u32..7, 0u32..4, 0i64..3);
    prop_oneof![
        1 => (serial.clone(), link.clone()).prop_map(|(serial, link)| oracle::Rec::Person { serial, link }),
        1 => (request.clone(), link).prop_map(|(request, link)| oracle::Rec::Request { request, link }),
        1 => (serial.clone(), request).prop_map(|(serial, request)| oracle::Rec::ByRequest { serial, request }),
        3 => (serial.clone(), serial).prop_map(|(new, old)| oracle::Rec::Reissue { new, old }),
    ]
}

fn source() -> Source {
    Source { file: "f".to_owned(), record: 1, created: chrono::NaiveDateTime::default() }
}

/// Text whose order is the number's.
fn text(n: u32) -> String {
    format!("a{n}")
}

fn told(verdict: Verdict) -> oracle::Verdict {
    match verdict {
        Verdict::Done => oracle::Verdict::Done,
        Verdict::Waits => oracle::Verdict::Waits,
        Verdict::Known => oracle::Verdict::Known,
        Verdict::Conflict(Code::SerialOfAnother) => oracle::Verdict::SerialOfAnother,
        Verdict::Conflict(Code::TwoSuccessors) => oracle::Verdict::TwoSuccessors,
        Verdict::Conflict(Code::LinkCycle) => oracle::Verdict::Cycle,
        Verdict::Conflict(Code::RequestOfAnother) => oracle::Verdict::RequestOfAnother,
        Verdict::Conflict(_) => oracle::Verdict::ToItself,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]
    #[test]
    fn agrees_with_the_model(nights in proptest::collection::vec(proptest::collection::vec(record(), 0..9), 1..4)) {
        let (mut own, mut model, mut late) = (Links::default(), oracle::World::new(), 0);
        for night in nights {
            let expected = model.night(&night);
            let verdicts: Vec<_> = night
                .iter()
                .map(|record| {
                    told(match *record {
                        oracle::Rec::Person { serial, link } => own.person(&text(serial), link, source(), "LNKP"),
                        oracle::Rec::Request { request, link } => own.request(&text(request), link, &source()),
                        oracle::Rec::ByRequest { serial, request } => own.by_request(&text(serial), &text(request), source()),
                        oracle::Rec::Reissue { new, old } => own.reissue(&text(new), &text(old), source()),
                    })
                })
                .collect();
            prop_assert_eq!(verdicts, expected);
            late += own.settle().len();
            let links: Vec<_> = own.states.iter().map(|(s, l)| (s.clone(), l.link_no, l.superseded_by.clone())).collect();
            let expected: Vec<_> = model.links().into_iter().map(|(s, l, n)| (text(s), l, n.map(text))).collect();
            prop_assert_eq!(links, expected);
            prop_assert_eq!(own.pending.len(), model.pending());
            prop_assert_eq!(late, model.late_conflicts());
        }
    }
}
