//! Contents: one file per job, then what holds across jobs. Every test runs the real program in an empty folder.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
#[path = "oracle/crl.rs"]
#[allow(dead_code, clippy::all, clippy::as_conversions, reason = "written apart, read as a document")]
mod crl_oracle;
#[path = "oracle/decision.rs"]
#[allow(dead_code, clippy::all, clippy::as_conversions, reason = "written apart, read as a document")]
mod decision_oracle;
#[path = "oracle/links.rs"]
#[allow(dead_code, clippy::all, clippy::as_conversions, reason = "written apart, read as a document")]
mod links_oracle;
mod plan;
#[path = "oracle/subscribers.rs"]
#[allow(dead_code, clippy::all, clippy::as_conversions, reason = "written apart, read as a document")]
mod subscribers_oracle;

// One file per job.
mod checks;
mod crl;
mod crlfaults;
mod crlfiles;
mod init;
mod inquire;

mod links;
mod masters;
mod nightly;
mod receipts;
mod reroute;
mod subscribers;

// One rule = one code = one sample; one kind of input = one folder of samples.
mod kinds;
mod rules;

// What holds across jobs.
mod audit;
mod crash;
mod documents;
mod hostile;
mod hostile_der;
mod house;
mod intakefaults;
mod integrity;
mod keys;
mod operations;
mod planted;
mod postgres;
mod views;

// Against slow, obvious models.
mod crlnights;
mod decision;
mod linkage;
mod linknights;
mod model;
mod monthly;
