//! The stages of the shikaku batch as a library: bytes → records → checked → history → lake → reroute, fees, stats → files.
//!
//! No clock and no randomness: both are passed in ([`base::time::BusinessDate`], [`seal::keys::Entropy`]). No printing. The rooms stand
//! in the order of the data: each uses only those above it, which a test sees to.

pub mod text;

pub mod base;

pub mod seal;

pub mod pki;

pub mod lake;

pub mod ledger;

pub mod store;

pub mod read;

pub mod rules;

pub mod intake;

pub mod masters;

pub mod links;

pub mod subscribers;

pub mod certificates;

pub mod crl;

pub mod checks;

pub mod receipts;

pub mod reroute;

pub mod monthly;

pub mod ask;

pub mod synth;

pub use base::error::{Error, Result};

/// The kinds of input, in the order of a night.
pub const INTAKES: &[&intake::Intake] = include!(concat!(env!("OUT_DIR"), "/intakes.rs"));
