//! Applying what was checked: subscriber operations onto the bitemporal tables.

pub mod apply;
pub mod sequence;
pub mod subscribers;
