//! Bytes → records: delimited files with header and trailer, UKE files. Memory is bounded whatever the input.

pub mod envelope;
pub mod guard;
pub mod master;
pub mod records;
pub mod uke;
pub mod xml;
