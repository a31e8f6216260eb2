//! The decision for one receipt (domain.md §5), a pure function of receipt, coverages and settings.

use chrono::NaiveDate;

use super::index::{CoverageIndex, Held};
use crate::base::time::Month;

/// What is known of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub has_ho: bool,
    /// Any KO on the receipt (公費併用).
    pub has_kohi: bool,
    pub service_month: Month,
    /// 請求年月.
    pub billing_month: Month,
    /// レセプト種別, 4 digits.
    pub kind: [u8; 4],
    pub insurer_no: String,
    pub symbol_key: String,
    pub number_key: String,
    pub branch_no: Option<String>,
    pub birth_date: Option<NaiveDate>,
    pub sex: Option<String>,
    pub kana_key: Option<String>,
    /// JD of 負担者種別 1, day by day: 0 blank, 1, 2, 9.
    pub jd: Option<[u8; 31]>,
    /// Days counted in the detail records; `None` where the layout of them is not known to us.
    pub detail_days: Option<Vec<u32>>,
    pub has_mf: bool,
    /// 合計点数; `None` = blank: then it is not known to be small enough for anything.
    pub points: Option<i64>,
    /// 入院 or DPC.
    pub inpatient: bool,
}

/// Settings that change decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub exclude_kohi: bool,
}

/// 確認区分 of a decided receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    NotApplicable,
    Unchanged,
    Unconfirmed,
    Rerouted,
    Lost,
    LostCardReturned,
    LostDied,
    BranchFound,
}

impl Outcome {
    /// Code of 別表29; `not_applicable` is ours.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotApplicable => "not_applicable",
            Self::Unchanged => "02",
            Self::Unconfirmed => "03",
            Self::Rerouted => "04",
            Self::Lost => "06",
            Self::LostCardReturned => "07",
            Self::LostDied => "08",
            Self::BranchFound => "09",
        }
    }
}

/// Who owes which days: a coverage (or none), ascending days.
pub type DayGroup = (Option<usize>, Vec<u32>);

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    /// Why, where the outcome alone does not say it; empty else.
    pub reason: &'static str,
    /// Claimed coverage, as an index into the coverages.
    pub claimed: Option<usize>,
    /// By first day.
    pub days: Vec<DayGroup>,
}

impl Decision {
    fn plain(outcome: Outcome, reason: &'static str) -> Self {
        Self { outcome, reason, claimed: None, days: Vec::new() }
    }
}

/// Receipts for services before this month are not decided (記録条件仕様 医科 R4, notes to SN, JD, MF).
const FIRST_SERVICE_MONTH: (i32, u32) = (2021, 9);
/// From this 請求年月 small receipts may move without MF (記録条件仕様 医科 R4 L929).
const NO_MF_FROM: (i32, u32) = (2023, 3);

fn month(of: (i32, u32)) -> Option<Month> {
    Month::new(of.0, of.1)
}

/// Decides one receipt.
pub fn decide(index: &CoverageIndex, claim: &Claim, rules: Rules) -> Decision {
    if !claim.has_ho {
        return Decision::plain(Outcome::NotApplicable, "no_ho");
    }
    if month(FIRST_SERVICE_MONTH).is_some_and(|first| claim.service_month < first) {
        return Decision::plain(Outcome::NotApplicable, "before_2021_09");
    }
    let own = match claimed_member(index, claim) {
        Ok(own) => own,
        Err(reason) => return Decision::plain(Outcome::Unconfirmed, reason),
    };
    let days = service_days(claim);
    let Some(first_day) = days.first().and_then(|d| claim.service_month.day(*d)) else {
        return Decision::plain(Outcome::Unconfirmed, "no_days");
    };
    let person = index.of_person(index.coverages[own[0]].link_no);
    let mut groups: Vec<DayGroup> = Vec::new();
    for day in &days {
        let Some(date) = claim.service_month.day(*day) else { continue };
        let responsible =
            newest(index, own.iter().copied(), date).or_else(|| newest(index, person.iter().copied(), date));
        match groups.iter_mut().find(|(r, _)| *r == responsible) {
            Some((_, days)) => days.push(*day),
            None => groups.push((responsible, vec![*day])),
        }
    }
    let Some(claimed) = stands_for(index, &own, first_day) else {
        return Decision::plain(Outcome::Unconfirmed, "no_member");
    };
    let decision = Decision { outcome: Outcome::Unchanged, reason: "", claimed: Some(claimed), days: groups };
    by_eligibility(index, claim, rules, &own, decision)
}

/// Step 1: the coverages of the one member the receipt means.
fn claimed_member(index: &CoverageIndex, claim: &Claim) -> Result<Vec<usize>, &'static str> {
    let candidates = index.claimed(&claim.insurer_no, &claim.symbol_key, &claim.number_key);
    let matches = |i: &&usize| {
        let held = &index.coverages[**i];
        let branch = match (&claim.branch_no, &held.branch_no) {
            (Some(claimed), Some(stored)) => claimed == stored,
            _ => true,
        };
        // A blank birth date never matches (rules.md).
        branch && claim.birth_date.is_some() && held.birth_date == claim.birth_date
    };
    let mut members: Vec<usize> = Vec::new();
    for i in candidates.iter().filter(matches) {
        if !members.iter().any(|m| index.same_member(*m, *i)) {
            members.push(*i);
        }
    }
    if claim.branch_no.is_none() {
        // Households without 枝番 are told apart by sex, then by kana, while several remain.
        if members.len() > 1 && claim.sex.is_some() {
            members.retain(|m| index.coverages[*m].sex == claim.sex);
        }
        if members.len() > 1 && claim.kana_key.is_some() {
            members.retain(|m| index.coverages[*m].kana_key == claim.kana_key);
        }
    }
    match members.as_slice() {
        [] => Err("no_member"),
        [one] => Ok(candidates.iter().copied().filter(|i| index.same_member(*one, *i)).collect()),
        _ => Err("several_members"),
    }
}

/// Step 3: days with 1 or 2 in JD; without JD the counted days; else the whole month of an inpatient.
fn service_days(claim: &Claim) -> Vec<u32> {
    let exists = |d: &u32| claim.service_month.day(*d).is_some();
    let days: Vec<u32> = match (&claim.jd, &claim.detail_days) {
        (Some(jd), _) => (1u32..).zip(jd).filter(|(_, v)| matches!(v, 1 | 2)).map(|(d, _)| d).filter(exists).collect(),
        (None, Some(days)) => days.iter().copied().filter(exists).collect(),
        (None, None) => Vec::new(),
    };
    if days.is_empty() && claim.inpatient { (1..=31).filter(exists).collect() } else { days }
}

/// The covering one with the newest 資格取得日 (ties: newest recorded, then rules.md §3).
fn newest(index: &CoverageIndex, among: impl Iterator<Item = usize>, date: NaiveDate) -> Option<usize> {
    among.filter(|i| index.coverages[*i].covers(date)).min_by(|a, b| index.order(*a, *b))
}

/// The row of the claimed member that stands for a day: the one that covers it, else the newest begun by then, else the
/// newest; an empty interval only if there is no other.
fn stands_for(index: &CoverageIndex, own: &[usize], date: NaiveDate) -> Option<usize> {
    let real: Vec<usize> = own.iter().copied().filter(|i| !index.coverages[*i].is_empty()).collect();
    let own = if real.is_empty() { own } else { &real };
    let begun = own.iter().copied().filter(|i| index.coverages[*i].acquired_on <= date);
    newest(index, own.iter().copied(), date)
        .or_else(|| begun.min_by(|a, b| index.order(*a, *b)))
        .or_else(|| own.iter().copied().min_by(|a, b| index.order(*a, *b)))
}

/// Step 5: the outcome by eligibility; 04 and 05 then pass step 6.
fn by_eligibility(
    index: &CoverageIndex,
    claim: &Claim,
    rules: Rules,
    own: &[usize],
    mut decision: Decision,
) -> Decision {
    let first_uncovered = decision.days.iter().find(|(r, _)| r.is_none()).and_then(|(_, days)| days.first()).copied();
    if let Some(date) = first_uncovered.and_then(|day| claim.service_month.day(day)) {
        let lost = stands_for(index, own, date).map(|at| &index.coverages[at]);
        decision.outcome = if lost.is_some_and(|lost| lost.died) {
            Outcome::LostDied
        } else if lost.and_then(|lost| lost.card_returned_on).is_some_and(|returned| date >= returned) {
            Outcome::LostCardReturned
        } else {
            Outcome::Lost
        };
        return decision;
    }
    let mut owners: Vec<&Held> = Vec::new();
    for (responsible, _) in &decision.days {
        if let Some(held) = responsible.map(|i| &index.coverages[i])
            && !owners.iter().any(|o| o.same_right(held))
        {
            owners.push(held);
        }
    }
    let claimed_own = decision.days.iter().all(|(r, _)| r.is_some_and(|i| own.contains(&i)));
    if claimed_own {
        let known = decision.claimed.is_some_and(|c| index.coverages[c].branch_no.is_some());
        let found = claim.branch_no.is_none() && known;
        decision.outcome = if found { Outcome::BranchFound } else { Outcome::Unchanged };
        return decision;
    }
    let split = owners.len() > 1;
    match movable(claim, rules, split) {
        None if !split => decision.outcome = Outcome::Rerouted,
        // Splitting is not built yet: such receipts stay with the printed insurer (roadmap 1).
        blocked => {
            decision.outcome = Outcome::Lost;
            decision.reason = blocked.unwrap_or("split_blocked");
        }
    }
    decision
}

/// Step 6: why a receipt may not be moved; `None` = it may.
fn movable(claim: &Claim, rules: Rules, split: bool) -> Option<&'static str> {
    if claim.has_kohi && rules.exclude_kohi {
        return Some("with_kohi");
    }
    if !claim.has_mf && !small_enough_without_mf(claim) {
        return Some("no_mf");
    }
    if !split {
        return None;
    }
    let Some(jd) = &claim.jd else { return Some("no_jd") };
    let exists = |d: &u32| claim.service_month.day(*d).is_some();
    let days = (1u32..).zip(jd).filter(|(d, _)| exists(d));
    let nine = days.clone().any(|(_, v)| *v == 9);
    let counted: Vec<u32> = days.filter(|(_, v)| matches!(v, 1 | 2)).map(|(d, _)| d).collect();
    let differs = claim.detail_days.as_ref().is_some_and(|detail| {
        let mut detail: Vec<u32> = detail.iter().copied().filter(exists).collect();
        detail.sort_unstable();
        detail.dedup();
        detail != counted
    });
    (nine || differs).then_some("jd_disagrees")
}

/// Point limits for receipts without MF, by レセプト種別 (記録条件仕様 医科 R4 L929–931).
fn small_enough_without_mf(claim: &Claim) -> bool {
    if month(NO_MF_FROM).is_some_and(|from| claim.billing_month < from) {
        return false;
    }
    let limit = match (claim.kind[1], claim.kind[3]) {
        (3, _) => 3_000,
        (2, _) => return false,
        (_, 1 | 2 | 5 | 6) => 11_800,
        (_, 3 | 4) => 17_700,
        _ => 4_000,
    };
    claim.points.is_some_and(|points| points <= limit)
}
