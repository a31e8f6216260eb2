//! One error type: what happened, where, and what to do. Texts never carry field values.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a stage could not go on. A bad record or file is not an error but an outcome; these end the run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command or configuration that cannot be used: exit 2.
    #[error("{0}")]
    Usage(String),
    /// Another run holds the lock: exit 4.
    #[error("another run holds {}; wait for it to end", .0.display())]
    Locked(PathBuf),
    /// What is stored is not what the ledger says: exit 5.
    #[error("integrity violation: {0}")]
    Integrity(String),
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("ledger: {0}")]
    Ledger(sqlx::Error),
    /// An input was replaced or written to while it was read; it is taken in the next run.
    #[error("{}: changed while it was read; it stays where it is for the next run", .0.display())]
    Changed(PathBuf),
    #[error("parquet {}: {source}", .path.display())]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("csv: {0}")]
    Csv(#[from] csv::Error),
    #[error("json: {0}")]
    Json(#[from] serde_json::Error),
    /// Encryption or decryption failed; the file or key is named, never its content.
    #[error("encryption: {0}")]
    Crypto(String),
    /// Anything else that ends the run and that an operator can mend: the text says how.
    #[error("{0}")]
    Failed(String),
    /// What cannot be unless this program is wrong.
    #[error("{0}; this is a fault of the program: report it with the log of the run")]
    Internal(String),
}

impl Error {
    pub fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    pub fn internal(text: impl Into<String>) -> Self {
        Self::Internal(text.into())
    }

    pub fn integrity(text: impl Into<String>) -> Self {
        Self::Integrity(text.into())
    }

    /// Exit status of the process (rules.md §4).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Locked(_) => 4,
            Self::Integrity(_) => 5,
            Self::Io { .. }
            | Self::Ledger(_)
            | Self::Changed(_)
            | Self::Parquet { .. }
            | Self::Arrow(_)
            | Self::Csv(_)
            | Self::Json(_)
            | Self::Crypto(_)
            | Self::Failed(_)
            | Self::Internal(_) => 1,
        }
    }
}

impl From<sqlx::Error> for Error {
    /// Damage is told from trouble: what the ledger should hold and does not is exit 5.
    fn from(error: sqlx::Error) -> Self {
        const DAMAGED: &str =
            "the ledger is damaged or tables of it are gone: restore it from a copy made with the lake";
        match &error {
            sqlx::Error::Database(own) => {
                let code = own.code().unwrap_or_default();
                // SQLite's primary result codes CORRUPT and NOTADB; SQLSTATE undefined_table and undefined_column.
                let primary = code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|n| n & 0xff);
                let missing = ["no such table", "no such column"].iter().any(|text| own.message().starts_with(text));
                if matches!(primary, Some(11 | 26)) || missing || matches!(&*code, "42P01" | "42703") {
                    return Self::Integrity(DAMAGED.to_owned());
                }
                Self::Ledger(error)
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
                Self::Integrity(DAMAGED.to_owned())
            }
            _ => Self::Ledger(error),
        }
    }
}

/// A path as it may be shown: a name with a likely 個人番号 in it is left out.
pub fn shown(path: &std::path::Path) -> std::path::PathBuf {
    let text = path.to_string_lossy();
    if crate::text::my_number::found_in(&text) { "(name not shown)".into() } else { path.to_owned() }
}

/// Names the file of an I/O error.
pub trait At<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io { path: shown(path.as_ref()), source })
    }
}

impl<T> At<T> for std::result::Result<T, parquet::errors::ParquetError> {
    fn at(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Parquet { path: path.as_ref().to_owned(), source })
    }
}
