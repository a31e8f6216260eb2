//! Masters (保険者・医療機関・祝日・保険者定義): taken whole or not at all, read by every other job.

pub mod cover;
pub mod intake;

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime};

use crate::base::config::{Config, LossDay};
use crate::base::error::Result;
use crate::base::time::{BusinessDate, Day};
use crate::intake::{Days, Intake};
use crate::lake::Snapshot;
use crate::lake::read::Reader;
use crate::lake::tables as rows;
use crate::store::Store;
use crate::text::cp932::Encoding;

/// The kind of input.
pub const INTAKE: Intake = Intake {
    name: "masters",
    folder: "masters",
    kinds: &["INSURERS", "INSTITUTIONS"],
    days: Days::Every,
    needs: &[],
    reads: "insurers.csv, institutions.csv, holidays.csv, insurer_definitions.toml",
    writes: "insurer, institution, holiday, insurer_definition",
    take_in: intake::take_in,
    sent_again: intake::restore_definitions,
};

/// 制度 of 市町村国保: everything that it sends is an update (002 L15917, L24371).
pub const MUNICIPAL: &str = "06";

/// Insurer of a person who has none or is unknown.
pub const UNKNOWN_INSURER: &str = "99999999";

/// One 保険者番号 of the insurer master.
#[derive(Debug, Clone)]
pub struct Insurer {
    pub insurer_code: String,
    pub scheme: String,
    pub name: String,
    pub abolished_on: Option<NaiveDate>,
}

/// One medical institution.
#[derive(Debug, Clone)]
pub struct Institution {
    pub name: String,
    pub prefecture_code: String,
    pub municipality_code: Option<String>,
    pub medical_area_code: Option<String>,
    pub size_class: Option<String>,
}

/// How one insurer's files are read.
#[derive(Debug, Clone, Default)]
pub struct Definition {
    pub encoding: Encoding,
    pub loss_day: Option<LossDay>,
    pub allow_number_like_my_number: bool,
    /// field → (local value → ours)
    pub code_maps: BTreeMap<String, BTreeMap<String, String>>,
}

/// All masters as of a snapshot.
#[derive(Debug, Default)]
pub struct Masters {
    pub insurers: BTreeMap<String, Insurer>,
    pub schemes: BTreeMap<String, String>,
    pub holder_names: BTreeMap<String, String>,
    pub institutions: BTreeMap<String, Institution>,
    pub definitions: BTreeMap<String, Definition>,
    pub holidays: BTreeMap<NaiveDate, String>,
}

impl Masters {
    pub fn load(reader: &Reader) -> Result<Self> {
        let mut masters = Self::default();
        reader.each(&mut |row: rows::insurer::Row<'_>| {
            let code = row.insurer_code.into_owned();
            masters.schemes.insert(code.clone(), row.scheme.clone().into_owned());
            masters.holder_names.insert(code.clone(), row.holder_name.into_owned());
            let insurer = Insurer {
                insurer_code: code,
                scheme: row.scheme.into_owned(),
                name: row.insurer_name.unwrap_or_default().into_owned(),
                abolished_on: row.abolished_on.map(Day::date),
            };
            masters.insurers.insert(row.insurer_no.into_owned(), insurer);
            Ok(())
        })?;
        reader.each(&mut |row: rows::institution::Row<'_>| {
            let institution = Institution {
                name: row.institution_name.into_owned(),
                prefecture_code: row.prefecture_code.into_owned(),
                municipality_code: row.municipality_code.map(Cow::into_owned),
                medical_area_code: row.medical_area_code.map(Cow::into_owned),
                size_class: row.size_class.map(Cow::into_owned),
            };
            masters.institutions.insert(row.institution_code.into_owned(), institution);
            Ok(())
        })?;
        reader.each(&mut |row: rows::insurer_definition::Row<'_>| {
            let definition = Definition {
                encoding: if row.encoding == "utf-8" { Encoding::Utf8 } else { Encoding::Cp932 },
                loss_day: row.loss_day.as_deref().and_then(LossDay::parse),
                allow_number_like_my_number: row.allow_number_like_my_number == 1,
                code_maps: serde_json::from_str(&row.code_maps)?,
            };
            masters.definitions.insert(row.insurer_code.into_owned(), definition);
            Ok(())
        })?;
        reader.each(&mut |row: rows::holiday::Row<'_>| {
            masters.holidays.insert(row.on_date.date(), row.holiday_name.into_owned());
            Ok(())
        })?;
        Ok(masters)
    }

    /// The masters that a monthly decision goes by: the newest recorded before its cut-off, else the first there were.
    pub fn known_before(store: &Store, cutoff: NaiveDateTime) -> Result<Self> {
        let runs = store.ledger.runs()?;
        let sets = runs.iter().filter(|r| r.job == "masters").filter_map(|r| {
            let date = r.business_date.parse().ok().map(BusinessDate)?;
            r.set_id.map(|set| (date.recorded_at() < cutoff, set))
        });
        let (before, after): (Vec<_>, Vec<_>) = sets.partition(|(before, _)| *before);
        let set = before.into_iter().map(|(_, set)| set).max().or(after.into_iter().map(|(_, set)| set).min());
        let snapshot = Snapshot::new(store.config.lake.clone(), set.unwrap_or(0), store.ledger.generations()?);
        Self::load(&store.reader_of(snapshot))
    }

    /// Definition of an insurer code; the default where none is given.
    pub fn definition(&self, insurer_code: &str) -> Definition {
        self.definitions.get(insurer_code).cloned().unwrap_or_default()
    }

    pub fn scheme(&self, insurer_code: &str) -> &str {
        self.schemes.get(insurer_code).map_or("", String::as_str)
    }

    /// Loss-day rule: per insurer code, then per 制度, then global (rules.md).
    pub fn loss_day(&self, config: &Config, insurer_code: &str) -> LossDay {
        let own = self.definitions.get(insurer_code).and_then(|d| d.loss_day);
        own.or_else(|| config.coverage.loss_day_by_scheme.get(self.scheme(insurer_code)).copied())
            .unwrap_or(config.coverage.loss_day)
    }

    /// 審査支払機関 that an insurer's claims go through: 国保 and 後期高齢 by 国保連合会 (2), all others by 支払基金 (1).
    pub fn payer_of(&self, insurer_no: &str) -> &'static str {
        let scheme = self.insurers.get(insurer_no).map(|i| i.scheme.as_str());
        let by_number = insurer_no.starts_with("00") || insurer_no.starts_with("39") || insurer_no.starts_with("67");
        match scheme {
            Some("05" | "06" | "07") => "2",
            None if by_number => "2",
            _ => "1",
        }
    }
}
