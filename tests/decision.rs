//! The decision against the slow oracle, on random households, coverages and receipts.

use chrono::NaiveDate;
use proptest::prelude::*;
use shikaku_pipeline::base::time::{Month, from_days};
use shikaku_pipeline::reroute::decide::{Claim, Outcome, Rules, decide};
use shikaku_pipeline::reroute::index::{CoverageIndex, Held};

use crate::decision_oracle as oracle;

/// 2022-10-01 in days since 1970.
const FIRST: i32 = 19_266;

fn coverage() -> impl Strategy<Value = oracle::Coverage> {
    let who = (0u8..3, 0u8..3, 1u32..4, 0i64..3);
    let card = (0u8..3, 0u8..2, 0u8..2, proptest::option::of(0u8..2));
    let when = (-40i32..35, proptest::option::of(-2i32..60), any::<bool>(), proptest::option::of(-20i32..50), 0i64..3);
    let person = (proptest::option::weighted(0.9, 0i32..2), proptest::option::of(1u8..3), proptest::option::of(0u8..2));
    (who, card, when, person).prop_map(
        |(
            (code, member, seq, link),
            (no, symbol, number, branch),
            (from, length, died, returned, recorded),
            (birth, sex, kana),
        )| {
            oracle::Coverage {
                insurer_code: format!("I{code}"),
                member_no: format!("M{member}"),
                coverage_seq: seq,
                link_no: link,
                insurer_no: format!("0000000{no}"),
                symbol_key: format!("S{symbol}"),
                number_key: format!("N{number}"),
                branch_no: branch.map(|b| format!("0{b}")),
                acquired_on: FIRST + from,
                end: length.map(|l| FIRST + from + l.max(0)),
                loss_is_death: died && length.is_some(),
                card_returned_on: returned.map(|r| FIRST + r),
                recorded_from: recorded,
                birth_date: birth,
                sex,
                kana_key: kana.map(|k| format!("K{k}")),
            }
        },
    )
}

prop_compose! {
    fn jd()(days in proptest::collection::vec(prop_oneof![6 => Just(0u8), 2 => Just(1u8), 1 => Just(2u8), 1 => Just(9u8)], 31)) -> [u8; 31] {
        let mut out = [0; 31];
        out.copy_from_slice(&days);
        out
    }
}

fn receipt() -> impl Strategy<Value = oracle::Receipt> {
    let flags =
        (proptest::bool::weighted(0.95), proptest::bool::weighted(0.2), any::<bool>(), proptest::bool::weighted(0.15));
    let card = (0u8..3, 0u8..2, 0u8..2, proptest::option::of(0u8..2));
    let person =
        (proptest::option::weighted(0.95, 0i32..2), proptest::option::of(1u8..3), proptest::option::of(0u8..2));
    let days = (proptest::option::weighted(0.7, jd()), proptest::collection::btree_set(1u32..32, 0..4), any::<bool>());
    let kind = (
        prop_oneof![Just(1u8), Just(2), Just(3)],
        0u8..10,
        prop_oneof![Just(2_500i64), Just(3_500), Just(10_000), Just(15_000), Just(20_000)],
    );
    let when =
        prop_oneof![8 => Just((2022, 10, 202_304)), 2 => Just((2022, 10, 202_211)), 1 => Just((2021, 8, 202_109))];
    (flags, card, person, days, kind, when).prop_map(
        |(
            (ho, kohi, mf, inpatient),
            (no, symbol, number, branch),
            (birth, sex, kana),
            (jd, detail, follow),
            (second, fourth, points),
            (year, month, billing),
        )| {
            // Half of the receipts have detail days that agree with JD, else 05 would hardly be reached.
            let agreeing = jd
                .filter(|_| follow)
                .map(|jd| (1u32..).zip(jd).filter(|(_, v)| matches!(v, 1 | 2)).map(|(d, _)| d).collect());
            oracle::Receipt {
                has_ho: ho,
                has_kohi: kohi,
                service_year: year,
                service_month: month,
                billing_yyyymm: billing,
                kind: [1, second, 1, if inpatient { fourth | 1 } else { fourth & !1 }],
                insurer_no: format!("0000000{no}"),
                symbol_key: format!("S{symbol}"),
                number_key: format!("N{number}"),
                branch_no: branch.map(|b| format!("0{b}")),
                birth_date: birth,
                sex,
                kana_key: kana.map(|k| format!("K{k}")),
                jd,
                detail_days: agreeing.unwrap_or_else(|| detail.into_iter().collect()),
                mf_present: mf,
                points,
                dpc_or_inpatient: inpatient,
            }
        },
    )
}

fn date(days: i32) -> NaiveDate {
    from_days(days)
}

fn held(c: &oracle::Coverage) -> Held {
    Held {
        insurer_code: c.insurer_code.clone(),
        member_no: c.member_no.clone(),
        coverage_seq: i64::from(c.coverage_seq),
        link_no: c.link_no,
        insurer_no: c.insurer_no.clone(),
        symbol_key: c.symbol_key.clone(),
        number_key: c.number_key.clone(),
        branch_no: c.branch_no.clone(),
        acquired_on: date(c.acquired_on),
        end: c.end.map(date),
        died: c.loss_is_death,
        card_returned_on: c.card_returned_on.map(date),
        recorded_from: shikaku_pipeline::base::time::from_millis(c.recorded_from),
        birth_date: c.birth_date.map(date),
        sex: c.sex.map(|s| s.to_string()),
        kana_key: c.kana_key.clone(),
        symbol_raw: Vec::new(),
        number_raw: Vec::new(),
    }
}

fn claim(r: &oracle::Receipt) -> Claim {
    let billing = i32::try_from(r.billing_yyyymm).unwrap();
    Claim {
        has_ho: r.has_ho,
        has_kohi: r.has_kohi,
        service_month: Month::new(r.service_year, r.service_month).unwrap(),
        billing_month: Month::new(billing / 100, r.billing_yyyymm % 100).unwrap(),
        kind: r.kind,
        insurer_no: r.insurer_no.clone(),
        symbol_key: r.symbol_key.clone(),
        number_key: r.number_key.clone(),
        branch_no: r.branch_no.clone(),
        birth_date: r.birth_date.map(date),
        sex: r.sex.map(|s| s.to_string()),
        kana_key: r.kana_key.clone(),
        jd: r.jd,
        detail_days: Some(r.detail_days.clone()),
        has_mf: r.mf_present,
        points: Some(r.points),
        inpatient: r.dpc_or_inpatient,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]
    #[test]
    fn agrees_with_the_oracle(coverages in proptest::collection::vec(coverage(), 0..9), receipt in receipt()) {
        // The person of a member is one: coverages of one member share their 紐付番号 and what identifies the member.
        let mut coverages = coverages;
        for i in 0..coverages.len() {
            let first = coverages.iter().position(|c| (&c.insurer_code, &c.member_no) == (&coverages[i].insurer_code, &coverages[i].member_no)).unwrap();
            let (link, birth, sex, kana) = (coverages[first].link_no, coverages[first].birth_date, coverages[first].sex, coverages[first].kana_key.clone());
            let own = &mut coverages[i];
            (own.link_no, own.birth_date, own.sex, own.kana_key) = (link, birth, sex, kana);
        }
        let settings = oracle::Settings { exclude_kohi: true, split_built: false };
        let expected = oracle::decide(&coverages, &receipt, &settings);
        let index = CoverageIndex::new(coverages.iter().map(held).collect());
        let own = decide(&index, &claim(&receipt), Rules { exclude_kohi: true });
        let outcome = if own.outcome == Outcome::NotApplicable { "not_applicable" } else { own.outcome.code() };
        prop_assert_eq!((outcome, own.reason), (expected.outcome, expected.reason));
        prop_assert_eq!(own.claimed, expected.claimed);
        prop_assert_eq!(own.days, expected.responsible);
    }
}
