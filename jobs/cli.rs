//! The command line: what the user typed, resolved to what the program runs on, and the exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{NaiveDate, NaiveDateTime};
use clap::{Parser, Subcommand, ValueEnum};
use shikaku_pipeline::ask::export::Format;
use shikaku_pipeline::ask::inquire::Request;
use shikaku_pipeline::base::config::Config;
use shikaku_pipeline::base::time::{BusinessDate, Month};
use shikaku_pipeline::store::Store;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::synth;
use shikaku_pipeline::{Error, Result};

use crate::jobs::{self, Call, nightly};
use crate::{access, doctor, outside, show};

#[derive(Parser)]
#[command(
    name = "shikaku",
    version,
    about = "Batch side of Japan's online health-insurance eligibility verification system"
)]
struct Arguments {
    /// Configuration file [default: ./shikaku.toml, or the one beside --lake]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Lake folder; overrides the configuration
    #[arg(long, global = true, value_name = "DIR")]
    lake: Option<PathBuf>,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    json: bool,
    /// More log lines
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Errors only
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an empty lake, a commented configuration, keys
    Init {
        /// Restricted tables and landed inputs stay unencrypted
        #[arg(long)]
        no_keys: bool,
    },
    /// Make synthetic inputs of every kind with their truth
    Synth {
        #[arg(long, value_enum)]
        scale: Scale,
        #[arg(long, default_value_t = 20_261_001)]
        seed: u64,
        /// Number of persons instead of the scale's own
        #[arg(long)]
        persons: Option<u64>,
        /// Leave the planted errors out
        #[arg(long)]
        clean: bool,
        /// An empty or new folder
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Run every job that is due, in order
    Nightly {
        /// Inbox folder; overrides the configuration
        #[arg(long, value_name = "DIR")]
        inbox: Option<PathBuf>,
        #[command(flatten)]
        on: OnDate,
    },
    /// Take in files of one kind
    Ingest {
        #[arg(value_enum)]
        kind: Kind,
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        on: OnDate,
    },
    /// Decide which insurer owes each claim of a month (請求年月)
    Reroute {
        #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
        month: Month,
        /// Decide as known before this moment instead of the cut-off
        #[arg(long, value_name = "YYYY-MM-DD[THH:MM:SS]", value_parser = parse_moment)]
        known_at: Option<NaiveDateTime>,
        #[command(flatten)]
        on: OnDate,
    },
    /// Fees (手数料)
    Fees {
        #[command(subcommand)]
        command: Monthly,
    },
    /// Statistics (統計)
    Stats {
        #[command(subcommand)]
        command: MonthlyStats,
    },
    /// Fold the deltas of the history tables into new bases
    Compact,
    /// Master keys of the restricted tables and landed inputs
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Check what was published
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// Let a held subscriber file go although one before it is missing
    Release {
        /// 保険者コード
        #[arg(long, value_name = "CODE")]
        origin: String,
        /// 受付番号 of the held file
        #[arg(long, value_name = "N")]
        receipt: i64,
    },
    /// Certificate revocation lists (失効情報)
    Crl {
        #[command(subcommand)]
        command: CrlCommand,
    },
    /// What the online side would say of one person's eligibility on a day
    ///
    /// The request is a JSON file, or stdin, since arguments can be seen by every process: {"insurer_no": "…", "symbol": "…",
    /// "number": "…", "branch_no": "…", "birth_date": "YYYY-MM-DD"} or {"link_no": 1} or {"serial": "…"}, with "valid_on":
    /// "YYYY-MM-DD" and, if wanted, "known_at": "YYYY-MM-DDTHH:MM:SS"; or {"serial": "…", "at": "YYYY-MM-DDTHH:MM:SS"} for the
    /// state of a certificate at a moment. The single options are for tests.
    Inquire {
        /// JSON file with the request; `-` or nothing = stdin
        #[arg(value_name = "FILE")]
        request: Option<PathBuf>,
        /// 保険者番号
        #[arg(long, value_name = "NO")]
        insurer_no: Option<String>,
        /// 記号
        #[arg(long)]
        symbol: Option<String>,
        /// 番号
        #[arg(long)]
        number: Option<String>,
        /// 枝番
        #[arg(long, value_name = "NO")]
        branch: Option<String>,
        /// 生年月日
        #[arg(long, value_name = "YYYY-MM-DD")]
        birth_date: Option<NaiveDate>,
        /// 紐付番号
        #[arg(long, value_name = "NO")]
        link_no: Option<i64>,
        /// Certificate serial in hex
        #[arg(long, value_name = "HEX")]
        serial: Option<String>,
        /// 資格確認日
        #[arg(long, value_name = "YYYY-MM-DD")]
        valid_on: Option<NaiveDate>,
        /// As known just before this moment; a date = at its end
        #[arg(long, value_name = "YYYY-MM-DD[THH:MM:SS]", value_parser = parse_moment)]
        known_at: Option<NaiveDateTime>,
        /// With --serial: state of the certificate just before this moment; a date = at its end
        #[arg(long, value_name = "YYYY-MM-DD[THH:MM:SS]", value_parser = parse_moment)]
        at: Option<NaiveDateTime>,
    },
    /// Write a table in clear; leaves an access record
    Export {
        #[arg(value_name = "TABLE")]
        table: String,
        /// As of this set instead of the newest
        #[arg(long, value_name = "N")]
        generation: Option<i64>,
        #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
        format: ExportFormat,
        #[arg(short, long, value_name = "PATH")]
        output: PathBuf,
    },
    /// What the lake holds and what needs attention
    Status,
    /// Runs of the ledger
    Runs {
        #[command(subcommand)]
        command: Runs,
    },
    /// Check configuration, keys, certificates and folders
    Doctor,
    /// The job table as Markdown, for docs/jobs.md
    #[command(hide = true)]
    JobTable,
    /// Write a DuckDB script with one view per table
    Views {
        /// As of this set instead of the newest
        #[arg(long, value_name = "N")]
        set: Option<i64>,
    },
}

// The business date of a run. No doc comment: it would become the help of the commands.
#[derive(clap::Args)]
struct OnDate {
    /// Business date [default: by the clock, before 08:00 yesterday]
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<NaiveDate>,
    /// Take a date that has not come yet; in a night also repeat what was done for its date
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scale {
    Sample,
    Regional,
    National,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Subscribers,
    Links,
    Crl,
    Checks,
    Receipts,
    Masters,
}

#[derive(Clone, Copy, ValueEnum)]
enum ExportFormat {
    Csv,
    Parquet,
}

#[derive(Subcommand)]
enum Monthly {
    /// Close a month
    Close {
        #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
        month: Month,
        #[command(flatten)]
        on: OnDate,
    },
}

#[derive(Subcommand)]
enum MonthlyStats {
    /// Build a month
    Build {
        #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
        month: Month,
        #[command(flatten)]
        on: OnDate,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Compare ledger, lake, manifests, landing and outbox with the hash chain
    Verify,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Make a new master key and wrap every data key by it
    Rotate {
        /// Remove the older master keys from the key file afterwards: backups sealed by them can no longer be read
        #[arg(long)]
        forget: bool,
    },
}

#[derive(Subcommand)]
enum CrlCommand {
    /// Put the set that was refused last in force all the same: out of date, a number that went back, a missing
    /// distribution point or a change beyond the band; never a set that cannot be verified
    Accept {
        /// Why; stands in the ledger for good
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who answers for it
        #[arg(long, value_name = "NAME")]
        by: String,
    },
}

#[derive(Subcommand)]
enum Runs {
    /// All runs
    List,
    /// One run with its inputs, codes and outputs
    Show {
        /// Run id, or its start
        run: String,
    },
}

fn parse_month(text: &str) -> std::result::Result<Month, String> {
    Month::parse(text).ok_or_else(|| "a month is written YYYY-MM".to_owned())
}

/// A moment, or a date for its end.
fn parse_moment(text: &str) -> std::result::Result<NaiveDateTime, String> {
    let day_end = |date: NaiveDate| date.succ_opt().map(|next| next.and_time(chrono::NaiveTime::MIN));
    let date = text.parse::<NaiveDate>().ok().and_then(day_end);
    let moment = date.or_else(|| text.parse().ok());
    moment.ok_or_else(|| "a moment is written YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS".to_owned())
}

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

fn config_file(arguments: &Arguments) -> PathBuf {
    if let Some(file) = &arguments.config {
        return file.clone();
    }
    match &arguments.lake {
        Some(lake) => {
            lake.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).join("shikaku.toml")
        }
        None => PathBuf::from("shikaku.toml"),
    }
}

fn config(arguments: &Arguments) -> Result<Config> {
    let file = config_file(arguments);
    if !file.exists() {
        return Err(Error::usage(format!("{} does not exist; run `shikaku init`", file.display())));
    }
    let config = Config::load(&file, arguments.lake.as_deref())?;
    let _ = outside::CONFIGURED.set(config.language);
    if config.key_file.as_deref().is_some_and(|key| !doctor::is_private(key)) {
        tracing::warn!("others than its owner can read the key file; chmod 600");
    }
    Ok(config)
}

/// D: as given, else by the clock. One that has not come yet would close the history to every night before it.
fn business_date(given: Option<NaiveDate>, force: bool) -> Result<BusinessDate> {
    let now = outside::now();
    match given {
        None => Ok(BusinessDate::of(now)),
        Some(date) if date > now.date() && !force => Err(Error::usage(format!(
            "--date {date} has not come yet (today is {}); taken, no earlier night could be written; --force takes it all the same",
            now.date()
        ))),
        Some(date) => Ok(BusinessDate(date)),
    }
}

fn dispatch(arguments: &Arguments) -> Result<u8> {
    let json = arguments.json;
    let job = |name: &str, date: &OnDate, paths: Vec<PathBuf>, month: Option<Month>, known_at| {
        let job = jobs::find(name)?;
        let date = business_date(date.date, date.force)?;
        let store = Store::open_locked(config(arguments)?, outside::outside())?;
        let call = Call { store: &store, date, paths, month, known_at, force: false, in_night: false };
        let report = (job.run)(&call)?;
        show::report(&report, json)?;
        Ok(exit_code(&report))
    };
    match &arguments.command {
        Command::Init { no_keys } => {
            let file = config_file(arguments);
            let default = file.parent().unwrap_or(Path::new("")).join("lake");
            let lake = arguments.lake.clone().unwrap_or(default);
            let config = Store::init(&file, &lake, *no_keys, &outside::outside())?;
            show::made(&file, &config, json)
        }
        Command::Synth { scale, seed, persons, clean, output } => {
            let scale = match scale {
                Scale::Sample => synth::Scale::Sample,
                Scale::Regional => synth::Scale::Regional,
                Scale::National => synth::Scale::National,
            };
            let options = synth::Options { scale, seed: *seed, persons: *persons, planted_errors: !clean };
            let summary = synth::generate(&options, output)?;
            show::synthesised(output, summary.files, summary.bytes, json)
        }
        Command::Nightly { inbox, on: OnDate { date, force } } => {
            let mut config = config(arguments)?;
            if let Some(inbox) = inbox {
                if !inbox.is_dir() {
                    return Err(Error::usage(format!("{}: no such folder", inbox.display())));
                }
                config.inbox.clone_from(inbox);
            }
            let store = Store::open_locked(config, outside::outside())?;
            let night = nightly::run(&store, business_date(*date, *force)?, *force)?;
            show::night(&night, &store, json)?;
            Ok(night.exit_code())
        }
        Command::Ingest { kind, paths, on } => {
            let name = match kind {
                Kind::Subscribers => "subscribers",
                Kind::Links => "links",
                Kind::Crl => "crl",
                Kind::Checks => "checks",
                Kind::Receipts => "receipts",
                Kind::Masters => "masters",
            };
            job(name, on, paths.clone(), None, None)
        }
        Command::Reroute { month, known_at, on } => job("reroute", on, Vec::new(), Some(*month), *known_at),
        Command::Fees { command: Monthly::Close { month, on } } => job("fees", on, Vec::new(), Some(*month), None),
        Command::Stats { command: MonthlyStats::Build { month, on } } => {
            job("stats", on, Vec::new(), Some(*month), None)
        }
        Command::Keys { command: KeysCommand::Rotate { forget } } => {
            let mut store = Store::open_locked(config(arguments)?, outside::outside())?;
            access::rotate(&mut store, *forget, json)
        }
        Command::Compact => {
            let date = jobs::compact::date(&Store::open(config(arguments)?, outside::outside())?)?;
            // The date is that of the history, whatever it is.
            job("compact", &OnDate { date, force: true }, Vec::new(), None, None)
        }
        Command::Audit { command: Audit::Verify } => {
            // Under the lock, so that no run is under way; what stands there is judged as it is.
            show::verified(&Store::open_to_verify(config(arguments)?, outside::outside())?, json)
        }
        Command::Release { origin, receipt } => {
            let store = Store::open_locked(config(arguments)?, outside::outside())?;
            show::release(&store, origin, *receipt, json)
        }
        Command::Crl { command: CrlCommand::Accept { reason, by } } => {
            let store = Store::open_locked(config(arguments)?, outside::outside())?;
            let report = jobs::crl::accept(&store, reason, by)?;
            show::report(&report, json)?;
            Ok(exit_code(&report))
        }
        Command::Inquire {
            request,
            insurer_no,
            symbol,
            number,
            branch,
            birth_date,
            link_no,
            serial,
            valid_on,
            known_at,
            at,
        } => {
            let own = Request {
                insurer_no: insurer_no.clone(),
                symbol: symbol.clone(),
                number: number.clone(),
                branch_no: branch.clone(),
                birth_date: *birth_date,
                link_no: *link_no,
                serial: serial.clone(),
                valid_on: *valid_on,
                known_at: *known_at,
                at: *at,
            };
            let request = if own == Request::default() { access::request(request.as_ref())? } else { own };
            access::inquire(&Store::open_recording(config(arguments)?, outside::outside())?, &request, json)
        }
        Command::Export { table, generation, format, output } => {
            let format = match format {
                ExportFormat::Csv => Format::Csv,
                ExportFormat::Parquet => Format::Parquet,
            };
            let store = Store::open_recording(config(arguments)?, outside::outside())?;
            access::export(&store, table, *generation, format, output, json)
        }
        Command::Status => show::status(&Store::open(config(arguments)?, outside::outside())?, json),
        Command::Runs { command } => {
            let store = Store::open(config(arguments)?, outside::outside())?;
            match command {
                Runs::List => show::runs(&store, json),
                Runs::Show { run } => show::run(&store, run, json),
            }
        }
        Command::JobTable => {
            say!("{}", jobs::table().trim_end());
            Ok(0)
        }
        Command::Doctor => show::doctor(&config_file(arguments), config(arguments)?, json),
        Command::Views { set } => show::views(&Store::open(config(arguments)?, outside::outside())?, *set, json),
    }
}

fn exit_code(report: &RunReport) -> u8 {
    if report.rejections { 3 } else { 0 }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
