//! Who owes a claim (レセプト振替・分割): the month's receipts decided day by day and written back, all other bytes kept.

pub mod decide;
pub mod emit;
pub mod index;
pub mod month;
