//! Layouts, code lists, table schemas, messages and migrations of shikaku, as data.
//!
//! Every entry is one TOML file beside this crate and cites its source. The parser, the checks, the Parquet schemas,
//! the sample generator and the generated documents all read what is loaded here; nothing is declared twice.

pub mod codes;
pub mod layout;
pub mod messages;
pub mod operator;
pub mod tables;
pub mod uke;

/// Ledger migrations in order: version and SQL. The SQL is portable between SQLite and PostgreSQL.
pub const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_ledger.sql")),
    (2, include_str!("../migrations/0002_removals.sql")),
    (3, include_str!("../migrations/0003_integrity.sql")),
];

/// Parses one embedded TOML file. The files are part of the program, so a mistake in one is a programming error
/// that the crate's tests find.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> T {
    match toml::from_str(text) {
        Ok(value) => value,
        Err(error) => panic!("schemas/{name}: {error}"),
    }
}

/// Embeds data files of one folder as `(stem, text)` pairs.
macro_rules! embed {
    ($dir:literal: $($stem:literal),+ $(,)?) => {
        &[$(($stem, include_str!(concat!("../", $dir, "/", $stem, ".toml")))),+]
    };
}
pub(crate) use embed;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    fn stems(dir: &str) -> BTreeSet<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        std::fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|x| x == "toml"))
            .map(|p| p.file_stem().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    fn embedded(files: &[(&str, &str)]) -> BTreeSet<String> {
        files.iter().map(|(stem, _)| (*stem).to_owned()).collect()
    }

    #[test]
    fn every_data_file_is_embedded_and_every_embedded_file_exists() {
        assert_eq!(stems("layouts"), embedded(super::layout::FILES));
        assert_eq!(stems("layouts/older"), embedded(super::layout::OLDER_FILES));
        assert_eq!(stems("layouts/uke"), embedded(super::uke::FILES));
        assert_eq!(stems("codes"), embedded(super::codes::FILES));
        assert_eq!(stems("tables"), embedded(super::tables::FILES));
        assert_eq!(stems("messages"), BTreeSet::from(["catalogue".into(), "field_rules".into(), "operator".into()]));
    }
}
