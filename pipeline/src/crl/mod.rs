//! Certificate revocation lists (失効情報): a set of RFC 5280 CRLs, verified one by one, taken whole or not at all.

pub mod entries;
pub mod extensions;
pub mod folder;
pub mod judge;
pub mod listing;
pub mod oddity;
pub mod parse;
pub mod previous;
mod reading;
pub mod set;
pub mod state;
