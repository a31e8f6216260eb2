//! What all files that come in have in common: the inbox, 受付番号, header and trailer, result files.

pub mod answers;
pub mod delimited;
pub mod inbox;
pub mod sequence;
