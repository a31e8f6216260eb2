//! What the library is given from outside: the clock, randomness, and (in tests of crashes) a place to die.

use std::io::{IsTerminal as _, Write as _};

use std::sync::OnceLock;

use chrono::{FixedOffset, NaiveDateTime, Utc};
use shikaku_pipeline::seal::keys::Entropy;
use shikaku_pipeline::store::{Clock, Outside};
use shikaku_pipeline::{Error, Result};
use shikaku_schemas::operator::Language;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

struct SystemClock;

/// Japan Standard Time, which has no daylight saving.
const JST_SECONDS: i32 = 9 * 3600;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> NaiveDateTime {
        match FixedOffset::east_opt(JST_SECONDS) {
            Some(jst) => Utc::now().with_timezone(&jst).naive_local(),
            None => Utc::now().naive_utc(),
        }
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::fill(buffer).map_err(|e| Error::Crypto(format!("no random bytes: {e}")))
    }
}

/// Language of what commands print: the configuration's, else the locale's.
pub fn language() -> Language {
    static CHOSEN: OnceLock<Language> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        CONFIGURED.get().copied().flatten().unwrap_or_else(|| Language::of_locale(&locale.unwrap_or_default()))
    })
}

/// What the configuration says of it; to be set before anything is printed.
pub static CONFIGURED: OnceLock<Option<Language>> = OnceLock::new();

/// Now, JST.
pub fn now() -> NaiveDateTime {
    SystemClock.now()
}

/// Clock, randomness, and in debug builds the step at which `SHIKAKU_DIE_AT` ends the process as `kill -9` would, or
/// `SHIKAKU_FAIL_AT` makes of what was just written an error: it persisted, and nobody knows.
pub fn outside() -> Outside {
    Outside { clock: Box::new(SystemClock), entropy: Box::new(SystemEntropy), step: Box::new(step) }
}

#[cfg(debug_assertions)]
fn step(name: &str) -> Result<()> {
    // A command that another process would run at that moment.
    if let Some((at, command)) = std::env::var("SHIKAKU_DO_AT").ok().as_deref().and_then(|text| text.split_once('='))
        && at == name
    {
        let _ = std::process::Command::new("sh").args(["-c", command]).env_remove("SHIKAKU_DO_AT").status();
    }
    // `job step` names one step of one job; the job is told by what the run staged last, so a counter is enough.
    use std::sync::atomic::{AtomicUsize, Ordering};
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let seen = SEEN.fetch_add(1, Ordering::Relaxed);
    let wanted = |variable: &str| std::env::var(variable).is_ok_and(|at| at == name || at == seen.to_string());
    if wanted("SHIKAKU_DIE_AT") {
        std::process::abort();
    }
    if wanted("SHIKAKU_FAIL_AT") {
        return Err(Error::failed(format!("the step {name} was made to fail")));
    }
    Ok(())
}

#[cfg(not(debug_assertions))]
fn step(_: &str) -> Result<()> {
    Ok(())
}

/// What the process may do and needs, whoever starts it: files that nobody else can read (a cron job brings no umask), as many
/// open files as the machine allows, and threads.
pub fn prepare() -> Result<()> {
    use rustix::fs::Mode;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
    let given = umask(Mode::RWXO | Mode::WGRP);
    umask(given | Mode::RWXO | Mode::WGRP);
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, what is allowed must do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    rayon::ThreadPoolBuilder::new()
        .build_global()
        .map_err(|e| Error::failed(format!("threads cannot be started ({e}); the limit of processes is too low")))
}

/// Log lines: plain on a terminal, JSON otherwise (for the agency's collector); always on stderr.
pub fn start_log(verbose: bool, quiet: bool) {
    let level = match (verbose, quiet) {
        (_, true) => tracing::Level::ERROR,
        (true, _) => tracing::Level::DEBUG,
        _ => tracing::Level::INFO,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Stderr)
        .with_target(false)
        // It would say so on the very stream that fails, and end the process.
        .log_internal_errors(false);
    if std::io::stderr().is_terminal() {
        builder.compact().without_time().init();
    } else {
        builder.json().flatten_event(true).with_timer(JapanTime).init();
    }
}

/// stderr, whatever becomes of it: a full disk or a reader that has gone away must not end a night.
struct Stderr;

impl std::io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = std::io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = std::io::stderr().flush();
        Ok(())
    }
}

/// Log times are JST, as everything else that an operator reads.
struct JapanTime;

impl FormatTime for JapanTime {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{}+09:00", now().format("%Y-%m-%dT%H:%M:%S%.3f"))
    }
}

/// The last word of a command that failed: a line for a person, a JSON line for a collector.
pub fn say_error(error: &Error) {
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr(), "shikaku: {error}");
    } else {
        tracing::error!(exit_code = error.exit_code(), "{error}");
    }
}
