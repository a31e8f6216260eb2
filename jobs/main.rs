//! `shikaku`: the nightly and monthly batch of the eligibility system. The only place that reads the clock.

/// A line on stdout. A reader that has gone away (`| head`) is no error of ours.
macro_rules! say {
    () => { say!("") };
    ($($argument:tt)*) => {{
        use std::io::Write as _;
        drop(writeln!(std::io::stdout(), $($argument)*));
    }};
}

mod cli;
mod compact;
mod crl;
mod fees;
mod links;
mod nightly;
mod outside;
mod registry;
mod reroute;
mod stats;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
