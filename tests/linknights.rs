//! Link files over nights against the plain model (tests/oracle/links.rs): random LNKP, REQM, LNKR and LNKU files give the
//! answers, tables and rejections of the model; order in a run, doubling, threads, crashes and more retries change nothing.
//!
//! `SHIKAKU_CASES` = plans per test; `SHIKAKU_SEED` = where to start.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::intake::inbox;
use shikaku_pipeline::lake::history::HistoryScan;
use shikaku_pipeline::ledger::InputRow;
use shikaku_pipeline::links;
use shikaku_pipeline::store::input::Input;
use shikaku_pipeline::store::run::Call;
use shikaku_pipeline::store::{Stage, Store};
use shikaku_schemas::tables::{self, Layering};

use crate::common::temp_dir;
use crate::common::{Sub, envelope, member_no, plain_texts};
use crate::links_oracle::{Book, Cover, File, KINDS, Outcome, Row as Told, TABLES, Tables};
use crate::plan::lake::{Killed, NEVER, copy_dir, insurer, open, run_job, run_with, template};
use crate::plan::{Dice, number, shrunk};

// ---- Plans ---------------------------------------------------------------------------------------------------------

#[derive(Clone)]
struct Night {
    /// `YYYYMMDD`.
    date: String,
    /// Registered before the links: member → coverage.
    covers: BTreeMap<String, Cover>,
    runs: Vec<Vec<File>>,
}

#[derive(Clone)]
struct Plan {
    nights: Vec<Night>,
    lost_day_covers: bool,
}

/// How a plan is carried out; nothing here may change a table.
#[derive(Clone, Copy, Debug, Default)]
struct Treatment {
    /// Files reach the job in any order, not that of their digests.
    shuffle: bool,
    /// All bytes twice, in the same run and in a later one.
    twice: bool,
    /// Every run is cut off at a step of its commit and repeated.
    crash: bool,
    /// What waits is tried once more after every run.
    retry: bool,
    /// Where nothing waits, the night's one run becomes several: see [`apart`].
    apart: bool,
    threads: usize,
    seed: u64,
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for night in &self.nights {
            writeln!(f, "night {} {:#?}", night.date, night.covers)?;
            for run in &night.runs {
                writeln!(f, "run")?;
                run.iter().try_for_each(|file| f.write_str(&file.text().replace('\r', "")))?;
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Without its n-th file (0), line (1) or coverage (2); none if it has fewer.
    fn without(&self, mut n: usize, what: u8) -> Option<Self> {
        let mut plan = self.clone();
        for night in &mut plan.nights {
            if what == 2 {
                if let Some(member) = night.covers.keys().nth(n).cloned() {
                    night.covers.remove(&member);
                    return Some(plan);
                }
                n -= night.covers.len();
            }
            for files in night.runs.iter_mut().filter(|_| what < 2) {
                if what == 0 && n < files.len() {
                    files.remove(n);
                    return Some(plan);
                }
                n -= if what == 0 { files.len() } else { 0 };
                for file in files.iter_mut().filter(|_| what == 1) {
                    if n < file.lines.len() {
                        file.lines.remove(n);
                        return Some(plan);
                    }
                    n -= file.lines.len();
                }
            }
        }
        None
    }
}

/// Few values, so that everything collides; of equal length but one, since no document says how serials are ordered.
fn serial(dice: &mut Dice) -> String {
    let text = dice.of(&["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4", &"f".repeat(40)]).to_owned();
    match dice.below(10) {
        0 => text.to_uppercase(),
        1 => format!("000{text}"),
        _ => text,
    }
}

fn random_line(dice: &mut Dice, kind: &str, record_no: usize) -> Vec<String> {
    let link = dice.of(&["1", "2", "3", "03"]).to_owned();
    let request = dice.of(&["1", "2", "3", "4"]).to_owned();
    let [one, two] = match kind {
        "LNKP" => [serial(dice), link],
        "LNKR" => [serial(dice), request],
        "REQM" => [request, link],
        _ => [serial(dice), serial(dice)],
    };
    let mut line = vec![record_no.to_string(), one, two];
    if dice.percent(6) {
        let field = 1 + dice.below(2);
        match dice.below(8) {
            0 => drop(line.pop()),
            1 => line.push(String::new()),
            2 => line[0] = dice.of(&["", "x", "123456789"]).to_owned(),
            3 => line[0] = dice.of(&["90", "89"]).to_owned(),
            4 => line[field].clear(),
            _ => line[field] = dice.of(&["g1", "-5", "0x1", "a 1", &"1".repeat(41)]).to_owned(),
        }
    }
    line
}

fn random_file(dice: &mut Dice, kind: &'static str, receipt: u32) -> File {
    // Record numbers are not the places of the lines.
    let lines = (0..dice.below(7)).map(|n| random_line(dice, kind, 90 - n)).collect();
    let created = dice.of(&["20240331235959", "20261029235959", "20261030000000", "20261031090000"]).to_owned();
    File { kind, receipt, created, lines, truncated: false }
}

/// With coverages or without; `lost_day_covers` is their setting.
fn random_plan(dice: &mut Dice, lost_day_covers: Option<bool>) -> Plan {
    let dates = ["20261029", "20261030", "20261031", "20261101", "20261105"];
    let (first, mut bytes) = (dice.below(2), BTreeSet::new());
    let mut next: BTreeMap<&str, u32> = KINDS.iter().map(|k| (*k, if dice.percent(70) { 1 } else { 7 })).collect();
    let nights = dates[first..first + 2 + dice.below(3)].iter().map(|date| {
        let mut runs = vec![Vec::new(); if dice.percent(20) { 2 } else { 1 }];
        for run in &mut runs {
            for _ in 0..dice.below(7) {
                let kind = KINDS[dice.below(4)];
                let receipt = next.get_mut(kind).unwrap();
                let mut file = random_file(dice, kind, *receipt);
                match dice.below(20) {
                    0 => file.truncated = true, // Its number stays unused, the next file has it.
                    1 if *receipt > 1 => file.receipt = *receipt - 1,
                    2 => *receipt += 2, // A gap holds nobody.
                    _ => *receipt += 1,
                }
                run.push(file);
            }
            // Two files of one kind and number in one run: no document says which is first.
            let mut seen = BTreeSet::new();
            run.retain(|f| bytes.insert(f.text()) && (f.truncated || seen.insert((f.kind, f.receipt))));
        }
        let covers = lost_day_covers.map_or_else(BTreeMap::new, |_| random_covers(dice));
        Night { date: (*date).to_owned(), covers, runs }
    });
    Plan { nights: nights.collect(), lost_day_covers: lost_day_covers == Some(true) }
}

/// Coverages of the persons 1 to 3 at three insurers whose files are UTF-8.
fn random_covers(dice: &mut Dice) -> BTreeMap<String, Cover> {
    let mut covers = BTreeMap::new();
    for _ in 0..3 + dice.below(6) {
        let (n, member) = (1 + dice.below(3), 1 + dice.below(3));
        let (insurer_code, own) = insurer(n);
        let acquired = dice.of(&["20200401", "20240331", "20261029", "20261030"]).to_owned();
        let lost = dice.of(&["", "20240331", "20261029", "20261030", "20261031"]);
        let lost = if lost < acquired.as_str() { String::new() } else { lost.to_owned() };
        let insurer_no = own.numbers[dice.below(2)].clone();
        let cover = Cover { link: [1, 2, 3][dice.below(3)], insurer_code, insurer_no, acquired, lost };
        covers.insert(member_no(u32::try_from(10 * n + member).unwrap()), cover);
    }
    covers
}

// ---- The pipeline, in process ----------------------------------------------------------------------------------------

/// A run over the inbox, or one that only tries again what waits; whether it had something to complain of.
fn run(store: &Store, date: &str, retry: bool, dice: Option<&mut Dice>, commit: bool) -> Option<bool> {
    let shuffled = |inputs: &[Input]| -> Vec<Input> {
        let mut inputs = inputs.to_vec();
        dice.into_iter().for_each(|dice| dice.shuffle(&mut inputs));
        inputs
    };
    if !retry {
        let work = |stage: &mut Stage<'_>, inputs: &[Input]| links::take_in_blocks(stage, &shuffled(inputs), 2);
        return run_with(store, &links::INTAKE, date, work, commit);
    }
    let business_date = BusinessDate(chrono::NaiveDate::parse_from_str(date, "%Y%m%d").unwrap());
    let report = links::retry(&Call::new(store, business_date)).unwrap();
    (!report.unchanged).then_some(report.rejections)
}

/// A run that is killed at one of the nine steps of its commit, or before it, and repeated; none if it was done then.
fn run_twice(dir: &Path, date: &str, retry: bool, dice: &mut Dice) -> Option<bool> {
    let die_at = u64::try_from(dice.below(10)).unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let store = open(dir, if die_at == 9 { NEVER } else { die_at });
        run(&store, date, retry, None, die_at != 9)
    }));
    if let Err(cause) = outcome
        && !cause.is::<Killed>()
    {
        resume_unwind(cause);
    }
    run(&open(dir, NEVER), date, retry, None, true)
}

/// All rows of a table, with the night of their partition where there is one; of a history table the resolved ones.
fn rows(store: &Store, table: &str) -> Vec<Told> {
    let table = tables::of(table);
    let reader = store.reader().unwrap();
    if table.layering == Layering::History {
        let scan = HistoryScan::new(&reader, table, None).unwrap();
        return scan.flat_map(|batch| plain_texts(table, &batch.unwrap())).collect();
    }
    let mut all = Vec::new();
    for generation in reader.snapshot.current(table) {
        let night = generation.partition.strip_prefix("on_date=").unwrap_or_default().replace('-', "");
        let batches = reader.batches(table, generation, None, None).unwrap();
        for mut row in batches.flat_map(|batch| plain_texts(table, &batch.unwrap())) {
            row.insert("night", night.clone());
            all.push(row);
        }
    }
    all.sort();
    all
}

/// Inputs by run and digest.
fn inputs(store: &Store) -> BTreeMap<(String, String), InputRow> {
    store.ledger.inputs(None).unwrap().into_iter().map(|(run, i)| ((run, i.sha256.clone()), i)).collect()
}

/// Sends new and changed coverages, a file per insurer.
fn register(dir: &Path, night: &Night, receipts: &mut BTreeMap<String, u32>) {
    let mut lines: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for (member, cover) in &night.covers {
        let operation = if receipts.insert(member.clone(), 0).is_none() { "1" } else { "2" };
        let of = lines.entry(&cover.insurer_code).or_default();
        let line = Sub::new(u32::try_from(of.len() + 1).unwrap(), 1)
            .with("operation", operation)
            .with("member_no", member)
            .with("link_no", &cover.link.to_string())
            .with("insurer_no", &cover.insurer_no)
            .with("acquired_on", &cover.acquired)
            .with("lost_on", &cover.lost)
            .with("loss_reason", if cover.lost.is_empty() { "" } else { "01" });
        of.push(line.line());
    }
    let store = open(dir, NEVER);
    for (code, lines) in &lines {
        let receipt = receipts.entry((*code).clone()).or_default();
        *receipt += 1;
        std::fs::write(dir.join("inbox/subscribers").join(code), envelope("SUB", code, *receipt, lines)).unwrap();
    }
    assert_ne!(run_job(&store, "subscribers", &night.date, true), Some(true));
}

// ---- Comparison ------------------------------------------------------------------------------------------------------

/// Carries a plan out and compares after every run and night; what stands in the tables after each night.
fn check(plan: &Plan, treatment: Treatment, template: &Path) -> Result<Vec<Tables>, String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(treatment.threads.max(1)).build().unwrap();
    let dir = temp_dir();
    copy_dir(template, dir.path());
    if plan.lost_day_covers {
        let config = dir.path().join("shikaku.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("\"first_day_without_cover\"", "\"last_day_with_cover\"")).unwrap();
    }
    let mut book = Book::default();
    book.lost_day_covers = plan.lost_day_covers;
    let (mut dice, mut given, mut receipts) = (Dice(treatment.seed), Vec::new(), BTreeMap::new());
    let mut after: Vec<Tables> = Vec::new();
    for night in &plan.nights {
        register(dir.path(), night, &mut receipts);
        book.covers.extend(night.covers.clone());
        let split = treatment.apart && night.runs.len() == 1 && book.nothing_waits();
        for files in if split { apart(&night.runs[0]) } else { night.runs.clone() } {
            pool.install(|| one_run(dir.path(), &mut book, &night.date, &files, treatment, &mut dice, &given))
                .map_err(|what| format!("night {}: {what}", night.date))?;
            given.extend(files);
        }
        let store = open(dir.path(), NEVER);
        let tables: Tables = TABLES.into_iter().map(|t| (t, rows(&store, t))).collect();
        book.compare(&tables).map_err(|what| format!("after the night of {}: {what}", night.date))?;
        // Old serials stay resolvable to the person (domain.md §4).
        let persons = |tables: &Tables| -> BTreeSet<[String; 2]> {
            tables["serial_link"].iter().map(|r| ["serial", "link_no"].map(|c| r[c].clone())).collect()
        };
        if after.last().is_some_and(|before| !persons(before).is_subset(&persons(&tables))) {
            return Err(format!("a serial lost its person in the night of {}", night.date));
        }
        after.push(tables);
    }
    Ok(after)
}

/// What may be given apart, in that order: each run tries again what waits and forgets the 処理通番 it has converted, so
/// other runs may legitimately answer differently.
fn apart(files: &[File]) -> Vec<Vec<File>> {
    let of = |kind: &str| -> Vec<File> {
        let mut files: Vec<File> = files.iter().filter(|f| f.kind == kind).cloned().collect();
        files.sort_by_key(|f| f.receipt);
        files
    };
    let single = of("LNKP").into_iter().chain(of("REQM")).map(|file| vec![file]);
    single.chain([of("LNKR"), of("LNKU")]).collect()
}

fn one_run(
    dir: &Path,
    book: &mut Book,
    date: &str,
    files: &[File],
    treatment: Treatment,
    dice: &mut Dice,
    given: &[File],
) -> Result<(), String> {
    let mut arrived: Vec<&File> = files.iter().collect();
    if treatment.twice {
        arrived.extend(files);
        arrived.extend((0..2).filter(|_| !given.is_empty()).map(|_| &given[dice.below(given.len())]));
    }
    for (n, file) in arrived.iter().enumerate() {
        std::fs::write(dir.join(format!("inbox/links/{:04}_{n}.csv", dice.below(10_000))), file.text()).unwrap();
    }
    let mut store = open(dir, NEVER);
    let known = inputs(&store);
    let mut complained = None;
    if treatment.crash {
        drop(store);
        run_twice(dir, date, false, dice);
        treatment.retry.then(|| run_twice(dir, date, true, dice));
        store = open(dir, NEVER);
    } else {
        complained = run(&store, date, false, treatment.shuffle.then_some(dice), true);
        treatment.retry.then(|| run(&store, date, true, None, true));
    }
    let fresh = inputs(&store).into_iter().filter(|(key, _)| !known.contains_key(key));
    let fresh: BTreeMap<String, (String, InputRow)> = fresh.map(|((run, sha), row)| (sha, (run, row))).collect();
    if fresh.len() != files.len()
        || !inbox::gather(&store, inbox::files(&[dir.join("inbox/links")]).unwrap()).unwrap().new.is_empty()
    {
        return Err(format!("{} files judged of {} given", fresh.len(), files.len()));
    }
    let Some((run_id, _)) = fresh.values().next() else { return Ok(()) };
    let marked: Vec<(File, String)> = files.iter().map(|f| (f.clone(), f.sha256()[..16].to_owned())).collect();
    let (outcomes, expected) = book.run(date, &marked);
    for (file, outcome) in &outcomes {
        let judged = one_file(dir, file, outcome, &fresh[&file.sha256()].1);
        judged.map_err(|what| format!("file {} {}: {what}", file.kind, file.receipt))?;
    }
    let mut own: BTreeMap<String, i64> = BTreeMap::new();
    let rejections = store.ledger.rejections(run_id).unwrap().into_iter();
    rejections.filter(|r| r.2 == "error").for_each(|(_, code, _, count)| *own.entry(code).or_default() += count);
    // How often a file that was rejected whole counts is not said.
    ["400002", "300001"].into_iter().for_each(|code| drop(own.entry(code.to_owned()).and_modify(|n| *n = 1)));
    if own != expected {
        return Err(format!("rejections of the run {own:?} instead of {expected:?}"));
    }
    // Of bytes that were refused in an earlier night and come again it is complained again.
    let right = complained.is_none_or(|c| c != expected.is_empty() || (c && treatment.twice));
    if right { Ok(()) } else { Err(format!("exit 3 is {complained:?}")) }
}

/// One file's counts in the ledger and rows in its result file; the codes of its errors.
fn one_file(dir: &Path, file: &File, outcome: &Outcome, row: &InputRow) -> Result<(), String> {
    let suffix = format!(".{}.result.csv", &row.sha256[..12]);
    let folder = std::fs::read_dir(dir.join("outbox/results").join(file.origin())).map_err(|e| e.to_string())?;
    let path = folder.map(|e| e.unwrap().path()).find(|p| p.to_string_lossy().ends_with(&suffix));
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path.ok_or("no result file")?).unwrap();
    let cells =
        reader.byte_records().map(|r| r.unwrap().iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect());
    let results: Vec<Vec<String>> = cells.collect();
    let answers = match outcome {
        Outcome::Read(answers) => answers,
        Outcome::Refused(code) => {
            let said: Vec<[&str; 3]> = results.iter().map(|r| [0, 5, 6].map(|n| r[n].as_str())).collect();
            let right =
                row.state.word() == "rejected" && row.code.as_deref() == Some(code) && said == [["", "2", code]];
            return if right { Ok(()) } else { Err(format!("{said:?} instead of {code}")) };
        }
    };
    let mut records: BTreeMap<&str, Vec<&Vec<String>>> = BTreeMap::new();
    results.iter().for_each(|r| records.entry(&r[2]).or_default().push(r));
    if records.len() != answers.len() || row.state.word() != "accepted" {
        return Err(format!("{} records instead of {}, {}", records.len(), answers.len(), row.state));
    }
    let mut counts = [0i64; 3];
    for (n, ((answer, record), line)) in answers.iter().zip(records.values()).zip(&file.lines).enumerate() {
        let (kind, codes, count) = answer.told();
        counts[count] += 1;
        let said: BTreeSet<String> = record.iter().filter(|r| r[5] == kind).map(|r| r[6].clone()).collect();
        if said != codes || record.len() != codes.len() {
            return Err(format!("line {}: {record:?} instead of {answer:?}", n + 1));
        }
        if kind != "2" && record[0][..2] != [line[0].clone(), file.receipt.to_string()] {
            return Err(format!("line {} is called {:?}", n + 1, record[0]));
        }
    }
    let own = [row.rows_accepted, row.rows_rejected, row.rows_duplicate];
    let right = own == counts && row.rows_read == counts.iter().sum::<i64>();
    if right { Ok(()) } else { Err(format!("read {} = {own:?} instead of {counts:?}", row.rows_read)) }
}

// ---- The tests -------------------------------------------------------------------------------------------------------

/// Plans against the model, as they are and treated; the treatment must not show in any column.
fn many(default: u64, seed: u64, covers: Option<bool>, treat: impl Fn(&mut Dice) -> Option<Treatment>) {
    let template = template();
    let start = number("SHIKAKU_SEED", seed);
    for seed in start..start + number("SHIKAKU_CASES", default) {
        let mut dice = Dice(seed.wrapping_mul(0x1_0000_0001));
        let plan = random_plan(&mut dice, covers);
        let treatment = treat(&mut dice);
        let both = |plan: &Plan| -> Result<(), String> {
            let mut plain = check(plan, Treatment::default(), template.path())?;
            let Some(treatment) = treatment else { return Ok(()) };
            let mut treated = check(plan, treatment, template.path())?;
            // These alone are more tries.
            if treatment.retry || treatment.apart {
                let pending = plain.iter_mut().chain(&mut treated).filter_map(|t| t.get_mut("pending_link"));
                pending.flatten().for_each(|row| drop(row.remove("tries")));
            }
            if plain == treated { Ok(()) } else { Err(format!("{plain:#?}\nwith the treatment {treated:#?}")) }
        };
        let Err(what) = both(&plan) else { continue };
        let (plan, what) = shrunk(plan, what, Plan::without, both);
        panic!("SHIKAKU_SEED={seed} {treatment:?}\n{plan}{what}");
    }
}

#[test]
fn files_over_nights_give_the_answers_and_the_tables_of_the_model() {
    many(20, 1, None, |_| None);
}

#[test]
fn acquisitions_name_the_insurer_of_that_moment() {
    many(10, 1_000_000, Some(false), |_| None);
}

/// "End of cover = `lost_on`, or the day after under `last_day_with_cover`" (rules.md), here the global setting.
#[test]
fn acquisitions_go_by_the_loss_day_setting() {
    many(6, 5_000_000, Some(true), |_| None);
}

#[test]
fn order_doubling_threads_and_retries_change_nothing() {
    many(10, 2_000_000, None, |dice| {
        let [shuffle, twice, retry, four] = [60, 50, 50, 50].map(|percent| dice.percent(percent));
        let threads = if four { 4 } else { 1 };
        Some(Treatment { shuffle, twice, retry, threads, seed: dice.next(), ..Treatment::default() })
    });
}

#[test]
fn runs_that_are_cut_off_and_repeated_change_nothing() {
    many(9, 3_000_000, None, |dice| {
        Some(Treatment { crash: true, retry: dice.percent(50), threads: 2, seed: dice.next(), ..Treatment::default() })
    });
}

#[test]
fn kinds_given_apart_change_nothing_where_nothing_waits() {
    many(8, 4_000_000, None, |dice| Some(Treatment { apart: true, seed: dice.next(), ..Treatment::default() }));
}
