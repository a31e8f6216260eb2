//! Entries of the set before, in key order, read on a thread of its own.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use arrow::array::{Array, RecordBatch, StringArray, TimestampMillisecondArray};
use shikaku_schemas::tables::Table;

use super::entries::Says;
use super::entries::reason_text;
use crate::base::error::{Error, Result};
use crate::base::threads;
use crate::lake::read::{Group, Reader};
use crate::lake::tables::revocation;

/// Rows with their issuer, if it is the same for all.
type Batch = (Option<Arc<str>>, RecordBatch);

/// Columns of the set before.
struct Block {
    issuers: Issuers,
    serials: StringArray,
    revoked_at: TimestampMillisecondArray,
    reasons: StringArray,
    invalid_since: TimestampMillisecondArray,
}

/// One for the whole row group, as a rule; then the column need not be read.
enum Issuers {
    One(Arc<str>),
    Each(StringArray),
}

impl Block {
    fn of((issuer, batch): &Batch) -> Result<Self> {
        Ok(Self {
            issuers: match issuer {
                Some(issuer) => Issuers::One(Arc::clone(issuer)),
                None => Issuers::Each(revocation::ISSUER_KEY_ID.of(batch)?.clone()),
            },
            serials: revocation::SERIAL.of(batch)?.clone(),
            revoked_at: revocation::REVOKED_AT.of(batch)?.clone(),
            reasons: revocation::REASON.of(batch)?.clone(),
            invalid_since: revocation::INVALID_SINCE.of(batch)?.clone(),
        })
    }
}

/// Where the reading stands.
pub struct Previous {
    /// `None` is its end: a reader that stopped without it has not read everything.
    batches: Receiver<Result<Option<Batch>>>,
    ended: bool,
    block: Option<Block>,
    row: usize,
}

impl Previous {
    pub fn open(reader: &Reader, table: &'static Table) -> Result<Self> {
        let groups = reader.groups(table, None)?;
        let (sender, batches) = sync_channel(4);
        threads::spawn("set before", move || {
            // Whoever reads may have stopped; then nobody misses the rest.
            let send = |batch: Result<Batch>| sender.send(batch.map(Some)).is_ok();
            if groups.iter().try_for_each(|group| read_group(group, &send)).is_some() {
                let _ = sender.send(Ok(None));
            }
        })?;
        let mut own = Self { batches, ended: false, block: None, row: 0 };
        own.settle()?;
        Ok(own)
    }

    /// Moves on to a block that has a row left.
    fn settle(&mut self) -> Result<()> {
        while self.block.as_ref().is_none_or(|block| self.row >= block.serials.len()) {
            self.row = 0;
            self.block = None;
            if self.ended {
                break;
            }
            let batch = self.batches.recv().map_err(|_| Error::internal("the reader of the set before stopped"))?;
            match batch? {
                Some(batch) => self.block = Some(Block::of(&batch)?),
                None => self.ended = true,
            }
        }
        Ok(())
    }

    pub fn advance(&mut self) -> Result<()> {
        self.row += 1;
        self.settle()
    }

    /// 発行者鍵識別子 and serial; `None` when it has ended.
    pub fn key(&self) -> Option<(&str, &str)> {
        self.block.as_ref().map(|block| {
            let issuer = match &block.issuers {
                Issuers::One(issuer) => issuer,
                Issuers::Each(issuers) => issuers.value(self.row),
            };
            (issuer, block.serials.value(self.row))
        })
    }

    /// How its entry stands to this key; after it when it has ended.
    pub fn order(&self, issuer: &str, serial: &str) -> Ordering {
        // Issuers are few and serials many: the serial decides, unless the issuers differ.
        self.key().map_or(Ordering::Greater, |(i, s)| if i == issuer { s.cmp(serial) } else { i.cmp(issuer) })
    }

    pub fn says(&self, says: Says) -> bool {
        let time = |a: &TimestampMillisecondArray| (!a.is_null(self.row)).then(|| a.value(self.row));
        let reason = |a: &StringArray| !a.is_null(self.row) && Some(a.value(self.row)) == says.reason.map(reason_text);
        self.block.as_ref().is_some_and(|block| {
            time(&block.revoked_at) == Some(says.revoked_at)
                && (reason(&block.reasons) || (says.reason.is_none() && block.reasons.is_null(self.row)))
                && time(&block.invalid_since) == says.invalid_since
        })
    }
}

/// Hands out the batches of a row group; `None` when nobody takes them any more or one could not be read.
fn read_group(group: &Group, send: &dyn Fn(Result<Batch>) -> bool) -> Option<()> {
    const COLUMNS: [&str; 5] = [
        revocation::ISSUER_KEY_ID.name,
        revocation::SERIAL.name,
        revocation::REVOKED_AT.name,
        revocation::REASON.name,
        revocation::INVALID_SINCE.name,
    ];
    let issuer: Option<Arc<str>> = group.only_value(revocation::ISSUER_KEY_ID.name).map(Arc::from);
    match group.read(Some(&COLUMNS[usize::from(issuer.is_some())..]), None) {
        Ok(mut batches) => {
            let mut pass = |batch: std::result::Result<RecordBatch, _>| {
                let read = batch.is_ok();
                send(batch.map(|batch| (issuer.clone(), batch)).map_err(Error::from)) && read
            };
            batches.all(&mut pass).then_some(())
        }
        Err(error) => {
            send(Err(error));
            None
        }
    }
}
