//! Applying what was checked: subscriber operations onto the bitemporal tables.
//!
//! `subscribers` runs a night: `known` reads what the lake holds of the members named, `intake` checks the files record by
//! record, `apply` is the rule of each operation, `image` what a record comes to in bytes.

pub mod apply;
pub mod gaiji;
pub mod image;
pub mod intake;
pub mod known;
pub mod night;

use crate::intake::{Days, Intake, nothing_more};

/// The kind of input.
pub const INTAKE: Intake = Intake {
    name: "subscribers",
    folder: "subscribers",
    kinds: &["SUB"],
    days: Days::Every,
    needs: &["masters"],
    reads: "SUB files (CSV, XML)",
    writes: "member, coverage, outbox/link-status",
    take_in: night::take_in,
    sent_again: nothing_more,
};
