//! Slow, obvious oracle for the monthly receipt decision (レセプト振替・分割), written from domain.md §2, §3, §5,
//! rules.md §1 and §3 and formats.md §5 alone, without sight of the implementation.
//! The caller has already applied the cut-off T (only coverages recorded before it), the loss_day setting and the
//! normalisation of 記号・番号・カナ. Where the documents leave a choice there is an `// AMBIGUOUS:`.

use std::cmp::Reverse;
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    pub insurer_code: String,
    pub member_no: String,
    pub coverage_seq: u32,
    pub link_no: i64,
    pub insurer_no: String, // 8 digits
    pub symbol_key: String,
    pub number_key: String, // already normalised, as symbol_key
    pub branch_no: Option<String>,
    pub acquired_on: i32,
    pub end: Option<i32>, // exclusive, loss_day applied; Some(e <= acquired_on) is an empty interval
    pub loss_is_death: bool, // loss_reason 02
    pub card_returned_on: Option<i32>,
    pub recorded_from: i64,
    pub birth_date: Option<i32>,
    pub sex: Option<u8>,
    pub kana_key: Option<String>, // NFKC, no spaces
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub has_ho: bool,
    pub has_kohi: bool,
    pub service_year: i32,
    pub service_month: u32,
    pub billing_yyyymm: u32,
    pub kind: [u8; 4], // レセプト種別, digits as numbers 0..9
    pub insurer_no: String,
    pub symbol_key: String,
    pub number_key: String,
    pub branch_no: Option<String>,
    pub birth_date: Option<i32>,
    pub sex: Option<u8>,
    pub kana_key: Option<String>,
    pub jd: Option<[u8; 31]>,  // JD of 負担者種別 1: 0 blank, 1, 2, 9
    pub detail_days: Vec<u32>, // counted in detail records, or dispensing days
    pub mf_present: bool,
    pub points: i64,
    pub dpc_or_inpatient: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub exclude_kohi: bool,
    pub split_built: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub outcome: &'static str, // "02".."09" or "not_applicable"
    pub reason: &'static str,
    pub claimed: Option<usize>,                      // index of the claimed coverage
    pub responsible: Vec<(Option<usize>, Vec<u32>)>, // days by coverage; groups by first day
}

pub fn decide(all: &[Coverage], r: &Receipt, s: &Settings) -> Decision {
    // AMBIGUOUS: order of no_ho and before_2021_09 when both hold, and of both against 03. §5 opens with "decision for
    // one receipt with an HO record", so no_ho first; §5.6 "診療年月 <= 202108: no decision", so before any 03.
    if !r.has_ho {
        return undecided("not_applicable", "no_ho");
    }
    if r.service_year * 100 + r.service_month as i32 <= 202108 {
        return undecided("not_applicable", "before_2021_09");
    }

    // §5.1, then §5.3. AMBIGUOUS: an 03 lacking both member and days carries the reason of the earlier step, the member.
    let claimed_rows = match claimed_rows(all, r) {
        Ok(rows) => rows,
        Err(reason) => return undecided("03", reason),
    };
    let days = service_days(r);
    if days.is_empty() {
        // AMBIGUOUS: the claimed coverage is chosen per day; with no day there is none to choose, so `claimed` is None.
        return undecided("03", "no_days");
    }

    // AMBIGUOUS: the one `claimed` index, where several rows carry the claimed number: the row standing for the first
    // service day (see claimed_on).
    let claimed = claimed_on(all, &claimed_rows, date(r, days[0]));

    // §5.2: the person's coverages at all insurers.
    let person_rows = rows_where(all, |c| c.link_no == all[claimed].link_no);

    // §5.4, day by day. "If the claimed coverage is valid on the day, nothing moves even where a newer one exists" (§5.5).
    let responsible_on = |on| newest_covering(all, &claimed_rows, on).or(newest_covering(all, &person_rows, on));
    let per_day: Vec<Day> = (days.iter().map(|&d| (d, responsible_on(date(r, d))))).collect();

    let (outcome, reason) = match per_day.iter().find(|(_, who)| who.is_none()) {
        Some(&(first_uncovered, _)) => lost(all, &claimed_rows, date(r, first_uncovered)),
        None => covered(all, r, s, &claimed_rows, &per_day),
    };
    let mut decision = undecided(outcome, reason);
    decision.claimed = Some(claimed);
    decision.responsible = grouped(&per_day);
    decision
}

type Day = (u32, Option<usize>); // a service day and the row responsible for it
type Verdict = (&'static str, &'static str); // outcome and reason

fn undecided(outcome: &'static str, reason: &'static str) -> Decision {
    Decision { outcome, reason, claimed: None, responsible: Vec::new() }
}

// == §5.1 claimed member ==
/// All rows that count as "the claimed coverage": rows of the claimed member under the claimed 保険者番号・記号・番号.
fn claimed_rows(all: &[Coverage], r: &Receipt) -> Result<Vec<usize>, &'static str> {
    // Any valid time: lost and empty coverages identify a member too (rules.md §3).
    let mut candidates = rows_where(all, |c| same_number(c, r) && birth_and_branch_match(c, r));

    // AMBIGUOUS: §5.1 tells members apart by sex and kana only "without 枝番"; several members that match a given 枝番
    // (stored blank matches any) are therefore not narrowed any further: several_members.
    if r.branch_no.is_none() {
        // AMBIGUOUS: sex is consulted only while several members stand, kana only if sex leaves several. A value blank
        // in the receipt tells nobody apart and is skipped; a value blank in the coverage never equals a stated one
        // (as for birth_date). If nobody agrees, "none -> 03": no_member, without falling back to the next value.
        if members(all, &candidates).len() > 1 && r.sex.is_some() {
            candidates.retain(|&i| all[i].sex == r.sex);
        }
        if members(all, &candidates).len() > 1 && r.kana_key.is_some() {
            candidates.retain(|&i| all[i].kana_key == r.kana_key);
        }
    }

    // AMBIGUOUS: "several" counts members (insurer_code, member_no), as §5.1 says, not persons: two members with one
    // 紐付番号 are still several.
    let standing = members(all, &candidates);
    // AMBIGUOUS: within the claimed member 枝番 no longer matters: §5.5 makes only "new 記号・番号" another coverage.
    let is_claimed = |c: &Coverage| same_number(c, r) && standing.contains(&member(c));
    match standing.len() {
        0 => Err("no_member"),
        1 => Ok(rows_where(all, is_claimed)),
        _ => Err("several_members"),
    }
}

fn rows_where(all: &[Coverage], wanted: impl Fn(&Coverage) -> bool) -> Vec<usize> {
    (0..all.len()).filter(|&i| wanted(&all[i])).collect()
}

fn number(c: &Coverage) -> (&str, &str, &str) {
    (&c.insurer_no, &c.symbol_key, &c.number_key)
}

fn same_number(c: &Coverage, r: &Receipt) -> bool {
    number(c) == (&*r.insurer_no, &*r.symbol_key, &*r.number_key)
}

/// rules.md: a blank birth_date never matches; 枝番 given and unequal is no match, stored blank matches any.
fn birth_and_branch_match(c: &Coverage, r: &Receipt) -> bool {
    let branch = r.branch_no.is_none() || c.branch_no.is_none() || r.branch_no == c.branch_no;
    branch && c.birth_date.is_some() && c.birth_date == r.birth_date
}

fn member(c: &Coverage) -> (&str, &str) {
    (&c.insurer_code, &c.member_no)
}

fn members<'a>(all: &'a [Coverage], rows: &[usize]) -> BTreeSet<(&'a str, &'a str)> {
    rows.iter().map(|&i| member(&all[i])).collect()
}

// == §5.3 service days ==
fn service_days(r: &Receipt) -> Vec<u32> {
    // AMBIGUOUS: "without JD" = no JD record. A JD that is there but names no day with 1 or 2 is not replaced by the
    // detail records' days.
    let days = match &r.jd {
        Some(jd) => jd_days(r, jd, &[1, 2]),
        None => detail_days(r),
    };
    // AMBIGUOUS: 入院 is the flag the caller gives, not レセプト種別 again.
    if days.is_empty() && r.dpc_or_inpatient {
        return days_where(r, |_| true);
    }
    days
}

/// Ascending, each once; numbers that are no day of the month are never looked at.
fn days_where(r: &Receipt, wanted: impl Fn(u32) -> bool) -> Vec<u32> {
    let last = month_length(r.service_year, r.service_month);
    (1..=last).filter(|&day| wanted(day)).collect()
}

fn jd_days(r: &Receipt, jd: &[u8; 31], codes: &[u8]) -> Vec<u32> {
    days_where(r, |day| codes.contains(&jd[day as usize - 1]))
}

fn detail_days(r: &Receipt) -> Vec<u32> {
    days_where(r, |day| r.detail_days.contains(&day))
}

// == §2, §5.4 which coverage answers for a day ==
/// §2: half-open [資格取得日, end); 同日得喪 covers nothing.
fn covers(c: &Coverage, on: i32) -> bool {
    c.acquired_on <= on && c.end.is_none_or(|end| on < end)
}

/// The preferred of some rows: newest acquired_on, newest recorded_from, then the ascending keys of rules.md.
fn newest(all: &[Coverage], mut rows: Vec<usize>) -> Option<usize> {
    // AMBIGUOUS: blank 枝番 sorts before any. What is equal in everything here goes to the lower index (stable sort).
    rows.sort_by_key(|&i| {
        let c = &all[i];
        let newest = (Reverse(c.acquired_on), Reverse(c.recorded_from));
        (newest, number(c), &c.branch_no, c.coverage_seq)
    });
    rows.first().copied()
}

fn newest_covering(all: &[Coverage], rows: &[usize], on: i32) -> Option<usize> {
    newest(all, only(rows, |i| covers(&all[i], on)))
}

fn only(rows: &[usize], wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    rows.iter().copied().filter(|&i| wanted(i)).collect()
}

/// The claimed row that stands for "the claimed coverage" on a day, covered or not. `rows` is never empty.
fn claimed_on(all: &[Coverage], rows: &[usize], on: i32) -> usize {
    // AMBIGUOUS: on a day none of several claimed rows covers: the newest one already begun (whose loss left the day
    // uncovered), else the newest of all. Empty intervals stand only where there is no other row.
    let real = only(rows, |i| covers(&all[i], all[i].acquired_on));
    let rows = if real.is_empty() { rows } else { &real };
    newest_covering(all, rows, on)
        .or(newest(all, only(rows, |i| all[i].acquired_on <= on)))
        .or(newest(all, rows.to_vec()))
        .unwrap_or(0)
}

// == §5.5 outcome by eligibility ==
fn lost(all: &[Coverage], claimed_rows: &[usize], first_uncovered: i32) -> Verdict {
    let claimed = &all[claimed_on(all, claimed_rows, first_uncovered)];
    // AMBIGUOUS: §5.5 says "died" without saying by which coverage or when. Code 08 is 資格喪失(死亡): the claimed
    // coverage (the row standing for the first uncovered day) was lost with reason 02, wherever the day lies.
    if claimed.loss_is_death {
        return ("08", "");
    }
    match claimed.card_returned_on {
        Some(returned) if first_uncovered >= returned => ("07", ""),
        _ => ("06", ""),
    }
}

fn covered(all: &[Coverage], r: &Receipt, s: &Settings, mine: &[usize], days: &[Day]) -> Verdict {
    let rows: Vec<usize> = days.iter().filter_map(|&(_, who)| who).collect();
    if rows.iter().all(|i| mine.contains(i)) {
        // AMBIGUOUS: with several claimed rows the 枝番 is known if the first service day's row has one.
        let found = r.branch_no.is_none() && all[rows[0]].branch_no.is_some();
        return (if found { "09" } else { "02" }, "");
    }
    // AMBIGUOUS: rows of one member under one 保険者番号・記号・番号 count as ONE coverage, for the other coverages as for
    // the claimed one: a split between them would make two receipts with the same number. `responsible` still lists
    // the rows apart.
    let identity = |i: usize| (member(&all[i]), number(&all[i]));
    let split = rows.iter().any(|&i| identity(i) != identity(rows[0]));
    match blocked(r, s, split) {
        Some(reason) => ("06", reason),
        None => (if split { "05" } else { "04" }, ""),
    }
}

// == §5.6 what may be moved at all ==
fn blocked(r: &Receipt, s: &Settings, split: bool) -> Option<&'static str> {
    if s.exclude_kohi && r.has_kohi {
        return Some("with_kohi");
    }
    let small = point_limit(r.kind).is_some_and(|limit| r.points <= limit);
    if !r.mf_present && !(small && r.billing_yyyymm >= 202303) {
        return Some("no_mf");
    }
    if split { split_blocked(r, s) } else { None }
}

fn split_blocked(r: &Receipt, s: &Settings) -> Option<&'static str> {
    let Some(jd) = &r.jd else {
        return Some("no_jd");
    };
    // "Days that disagree": the set of days with 1 or 2 is not the set of days counted in the detail records.
    if jd_days(r, jd, &[9]) != Vec::<u32>::new() || jd_days(r, jd, &[1, 2]) != detail_days(r) {
        return Some("jd_disagrees");
    }
    // AMBIGUOUS: §5.7 "Blocked: 入院・DPC" holds even where splitting is built.
    if !s.split_built || r.dpc_or_inpatient {
        return Some("split_blocked");
    }
    None
}

fn point_limit(kind: [u8; 4]) -> Option<i64> {
    match (kind[1], kind[3]) {
        (3, _) => Some(3_000), // 後期高齢, whatever follows
        // AMBIGUOUS: 公費単独 with an HO record contradicts itself and no figure is given for it: no limit, so no_mf.
        (2, _) => None,
        (_, 1 | 2 | 5 | 6) => Some(11_800), // 本人・家族
        (_, 3 | 4) => Some(17_700),         // 未就学
        (_, 7 | 8 | 9 | 0) => Some(4_000),  // 高齢受給者
        _ => None,                          // not a digit
    }
}

// == small helpers ==
fn grouped(per_day: &[Day]) -> Vec<(Option<usize>, Vec<u32>)> {
    let mut groups: Vec<(Option<usize>, Vec<u32>)> = Vec::new();
    for &(day, who) in per_day {
        match groups.iter_mut().find(|g| g.0 == who) {
            Some(group) => group.1.push(day),
            None => groups.push((who, vec![day])),
        }
    }
    groups
}

fn month_length(year: i32, month: u32) -> u32 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0, // not a month: no day exists in it
    }
}

/// Days since 1970-01-01, counted year by year. What gets here is of 2021 or later: nothing before 1970 to count.
fn date(r: &Receipt, day: u32) -> i32 {
    let months = |year, before| (1..before).map(|m| month_length(year, m)).sum::<u32>();
    let years: u32 = (1970..r.service_year).map(|year| months(year, 13)).sum();
    (years + months(r.service_year, r.service_month) + day) as i32 - 1
}
