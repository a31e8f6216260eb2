//! What all files that come in have in common: the inbox, 受付番号, header and trailer, result files, the shape of a run.

pub mod answers;
pub mod delimited;
pub mod inbox;
pub mod records;
pub mod run;
pub mod sequence;

use crate::base::error::Result;
use crate::store::input::Input;
use crate::store::{Stage, Store};

/// A kind of input: all that the night, the command line and the documents must know of it. Whatever room has one as `INTAKE`
/// is registered ([`crate::INTAKES`]).
pub struct Intake {
    /// Job, subcommand of `ingest`, name in the ledger and in log lines.
    pub name: &'static str,
    /// Folder of the inbox.
    pub folder: &'static str,
    /// Kinds of files, as headers name them. What is of no layout of the folder goes to the intake of the folder's own name.
    pub kinds: &'static [&'static str],
    /// On which days input must come, where `schedule.due` names the job.
    pub days: Days,
    /// Jobs that must not have failed before it in the same night.
    pub needs: &'static [&'static str],
    pub reads: &'static str,
    pub writes: &'static str,
    /// Files of one run, new ones only, in the order of their digests.
    pub take_in: fn(&mut Stage<'_>, &[Input]) -> Result<()>,
    /// What to do with files whose bytes were taken in before.
    pub sent_again: fn(&Store, &[Input]) -> Result<()>,
}

/// Nothing more is to be done with files that were taken in before.
pub fn nothing_more(_: &Store, _: &[Input]) -> Result<()> {
    Ok(())
}

/// Days on which input comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Days {
    Every,
    /// 開庁日: J-LIS legs (domain.md §2).
    Business,
}
