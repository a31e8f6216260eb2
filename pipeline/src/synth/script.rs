//! Turns the scripted households into SUB records per night and receipts with their decisions.

use super::cases::{CASES, Case, Fault, Jd, Next, Plan, Special, Which};
use super::delimited::Row;
use super::dice::count;
use super::subscribers::{self, Operation};
use super::uke::{Bill, Card};
use super::world::{Coverage, HOUSEHOLD, Person, World, day};
use super::{NIGHTS, dice};
use crate::base::error::{Error, Result};

/// SUB records of each night by insurer, with the codes they must get.
pub type Nights = [Vec<Vec<(Row, Vec<&'static str>)>>; 3];

/// A receipt and what must be decided.
#[derive(Debug, Clone)]
pub struct Expected {
    pub table: &'static str,
    pub payer: &'static str,
    pub bill: Bill,
    pub outcome: &'static str,
    pub reason: &'static str,
    /// Blank without HO.
    pub insurer_no: String,
    pub branch_no: String,
}

/// Who the wrongly linked members were said to be.
const WRONG_LINK: &str = "990000001";

/// Persons in scripted households.
pub fn scripted_persons() -> u64 {
    count(CASES.len()) * HOUSEHOLD
}

/// Adds every case's records and receipts.
pub fn play(world: &World, nights: &mut Nights, receipts: &mut Vec<Expected>) -> Result<()> {
    for (household, case) in (0u64..).zip(CASES) {
        let mut persons: Vec<Person> =
            (0..HOUSEHOLD).map(|place| world.person_at(household * HOUSEHOLD + place, case.insurer)).collect();
        if case.special == Special::Twins {
            twins(&mut persons)?;
        }
        for person in &persons {
            let subject = person.place == if case.special == Special::Twins { 1 } else { 0 };
            if subject {
                subject_of(world, case, person, nights, receipts)?;
            } else {
                let coverage = first(world, case, person);
                push(world, nights, 0, case.insurer, person, Some(&coverage), false)?;
            }
        }
    }
    Ok(())
}

/// Same birthday and sex, other given names.
fn twins(persons: &mut [Person]) -> Result<()> {
    let [_, one, other] = persons else { return Err(Error::failed("synth: a household of twins has three persons")) };
    (one.given, one.sex, one.birth) = (("松子", "マツコ"), "2", day("20120303"));
    (other.given, other.sex, other.birth) = (("竹子", "タケコ"), one.sex, one.birth);
    Ok(())
}

fn first(world: &World, case: &Case, person: &Person) -> Coverage {
    let mut coverage = world.base_coverage(person, case.insurer);
    if case.special == Special::NoBranch {
        coverage.branch.clear();
    }
    coverage
}

fn push(
    world: &World,
    nights: &mut Nights,
    night: usize,
    insurer: usize,
    person: &Person,
    coverage: Option<&Coverage>,
    update: bool,
) -> Result<()> {
    let row = subscribers::image(&world.insurers[insurer], person, coverage, update, NIGHTS[night])?;
    nights[night][insurer].push((row, Vec::new()));
    Ok(())
}

fn subject_of(
    world: &World,
    case: &Case,
    person: &Person,
    nights: &mut Nights,
    receipts: &mut Vec<Expected>,
) -> Result<()> {
    let insurer = &world.insurers[case.insurer];
    let open = first(world, case, person);
    let mut ended = open.clone();
    if let Some(loss) = case.loss {
        ended.lost = Some((day(loss.on), loss.reason));
        ended.returned = Some(loss.returned).filter(|d| !d.is_empty()).map(day);
    }
    let told = case.loss.map_or(0, |loss| loss.told);
    let known = if told == 0 { &ended } else { &open };
    let mut said = person.clone();
    if case.special == Special::Relink {
        WRONG_LINK.clone_into(&mut said.link_no);
    }
    if case.special == Special::NoCoverage {
        let mut row = subscribers::image(insurer, person, None, false, NIGHTS[0])?;
        row.set("member_no", &open.member_no)?;
        nights[0][case.insurer].push((row, Vec::new()));
    } else {
        push(world, nights, 0, case.insurer, &said, Some(known), false)?;
    }
    if told > 0 {
        push(world, nights, told, case.insurer, person, Some(&ended), true)?;
    }
    let later: Vec<Coverage> = case.next.iter().map(|next| following(world, case, person, next)).collect();
    for (next, coverage) in case.next.iter().zip(&later) {
        push(world, nights, next.told, next.insurer, person, Some(coverage), false)?;
    }
    let operation = match case.special {
        Special::Relink => Some((Operation::Relink, person.link_no.as_str())),
        Special::Delete => Some((Operation::Delete, "")),
        _ => None,
    };
    if let Some((operation, link)) = operation {
        let row = subscribers::other(insurer, person, &open.member_no, operation, link, NIGHTS[1])?;
        nights[1][case.insurer].push((row, Vec::new()));
    }
    for plan in case.bills {
        receipts.push(expected(world, person, &open, &later, plan)?);
    }
    Ok(())
}

fn following(world: &World, case: &Case, person: &Person, next: &Next) -> Coverage {
    let seq = if next.insurer == case.insurer { 2 } else { 1 };
    let mut coverage = world.coverage(person, next.insurer, day(next.from), seq);
    coverage.lost = Some(next.until).filter(|d| !d.is_empty()).map(|d| (day(d), "04"));
    coverage
}

fn expected(world: &World, person: &Person, open: &Coverage, later: &[Coverage], plan: &Plan) -> Result<Expected> {
    let coverage = |which| match which {
        Which::First => Ok(open),
        Which::Next(n) => later.get(n).ok_or_else(|| Error::failed("synth: a case names a coverage it does not have")),
    };
    let (printed, to) = (coverage(plan.printed)?, coverage(plan.to)?);
    let mut person = person.clone();
    if plan.fault == Fault::Birth {
        person.birth = crate::base::time::add_days(person.birth, 1);
    }
    let number = if plan.fault == Fault::Number { format!("9{}", printed.number) } else { printed.number.clone() };
    let card = Card {
        insurer_no: printed.insurer_no.clone(),
        symbol: printed.symbol.clone(),
        number,
        // A stored 枝番 may be blank on older cards; the receipt may still give one.
        branch: match (plan.branch, printed.branch.as_str(), world.insurers[printed.insurer].scheme) {
            (false, _, _) | (_, _, "07") => String::new(),
            (true, "", _) => format!("{:02}", person.place),
            (true, branch, _) => branch.to_owned(),
        },
    };
    let visits: Vec<(u32, u8)> = plan.days.iter().map(|d| (*d, 1)).collect();
    let jd = match plan.jd {
        Jd::Visits => Some(visits),
        Jd::Missing => None,
        Jd::Nine(day) => Some(visits.into_iter().chain([(day, 9)]).collect()),
        Jd::Days(days) => Some(days.iter().map(|d| (*d, 1)).collect()),
    };
    let alone = plan.kohi_alone;
    let branch_no = if matches!(plan.outcome, "04" | "09") { to.branch.clone() } else { String::new() };
    let bill = Bill {
        card: Some(card).filter(|_| !alone),
        late_elderly: world.insurers[printed.insurer].scheme == "07" && !alone,
        service_month: plan.service_month,
        days: plan.days.to_vec(),
        jd,
        counted: if plan.detail_days { plan.days.to_vec() } else { Vec::new() },
        mf: plan.mf,
        kohi: plan.kohi,
        large: plan.large,
        kana: plan.kana,
        inpatient: plan.inpatient,
        wide: world.dice.chance("wide", person.index + u64::from(plan.days.iter().sum::<u32>()), 1, 2),
        person,
    };
    Ok(Expected {
        table: plan.table,
        payer: if alone { "1" } else { world.insurers[printed.insurer].payer() },
        bill,
        outcome: plan.outcome,
        reason: plan.reason,
        insurer_no: if alone { String::new() } else { to.insurer_no.clone() },
        branch_no,
    })
}

/// A receipt of a person to whom nothing happens: unchanged, or 枝番 found where the receipt does not say.
pub fn unchanged(world: &World, index: u64, insurer: usize, table: &'static str) -> Expected {
    let dice = world.dice;
    let person = world.person_at(index, insurer);
    let coverage = world.base_coverage(&person, insurer);
    let visits = dice::at(dice.below("visits", index, 4) + 1);
    let first = dice.below("first visit", index, 7) + 1;
    let inpatient = table == "dpc";
    let step = if inpatient { 1 } else { 7 };
    let days: Vec<u32> = (0..visits).filter_map(|n| u32::try_from(first + count(n) * step).ok()).collect();
    let says_branch = dice.chance("says branch", index, 1, 2);
    let found = !says_branch && !coverage.branch.is_empty();
    let branch = if says_branch { coverage.branch.clone() } else { String::new() };
    let bill = Bill {
        card: Some(Card {
            insurer_no: coverage.insurer_no.clone(),
            symbol: coverage.symbol,
            number: coverage.number,
            branch,
        }),
        late_elderly: world.insurers[insurer].scheme == "07",
        service_month: "202610",
        jd: Some(days.iter().map(|d| (*d, 1)).collect()),
        counted: days.clone(),
        days,
        mf: true,
        kohi: false,
        large: false,
        kana: true,
        inpatient,
        wide: dice.chance("wide", index, 1, 2),
        person,
    };
    Expected {
        table,
        payer: world.insurers[insurer].payer(),
        bill,
        outcome: if found { "09" } else { "02" },
        reason: "",
        insurer_no: coverage.insurer_no,
        branch_no: if found { coverage.branch } else { String::new() },
    }
}
