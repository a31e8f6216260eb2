//! Subscriber files against the plain model (tests/oracle/subscribers.rs): random operation lists, as files over nights,
//! give the same tables and results; permutation, splitting, duplication, threads and crashes change nothing.
//!
//! `SHIKAKU_CASES` = operation lists (one insurer's files over all nights) per test; `SHIKAKU_SEED` = where to start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use shikaku_pipeline::intake::inbox;
use shikaku_pipeline::lake::history::HistoryScan;
use shikaku_pipeline::ledger::{Event, InputRow};
use shikaku_pipeline::store::Store;
use shikaku_schemas::tables::{self, Table};

use crate::common::{Row, Sub, envelope, member_no, plain_texts, temp_dir};
use crate::plan::lake::{Killed, NEVER, copy_dir, encoding, insurer, open, run_job, template};
use crate::plan::subscribers::{
    Night, Plan, Run, Treatment, my_number, number_lines, plant, random_line, random_plan, same_updated_at,
};
use crate::plan::{Dice, number};
use crate::subscribers_oracle::{
    COVERAGE, CoverageKey, Damage, Fields, File, Insurer, MEMBER, MemberKey, Outcome, Verdict, Version, World, get,
    known_at,
};

// ---- The pipeline ------------------------------------------------------------------------------------------------------

/// The bytes of a file in its origin's encoding.
fn bytes_of(file: &File) -> Vec<u8> {
    let mut lines = file.lines.clone();
    if file.damage == Damage::MyNumber {
        lines[0].insert("address".to_owned(), format!("東京都{}", my_number()));
    }
    let quoted = |value: &String| {
        if value.contains(',') { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.clone() }
    };
    let lines: Vec<String> =
        lines.iter().map(|line| Sub(line.iter().map(|(n, v)| (n.clone(), quoted(v))).collect()).line()).collect();
    let text = String::from_utf8(envelope("SUB", &file.origin, file.receipt, &lines)).unwrap();
    let text = match file.damage {
        Damage::Truncated => text.split_at(text.rfind("E,").unwrap()).0.to_owned(),
        _ => text,
    };
    encoding(&file.origin).encode(&text).unwrap()
}

/// Rows of a history table as the model has them, seen through the resolving scan.
fn versions<K>(store: &Store, table: &'static Table, names: &[&str], key: impl Fn(&Row) -> K) -> Vec<Version<K>> {
    let reader = store.reader().unwrap();
    let cell = |row: &Row, name: &str| row[name].clone();
    HistoryScan::new(&reader, table, None)
        .unwrap()
        .flat_map(|batch| plain_texts(table, &batch.unwrap()))
        .map(|row| Version {
            key: key(&row),
            link_no: cell(&row, "link_no"),
            fields: names
                .iter()
                .map(|n| ((*n).to_owned(), cell(&row, n)))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
            from: cell(&row, "recorded_from"),
            to: Some(cell(&row, "recorded_to")).filter(|to| !to.is_empty()),
        })
        .collect()
}

fn members(store: &Store) -> Vec<Version<MemberKey>> {
    let table = tables::of("member");
    let text = |row: &Row, name: &str| row[name].clone();
    versions(store, table, &MEMBER, |row| (text(row, "insurer_code"), text(row, "member_no")))
}

fn coverages(store: &Store) -> Vec<Version<CoverageKey>> {
    let table = tables::of("coverage");
    let text = |row: &Row, name: &str| row[name].clone();
    versions(store, table, &COVERAGE, |row| {
        (text(row, "insurer_code"), text(row, "member_no"), text(row, "coverage_seq").parse().unwrap())
    })
}

// ---- Comparison --------------------------------------------------------------------------------------------------

/// A disagreement: the insurer it is about, if one alone, and what it is.
struct Wrong {
    origin: Option<String>,
    what: String,
}

/// What was answered at a past moment: (at, members, coverages).
type Answers = BTreeMap<String, (Vec<(MemberKey, String, Fields)>, Vec<(CoverageKey, String, Fields)>)>;

/// Carries a plan out and compares: results after every run, tables after every night, answers for all past nights.
fn check(plan: &Plan, treatment: Treatment, template: &Path) -> Result<(), Wrong> {
    let treated = plan.treated(treatment);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(treatment.threads).build().unwrap();
    let dir = temp_dir();
    copy_dir(template, dir.path());
    let mut world = World::new(&treated.insurers);
    let mut dice = Dice(treatment.seed ^ 1);
    let mut past = Answers::new();
    for night in &treated.nights {
        for run in &night.runs {
            pool.install(|| one_run(dir.path(), &mut world, night, run, treatment, &mut dice))?;
        }
        let store = open(dir.path(), NEVER);
        let (members, coverages) = (members(&store), coverages(&store));
        same(&world.members(), &members, |v| &v.key.0, &format!("member after the night of {}", night.date))?;
        same(&world.coverages(), &coverages, |v| &v.key.0, &format!("coverage after the night of {}", night.date))?;
        past.insert(format!("{}220000", night.date), (Vec::new(), Vec::new()));
        for (at, answer) in &mut past {
            let now = (known_at(&members, at), known_at(&coverages, at));
            if at.starts_with(&night.date) {
                *answer = now;
            } else if *answer != now {
                let what = format!("answers as known at {at} changed in the night of {}", night.date);
                return Err(Wrong { origin: None, what });
            }
        }
    }
    // The plan as it was, without the treatment, leads to the same.
    let mut plain = World::new(&plan.insurers);
    for night in &plan.nights {
        for run in &night.runs {
            release(&mut plain, run, |_, _| {});
            plain.run(&night.date, &run.files);
        }
    }
    same(&plain.members(), &world.members(), |v| &v.key.0, "model: member, untreated and treated")?;
    same(&plain.coverages(), &world.coverages(), |v| &v.key.0, "model: coverage, untreated and treated")
}

fn same<V: PartialEq + std::fmt::Debug>(
    model: &[V],
    pipeline: &[V],
    origin: impl Fn(&V) -> &String,
    what: &str,
) -> Result<(), Wrong> {
    if model == pipeline {
        return Ok(());
    }
    let mut text = format!("{what} differs\n");
    let mut of = None;
    for (rows, others, who) in [(model, pipeline, "model"), (pipeline, model, "pipeline")] {
        for row in rows.iter().filter(|r| !others.contains(r)) {
            of.get_or_insert_with(|| origin(row).clone());
            writeln!(text, "  only in the {who}: {row:?}").unwrap();
        }
    }
    Err(Wrong { origin: of, what: text })
}

/// Lets go what is held, as `shikaku release` does. In random plans only the first held file, with nothing new to come
/// before it; the rest has a test of its own below.
fn release(world: &mut World, run: &Run, with: impl FnMut(&str, u32)) {
    let clear = |origin: &str, receipt: u32| {
        let between = |f: &File| {
            let after = world.next(origin).is_some_and(|next| f.receipt >= next);
            f.origin == origin && f.damage == Damage::None && after && f.receipt < receipt
        };
        world.held(origin).first() == Some(&receipt) && !run.files.iter().any(between)
    };
    let clear: Vec<(String, u32)> =
        run.releases.iter().filter(|(o, r)| run.any_release || clear(o, *r)).cloned().collect();
    let mut with = with;
    for (origin, receipt) in clear {
        if world.held(&origin).contains(&receipt) {
            world.release(&origin, receipt);
            with(&origin, receipt);
        }
    }
}

fn one_run(
    dir: &Path,
    world: &mut World,
    night: &Night,
    run: &Run,
    treatment: Treatment,
    dice: &mut Dice,
) -> Result<(), Wrong> {
    let mut store = open(dir, NEVER);
    release(world, run, |origin, receipt| {
        let (name, at) = ("released".to_owned(), store.now());
        let event = Event::Fact { name, key: format!("{origin}/{receipt}"), value: at.clone(), at };
        store.note(event).unwrap();
    });
    // Names in any order of arrival.
    for (n, file) in run.files.iter().enumerate() {
        let name = format!("{:04}_{n}_{}_{}.csv", dice.below(10_000), file.origin, file.receipt);
        std::fs::write(dir.join("inbox/subscribers").join(name), bytes_of(file)).unwrap();
    }
    let known: BTreeSet<(String, String)> =
        store.ledger.inputs(None).unwrap().into_iter().map(|(run, input)| (run, input.sha256)).collect();
    if treatment.crash && dice.percent(70) {
        drop(store);
        let die_at = u64::try_from(dice.below(9)).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let store = open(dir, if die_at == 8 { NEVER } else { die_at });
            run_job(&store, "subscribers", &night.date, die_at != 8);
        }));
        if let Err(cause) = outcome
            && !cause.is::<Killed>()
        {
            resume_unwind(cause);
        }
        store = open(dir, NEVER);
    }
    let rejections = run_job(&store, "subscribers", &night.date, true);
    let expected = world.run(&night.date, &run.files);
    let fresh: BTreeMap<String, InputRow> = store
        .ledger
        .inputs(None)
        .unwrap()
        .into_iter()
        .filter(|(run, input)| !known.contains(&(run.clone(), input.sha256.clone())))
        .map(|(_, input)| (input.sha256.clone(), input))
        .collect();
    for (file, outcome) in &expected {
        let sha256 = shikaku_pipeline::base::digest::sha256(&bytes_of(file));
        if let Err(what) = one_result(dir, file, outcome, &sha256, fresh.get(&sha256)) {
            let what = format!("night {}: file {} {}: {what}", night.date, file.origin, file.receipt);
            return Err(Wrong { origin: Some(file.origin.clone()), what });
        }
    }
    if fresh.len() > expected.len() {
        return Err(Wrong { origin: None, what: "files were judged that were not given".to_owned() });
    }
    // Exit 3 when a record or file was rejected, quarantined or held (rules.md §3).
    let complaint = expected.values().any(|outcome| match outcome {
        Outcome::Read(lines) => lines.iter().any(|(_, v)| matches!(v, Verdict::Rejected(_))),
        Outcome::Refused(_) | Outcome::Held => true,
        Outcome::Known => false,
    });
    // Bytes that were refused before are refused again, which the model does not tell of.
    let again = expected.values().any(|outcome| matches!(outcome, Outcome::Known));
    if let (Some(rejections), false) = (rejections, treatment.crash)
        && (rejections != complaint && !(again && rejections))
    {
        return Err(Wrong { origin: None, what: format!("night {}: exit 3 is {rejections}", night.date) });
    }
    // Only held files stay in the inbox.
    let left: BTreeSet<String> = inbox::gather(&store, inbox::files(&[dir.join("inbox/subscribers")]).unwrap())
        .unwrap()
        .new
        .into_iter()
        .map(|i| i.sha256)
        .collect();
    let held = expected.iter().filter(|(_, o)| **o == Outcome::Held);
    let held: BTreeSet<String> = held.map(|(f, _)| shikaku_pipeline::base::digest::sha256(&bytes_of(f))).collect();
    if left != held {
        let what = format!("night {}: {} files in the inbox, {} held", night.date, left.len(), held.len());
        return Err(Wrong { origin: None, what });
    }
    Ok(())
}

/// One file's counts in the ledger and rows in its result file.
fn one_result(
    dir: &Path,
    file: &File,
    outcome: &Outcome,
    sha256: &str,
    judged: Option<&InputRow>,
) -> Result<(), String> {
    let (lines, row) = match (outcome, judged) {
        (Outcome::Known, None) => return Ok(()),
        (Outcome::Known, Some(row)) => return Err(format!("known bytes were judged again: {}", row.state)),
        // A run that repeats one of the same night says nothing again.
        (Outcome::Held, None) => return Ok(()),
        (Outcome::Held, Some(row)) if row.state.word() == "held" => return Ok(()),
        (Outcome::Read(lines), Some(row)) if row.state.word() == "accepted" => (Some(lines), row),
        (Outcome::Refused(_), Some(row)) if ["rejected", "quarantined"].contains(&row.state.word()) => (None, row),
        (_, row) => return Err(format!("{:?} instead of {outcome:?}", row.map(|r| (&r.state, &r.code)))),
    };
    let suffix = format!(".{}.result.csv", &sha256[..12]);
    let path = std::fs::read_dir(dir.join("outbox/results").join(&file.origin))
        .map_err(|e| e.to_string())?
        .map(|e| e.unwrap().path())
        .find(|p| p.to_string_lossy().ends_with(&suffix))
        .ok_or("no result file")?;
    let mut results = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    let rows: Vec<Vec<String>> = results
        .byte_records()
        .map(|r| r.unwrap().iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect())
        .collect();
    let Some(lines) = lines else {
        let Outcome::Refused(classes) = outcome else { return Ok(()) };
        let [only] = rows.as_slice() else { return Err(format!("{} rows for a rejected file", rows.len())) };
        let right =
            only[0].is_empty() && only[5] == "2" && only[6].chars().next().is_some_and(|c| classes.contains(&c));
        return if right { Ok(()) } else { Err(format!("{only:?} instead of {outcome:?}")) };
    };
    let mut groups: Vec<Vec<Vec<String>>> = Vec::new();
    for row in rows {
        // All rows of a record carry its place in the file.
        if row[2] == format!("{:03}", groups.len() + 1) {
            groups.push(Vec::new());
        }
        groups.last_mut().ok_or("the first row is not 001")?.push(row);
    }
    if groups.len() != lines.len() {
        return Err(format!("{} records in the result file instead of {}", groups.len(), lines.len()));
    }
    let mut counts = [0i64; 3];
    for (n, ((record_no, verdict), group)) in lines.iter().zip(&groups).enumerate() {
        let said: Vec<(&str, &str)> = group.iter().map(|r| (r[5].as_str(), r[6].as_str())).collect();
        let errors: Vec<char> =
            said.iter().filter(|(kind, _)| *kind == "2").filter_map(|(_, code)| code.chars().next()).collect();
        let right = match verdict {
            Verdict::Accepted => said.iter().all(|(kind, code)| *kind == "3" || (*kind, *code) == ("1", "000000")),
            Verdict::Duplicate => errors.is_empty() && said.iter().any(|(_, code)| *code != "000000"),
            Verdict::Rejected(classes) => !errors.is_empty() && errors.iter().all(|c| classes.contains(c)),
        };
        let keys = &group[0];
        if !right || keys[0] != *record_no || keys[1] != file.receipt.to_string() {
            return Err(format!("line {}: {verdict:?}, but the result says {said:?} ({keys:?})", n + 1));
        }
        match verdict {
            Verdict::Accepted => counts[0] += 1,
            Verdict::Rejected(_) => counts[1] += 1,
            Verdict::Duplicate => counts[2] += 1,
        }
    }
    let own = [row.rows_accepted, row.rows_rejected, row.rows_duplicate];
    if own != counts || row.rows_read != counts.iter().sum::<i64>() {
        return Err(format!("read {} = {own:?} instead of {counts:?}", row.rows_read));
    }
    Ok(())
}

// ---- Making a mismatch small ---------------------------------------------------------------------------------------

/// Takes things away while it still fails.
fn smallest(plan: Plan, treatment: Treatment, template: &Path, wrong: Wrong) -> (Plan, Treatment, Wrong) {
    let mut best = (plan, treatment, wrong);
    let mut tries = 0;
    let mut attempt = |best: &mut (Plan, Treatment, Wrong), plan: Plan, treatment: Treatment| {
        tries += 1;
        let fails = (tries < 400).then(|| check(&plan, treatment, template).err()).flatten();
        let failed = fails.is_some();
        if let Some(wrong) = fails {
            *best = (plan, treatment, wrong);
        }
        failed
    };
    if let Some(origin) = best.2.origin.clone() {
        let plan = best.0.only(&origin);
        attempt(&mut best, plan, treatment);
    }
    for turn in 0..5 {
        let mut plain = best.1;
        match turn {
            0 => plain.crash = false,
            1 => plain.twice = false,
            2 => plain.separate = false,
            3 => plain.split = false,
            _ => plain.threads = 1,
        }
        let plan = best.0.clone();
        attempt(&mut best, plan, plain);
    }
    // Files, then lines.
    for by_line in [false, true] {
        let mut at = 0;
        loop {
            let mut plan = best.0.clone();
            let mut left = at;
            let mut removed = false;
            for run in plan.nights.iter_mut().flat_map(|n| &mut n.runs) {
                if by_line {
                    for file in &mut run.files {
                        if !removed && left < file.lines.len() && file.damage == Damage::None {
                            file.lines.remove(left);
                            removed = true;
                        } else {
                            left = left.saturating_sub(file.lines.len());
                        }
                    }
                } else if !removed && left < run.files.len() {
                    run.files.remove(left);
                    removed = true;
                } else {
                    left = left.saturating_sub(run.files.len());
                }
            }
            if !removed {
                break;
            }
            let treatment = best.1;
            if !attempt(&mut best, plan, treatment) {
                at += 1;
            }
        }
    }
    best
}

/// Makes and checks worlds until enough operation lists have been seen.
fn many(default: u64, seed: u64, make: impl Fn(&mut Dice, u64) -> (Plan, Treatment)) {
    let template = template();
    let (cases, start) = (number("SHIKAKU_CASES", default), number("SHIKAKU_SEED", seed));
    let mut seen = 0;
    for seed in start.. {
        if seen >= cases {
            break;
        }
        let mut dice = Dice(seed.wrapping_mul(0x1_0000_0001));
        let (plan, treatment) = make(&mut dice, seed);
        seen += u64::try_from(plan.insurers.len()).unwrap();
        if let Err(wrong) = check(&plan, treatment, template.path()) {
            eprintln!("making a mismatch smaller: {}", wrong.what);
            let (plan, treatment, wrong) = smallest(plan, treatment, template.path(), wrong);
            panic!("SHIKAKU_SEED={seed} {treatment:?}\n{plan}{}", wrong.what);
        }
    }
}

/// Small worlds, every second with many insurers at once.
fn world(dice: &mut Dice, seed: u64) -> Plan {
    let insurers = if seed % 2 == 1 { 20 } else { 1 + dice.below(3) };
    random_plan(dice, insurers)
}

fn plain(dice: &mut Dice) -> Treatment {
    Treatment { threads: 2, seed: dice.next(), ..Treatment::default() }
}

// ---- The tests ---------------------------------------------------------------------------------------------------

#[test]
fn files_over_nights_give_the_results_and_the_history_of_the_model() {
    many(1200, 1, |dice, n| (world(dice, n), plain(dice)));
}

#[test]
fn splitting_doubling_separating_and_threads_change_nothing() {
    many(900, 1_000_000, |dice, n| {
        let plan = world(dice, n);
        let mut treatment = plain(dice);
        treatment.threads = [1, 2, 4][dice.below(3)];
        match dice.below(4) {
            0 => treatment.split = true,
            1 => treatment.twice = true,
            2 => treatment.separate = plan.insurers.len() <= 3,
            _ => (treatment.split, treatment.twice) = (true, true),
        }
        (plan, treatment)
    });
}

#[test]
fn runs_that_are_cut_off_and_repeated_change_nothing() {
    many(900, 2_000_000, |dice, n| {
        let plan = world(dice, n);
        let treatment = Treatment { crash: true, twice: dice.percent(20), ..plain(dice) };
        (plan, treatment)
    });
}

/// A night of a plan by hand: date, released 受付番号, files by 受付番号 and damage.
type ByHand<'p> = (&'p str, &'p [u32], &'p [(u32, Damage)]);

/// Carries out a plan of one 健保組合.
fn by_hand(nights: &[ByHand<'_>]) {
    let (code, own) = insurer(1);
    let file = |receipt: u32, damage: Damage| {
        let mut dice = Dice(u64::from(receipt));
        let mut lines = vec![random_line(&mut dice, &own, &[])];
        number_lines(&mut lines);
        File { origin: code.clone(), receipt, lines, damage }
    };
    let nights = nights
        .iter()
        .map(|(date, releases, files)| Night {
            date: (*date).to_owned(),
            runs: vec![Run {
                releases: releases.iter().map(|n| (code.clone(), *n)).collect(),
                any_release: true,
                files: files.iter().map(|(receipt, damage)| file(*receipt, *damage)).collect(),
            }],
        })
        .collect();
    let plan = Plan { insurers: BTreeMap::from([(code.clone(), own.clone())]), nights };
    if let Err(wrong) = check(&plan, Treatment { threads: 1, ..Treatment::default() }, template().path()) {
        panic!("{plan}{}", wrong.what);
    }
}

/// "The first seen sets the start. A file rejected whole leaves its number unused" (rules.md); "a later file never
/// overtakes an earlier one" (domain.md §3).
#[test]
fn a_damaged_first_file_sets_the_start_and_keeps_its_number() {
    by_hand(&[
        ("20261030", &[], &[(7, Damage::Truncated), (8, Damage::None)]),
        ("20261031", &[], &[(7, Damage::None)]),
    ]);
}

/// "A later file never overtakes an earlier one" (domain.md §3), not even one that was let go.
#[test]
fn a_release_lets_go_what_waits_before_it_too() {
    by_hand(&[
        ("20261030", &[], &[(1, Damage::None)]),
        ("20261031", &[], &[(4, Damage::None), (5, Damage::None)]),
        ("20261101", &[5], &[]),
        ("20261102", &[], &[(6, Damage::None)]),
    ]);
}

/// "Only the last state of a night becomes a row" (rules.md), in however many runs it came.
#[test]
fn the_last_state_of_a_night_does_not_depend_on_its_runs() {
    let (code, own) = insurer(0);
    let file = |receipt: u32, updated_at: &str| {
        let fields = [
            ("record_no", "1"),
            ("operation", "2"),
            ("member_no", &member_no(1)),
            ("link_no", "1001"),
            ("name", "資格　太郎"),
            ("sex", "1"),
            ("updated_at", updated_at),
        ];
        let line = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        File { origin: code.clone(), receipt, lines: vec![line], damage: Damage::None }
    };
    let run = |files: &[File]| Run { files: files.to_vec(), ..Run::default() };
    let (one, two) = (file(1, "20261001120000"), file(2, "20261002090000"));
    for runs in [vec![run(&[one.clone(), two.clone()])], vec![run(&[one]), run(&[two])]] {
        let nights = vec![Night { date: "20261030".to_owned(), runs }];
        let plan = Plan { insurers: BTreeMap::from([(code.clone(), own.clone())]), nights };
        if let Err(wrong) = check(&plan, Treatment { threads: 1, ..Treatment::default() }, template().path()) {
            panic!("{plan}{}", wrong.what);
        }
    }
}

/// A file with errors and then its failed records alone, in the same night, against the file without errors.
#[test]
fn resubmitting_only_the_failed_records_is_as_good_as_a_clean_file() {
    let template = template();
    let mut seen = 0;
    for round in 0.. {
        if seen >= number("SHIKAKU_CASES", 400) {
            break;
        }
        let mut dice = Dice(number("SHIKAKU_SEED", 3_000_000).wrapping_add(round).wrapping_mul(0x1_0000_0001));
        let (clean, mixed) = resubmission(&mut dice, 20);
        seen += 20;
        let treatment = plain(&mut dice);
        let mut model = World::new(&clean.insurers);
        for night in &clean.nights {
            night.runs.iter().for_each(|run| drop(model.run(&night.date, &run.files)));
        }
        let mut corrected = World::new(&mixed.insurers);
        for night in &mixed.nights {
            night.runs.iter().for_each(|run| drop(corrected.run(&night.date, &run.files)));
        }
        assert_eq!(model.members(), corrected.members(), "model, round {round}");
        assert_eq!(model.coverages(), corrected.coverages(), "model, round {round}");
        for plan in [clean, mixed] {
            if let Err(wrong) = check(&plan, treatment, template.path()) {
                let (plan, treatment, wrong) = smallest(plan, treatment, template.path(), wrong);
                panic!("round {round} {treatment:?}\n{plan}{}", wrong.what);
            }
        }
    }
}

/// The same two nights twice: clean, and with errors that are mended in a second file or a second run of the night.
fn resubmission(dice: &mut Dice, insurers: usize) -> (Plan, Plan) {
    let chosen: BTreeMap<String, Insurer> = (0..insurers).map(insurer).collect();
    let same_run = dice.percent(50);
    let runs = |count: usize| vec![Run::default(); count];
    let night = |date: &str, count: usize| Night { date: date.to_owned(), runs: runs(count) };
    let nights = vec![night("20261030", 1), night("20261031", if same_run { 1 } else { 2 })];
    let mut clean = Plan { insurers: chosen.clone(), nights: nights.clone() };
    let mut mixed = Plan { insurers: chosen.clone(), nights };
    for (code, insurer) in &chosen {
        let file = |receipt: u32, lines: &[Fields]| {
            let mut lines = lines.to_vec();
            number_lines(&mut lines);
            File { origin: code.clone(), receipt, lines, damage: Damage::None }
        };
        let mut before: Vec<Fields> = (0..6).map(|_| random_line(dice, insurer, &[])).collect();
        before.iter_mut().for_each(same_updated_at);
        for plan in [&mut clean, &mut mixed] {
            plan.nights[0].runs[0].files.push(file(1, &before));
        }
        // One line for each member: what comes later in the file cannot depend on what failed.
        let mut lines: Vec<Fields> = Vec::new();
        for _ in 0..12 {
            let mut line = random_line(dice, insurer, &before);
            same_updated_at(&mut line);
            if lines.iter().all(|l| get(l, "member_no") != get(&line, "member_no")) {
                lines.push(line);
            }
        }
        let mut broken = lines.clone();
        let mut failed = Vec::new();
        for (n, line) in broken.iter_mut().enumerate() {
            if dice.percent(40) {
                plant(dice, insurer, line);
                failed.push(lines[n].clone());
            }
        }
        clean.nights[1].runs[0].files.push(file(2, &lines));
        mixed.nights[1].runs[0].files.push(file(2, &broken));
        mixed.nights[1].runs.last_mut().unwrap().files.push(file(3, &failed));
    }
    (clean, mixed)
}
