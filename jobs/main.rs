//! `shikaku`: the nightly and monthly batch of the eligibility system. The only place that reads the clock.

/// A line on stdout. A reader that has gone away (`| head`) is no error of ours.
macro_rules! say {
    () => { say!("") };
    ($($argument:tt)*) => {{
        use std::io::Write as _;
        drop(writeln!(std::io::stdout(), $($argument)*));
    }};
}

mod access;
mod cli;
mod doctor;
#[path = "mod.rs"]
mod jobs;
mod outside;
mod show;
mod status;
mod views;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
