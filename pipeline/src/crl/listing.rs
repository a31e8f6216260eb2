//! A verified set becomes the `revocation` in force, and what changed against the set before it goes to the history.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::NaiveDate;
use shikaku_schemas::tables::{self, Table};

use super::entries::{Listed, Says, push_says, read_says, reason_text, unpack};
use super::previous::Previous;
use crate::base::error::{Error, Result};
use crate::base::time::Moment;
use crate::lake::history::{known_before, night_rows};
use crate::lake::layer;
use crate::lake::lookup;
use crate::lake::read::Reader;
use crate::lake::sort::{Sorted, Sorter};
use crate::lake::tables::{revocation, revocation_history};
use crate::lake::typed::Recorded as _;
use crate::lake::write::TableWriter;
use crate::store::Stage;

/// A row of the history that holds its own values.
type Row = revocation_history::Row<'static>;

/// Bytes of changes kept in memory.
const CHANGES_BUDGET: usize = 16 << 20;
/// Changes whose histories are looked up at once.
const CHUNK: usize = 1 << 18;

/// 発行者鍵識別子 and CRLs of a set, by the numbers that its sorted entries name.
pub struct Names {
    pub issuers: Vec<String>,
    /// 配布点 and CRLNumber.
    pub points: Vec<(String, String)>,
}

/// Entries of a set against those of the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Changes {
    pub entries: u64,
    pub added: u64,
    /// Un-revoked (hold lifted) or expired: only the CA removes.
    pub removed: u64,
    pub changed: u64,
}

/// What was written.
pub struct Written {
    pub changes: Changes,
    /// Entries passed over because their serial stood there already, by their CRL.
    pub duplicates: BTreeMap<usize, u64>,
}

/// How grave a reasonCode is: a compromised key before any other end, that before a hold, which can be lifted.
fn gravity(reason: Option<u8>) -> u8 {
    match reason {
        Some(1 | 2 | 10) => 2,
        Some(6 | 8) => 0,
        _ => 1,
    }
}

/// A set that was gone through against the one before it: its table and its changes, not yet part of the run.
pub struct Merged<'s, 'n> {
    writer: TableWriter<'s>,
    history: History<'s, 'n>,
    reader: Reader,
    pub written: Written,
}

/// Goes through both sets in key order. `last_seen` is the night of the set before tonight's; `again` tells that tonight had
/// a set already.
pub fn merge<'s, 'n>(
    stage: &Stage<'s>,
    mut sorted: Sorted,
    names: &'n Names,
    last_seen: Option<NaiveDate>,
    again: bool,
) -> Result<Merged<'s, 'n>> {
    let table = tables::of("revocation");
    let reader = stage.store.reader()?;
    let mut duplicates: BTreeMap<usize, u64> = BTreeMap::new();
    let mut writing = Writing {
        names,
        writer: stage.table(table, "")?,
        before: Previous::open(&reader, table)?,
        history: History::begin(stage, &reader, names, last_seen)?,
        changes: Changes::default(),
        again,
    };
    let (mut issuer, mut serial, mut held) = (usize::MAX, String::new(), None);
    while let Some(record) = sorted.next_record()? {
        let entry = unpack(record).ok_or_else(|| Error::internal("a sorted entry cannot be read"))?;
        if let Some(own) = held.as_mut().filter(|_| issuer == entry.issuer && serial == entry.serial) {
            *duplicates.entry(names.settle(own, entry.says)).or_default() += 1;
            continue;
        }
        if let Some(own) = held.replace(Held { says: entry.says, reason: entry.says.reason }) {
            writing.entry(&Listed { issuer, serial: &serial, says: own.into_says() })?;
        }
        issuer = entry.issuer;
        entry.serial.clone_into(&mut serial);
    }
    if let Some(own) = held {
        writing.entry(&Listed { issuer, serial: &serial, says: own.into_says() })?;
    }
    writing.rest()?;
    let Writing { writer, history, changes, .. } = writing;
    Ok(Merged { writer, history, reader, written: Written { changes, duplicates } })
}

impl<'s> Merged<'s, '_> {
    /// Makes it part of the run: the table in force, and what changed in the history.
    pub fn finish(self, stage: &mut Stage<'s>) -> Result<Written> {
        let table = tables::of("revocation");
        stage.finish_table(table, "", self.writer)?;
        stage.keep_newest(table, stage.store.config.retention.kept_crl_generations())?;
        self.history.finish(stage, &self.reader)?;
        Ok(self.written)
    }
}

/// What stands of the entries of one serial so far.
struct Held {
    /// The earliest.
    says: Says,
    /// The gravest.
    reason: Option<u8>,
}

impl Held {
    fn into_says(self) -> Says {
        Says { reason: self.reason, ..self.says }
    }
}

impl Names {
    /// Of two entries of one serial the earlier revocation, which comes first, holds, with the graver of their reasons: what
    /// is revoked for good is not on hold. Of equal ones that of the point whose name is less, however their files came.
    /// Returns the CRL of the other one.
    fn settle(&self, held: &mut Held, other: Says) -> usize {
        let equal = Says { point: other.point, ..held.says } == other;
        if equal && self.points[other.point].0 < self.points[held.says.point].0 {
            return std::mem::replace(&mut held.says, other).point;
        }
        if gravity(other.reason) > gravity(held.reason) {
            held.reason = other.reason;
        }
        other.point
    }
}

/// The table being written, and where the set before it stands.
struct Writing<'s, 'n> {
    names: &'n Names,
    writer: TableWriter<'s>,
    before: Previous,
    history: History<'s, 'n>,
    changes: Changes,
    again: bool,
}

impl Writing<'_, '_> {
    /// The next entry in key order.
    fn entry(&mut self, entry: &Listed<'_>) -> Result<()> {
        let issuer = self.names.issuers[entry.issuer].as_str();
        self.writer.push(&revocation::Row {
            issuer_key_id: issuer.into(),
            serial: entry.serial.into(),
            revoked_at: Moment(entry.says.revoked_at),
            reason: entry.says.reason.map(|reason| reason_text(reason).into()),
            distribution_point: self.names.points[entry.says.point].0.as_str().into(),
            invalid_since: entry.says.invalid_since.map(Moment),
        })?;
        self.changes.entries += 1;
        let mut order = self.before.order(issuer, entry.serial);
        while order == Ordering::Less {
            self.leave()?;
            order = self.before.order(issuer, entry.serial);
        }
        if order == Ordering::Greater {
            self.changes.added += 1;
            return self.history.listed(entry);
        }
        let same = self.before.says(entry.says);
        self.changes.changed += u64::from(!same);
        // What an earlier set of the night wrote may say more than this set alone would have.
        if !same || self.again {
            self.history.listed(entry)?;
        }
        self.before.advance()
    }

    /// The head of the set before is no longer listed.
    fn leave(&mut self) -> Result<()> {
        self.changes.removed += 1;
        self.history.removed(self.before.key())?;
        self.before.advance()
    }

    fn rest(&mut self) -> Result<()> {
        while self.before.key().is_some() {
            self.leave()?;
        }
        Ok(())
    }
}

/// The delta of `revocation_history`. What changed is gathered in order, since the rows that it replaces must be looked up;
/// without a history every entry is new and goes straight to the table.
struct History<'s, 'n> {
    names: &'n Names,
    table: &'static Table,
    writer: TableWriter<'s>,
    /// `None` while nothing is known of any serial.
    changes: Option<Sorter<'s>>,
    record: Vec<u8>,
    tonight: Tonight,
}

/// Dates of the night.
#[derive(Clone, Copy)]
struct Tonight {
    date: NaiveDate,
    recorded_at: chrono::NaiveDateTime,
    last_seen: Option<NaiveDate>,
}

/// What became of a serial.
struct Change {
    issuer: String,
    serial: String,
    /// `None` when it left the list.
    says: Option<Says>,
}

impl<'s, 'n> History<'s, 'n> {
    fn begin(stage: &Stage<'s>, reader: &Reader, names: &'n Names, last_seen: Option<NaiveDate>) -> Result<Self> {
        let table = tables::of("revocation_history");
        let known = !reader.snapshot.current(table).is_empty();
        let tonight = Tonight { date: stage.date.0, recorded_at: stage.recorded_at(), last_seen };
        let changes = known.then(|| stage.sorter(CHANGES_BUDGET));
        let writer = stage.table(table, layer(false))?;
        Ok(Self { names, table, writer, changes, record: Vec::new(), tonight })
    }

    /// An entry that is new or says something new.
    fn listed(&mut self, entry: &Listed<'_>) -> Result<()> {
        let issuer = &self.names.issuers[entry.issuer];
        match &mut self.changes {
            None => self.writer.push(&fresh(self.names, self.tonight, (issuer, entry.serial), entry.says)),
            Some(changes) => {
                put_key(&mut self.record, issuer, entry.serial);
                push_says(entry.says, &mut self.record)?;
                changes.push(&self.record)
            }
        }
    }

    /// A serial of the set before that is no longer listed.
    fn removed(&mut self, key: Option<(&str, &str)>) -> Result<()> {
        if let (Some(changes), Some((issuer, serial))) = (&mut self.changes, key) {
            put_key(&mut self.record, issuer, serial);
            changes.push(&self.record)?;
        }
        Ok(())
    }

    fn finish(mut self, stage: &mut Stage<'s>, reader: &Reader) -> Result<()> {
        if let Some(changes) = self.changes.take() {
            let mut sorted = changes.finish()?;
            loop {
                let mut chunk = Vec::new();
                while chunk.len() < CHUNK {
                    let Some(record) = sorted.next_record()? else { break };
                    chunk.push(change(record).ok_or_else(|| Error::internal("a change cannot be read"))?);
                }
                if chunk.is_empty() {
                    break;
                }
                self.replace(reader, &chunk)?;
            }
        }
        stage.finish_table(self.table, layer(false), self.writer)
    }

    /// Writes what a stretch of changes makes of the rows that are known.
    fn replace(&mut self, reader: &Reader, chunk: &[Change]) -> Result<()> {
        let now = Moment::from(self.tonight.recorded_at);
        // A row of tonight's has tonight's CRL number, an older one that of the list which first said so.
        let same = |a: &Row, b: &Row| {
            (a.revoked_at, &a.reason, a.last_seen, a.invalid_since)
                == (b.revoked_at, &b.reason, b.last_seen, b.invalid_since)
                && (a.recorded_from != now || a.crl_number == b.crl_number)
        };
        let mut serials: Vec<&str> = chunk.iter().map(|c| c.serial.as_str()).collect();
        serials.sort_unstable();
        serials.dedup();
        let known: Vec<Row> = lookup::rows_with(reader, revocation_history::SERIAL.name, &serials)?;
        let mut known = known.into_iter().peekable();
        for change in chunk {
            let key = (change.issuer.as_str(), change.serial.as_str());
            let rows = lookup::next_equal(&mut known, |row| (&*row.issuer_key_id, &*row.serial).cmp(&key));
            // By the state before the night, so that several sets of one night leave what the last one alone would have left.
            let before = rows.iter().find(|row| known_before(row.span(), now)).cloned();
            let state = match change.says {
                Some(says) => {
                    let mut row = fresh(self.names, self.tonight, key, says).into_owned();
                    if let Some(before) = before.filter(|row| row.last_seen.is_none()) {
                        row.first_seen = before.first_seen;
                    }
                    Some(row)
                }
                None => before.map(|row| {
                    let last_seen = row.last_seen.or(self.tonight.last_seen.map(Into::into));
                    Row { last_seen, ..row }
                }),
            };
            for row in night_rows(&rows, state, now, &same) {
                self.writer.push(&row)?;
            }
        }
        Ok(())
    }
}

/// The row of an entry that is listed from tonight on.
fn fresh<'e>(
    names: &'e Names,
    tonight: Tonight,
    (issuer, serial): (&'e str, &'e str),
    says: Says,
) -> revocation_history::Row<'e> {
    revocation_history::Row {
        issuer_key_id: issuer.into(),
        serial: serial.into(),
        revoked_at: Moment(says.revoked_at),
        reason: says.reason.map(|reason| reason_text(reason).into()),
        first_seen: tonight.date.into(),
        last_seen: None,
        crl_number: names.points[says.point].1.as_str().into(),
        invalid_since: says.invalid_since.map(Moment),
        recorded_from: tonight.recorded_at.into(),
        recorded_to: None,
    }
}

/// Issuer and serial, each ended by a zero, so that changes sort as the table does.
fn put_key(record: &mut Vec<u8>, issuer: &str, serial: &str) {
    record.clear();
    for part in [issuer, serial] {
        record.extend_from_slice(part.as_bytes());
        record.push(0);
    }
}

fn change(record: &[u8]) -> Option<Change> {
    let mut parts = record.splitn(3, |b| *b == 0);
    let mut text = || String::from_utf8(parts.next()?.to_vec()).ok();
    let (issuer, serial) = (text()?, text()?);
    let rest = parts.next()?;
    let says = if rest.is_empty() { None } else { Some(read_says(rest)?) };
    Some(Change { issuer, serial, says })
}
