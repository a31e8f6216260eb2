//! Certificate revocation lists (失効情報): a set of RFC 5280 CRLs, verified one by one, taken whole or not at all.

pub mod ca;
pub mod der;
pub mod parse;
pub mod set;
