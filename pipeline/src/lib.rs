//! The stages of the shikaku batch as a library: bytes → records → checked → history → lake → reroute, fees, stats → files.
//!
//! No clock and no randomness: both are passed in ([`time::BusinessDate`], [`keys::Entropy`]). No printing. Data goes one
//! way, in the order of the modules below; `ledger` stands beside.

pub mod calendar;
pub mod check;
pub mod checklog;
pub mod compact;
pub mod config;
pub mod crl;
pub mod delimited;
pub mod digest;
pub mod error;
pub mod export;
pub mod fees;
pub mod history;
pub mod inbox;
pub mod inquire;
pub mod keys;
pub mod lake;
pub mod ledger;
pub mod links;
pub mod masters;
pub mod outbox;
pub mod read;
pub mod receipts;
pub mod reroute;
pub mod rollup;
pub mod sort;
pub mod spool;
pub mod stamp;
pub mod stats;
pub mod store;
pub mod synth;
pub mod text;
pub mod threads;
pub mod time;
pub mod versions;

pub use error::{Error, Result};
