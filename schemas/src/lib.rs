//! Layouts, code lists, table schemas, messages and migrations of shikaku, as data.
//!
//! Every entry is one TOML file beside this crate and cites its source. The parser, the checks, the Parquet schemas,
//! the sample generator and the generated documents all read what is loaded here; nothing is declared twice.

pub mod code;
mod code_list;
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

/// What lies in the folders beside this crate, as `(stem, text)` in name order.
pub(crate) mod files {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}
