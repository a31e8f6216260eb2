//! What can be typed.

use std::path::PathBuf;

use chrono::{NaiveDate, NaiveDateTime};
use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, ValueEnum};
use shikaku_pipeline::base::time::Month;

use crate::registry::JOBS;

#[derive(Parser)]
#[command(
    name = "shikaku",
    version,
    about = "Batch side of Japan's online health-insurance eligibility verification system"
)]
pub struct Arguments {
    /// Configuration file [default: ./shikaku.toml, or the one beside --lake]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Lake folder; overrides the configuration
    #[arg(long, global = true, value_name = "DIR")]
    pub lake: Option<PathBuf>,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// More log lines
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
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
        #[arg(value_parser = kinds())]
        kind: String,
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
    /// Let a held file of an insurer go although one before it is missing, or its definition is refused
    Release {
        /// 保険者コード
        #[arg(long, value_name = "CODE")]
        origin: String,
        /// 受付番号 of the held file
        #[arg(long, value_name = "N")]
        receipt: i64,
        /// Kind of the held file, as its header names it
        #[arg(long, value_name = "KIND", default_value = "SUB")]
        kind: String,
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
    Inquire(Asked),
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
pub struct OnDate {
    /// Business date [default: by the clock, before 08:00 yesterday]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<NaiveDate>,
    /// Take a date that has not come yet; in a night also repeat what was done for its date
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Scale {
    Sample,
    Regional,
    National,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ExportFormat {
    Csv,
    Parquet,
}

#[derive(Subcommand)]
pub enum Monthly {
    /// Close a month
    Close {
        #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
        month: Month,
        #[command(flatten)]
        on: OnDate,
    },
}

#[derive(Subcommand)]
pub enum MonthlyStats {
    /// Build a month
    Build {
        #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
        month: Month,
        #[command(flatten)]
        on: OnDate,
    },
}

#[derive(Subcommand)]
pub enum Audit {
    /// Compare ledger, lake, manifests, landing and outbox with the hash chain
    Verify,
}

#[derive(Subcommand)]
pub enum KeysCommand {
    /// Make a new master key and wrap every data key by it
    Rotate {
        /// Remove the older master keys from the key file afterwards: backups sealed by them can no longer be read
        #[arg(long)]
        forget: bool,
    },
}

#[derive(Subcommand)]
pub enum CrlCommand {
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
pub enum Runs {
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

// What is asked of `inquire`. No doc comment: it would become the help of the command.
#[derive(clap::Args)]
pub struct Asked {
    /// JSON file with the request; `-` or nothing = stdin
    #[arg(value_name = "FILE")]
    pub request: Option<PathBuf>,
    /// 保険者番号
    #[arg(long, value_name = "NO")]
    pub insurer_no: Option<String>,
    /// 記号
    #[arg(long)]
    pub symbol: Option<String>,
    /// 番号
    #[arg(long)]
    pub number: Option<String>,
    /// 枝番
    #[arg(long, value_name = "NO")]
    pub branch: Option<String>,
    /// 生年月日
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub birth_date: Option<NaiveDate>,
    /// 紐付番号
    #[arg(long, value_name = "NO")]
    pub link_no: Option<i64>,
    /// Certificate serial in hex
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,
    /// 資格確認日
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub valid_on: Option<NaiveDate>,
    /// As known just before this moment; a date = at its end
    #[arg(long, value_name = "YYYY-MM-DD[THH:MM:SS]", value_parser = parse_moment)]
    pub known_at: Option<NaiveDateTime>,
    /// With --serial: state of the certificate just before this moment; a date = at its end
    #[arg(long, value_name = "YYYY-MM-DD[THH:MM:SS]", value_parser = parse_moment)]
    pub at: Option<NaiveDateTime>,
}

/// Kinds of files, as the jobs that take them in are named.
fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(JOBS.iter().filter(|job| job.inbox.is_some()).map(|job| job.name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
