//! CRL sets over nights against the plain model (tests/oracle/crl.rs): random lists, faults and overrides leave the rows,
//! histories, counts and certificate states of the model; order, threads, crashes, PEM, keys and compaction change nothing.
//!
//! `SHIKAKU_CASES` = plans per test; `SHIKAKU_SEED` = where to start.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use shikaku_pipeline::ask::inquire::certificate;
use shikaku_pipeline::base::digest;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::crl::{folder, set, state};
use shikaku_pipeline::store::input::Input;
use shikaku_pipeline::store::run::Call;
use shikaku_pipeline::store::verify;
use shikaku_schemas::code::Code;
use shikaku_schemas::tables;

use crate::common::crl::{BAND, Plan, Set, bytes_of, certificate_of, key_id, now, overridable, pem, random_plan, utc};
use crate::common::temp_dir;
use crate::common::{Done, Lake};
use crate::crl_oracle::{Book, Entry, Fault, Key, List, Listed, duplicates, oddities, rows};
use crate::plan::lake::{Killed, NEVER, open};
use crate::plan::{Dice, number, shrunk};

// ---- The pipeline ----------------------------------------------------------------------------------------------------

/// How a plan is carried out; nothing here may change a table.
#[derive(Clone, Copy, Debug, Default)]
struct Treatment {
    shuffle: bool,
    crash: bool,
    pem: bool,
    /// The lake is encrypted; then rows are compared, not bytes.
    keys: bool,
    /// The history is folded into a base after every night; then rows are compared, not bytes.
    compact: bool,
    threads: usize,
    seed: u64,
}

/// A lake that trusts three CAs, two of one name.
pub fn fresh(keys: bool) -> Lake {
    let lake = Lake { dir: temp_dir() };
    lake.run(if keys { &["init"] } else { &["init", "--no-keys"] }).exits(0);
    lake.write("ca0.pem", pem("CERTIFICATE", &certificate_of(0)).as_bytes());
    lake.write("ca1.der", &certificate_of(1));
    lake.write("ca2.der", &certificate_of(2));
    lake.set("ca_files = []", "ca_files = [\"ca0.pem\", \"ca1.der\", \"ca2.der\"]");
    lake.set("band_entries = 1000", &format!("band_entries = {}", BAND.entries));
    lake
}

fn folder(lake: &Lake, date: NaiveDate) -> PathBuf {
    lake.path(&format!("inbox/crl/{}", date.format("%Y%m%d")))
}

/// One run over what lies in the night's folder, if anything does.
fn run(lake: &Lake, date: NaiveDate, dice: Option<&mut Dice>, die_at: u64) {
    let store = open(lake.dir.path(), die_at);
    if !folder(lake, date).exists() {
        return;
    }
    let (mut files, _) = folder::files(&folder(lake, date)).unwrap();
    dice.into_iter().for_each(|dice| dice.shuffle(&mut files));
    let inputs: Vec<Input> = files.iter().map(|f| Input::read(f, &store.config.inbox).unwrap()).collect();
    if inputs.is_empty() {
        return;
    }
    let report = set::run(&Call::new(&store, BusinessDate(date)), &inputs, &[], |_| Ok(())).unwrap();
    assert!(!report.unchanged, "a set of a plan is given once");
}

/// Bytes of the two tables.
fn tables_of(lake: &Lake) -> BTreeMap<String, Vec<u8>> {
    let mut files = lake.bytes();
    files.retain(|path, _| path.starts_with("lake/revocation"));
    files
}

// ---- Comparison ------------------------------------------------------------------------------------------------------

/// Carries a plan out and compares after every set; the bytes of both tables after each.
fn check(plan: &Plan, treatment: Treatment) -> Result<Vec<BTreeMap<String, Vec<u8>>>, String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(treatment.threads.max(1)).build().unwrap();
    let (lake, mut book, mut dice) = (fresh(treatment.keys), Book::new(BAND), Dice(treatment.seed));
    let mut after = Vec::new();
    for (date, sets) in &plan.nights {
        // A plan from which things were taken away: the same set in the same night is the same run.
        if sets.iter().enumerate().any(|(n, set)| sets[..n].iter().any(|s| s.lists == set.lists)) {
            return Ok(after);
        }
        for (n, set) in sets.iter().enumerate() {
            pool.install(|| one_set(&lake, &mut book, *date, set, treatment, &mut dice))
                .map_err(|what| format!("night {date}, set {}: {what}", n + 1))?;
            after.push(tables_of(&lake));
        }
        if treatment.compact && !sets.is_empty() {
            lake.run(&["compact"]).exits(0);
            in_force(&lake, &book).map_err(|what| format!("compact, night {date}: {what}"))?;
        }
        moments(&lake, &book, *date, &mut dice)?;
    }
    let found = verify::verify(&lake.store()).unwrap().findings;
    if found.is_empty() { Ok(after) } else { Err(format!("audit verify: {found:?}")) }
}

fn one_set(
    lake: &Lake,
    book: &mut Book,
    date: NaiveDate,
    set: &Set,
    treatment: Treatment,
    dice: &mut Dice,
) -> Result<(), String> {
    let runs = || -> BTreeSet<String> { lake.store().ledger.runs().unwrap().into_iter().map(|r| r.run_id).collect() };
    let (before, known) = (tables_of(lake), runs());
    let mut names = Vec::new();
    for (n, list) in set.lists.iter().enumerate() {
        let bytes = bytes_of(list);
        let armour = treatment.pem && set.armour.contains(&n);
        let bytes = if armour { pem("X509 CRL", &bytes).into_bytes() } else { bytes };
        let name = format!("{}_{n}.crl", dice.below(1000));
        std::fs::create_dir_all(folder(lake, date)).unwrap();
        std::fs::write(folder(lake, date).join(&name), &bytes).unwrap();
        names.push((digest::sha256(&bytes), name));
    }
    if treatment.crash {
        let die_at = u64::try_from(dice.below(14)).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(lake, date, None, die_at)));
        if let Err(cause) = outcome
            && !cause.is::<Killed>()
        {
            resume_unwind(cause);
        }
    }
    run(lake, date, treatment.shuffle.then_some(dice), NEVER);
    let fresh: Vec<String> = runs().difference(&known).cloned().collect();
    let [run_id] = &fresh[..] else { return Err(format!("{} runs", fresh.len())) };
    let refusal = book.judge(date, &set.lists);
    let store = lake.store();
    let mut codes: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (sha256, code, _, count) in store.ledger.rejections(run_id).unwrap() {
        codes.entry(sha256).or_default().insert(code, usize::try_from(count).unwrap());
    }
    let inputs: BTreeMap<String, _> =
        store.ledger.inputs(Some(run_id)).unwrap().into_iter().map(|(_, row)| (row.sha256.clone(), row)).collect();
    if refusal.codes().is_empty() {
        book.take(date, &set.lists);
        let mut double = 0;
        for ((sha256, name), list) in names.iter().zip(&set.lists) {
            let expected = oddities(list);
            let mut own = codes.remove(sha256).unwrap_or_default();
            double += own.remove("400121").unwrap_or_default();
            if own.iter().map(|(code, n)| (code.as_str(), *n)).collect::<BTreeMap<_, _>>() != expected {
                return Err(format!("{name} {} has {own:?} instead of {expected:?}", list.point));
            }
            let row = &inputs[sha256];
            let read = i64::try_from(list.entries.len()).unwrap();
            let counts = [row.rows_read, row.rows_accepted, row.rows_duplicate, row.rows_rejected];
            if (row.state.word(), counts) != ("accepted", [read, read, 0, 0]) {
                return Err(format!("{name} is {} with {counts:?} of {read}", row.state));
            }
        }
        if !codes.is_empty() || double != duplicates(&set.lists) {
            return Err(format!("more rejections: {codes:?}, {double} duplicates"));
        }
        return in_force(lake, book);
    }
    book.stale = true;
    let errors = |codes: Option<&BTreeMap<String, usize>>| -> BTreeSet<String> {
        codes.into_iter().flat_map(|c| c.keys()).filter(|c| c.as_str() < "400121").cloned().collect()
    };
    for (n, (sha256, name)) in names.iter().enumerate() {
        let own = errors(codes.get(sha256));
        let any = refusal.of_file(n);
        let row = &inputs[sha256];
        // Every code of its own is recorded (fault C3); what is wrong with the set stands in for none.
        let all = refusal.files.get(&n).into_iter().flatten().filter(|c| **c != "400107").all(|c| own.contains(*c));
        if own.is_empty()
            || !all
            || !own.iter().all(|code| any.contains(code.as_str()))
            || row.state.word() == "accepted"
            || !row.code.as_ref().is_some_and(|code| own.contains(code))
        {
            return Err(format!("{name}: {own:?}, {} {:?} instead of {any:?}", row.state, row.code));
        }
    }
    let told: BTreeMap<String, Code> = store.ledger.fact(&state::REFUSALS).unwrap().unwrap().0;
    let missing: BTreeSet<String> =
        told.iter().filter(|(_, c)| **c == Code::CrlPointMissing).map(|(p, _)| p.clone()).collect();
    if missing != refusal.missing && !(refusal.unreadable && missing.is_subset(&refusal.missing)) {
        return Err(format!("missing {missing:?} instead of {:?}; refusals {told:?}", refusal.missing));
    }
    if tables_of(lake) != before {
        return Err("a refused set changed a table".to_owned());
    }
    in_force(lake, book)?;
    drop(store);
    if set.accept {
        let done = lake.run(&["crl", "accept", "--reason", "確認済み", "--by", "operator"]);
        let firm = refusal.codes().into_iter().any(|c| !overridable(c));
        if done.code != if firm { 2 } else { 0 } {
            return Err(format!("override of {told:?} ended {}: {}{}", done.code, done.stdout, done.stderr));
        }
        if !firm {
            book.take(date, &set.lists);
        } else if tables_of(lake) != before {
            return Err("an override that was refused changed a table".to_owned());
        }
        in_force(lake, book)?;
    }
    Ok(())
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

/// Both tables, the facts and the generations on disk, as they must be.
fn in_force(lake: &Lake, book: &Book) -> Result<(), String> {
    let read = |table: &str, columns: &[&str]| -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> =
            lake.rows(table).iter().map(|row| columns.iter().map(|name| row[*name].clone()).collect()).collect();
        rows.sort();
        rows
    };
    // The last column of the model's rows is what no document decides: one of these must stand there.
    let compare = |what: &str, own: Vec<Vec<String>>, mut model: Vec<(Vec<String>, BTreeSet<String>)>| {
        model.sort();
        let right = |(own, (model, any)): (&Vec<String>, &(Vec<String>, BTreeSet<String>))| {
            own.split_last().is_some_and(|(last, own)| own == model && any.contains(last))
        };
        let same = own.len() == model.len() && own.iter().zip(&model).all(right);
        if same { Ok(()) } else { Err(format!("{what}\n  model    {model:?}\n  pipeline {own:?}")) }
    };
    let says = |key: &Key, l: &Listed| {
        [digest::hex(&key_id(key.0)), key.1.clone(), l.revoked_at.to_string(), text(l.reason), text(l.invalid)]
    };
    let columns = ["issuer_key_id", "serial", "revoked_at", "reason", "invalid_since", "distribution_point"];
    let listed = rows(book.in_force()).into_iter().map(|(key, l)| (says(&key, &l).into(), l.points));
    compare("revocation", read("revocation", &columns), listed.collect())?;
    let more = ["first_seen", "last_seen", "recorded_from", "recorded_to", "crl_number"];
    let past = book.history().into_iter().map(|p| {
        let at = |date: NaiveDate| format!("{date} 21:00:00");
        let seen = [p.first_seen.to_string(), text(p.last_seen), at(p.from), text(p.to.map(at))];
        let row = says(&p.key, &p.listed).into_iter().chain(seen).collect();
        (row, p.listed.numbers.iter().map(|n| format!("{n:x}")).collect())
    });
    compare("revocation_history", read("revocation_history", &[&columns[..5], &more].concat()), past.collect())?;
    let store = lake.store();
    if (store.ledger.fact(&state::STALE).unwrap() == Some(true)) != book.stale {
        return Err(format!("stale is not {}", book.stale));
    }
    let facts = store.ledger.fact_texts("crl_changes").unwrap();
    let mut facts: Vec<(String, i64, [u64; 4])> = facts
        .iter()
        .map(|(key, value)| {
            let (date, set) = key.split_once('#').unwrap();
            let value: BTreeMap<String, u64> = serde_json::from_str(value).unwrap();
            let counts = ["added", "removed", "changed", "entries"].map(|name| value[name]);
            (date.to_owned(), set.parse().unwrap(), counts)
        })
        .collect();
    facts.sort_by_key(|(_, set, _)| *set);
    let own: Vec<_> = facts.into_iter().map(|(date, _, counts)| (date, counts)).collect();
    let model: Vec<_> = (0..book.taken.len())
        .map(|n| (book.taken[n].0.to_string(), book.changes(n).map(|c| u64::try_from(c).unwrap())))
        .collect();
    if own != model {
        return Err(format!("crl_changes {own:?} instead of {model:?}"));
    }
    let table = tables::of("revocation");
    let snapshot = store.snapshot().unwrap();
    let mut kept = snapshot.all(table);
    let newest: Vec<String> = kept.iter().rev().take(2).rev().map(|g| g.dir.clone()).collect();
    kept.retain(|g| !g.removed);
    let folders: BTreeSet<String> = tables_of(lake)
        .into_keys()
        .filter_map(|path| Some(path.strip_prefix("lake/")?.rsplit_once('/')?.0.to_owned()))
        .filter(|folder| folder.starts_with("revocation/"))
        .collect();
    let kept: Vec<String> = kept.into_iter().map(|g| g.dir.clone()).collect();
    if kept != newest || folders != newest.iter().cloned().collect() || newest.len() != book.taken.len().min(2) {
        return Err(format!("generations {folders:?} on disk, {kept:?} in the ledger, {newest:?} newest"));
    }
    Ok(())
}

/// Certificates at random moments up to some days after the night.
fn moments(lake: &Lake, book: &Book, date: NaiveDate, dice: &mut Dice) -> Result<(), String> {
    let store = lake.store();
    let reader = store.reader().unwrap();
    // A serial that both CAs list: which one is asked for cannot be said.
    let of_second: BTreeSet<String> = book.history().into_iter().filter(|p| p.key.0 > 0).map(|p| p.key.1).collect();
    for _ in 0..8 {
        let serial = dice.of(&["a", "b", "c", "d", "100", "101", "80", "85", "ff", "e"]);
        if of_second.contains(serial) {
            continue;
        }
        let day = date - TimeDelta::days(i64::try_from(dice.below(9)).unwrap() - 2);
        let times = [(0, 0, 0, 0), (6, 59, 59, 0), (20, 59, 59, 999), (21, 0, 0, 0), (21, 0, 0, 1), (23, 0, 0, 0)];
        let (h, m, s, milli) = times[dice.below(times.len())];
        let at = day.and_time(NaiveTime::from_hms_milli_opt(h, m, s, milli).unwrap());
        let own = certificate::state(&reader, &store.ledger, &[], serial, at).unwrap();
        let model = book.certificate(serial, at);
        let validity = serde_json::to_value(own.validity).unwrap();
        let set = own.crl.map(|c| (c.business_date, c.stale));
        let entry = own.entry.map(|e| (e.revoked_at, e.reason));
        let listed = model.listed.map(|l| (Some(l.revoked_at), l.reason.map(|r| r.to_string())));
        if (validity.as_str(), set, &entry) != (Some(model.validity), model.set, &listed) {
            let wanted = (model.validity, model.set, listed);
            return Err(format!("{serial} at {at}: {validity} {set:?} {entry:?} instead of {wanted:?}"));
        }
    }
    Ok(())
}

// ---- The tests -------------------------------------------------------------------------------------------------------

fn many(default: u64, seed: u64, treat: impl Fn(&mut Dice) -> Option<Treatment>) {
    let start = number("SHIKAKU_SEED", seed);
    for seed in start..start + number("SHIKAKU_CASES", default) {
        let mut dice = Dice(seed.wrapping_mul(0x1_0000_0001));
        let plan = random_plan(&mut dice);
        let treatment = treat(&mut dice);
        let both = |plan: &Plan| -> Result<(), String> {
            let plain = check(plan, Treatment::default())?;
            let Some(treatment) = treatment else { return Ok(()) };
            let same = plain == check(plan, treatment).map_err(|what| format!("treated: {what}"))?;
            if same || treatment.keys || treatment.compact {
                Ok(())
            } else {
                Err("the treatment shows in the bytes of a table".to_owned())
            }
        };
        let Err(what) = both(&plan) else { continue };
        let (plan, what) = shrunk(plan, what, Plan::without, both);
        panic!("SHIKAKU_SEED={seed} {treatment:?}\n{plan}{what}");
    }
}

#[test]
fn sets_over_nights_leave_the_rows_and_histories_of_the_model() {
    many(6, 1, |_| None);
}

#[test]
fn order_threads_and_pem_change_nothing() {
    many(4, 1_000_000, |dice| {
        let [shuffle, pem, four] = [60, 60, 50].map(|percent| dice.percent(percent));
        let threads = if four { 4 } else { 1 };
        Some(Treatment { shuffle, pem, threads, seed: dice.next(), ..Treatment::default() })
    });
}

#[test]
fn runs_that_are_cut_off_and_repeated_change_nothing() {
    many(4, 2_000_000, |dice| Some(Treatment { crash: true, threads: 2, seed: dice.next(), ..Treatment::default() }));
}

#[test]
fn keys_and_compaction_change_no_row() {
    many(2, 4_000_000, |dice| {
        let keys = dice.percent(50);
        Some(Treatment { keys, compact: !keys || dice.percent(50), seed: dice.next(), ..Treatment::default() })
    });
}

// ---- By hand ---------------------------------------------------------------------------------------------------------

pub fn nights() -> [NaiveDate; 3] {
    [30, 31, 32].map(|n| NaiveDate::from_ymd_opt(2026, 10, 1).unwrap() + TimeDelta::days(n - 1))
}

/// A good list of the n-th point for a night; entries by serial and hour of the first of the month.
pub fn plain(n: usize, number: u128, date: NaiveDate, entries: &[(u8, i64)]) -> List {
    let entry = |(serial, hour): &(u8, i64)| {
        let at = utc("20261001000000") + TimeDelta::hours(*hour);
        Entry { serial: vec![*serial], at, generalized: false, reason: None, invalid: None }
    };
    List {
        ca: 0,
        point: format!("http://crl.example.jp/dp{n:04}.crl"),
        number,
        this_update: now(date),
        next_update: now(date) + TimeDelta::days(30),
        entries: entries.iter().map(entry).collect(),
        hollow: false,
        fault: Fault::None,
    }
}

/// Takes files in with the program.
pub fn ingest(lake: &Lake, date: NaiveDate, files: &[Vec<u8>]) -> Done {
    let dir = lake.path(&format!("given/{}", &digest::sha256(&files.concat())[..8]));
    std::fs::create_dir_all(&dir).unwrap();
    for (n, bytes) in files.iter().enumerate() {
        std::fs::write(dir.join(format!("{n}.crl")), bytes).unwrap();
    }
    lake.run(&["ingest", "crl", dir.to_str().unwrap(), "--date", &date.to_string()])
}

pub fn accept(lake: &Lake) -> Done {
    lake.run(&["crl", "accept", "--reason", "checked", "--by", "operator"])
}

/// Certificates and the status as the program tells them.
#[test]
fn the_program_tells_what_the_model_does() {
    for seed in 3_000_000..3_000_002 {
        let mut dice = Dice(seed);
        let (lake, plan, mut book) = (fresh(false), random_plan(&mut dice), Book::new(BAND));
        for (date, set) in plan.nights.iter().flat_map(|(date, sets)| sets.iter().map(move |set| (*date, set))) {
            let codes = book.judge(date, &set.lists).codes();
            let files: Vec<Vec<u8>> = set.lists.iter().map(bytes_of).collect();
            ingest(&lake, date, &files).exits(if codes.is_empty() { 0 } else { 3 });
            let pass = set.accept && codes.iter().all(|c| overridable(c));
            if pass && !codes.is_empty() {
                accept(&lake).exits(0);
            }
            if pass || codes.is_empty() {
                book.take(date, &set.lists);
            }
            let status: serde_json::Value = json(&lake, &["status"]);
            assert_eq!(status["crl_stale"], !(pass || codes.is_empty()), "{plan}");
            let newest = book.taken.last().map(|(date, _)| date.to_string());
            assert_eq!(status["crl_in_force"], serde_json::json!(newest), "{plan}");
            let at = date.and_time(NaiveTime::MIN) + TimeDelta::hours([20, 21, 22, 70][dice.below(4)]);
            let serial = dice.of(&["a", "b", "c", "d"]);
            if book.history().iter().any(|p| p.key.0 > 0 && p.key.1 == serial) {
                continue;
            }
            let at_text = at.format("%Y-%m-%dT%H:%M:%S").to_string();
            let told = &json(&lake, &["inquire", "--serial", serial, "--at", &at_text])["certificate"];
            let state = book.certificate(serial, at);
            let set = state.set.map(|(night, stale)| serde_json::json!([night.to_string(), stale]));
            assert_eq!(told["validity"], state.validity, "{serial} at {at}\n{plan}");
            let own = &told["crl"];
            let own = (!own.is_null()).then(|| serde_json::json!([own["business_date"], own["stale"]]));
            assert_eq!(own, set, "{serial} at {at}\n{plan}");
        }
    }
}

pub fn json(lake: &Lake, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&lake.run(&[&["--json"], arguments].concat()).exits(0).stdout).unwrap()
}

#[test]
fn a_set_that_was_not_current_yet_is_looked_at_again_the_next_night() {
    let (lake, [one, two, _]) = (fresh(false), nights());
    let list = bytes_of(&plain(1, 1, two, &[(1, 0)]));
    ingest(&lake, one, std::slice::from_ref(&list)).exits(3);
    ingest(&lake, two, &[list]).exits(0);
    assert_eq!(lake.column("revocation", "serial"), ["1"]);
}

// Faults that the model found, each by itself.

/// "Two runs of one night leave what one run would have left" (docs/decisions.md 6): a list with a number of its own too.
#[test]
fn the_last_set_of_a_night_gives_the_crl_number() {
    let one = nights()[0];
    let sets = [1, 2].map(|number| bytes_of(&plain(1, number, one, &[(1, 0)])));
    let [both, last] = [fresh(false), fresh(false)];
    ingest(&both, one, &sets[..1]).exits(0);
    ingest(&both, one, &sets[1..]).exits(0);
    ingest(&last, one, &sets[1..]).exits(0);
    assert_eq!(both.rows("revocation_history"), last.rows("revocation_history"));
}

/// One serial at two points, revoked at the same time: DER or PEM may not choose between them.
#[test]
fn pem_is_as_good_as_der() {
    let one = nights()[0];
    let points = |lists: &[List], armour: usize| -> Vec<String> {
        let lake = fresh(false);
        let form = |(n, list): (usize, &List)| {
            let bytes = bytes_of(list);
            if armour >> n & 1 == 1 { pem("X509 CRL", &bytes).into_bytes() } else { bytes }
        };
        ingest(&lake, one, &lists.iter().enumerate().map(form).collect::<Vec<_>>()).exits(0);
        lake.column("revocation", "distribution_point")
    };
    for number in 1..4 {
        let lists = [1, 2].map(|n| plain(n, number, one, &[(1, 0)]));
        (1..4).for_each(|armour| assert_eq!(points(&lists, armour), points(&lists, 0), "number {number}, {armour}"));
    }
}

/// "Equal CRL number: accepted iff the bytes are equal" (rules.md): the CRL's, however it was packed.
#[test]
fn the_same_crl_in_pem_is_the_same_crl() {
    let (lake, [one, two, _]) = (fresh(false), nights());
    let list = bytes_of(&plain(1, 1, one, &[(1, 0)]));
    ingest(&lake, one, std::slice::from_ref(&list)).exits(0);
    ingest(&lake, two, &[pem("X509 CRL", &list).into_bytes()]).exits(0);
}

/// "No CRL number going back … unless the operator says so" (domain.md §4); "the online side never sees an older CRL than
/// yesterday's" (rules.md §6).
#[test]
fn an_override_holds_for_its_night() {
    let (lake, [one, two, three]) = (fresh(false), nights());
    let set = |number: u128, date: NaiveDate, entries: u8| {
        [bytes_of(&plain(1, number, date, &(1..=entries).map(|n| (n, 0)).collect::<Vec<_>>()))]
    };
    let small = set(2, one, 2);
    ingest(&lake, one, &set(1, one, 8)).exits(0);
    ingest(&lake, one, &small).exits(3);
    accept(&lake).exits(0);
    ingest(&lake, two, &set(3, two, 3)).exits(0);
    ingest(&lake, three, &small).exits(3);
    assert_eq!(lake.column("revocation", "serial"), ["1", "2", "3"]);
}

/// "3 = … a CRL set refused" (rules.md §3); the code is 400111.
#[test]
fn an_empty_set_is_refused_with_exit_3() {
    let (lake, [one, two, _]) = (fresh(false), nights());
    ingest(&lake, one, &[]).exits(3);
    ingest(&lake, one, &[bytes_of(&plain(1, 1, one, &[(1, 0)]))]).exits(0);
    ingest(&lake, two, &[]).exits(3);
    accept(&lake).exits(2);
}

/// A missing point can be let pass, two lists of one point cannot.
#[test]
fn a_missing_point_does_not_hide_what_cannot_be_overridden() {
    let (lake, [one, two, _]) = (fresh(false), nights());
    ingest(&lake, one, &[bytes_of(&plain(1, 1, one, &[(1, 0)]))]).exits(0);
    ingest(&lake, two, &[1, 2].map(|number| bytes_of(&plain(2, number, two, &[])))).exits(3);
    accept(&lake).exits(2);
}
