//! Subscriber files against the plain model (tests/oracle/subscribers.rs): random operation lists, as files over nights,
//! give the same tables and results; permutation, splitting, duplication, threads and crashes change nothing.
//!
//! `SHIKAKU_CASES` = operation lists (one insurer's files over all nights) per test; `SHIKAKU_SEED` = where to start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use shikaku_pipeline::base::config::Config;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::intake::{Intake, inbox};
use shikaku_pipeline::lake::history::HistoryScan;
use shikaku_pipeline::ledger::{Event, InputRow};
use shikaku_pipeline::store::input::Input;
use shikaku_pipeline::store::run::Call;
use shikaku_pipeline::store::{Outside, Stage, Store};
use shikaku_pipeline::text::cp932::Encoding;
use shikaku_pipeline::text::digits::my_number_digit;
use shikaku_pipeline::{Error, INTAKES};
use shikaku_schemas::tables::{self, Table};
use tempfile::TempDir;

pub use crate::common::temp_dir;
use crate::common::{Row, Sub, envelope, insurer_no, member_no, plain_texts};
use crate::subscribers_oracle::{
    COVERAGE, CoverageKey, Damage, Fields, File, Insurer, MEMBER, MemberKey, Outcome, Verdict, Version, World, get,
    known_at,
};

// ---- Plans: what is given, and when -------------------------------------------------------------------------------

/// Everything that happens, night by night.
#[derive(Clone)]
struct Plan {
    insurers: BTreeMap<String, Insurer>,
    nights: Vec<Night>,
}

#[derive(Clone)]
struct Night {
    /// `YYYYMMDD`.
    date: String,
    runs: Vec<Run>,
}

/// One run: held files that the operator lets go before it, and what has come to the inbox. A file may be there twice.
#[derive(Clone, Default)]
struct Run {
    releases: Vec<(String, u32)>,
    /// Not only of the first held file.
    any_release: bool,
    files: Vec<File>,
}

/// How the plan is carried out; nothing here may change a table.
#[derive(Clone, Copy, Debug, Default)]
struct Treatment {
    /// Each insurer's files in runs of their own, in any order.
    separate: bool,
    /// Every file in two, under consecutive receipt numbers.
    split: bool,
    /// All bytes twice, in the same run and in a later one.
    twice: bool,
    /// Threads of the pool.
    threads: usize,
    /// Runs are cut off and repeated.
    crash: bool,
    seed: u64,
}

/// Takes things away from a plan that fails for as long as it still does; what is left, and how that fails.
pub fn shrunk<P>(
    mut plan: P,
    mut what: String,
    without: impl Fn(&P, usize, u8) -> Option<P>,
    check: impl Fn(&P) -> Result<(), String>,
) -> (P, String) {
    for part in [0, 1, 2] {
        let mut n = 0;
        while let Some(less) = without(&plan, n, part) {
            match check(&less) {
                Err(still) => (plan, what) = (less, still),
                Ok(()) => n += 1,
            }
        }
    }
    (plan, what)
}

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }

    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    pub fn of<'v>(&mut self, values: &[&'v str]) -> &'v str {
        values[self.below(values.len())]
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }
}

/// The insurers of every world: 市町村国保, 健保組合, 協会けんぽ, 後期高齢 in turn, two 保険者番号 each.
const INSURERS: usize = 24;

pub fn insurer(i: usize) -> (String, Insurer) {
    let (scheme, start) = [("06", "0013"), ("02", "0613"), ("01", "0113"), ("07", "3913")][i % 4];
    let numbers = vec![insurer_no(&format!("{start}{:03}", 2 * i)), insurer_no(&format!("{start}{:03}", 2 * i + 1))];
    // 市町村国保 submit as the prefecture.
    let code = if scheme == "06" { format!("0013{:04}", 9000 + i) } else { numbers[0].clone() };
    (code, Insurer { scheme: scheme.to_owned(), numbers })
}

/// Every other insurer sends UTF-8, the rest CP932.
fn encoding(origin: &str) -> Encoding {
    let utf8 = (0..INSURERS).any(|i| i % 8 < 4 && insurer(i).0 == origin);
    if utf8 { Encoding::Utf8 } else { Encoding::Cp932 }
}

fn my_number() -> String {
    let body = [3u32, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
    let digits: String = body.iter().map(ToString::to_string).collect();
    format!("{digits}{}", my_number_digit(&body))
}

/// A line without record_no. Few values, so that much repeats.
fn random_line(dice: &mut Dice, insurer: &Insurer, earlier: &[Fields]) -> Fields {
    let municipal = insurer.scheme == "06";
    let operation = match (municipal, dice.below(100)) {
        (false, n) => ["1", "2", "3", "4"][usize::from(n >= 40) + usize::from(n >= 75) + usize::from(n >= 87)],
        (true, n) => ["2", "1", "3", "4"][usize::from(n >= 70) + usize::from(n >= 96) + usize::from(n >= 98)],
    };
    let mut line = Fields::new();
    if !earlier.is_empty() && dice.percent(40) {
        // As sent before: the same again, or with another operation, or with one thing changed.
        line = earlier[dice.below(earlier.len())].clone();
        if dice.percent(40) {
            if dice.percent(30) {
                line.insert("updated_at".to_owned(), dice.of(&["20261001120000", "20261002090000"]).to_owned());
            }
            return line;
        }
        if dice.percent(50) {
            let changed = random_line(dice, insurer, &[]);
            let name = dice.of(&["link_no", "name", "address", "symbol", "acquired_on", "card_kind", "coverage_seq"]);
            // Only within what is there, lest the line become a wrong one.
            if let (true, Some(value)) = (line.contains_key(name), changed.get(name)) {
                line.insert(name.to_owned(), value.clone());
            }
            if get(&line, "lost_on") < get(&line, "acquired_on") {
                line.remove("lost_on");
                line.remove("loss_reason");
            }
        }
    } else {
        let member = 1 + dice.below(4);
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                line.insert(name.to_owned(), value.to_owned());
            }
        };
        set("member_no", &member_no(u32::try_from(member).unwrap()));
        let person = if dice.percent(80) { member } else { 1 + dice.below(6) };
        set("link_no", &(1000 + person).to_string());
        set("name", dice.of(&["資格　太郎", "髙橋　花子", "名前だけ"]));
        set("kana", dice.of(&["", "シカク　タロウ"]));
        set("sex", dice.of(&["1", "2", "3"]));
        set("birth_date", dice.of(&["", "19800101", "20240229"]));
        set("address", dice.of(&["", "東京都架空区1-1", "東京都,\"架空\"区"]));
        set("dependent", dice.of(&["", "1"]));
        set("updated_at", if dice.percent(5) { "20261002090000" } else { "20261001120000" });
        if dice.percent(75) {
            set("coverage_seq", dice.of(&["1", "1", "2", "3"]));
            set("insurer_no", &insurer.numbers[dice.below(2)]);
            set("symbol", dice.of(&["", "記号①", "ｷｺﾞｳ-1"]));
            set("number", dice.of(&["1", "１"]));
            set("branch_no", dice.of(&["", "01"]));
            // Overlaps and retroactive periods come by themselves.
            let acquired = dice.of(&["20200401", "20240401", "20260901", "20261030"]);
            set("acquired_on", acquired);
            match dice.below(10) {
                0..2 => set("lost_on", acquired), // 同日得喪
                2..5 => set("lost_on", dice.of(&["20261030", "20270401"])),
                _ => {}
            }
            set("card_kind", dice.of(&["01", "08"]));
            set("card_copay", dice.of(&["", "", "30"]));
            set("card_returned_on", dice.of(&["", "", "", "20261015"]));
            if municipal {
                set("retiree_switched_on", dice.of(&["", "", "", "20260401"]));
            }
            if ["01", "02"].contains(&insurer.scheme.as_str()) {
                set("workplace", dice.of(&["", "", "", "見本株式会社"]));
            }
            if line.contains_key("lost_on") {
                line.insert("loss_reason".to_owned(), dice.of(&["01", "02"]).to_owned());
            }
        }
    }
    line.insert("operation".to_owned(), operation.to_owned());
    if operation == "3" {
        line.remove("link_no");
        if dice.percent(50) {
            MEMBER.iter().filter(|n| !["sex", "updated_at"].contains(n)).for_each(|n| drop(line.remove(*n)));
        }
    } else if !line.contains_key("link_no") {
        line.insert("link_no".to_owned(), "1001".to_owned());
    }
    if ["1", "2"].contains(&operation) && !line.contains_key("name") {
        line.insert("name".to_owned(), "資格　太郎".to_owned());
    }
    // 削除 and 紐付訂正 mostly speak of the member as a whole, 削除 also of a 資格通番 alone.
    if ["3", "4"].contains(&operation) && dice.percent(60) {
        if operation == "4" || dice.percent(70) {
            line.remove("coverage_seq");
        }
        COVERAGE.iter().for_each(|n| drop(line.remove(*n)));
    }
    line
}

/// Breaks a line in one way; the model finds out by itself what is wrong with it.
fn plant(dice: &mut Dice, insurer: &Insurer, line: &mut Fields) {
    let with_coverage = line.contains_key("insurer_no");
    let set = |line: &mut Fields, name: &str, value: &str| drop(line.insert(name.to_owned(), value.to_owned()));
    match dice.below(if with_coverage { 13 } else { 4 }) {
        0 => set(line, "sex", "9"),
        1 => {
            let mut number = get(line, "member_no").to_owned();
            let last = number.pop().unwrap().to_digit(10).unwrap();
            number.push(char::from_digit((last + 1) % 10, 10).unwrap());
            set(line, "member_no", &number);
        }
        2 => set(line, "birth_date", "20260231"),
        3 => match get(line, "operation") {
            "3" => set(line, "link_no", "1001"),
            _ => drop(line.remove("link_no")),
        },
        4 => set(line, "acquired_on", "20261301"),
        5 => {
            set(line, "lost_on", "20000101");
            set(line, "loss_reason", "01");
        }
        6 => drop(line.remove("number")),
        7 => {
            set(line, "lost_on", "20270401");
            line.remove("loss_reason");
        }
        8 => set(line, "insurer_no", "06139998"),
        9 => set(line, "insurer_no", &insurer_no("0699999")),
        10 => set(line, "symbol", &my_number()),
        11 => drop(line.remove("coverage_seq")),
        _ if insurer.scheme == "06" => set(line, "workplace", "見本株式会社"),
        _ => set(line, "retiree_switched_on", "20260401"),
    }
}

/// Lines that differ in 更新日時 alone, in two runs of one night, have a test of their own below.
fn same_updated_at(line: &mut Fields) {
    line.insert("updated_at".to_owned(), "20261001120000".to_owned());
}

fn number_lines(lines: &mut [Fields]) {
    for (n, line) in lines.iter_mut().enumerate() {
        line.insert("record_no".to_owned(), (n + 1).to_string());
    }
}

fn dates(dice: &mut Dice, count: usize) -> Vec<String> {
    // Ascending, over the turn of a month, not always on end.
    let all = ["20261029", "20261030", "20261031", "20261101", "20261102", "20261105"];
    let start = dice.below(all.len() - count + 1);
    all[start..start + count].iter().map(|d| (*d).to_owned()).collect()
}

fn random_plan(dice: &mut Dice, insurers: usize) -> Plan {
    let night_count = 1 + dice.below(4);
    let mut nights: Vec<Night> = dates(dice, night_count)
        .into_iter()
        .map(|date| {
            let runs = if dice.percent(25) { 2 + dice.below(2) } else { 1 };
            Night { date, runs: vec![Run::default(); runs] }
        })
        .collect();
    let first = dice.below(INSURERS);
    let chosen: BTreeMap<String, Insurer> = (0..insurers).map(|i| insurer((first + i) % INSURERS)).collect();
    let several_runs = nights.iter().any(|n| n.runs.len() > 1);
    let mut slots: Vec<&mut Run> = nights.iter_mut().flat_map(|n| n.runs.iter_mut()).collect();
    for (code, insurer) in &chosen {
        one_list(dice, code, insurer, &mut slots, several_runs);
    }
    Plan { insurers: chosen, nights }
}

/// The files of one insurer over all runs, with gaps, late ones, damaged ones, used numbers and releases.
fn one_list(dice: &mut Dice, code: &str, insurer: &Insurer, slots: &mut [&mut Run], one_updated_at: bool) {
    let start = if dice.percent(70) { 1 } else { 7 };
    let mut earlier: Vec<Fields> = Vec::new();
    let count = 1 + dice.below(5);
    let mut places: Vec<usize> = (0..count).map(|_| dice.below(slots.len())).collect();
    places.sort_unstable();
    for (receipt, place) in (start..).zip(places) {
        let mut lines = Vec::new();
        for _ in 0..dice.below(8) {
            let mut line = random_line(dice, insurer, &earlier);
            if one_updated_at {
                same_updated_at(&mut line);
            }
            earlier.push(line.clone());
            if dice.percent(6) {
                plant(dice, insurer, &mut line);
            }
            lines.push(line);
        }
        number_lines(&mut lines);
        if lines.len() > 1 && dice.percent(5) {
            lines[1].insert("record_no".to_owned(), "1".to_owned());
        }
        let file = File { origin: code.to_owned(), receipt, lines, damage: Damage::None };
        let slot_count = slots.len();
        let later = |dice: &mut Dice, from: usize| from + dice.below(slot_count - from);
        let mut place = place;
        if dice.percent(8) {
            // Damaged first, then whole under the same number.
            let damage = if dice.percent(50) && !file.lines.is_empty() { Damage::MyNumber } else { Damage::Truncated };
            slots[place].files.push(File { damage, ..file.clone() });
            place = later(dice, place);
        } else if receipt == start && dice.percent(10) && place + 1 < slots.len() {
            // Afterwards the same number with other bytes, or a lower one.
            let mut lines = vec![random_line(dice, insurer, &earlier)];
            same_updated_at(&mut lines[0]);
            number_lines(&mut lines);
            let receipt = if start > 1 && dice.percent(50) { start - 1 } else { start };
            let other = File { lines, receipt, ..file.clone() };
            let at = later(dice, place + 1);
            if other != file {
                slots[at].files.push(other);
            }
        } else if dice.percent(20) {
            // Late, or never: a gap.
            place = later(dice, place);
            if dice.percent(50) {
                continue;
            }
        }
        slots[place].files.push(file);
    }
    for slot in slots.iter_mut() {
        if dice.percent(40) {
            // Whichever is the first held one then.
            let last = start + u32::try_from(count).unwrap();
            slot.releases.extend((start..last).map(|receipt| (code.to_owned(), receipt)));
        }
    }
    // A damaged first file has a test of its own below.
    let own = |run: &Run| {
        run.files
            .iter()
            .enumerate()
            .filter(|(_, f)| f.origin == code)
            .min_by_key(|(_, f)| f.receipt)
            .map(|(n, f)| (n, f.damage))
    };
    for slot in slots.iter_mut() {
        while let Some((n, damage)) = own(slot)
            && damage != Damage::None
        {
            slot.files.remove(n);
        }
        if own(slot).is_some() {
            break;
        }
    }
    for slot in slots.iter_mut() {
        dice.shuffle(&mut slot.files);
    }
}

// ---- Transformations that must not show in the tables ----------------------------------------------------------------

impl Plan {
    fn treated(&self, treatment: Treatment) -> Plan {
        let mut dice = Dice(treatment.seed);
        let mut plan = self.clone();
        if treatment.split {
            plan.split(&mut dice);
        }
        if treatment.twice {
            plan.twice(&mut dice);
        }
        if treatment.separate {
            plan.separate(&mut dice);
        }
        plan
    }

    /// File n becomes 2n−1 and 2n. A damaged file stays whole; its correction is split. What uses a number again stays
    /// whole too.
    fn split(&mut self, dice: &mut Dice) {
        let mut taken = BTreeSet::new();
        for run in self.nights.iter_mut().flat_map(|n| &mut n.runs) {
            run.releases.iter_mut().for_each(|(_, receipt)| *receipt = *receipt * 2 - 1);
            let mut files = Vec::new();
            for file in run.files.drain(..) {
                let receipt = file.receipt * 2 - 1;
                let first_use = file.damage == Damage::None && taken.insert((file.origin.clone(), file.receipt));
                if !first_use {
                    files.push(File { receipt, ..file });
                    continue;
                }
                // Lines that share a record_no stay in one file, or they would no longer be wrong.
                let numbers: BTreeSet<&str> = file.lines.iter().map(|l| get(l, "record_no")).collect();
                let cut = if numbers.len() == file.lines.len() { dice.below(file.lines.len() + 1) } else { 0 };
                let (one, two) = file.lines.split_at(cut);
                files.push(File { receipt, lines: one.to_vec(), ..file.clone() });
                files.push(File { receipt: receipt + 1, lines: two.to_vec(), ..file.clone() });
            }
            dice.shuffle(&mut files);
            run.files = files;
        }
    }

    fn twice(&mut self, dice: &mut Dice) {
        let mut before: Vec<File> = Vec::new();
        for run in self.nights.iter_mut().flat_map(|n| &mut n.runs) {
            let own = run.files.clone();
            run.files.extend(own.clone());
            if !before.is_empty() {
                run.files.extend((0..2).map(|_| before[dice.below(before.len())].clone()));
            }
            before.extend(own);
            dice.shuffle(&mut run.files);
        }
    }

    fn separate(&mut self, dice: &mut Dice) {
        for night in &mut self.nights {
            let mut runs = Vec::new();
            for run in &night.runs {
                let mut origins: Vec<&String> = self.insurers.keys().collect();
                dice.shuffle(&mut origins);
                for origin in origins {
                    runs.push(Run {
                        any_release: run.any_release,
                        releases: run.releases.iter().filter(|(of, _)| of == origin).cloned().collect(),
                        files: run.files.iter().filter(|f| f.origin == *origin).cloned().collect(),
                    });
                }
            }
            night.runs = runs;
        }
    }

    /// Only that insurer's part.
    fn only(&self, origin: &str) -> Plan {
        let mut plan = self.clone();
        plan.insurers.retain(|code, _| code == origin);
        for run in plan.nights.iter_mut().flat_map(|n| &mut n.runs) {
            run.files.retain(|f| f.origin == origin);
            run.releases.retain(|(of, _)| of == origin);
        }
        plan
    }
}

/// The operation list in a readable form.
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for night in &self.nights {
            for (n, run) in night.runs.iter().enumerate() {
                writeln!(f, "night {} run {}", night.date, n + 1)?;
                for (origin, receipt) in &run.releases {
                    writeln!(f, "  release {origin} {receipt} (if held)")?;
                }
                for file in &run.files {
                    let scheme = &self.insurers[&file.origin].scheme;
                    writeln!(f, "  file {} (制度 {scheme}) 受付番号 {} {:?}", file.origin, file.receipt, file.damage)?;
                    for line in &file.lines {
                        let fields: Vec<String> = line.iter().map(|(name, value)| format!("{name}={value}")).collect();
                        writeln!(f, "    {}", fields.join(" "))?;
                    }
                }
            }
        }
        Ok(())
    }
}

// ---- The pipeline, in process -------------------------------------------------------------------------------------

/// A kill: leaves the process's hands off everything, without a message.
pub struct Killed;

/// `die_at`: how many steps of commits are survived.
fn outside(die_at: u64) -> Outside {
    let left = AtomicU64::new(die_at);
    let step = move |_: &str| {
        if left.fetch_sub(1, Ordering::Relaxed) == 0 {
            resume_unwind(Box::new(Killed));
        }
        Ok(())
    };
    Outside { clock: Box::new(crate::common::Fixed), entropy: Box::new(crate::common::Fixed), step: Box::new(step) }
}

/// No commit has so many steps.
pub const NEVER: u64 = 1 << 60;

pub fn open(dir: &Path, die_at: u64) -> Store {
    // Another test that starts a program holds a copy of every open file, locks too, until its child has begun.
    for _ in 0..200 {
        match Store::open_locked(Config::load(&dir.join("shikaku.toml"), None).unwrap(), outside(die_at)) {
            Err(shikaku_pipeline::Error::Locked(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays locked", dir.display())
}

/// A lake with the insurer master and nothing else.
pub fn template() -> TempDir {
    let dir = temp_dir();
    Store::init(&dir.path().join("shikaku.toml"), &dir.path().join("lake"), true, &outside(NEVER)).unwrap();
    let mut insurers =
        "insurer_code,holder_name,scheme,insurer_no,insurer_name,phone,address,established_on,abolished_on\n"
            .to_owned();
    let mut definitions = String::new();
    for i in 0..INSURERS {
        let (code, own) = insurer(i);
        for number in &own.numbers {
            writeln!(insurers, "{code},見本保険者,{},{number},見本,,,20081001,", own.scheme).unwrap();
        }
        if encoding(&code) == Encoding::Utf8 {
            writeln!(definitions, "[\"{code}\"]\nencoding = \"utf-8\"\n").unwrap();
        }
    }
    std::fs::write(dir.path().join("inbox/masters/insurers.csv"), insurers).unwrap();
    std::fs::write(dir.path().join("inbox/masters/insurer_definitions.toml"), definitions).unwrap();
    let store = open(dir.path(), NEVER);
    let rejections = run_job(&store, "masters", "20261028", true).unwrap();
    assert!(!rejections, "the masters of this test are sound");
    dir
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A run over a folder of the inbox; whether it had something to complain of, none if nothing was done.
pub fn run_job(store: &Store, job: &str, date: &str, commit: bool) -> Option<bool> {
    let intake = INTAKES.iter().find(|intake| intake.name == job).unwrap();
    run_with(store, intake, date, intake.take_in, commit)
}

/// The same with other work; without `commit` it fails when all is staged.
pub fn run_with(
    store: &Store,
    intake: &Intake,
    date: &str,
    work: impl FnOnce(&mut Stage<'_>, &[Input]) -> shikaku_pipeline::Result<()>,
    commit: bool,
) -> Option<bool> {
    let business_date = BusinessDate(chrono::NaiveDate::parse_from_str(date, "%Y%m%d").unwrap());
    let paths = vec![store.config.inbox.join(intake.folder)];
    let call = Call { paths, in_night: true, ..Call::new(store, business_date) };
    let report = intake.run_with(&call, |stage, inputs| {
        work(stage, inputs)?;
        if commit { Ok(()) } else { Err(Error::failed("this run was made to fail")) }
    });
    assert!(report.is_ok() || !commit, "{report:?}");
    report.ok().filter(|report| !report.unchanged).map(|report| report.rejections)
}

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

pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
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
