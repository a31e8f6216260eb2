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
