//! What a month comes to: fees (手数料) and statistics (統計).

pub mod fees;
pub mod rollup;
pub mod stats;
