//! `shikaku`: the nightly and monthly batch of the eligibility system. The only place that reads the clock.

mod cli;
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
