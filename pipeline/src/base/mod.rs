//! What every room stands on: errors, time, configuration, digests.

pub mod calendar;
pub mod config;
pub mod digest;
pub mod error;
pub mod spool;
pub mod stamp;
pub mod table_text;
pub mod threads;
pub mod time;
