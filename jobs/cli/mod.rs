//! The command line: what the user typed, resolved to what the program runs on, and the exit code.

mod access;
mod arguments;
mod doctor;
mod show;
mod status;
mod views;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arguments::{
    Arguments, Asked, Audit, Command, CrlCommand, ExportFormat, KeysCommand, Monthly, MonthlyStats, OnDate, Runs, Scale,
};
use chrono::NaiveDate;
use clap::Parser as _;
use shikaku_pipeline::ask::export::Format;
use shikaku_pipeline::ask::inquire::Request;
use shikaku_pipeline::base::config::Config;
use shikaku_pipeline::base::time::BusinessDate;
use shikaku_pipeline::store::Store;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::run::Call;
use shikaku_pipeline::synth;
use shikaku_pipeline::{Error, Result};

use crate::{compact, crl, nightly, outside, registry};

/// Parses, runs, prints; the exit code is the contract's (rules.md §4).
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    outside::start_log(arguments.verbose, arguments.quiet);
    match outside::prepare().and_then(|()| dispatch(&arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            outside::say_error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// One function a command.
fn dispatch(typed: &Arguments) -> Result<u8> {
    match &typed.command {
        Command::Init { no_keys } => init(typed, *no_keys),
        Command::Synth { scale, seed, persons, clean, output } => {
            let options =
                synth::Options { scale: scale_of(*scale), seed: *seed, persons: *persons, planted_errors: !clean };
            synthesise(typed, &options, output)
        }
        Command::Nightly { inbox, on } => night(typed, inbox.as_deref(), on),
        Command::Ingest { kind, paths, on } => job(typed, kind, on, |call| call.paths.clone_from(paths)),
        Command::Reroute { month, known_at, on } => {
            job(typed, "reroute", on, |call| (call.month, call.known_at) = (Some(*month), *known_at))
        }
        Command::Fees { command: Monthly::Close { month, on } } => {
            job(typed, "fees", on, |call| call.month = Some(*month))
        }
        Command::Stats { command: MonthlyStats::Build { month, on } } => {
            job(typed, "stats", on, |call| call.month = Some(*month))
        }
        Command::Compact => fold(typed),
        Command::Keys { command: KeysCommand::Rotate { forget } } => {
            access::rotate(&mut writing(typed)?, *forget, typed.json)
        }
        // Under the lock, so that no run is under way; what stands there is judged as it is.
        Command::Audit { command: Audit::Verify } => {
            show::verified(&Store::open_to_verify(config(typed)?, outside::outside())?, typed.json)
        }
        Command::Release { origin, receipt, kind } => {
            show::release(&writing(typed)?, kind, origin, *receipt, typed.json)
        }
        Command::Crl { command: CrlCommand::Accept { reason, by } } => {
            ended(&crl::accept(&writing(typed)?, reason, by)?, typed.json)
        }
        Command::Inquire(asked) => inquire(typed, asked),
        Command::Export { table, generation, format, output } => {
            access::export(&recording(typed)?, table, *generation, format_of(*format), output, typed.json)
        }
        Command::Status => status::status(&reading(typed)?, typed.json),
        Command::Runs { command: Runs::List } => show::runs(&reading(typed)?, typed.json),
        Command::Runs { command: Runs::Show { run } } => show::run(&reading(typed)?, run, typed.json),
        Command::Doctor => doctor::doctor(&config_file(typed), config(typed)?, typed.json),
        Command::Views { set } => views::views(&reading(typed)?, *set, typed.json),
        Command::JobTable => {
            say!("{}", registry::table().trim_end());
            Ok(0)
        }
    }
}

fn init(typed: &Arguments, no_keys: bool) -> Result<u8> {
    let file = config_file(typed);
    let default = file.parent().unwrap_or(Path::new("")).join("lake");
    let lake = typed.lake.clone().unwrap_or(default);
    let config = Store::init(&file, &lake, no_keys, &outside::outside())?;
    show::made(&file, &config, typed.json)
}

fn synthesise(typed: &Arguments, options: &synth::Options, output: &Path) -> Result<u8> {
    let summary = synth::generate(options, output)?;
    show::synthesised(output, summary.files, summary.bytes, typed.json)
}

fn night(typed: &Arguments, inbox: Option<&Path>, on: &OnDate) -> Result<u8> {
    let mut config = config(typed)?;
    if let Some(inbox) = inbox {
        if !inbox.is_dir() {
            return Err(Error::usage(format!("{}: no such folder", inbox.display())));
        }
        inbox.clone_into(&mut config.inbox);
    }
    let store = Store::open_locked(config, outside::outside())?;
    let night = nightly::run(&store, business_date(on)?, on.force)?;
    show::night(&night, &store, typed.json)?;
    Ok(night.exit_code())
}

/// One job by its name; `told` adds to its call what was typed.
fn job(typed: &Arguments, name: &str, on: &OnDate, told: impl FnOnce(&mut Call<'_>)) -> Result<u8> {
    let job = registry::find(name)?;
    let date = business_date(on)?;
    let store = writing(typed)?;
    let mut call = Call::new(&store, date);
    told(&mut call);
    ended(&job.run(&call)?, typed.json)
}

/// `compact` goes by the date of the history, whatever it is.
fn fold(typed: &Arguments) -> Result<u8> {
    let date = compact::date(&reading(typed)?)?;
    job(typed, "compact", &OnDate { date, force: true }, |_| ())
}

fn inquire(typed: &Arguments, asked: &Asked) -> Result<u8> {
    let own = Request {
        insurer_no: asked.insurer_no.clone(),
        symbol: asked.symbol.clone(),
        number: asked.number.clone(),
        branch_no: asked.branch.clone(),
        birth_date: asked.birth_date,
        link_no: asked.link_no,
        serial: asked.serial.clone(),
        valid_on: asked.valid_on,
        known_at: asked.known_at,
        at: asked.at,
    };
    let request = if own == Request::default() { access::request(asked.request.as_ref())? } else { own };
    access::inquire(&recording(typed)?, &request, typed.json)
}

/// Prints what a run came to; its exit code.
fn ended(report: &RunReport, json: bool) -> Result<u8> {
    show::report(report, json)?;
    Ok(if report.rejections { 3 } else { 0 })
}

/// The lake, to look at.
fn reading(typed: &Arguments) -> Result<Store> {
    Store::open(config(typed)?, outside::outside())
}

/// The lake, to look at what leaves an access record.
fn recording(typed: &Arguments) -> Result<Store> {
    Store::open_recording(config(typed)?, outside::outside())
}

/// The lake under its lock.
fn writing(typed: &Arguments) -> Result<Store> {
    Store::open_locked(config(typed)?, outside::outside())
}

fn scale_of(scale: Scale) -> synth::Scale {
    match scale {
        Scale::Sample => synth::Scale::Sample,
        Scale::Regional => synth::Scale::Regional,
        Scale::National => synth::Scale::National,
    }
}

fn format_of(format: ExportFormat) -> Format {
    match format {
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Parquet => Format::Parquet,
    }
}

fn config_file(typed: &Arguments) -> PathBuf {
    if let Some(file) = &typed.config {
        return file.clone();
    }
    match &typed.lake {
        Some(lake) => {
            lake.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).join("shikaku.toml")
        }
        None => PathBuf::from("shikaku.toml"),
    }
}

fn config(typed: &Arguments) -> Result<Config> {
    let file = config_file(typed);
    if !file.exists() {
        return Err(Error::usage(format!("{} does not exist; run `shikaku init`", file.display())));
    }
    let config = Config::load(&file, typed.lake.as_deref())?;
    let _ = outside::CONFIGURED.set(config.language);
    if config.key_file.as_deref().is_some_and(|key| !doctor::is_private(key)) {
        tracing::warn!("others than its owner can read the key file; chmod 600");
    }
    Ok(config)
}

/// D: as given, else by the clock. One that has not come yet would close the history to every night before it.
fn business_date(on: &OnDate) -> Result<BusinessDate> {
    let now = outside::now();
    let check = |date: NaiveDate| match date > now.date() && !on.force {
        true => Err(Error::usage(format!(
            "--date {date} has not come yet (today is {}); taken, no earlier night could be written; --force takes it all the same",
            now.date()
        ))),
        false => Ok(BusinessDate(date)),
    };
    on.date.map_or_else(|| Ok(BusinessDate::of(now)), check)
}
