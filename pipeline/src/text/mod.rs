//! Text: strict decoding, normal forms, check digits, and the 個人番号 guard.

pub mod cp932;
pub mod digits;
pub mod my_number;
pub mod normal;
