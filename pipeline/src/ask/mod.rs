//! What people ask the lake: one person's eligibility, a certificate, a table in clear, views for analysts.

pub mod export;
pub mod inquire;
