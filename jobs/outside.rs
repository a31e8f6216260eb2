//! What the library is given from outside: the clock, randomness, and (in tests of crashes) a place to die.

use std::io::IsTerminal as _;

use chrono::{FixedOffset, NaiveDateTime, Utc};
use shikaku_pipeline::keys::Entropy;
use shikaku_pipeline::store::{Clock, Outside};
use shikaku_pipeline::{Error, Result};
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

/// Now, JST.
pub fn now() -> NaiveDateTime {
    SystemClock.now()
}

/// Clock, randomness, and in debug builds the step at which `SHIKAKU_DIE_AT` ends the process as `kill -9` would.
pub fn outside() -> Outside {
    Outside { clock: Box::new(SystemClock), entropy: Box::new(SystemEntropy), step: Box::new(step) }
}

#[cfg(debug_assertions)]
fn step(name: &str) {
    // `job step` names one step of one job; the job is told by what the run staged last, so a counter is enough.
    use std::sync::atomic::{AtomicUsize, Ordering};
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let Ok(wanted) = std::env::var("SHIKAKU_DIE_AT") else { return };
    let seen = SEEN.fetch_add(1, Ordering::Relaxed);
    if wanted == name || wanted == seen.to_string() {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
fn step(_: &str) {}

/// Log lines: plain on a terminal, JSON otherwise (for the agency's collector); always on stderr.
pub fn start_log(verbose: bool, quiet: bool) {
    let level = match (verbose, quiet) {
        (_, true) => tracing::Level::ERROR,
        (true, _) => tracing::Level::DEBUG,
        _ => tracing::Level::INFO,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    if std::io::stderr().is_terminal() {
        builder.compact().without_time().init();
    } else {
        builder.json().flatten_event(true).with_timer(JapanTime).init();
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
        eprintln!("shikaku: {error}");
    } else {
        tracing::error!(exit_code = error.exit_code(), "{error}");
    }
}
