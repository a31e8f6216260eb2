//! Configuration (`shikaku.toml`). Unknown keys are refused; every key has a default; paths are relative to the file.
//! Secrets never stand here: `encryption.key_file` names the file that holds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveTime;
use serde::{Deserialize, Serialize};
use shikaku_schemas::operator::Language;

use crate::base::digest;
use crate::base::error::{At, Error, Result};

/// Which day is the last with cover (domain.md §2, an open point of 002 L16634 / L18432).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossDay {
    /// 喪失日 is the first day without cover.
    #[default]
    FirstDayWithoutCover,
    /// 喪失日 is the last day with cover.
    LastDayWithCover,
}

impl LossDay {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "first_day_without_cover" => Some(Self::FirstDayWithoutCover),
            "last_day_with_cover" => Some(Self::LastDayWithCover),
            _ => None,
        }
    }
}

/// What happens to receipts with 公費併用 (ministry FAQ; domain.md §5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kohi {
    #[default]
    Exclude,
    Include,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathSection {
    pub path: PathBuf,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSection {
    /// `postgres://…`; empty = SQLite in the lake.
    pub url: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncryptionSection {
    /// Empty = restricted tables and landing are plain.
    pub key_file: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoverageSection {
    pub loss_day: LossDay,
    /// Per 制度 code, where it differs.
    pub loss_day_by_scheme: BTreeMap<String, LossDay>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinksSection {
    pub pending_warn_days: i64,
    /// 発行者鍵識別子 of the CA whose serials link files name.
    pub issuer_key_id: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrlSection {
    /// Not by their resolved paths: these cannot change a result.
    #[serde(skip_serializing)]
    pub ca_files: Vec<PathBuf>,
    /// A distribution point may shrink by this many percent of its entries …
    pub shrink_percent: u64,
    /// … or grow by this many from one set to the next.
    pub growth_percent: u64,
    /// Changes of fewer entries than this are always inside the band.
    pub band_entries: u64,
    /// … unless most of a list goes that has this many or more.
    pub small_list: u64,
    /// Time of the morning after D that counts as now, `HH:MM`.
    pub now_time: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RerouteSection {
    /// Day of the month whose end is the cut-off.
    pub cutoff_day: u32,
    pub kohi: Kohi,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeesSection {
    /// 有効性確認結果 that are billed; empty = all (undecided in 002).
    pub billable_results: Vec<String>,
    pub unit_price: UnitPrice,
}

/// Whole yen; none = counts only.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnitPrice {
    pub validity_check: Option<i64>,
    pub link_acquisition: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSection {
    /// Day from which `reroute` is due; 0 = `reroute.cutoff_day`.
    pub reroute_day: u32,
    /// Day of the next month from which `fees close` and `stats build` are due.
    pub close_day: u32,
    /// Deltas of a history table at which a night folds them; 0 = only `shikaku compact` does.
    pub compact_deltas: usize,
    /// Jobs that must find input every night; absent input is exit 3.
    pub due: Vec<String>,
}

/// Rows and bytes of one kind of file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSection {
    pub check_log_months: u32,
    pub lost_coverage_months: u32,
    pub statistics_months: u32,
    pub crl_generations: usize,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MessagesSection {
    pub language: Option<Language>,
}

impl RetentionSection {
    /// The set in force, and at least the one before it (domain.md §4).
    pub fn kept_crl_generations(&self) -> usize {
        self.crl_generations.max(2)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sections {
    lake: Option<PathSection>,
    ledger: LedgerSection,
    encryption: EncryptionSection,
    inbox: Option<PathSection>,
    outbox: Option<PathSection>,
    coverage: CoverageSection,
    links: LinksSection,
    crl: CrlSection,
    reroute: RerouteSection,
    fees: FeesSection,
    schedule: ScheduleSection,
    limits: BTreeMap<String, Limit>,
    retention: RetentionSection,
    messages: MessagesSection,
}

impl Default for PathSection {
    fn default() -> Self {
        Self { path: PathBuf::new() }
    }
}
impl Default for LinksSection {
    fn default() -> Self {
        Self { pending_warn_days: 7, issuer_key_id: String::new() }
    }
}
impl Default for CrlSection {
    fn default() -> Self {
        Self {
            ca_files: Vec::new(),
            shrink_percent: 20,
            growth_percent: 50,
            band_entries: 1000,
            small_list: 20,
            now_time: "07:00".to_owned(),
        }
    }
}
impl Default for RerouteSection {
    fn default() -> Self {
        Self { cutoff_day: 12, kohi: Kohi::Exclude }
    }
}
impl Default for ScheduleSection {
    fn default() -> Self {
        Self { reroute_day: 0, close_day: 1, compact_deltas: 0, due: Vec::new() }
    }
}
impl Default for RetentionSection {
    fn default() -> Self {
        Self { check_log_months: 36, lost_coverage_months: 60, statistics_months: 24, crl_generations: 2 }
    }
}

/// Folders of the inbox.
pub fn inbox_folders() -> impl Iterator<Item = &'static str> {
    shikaku_schemas::layout::inbox_folders().chain(["crl", "receipts"])
}

/// The whole configuration with resolved paths.
#[derive(Debug, Clone)]
pub struct Config {
    pub lake: PathBuf,
    pub inbox: PathBuf,
    pub outbox: PathBuf,
    pub ledger_url: String,
    pub key_file: Option<PathBuf>,
    pub coverage: CoverageSection,
    pub links: LinksSection,
    pub crl: CrlSection,
    pub crl_now_time: NaiveTime,
    pub reroute: RerouteSection,
    pub fees: FeesSection,
    pub schedule: ScheduleSection,
    pub limits: BTreeMap<String, Limit>,
    pub retention: RetentionSection,
    /// Language of what commands print; `None` = the locale's.
    pub language: Option<Language>,
    /// Digest of everything that can change a result; paths and the ledger's place cannot.
    pub digest: String,
}

/// What is wrong and where; the line itself may hold a password and is not shown.
fn unreadable(text: &str, error: &toml::de::Error) -> Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
    Error::usage(format!("line {}: {}", before.matches('\n').count() + 1, error.message()))
}

/// The configuration is no place for a secret, and process lists and logs are none either.
fn check_url(url: &str) -> Result<()> {
    if url.is_empty() {
        return Ok(());
    }
    let rest = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"));
    let Some((_, rest)) = rest else {
        return Err(Error::usage("ledger.url must start with postgres:// (empty = SQLite in the lake)"));
    };
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let user = place.rsplit_once('@').map_or("", |(user, _)| user);
    let password = user.contains(':') || options.split('&').any(|option| option.starts_with("password="));
    if password {
        return Err(Error::usage(
            "ledger.url holds a password; put it into ~/.pgpass (or PGPASSFILE) and take it out there",
        ));
    }
    Ok(())
}

impl Config {
    /// Reads a configuration file. `lake` overrides the lake's path.
    pub fn load(file: &Path, lake: Option<&Path>) -> Result<Self> {
        let text = match std::fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(Error::usage(format!("{}: is not UTF-8", file.display())));
            }
            text => text.at(file).map_err(|e| Error::usage(e.to_string()))?,
        };
        Self::parse(&text, file.parent().unwrap_or(Path::new(".")), lake)
            .map_err(|e| Error::usage(format!("{}: {e}", file.display())))
    }

    /// Builds a configuration from its text; relative paths start at `base`.
    pub fn parse(text: &str, base: &Path, lake: Option<&Path>) -> Result<Self> {
        let sections: Sections = toml::from_str(text).map_err(|e| unreadable(text, &e))?;
        let path = |section: &Option<PathSection>, default: &str| {
            let own = section.as_ref().map(|s| s.path.clone()).filter(|p| !p.as_os_str().is_empty());
            base.join(own.unwrap_or_else(|| default.into()))
        };
        let crl_now_time = NaiveTime::parse_from_str(&sections.crl.now_time, "%H:%M")
            .map_err(|_| Error::usage("crl.now_time must be HH:MM"))?;
        if !(1..=28).contains(&sections.reroute.cutoff_day) {
            return Err(Error::usage("reroute.cutoff_day must be 1 to 28"));
        }
        if sections.schedule.reroute_day > 28 || !(1..=28).contains(&sections.schedule.close_day) {
            return Err(Error::usage("schedule.reroute_day must be 0 to 28 and schedule.close_day 1 to 28"));
        }
        if let Some(unknown) = sections.schedule.due.iter().find(|d| inbox_folders().all(|f| f != d.as_str())) {
            return Err(Error::usage(format!(
                "schedule.due: no inbox folder {unknown}; there are {}",
                inbox_folders().collect::<Vec<_>>().join(", ")
            )));
        }
        let mut crl = sections.crl;
        let ca_texts: Vec<String> = crl.ca_files.iter().map(|p| p.display().to_string()).collect();
        for file in &mut crl.ca_files {
            *file = base.join(&*file);
        }
        check_url(&sections.ledger.url)?;
        // What can change a result, as JSON with sorted keys: a run's identity must not hang on how our types are written.
        let results = serde_json::json!({
            "coverage": sections.coverage,
            "links": sections.links,
            "crl": crl,
            "crl_ca_files": ca_texts,
            "reroute": sections.reroute,
            "fees": sections.fees,
            "schedule": { "reroute_day": sections.schedule.reroute_day, "close_day": sections.schedule.close_day },
            "limits": sections.limits,
        });
        let digest = digest::of_parts(["configuration 1", &results.to_string()]);
        let key_file = Some(sections.encryption.key_file).filter(|f| !f.is_empty()).map(|f| base.join(f));
        Ok(Self {
            lake: lake.map_or_else(|| path(&sections.lake, "lake"), Path::to_path_buf),
            inbox: path(&sections.inbox, "inbox"),
            outbox: path(&sections.outbox, "outbox"),
            ledger_url: sections.ledger.url,
            key_file,
            coverage: sections.coverage,
            links: sections.links,
            crl_now_time,
            crl,
            reroute: sections.reroute,
            fees: sections.fees,
            schedule: sections.schedule,
            limits: sections.limits,
            retention: sections.retention,
            language: sections.messages.language,
            digest,
        })
    }

    /// Most rows and bytes of a file of that kind, the layout's own where the configuration names none.
    pub fn limit(&self, layout: &shikaku_schemas::layout::Layout) -> (u64, u64) {
        let own = self.limits.get(&layout.kind.to_lowercase());
        (own.and_then(|l| l.rows).unwrap_or(layout.max_rows), own.and_then(|l| l.bytes).unwrap_or(layout.max_bytes))
    }
}

/// The commented configuration that `init` writes.
pub fn sample(lake: &str, key_file: &str) -> String {
    include_str!("config_sample.toml").replace("{lake}", lake).replace("{key_file}", key_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_configuration_is_the_defaults() {
        let written = Config::parse(&sample("lake", ""), Path::new("."), None).unwrap();
        let empty = Config::parse("", Path::new("."), None).unwrap();
        assert_eq!(written.digest, empty.digest);
        assert_eq!((written.lake, written.inbox), (empty.lake, empty.inbox));
    }

    #[test]
    fn a_password_in_the_ledger_url_is_refused_and_not_repeated() {
        for url in ["postgres://u:geheim@h/d", "postgres://u@h/d?password=geheim", "mysql://u:geheim@h/d"] {
            let error = Config::parse(&format!("[ledger]\nurl = \"{url}\"\n"), Path::new("."), None).unwrap_err();
            assert!(error.exit_code() == 2 && !error.to_string().contains("geheim"), "{error}");
        }
        assert!(
            Config::parse("[ledger]\nurl = \"postgres://u@h:5432/d?sslmode=require\"\n", Path::new("."), None).is_ok()
        );
    }

    #[test]
    fn the_digest_is_of_what_changes_results_and_of_nothing_else() {
        let digest = |text: &str| Config::parse(text, Path::new("."), None).unwrap().digest;
        // Written down, so that a change of our types that changes every run's identity does not pass unseen.
        assert_eq!(digest("")[..16], *"188c36a735617029");
        assert_eq!(digest(""), digest("[inbox]\npath = \"elsewhere\"\n[schedule]\ncompact_deltas = 9\n"));
        assert_ne!(digest(""), digest("[reroute]\ncutoff_day = 11\n"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = Config::parse("[reroute]\ncut_off = 3\n", Path::new("."), None).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
