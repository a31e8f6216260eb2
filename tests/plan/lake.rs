//! A lake in process: opened with a number of steps that it survives, runs over its inbox, its insurers.

use std::fmt::Write as _;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use shikaku_pipeline::base::config::Config;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::intake::Intake;
use shikaku_pipeline::store::input::Input;
use shikaku_pipeline::store::run::Call;
use shikaku_pipeline::store::{Outside, Stage, Store};
use shikaku_pipeline::text::cp932::Encoding;
use shikaku_pipeline::{Error, INTAKES};
use tempfile::TempDir;

use crate::common::{insurer_no, temp_dir};
use crate::subscribers_oracle::Insurer;

/// The insurers of every world: 市町村国保, 健保組合, 協会けんぽ, 後期高齢 in turn, two 保険者番号 each.
pub const INSURERS: usize = 24;

pub fn insurer(i: usize) -> (String, Insurer) {
    let (scheme, start) = [("06", "0013"), ("02", "0613"), ("01", "0113"), ("07", "3913")][i % 4];
    let numbers = vec![insurer_no(&format!("{start}{:03}", 2 * i)), insurer_no(&format!("{start}{:03}", 2 * i + 1))];
    // 市町村国保 submit as the prefecture.
    let code = if scheme == "06" { format!("0013{:04}", 9000 + i) } else { numbers[0].clone() };
    (code, Insurer { scheme: scheme.to_owned(), numbers })
}

/// Every other insurer sends UTF-8, the rest CP932.
pub fn encoding(origin: &str) -> Encoding {
    let utf8 = (0..INSURERS).any(|i| i % 8 < 4 && insurer(i).0 == origin);
    if utf8 { Encoding::Utf8 } else { Encoding::Cp932 }
}

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
