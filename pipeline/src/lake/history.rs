//! Bitemporal tables: one base and deltas, each sorted by key and `recorded_from`.
//!
//! A delta holds whole rows. Of rows with equal key and `recorded_from` the newest generation's holds. A row whose two
//! recorded times are equal was taken back in the night that wrote it and does not count. A row ends where the next one of
//! its key begins, so that a change writes the new state alone; a key that is gone has its last row repeated with
//! `recorded_to` set.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow::compute::interleave_record_batch;
use arrow::row::Rows;
use shikaku_schemas::tables::Table;

use super::order::Keys;
use super::read::Reader;
use super::schema::named;
use super::typed::{Kind as _, Recorded, Timestamp};
use crate::base::error::Result;
use crate::base::time::Moment;

/// Rows of a resolved batch, but that no key is cut in two.
const BATCH: usize = 1 << 13;
const FROM: &str = "recorded_from";
const TO: &str = "recorded_to";

/// `recorded_from` and `recorded_to` of a row.
pub type Span = (Moment, Option<Moment>);

/// Recorded times of the rows of a batch.
#[derive(Clone)]
pub struct Spans {
    from: TimestampMillisecondArray,
    to: TimestampMillisecondArray,
}

impl Spans {
    /// Of a batch that was read with both columns.
    pub fn of(batch: &RecordBatch) -> Result<Self> {
        let times = |name| named::<TimestampMillisecondArray>(batch, name).cloned();
        Ok(Self { from: times(FROM)?, to: times(TO)? })
    }

    pub fn at(&self, row: usize) -> Span {
        (Timestamp::get(&self.from, row), <Option<Timestamp>>::get(&self.to, row))
    }
}

/// Whether a row was known at the moment just before `cutoff`.
pub fn known_before((from, to): Span, cutoff: Moment) -> bool {
    from < cutoff && to.is_none_or(|to| to >= cutoff)
}

/// A stored row of which at least key and recorded times were read.
pub trait Stored {
    fn same_key(&self, other: &Self) -> bool;
    fn from(&self) -> Moment;
    fn to(&mut self) -> &mut Option<Moment>;
}

/// Which stored rows hold: of rows in the order of key, `recorded_from`, newest generation first, those that count are left,
/// each ending where the next one of its key begins. The rule stands here alone.
pub fn resolve<R: Stored>(rows: &mut Vec<R>) {
    rows.dedup_by(|b, a| a.same_key(b) && a.from() == b.from());
    rows.retain_mut(|row| {
        let from = row.from();
        *row.to() != Some(from)
    });
    for index in 1..rows.len() {
        let (before, after) = rows.split_at_mut(index);
        let (Some(row), Some(next)) = (before.last_mut(), after.first()) else { continue };
        if row.same_key(next) && row.to().is_none_or(|to| to > next.from()) {
            *row.to() = Some(next.from());
        }
    }
}

/// Batches of one generation, in order.
pub type BatchStream = Box<dyn Iterator<Item = Result<RecordBatch>>>;

/// A batch with its keys and recorded times.
struct Block {
    batch: RecordBatch,
    keys: Rows,
    spans: Spans,
}

/// One generation while it is merged.
struct Source {
    batches: BatchStream,
    block: Option<Arc<Block>>,
    row: usize,
    /// Number of its block among those of the batch being made.
    slot: Option<usize>,
}

/// Where a row of the batch being made lies.
struct Place {
    /// Equal for rows of one key.
    key: usize,
    slot: usize,
    row: usize,
    from: Moment,
    to: Option<Moment>,
}

impl Stored for Place {
    fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    fn from(&self) -> Moment {
        self.from
    }

    fn to(&mut self) -> &mut Option<Moment> {
        &mut self.to
    }
}

/// Resolved rows of a history table in (key, recorded_from) order, in batches; memory is one batch per generation.
pub struct HistoryScan {
    keys: Keys,
    /// Older generations first.
    sources: Vec<Source>,
    /// Sources that have a row, the least last.
    order: Vec<usize>,
}

impl HistoryScan {
    /// Of all columns, or of these and those that the rule needs.
    pub fn new(reader: &Reader, table: &'static Table, columns: Option<&[&'static str]>) -> Result<Self> {
        let columns: Option<Vec<&str>> = columns.map(|some| {
            let needed = table.key.iter().map(String::as_str).chain([FROM, TO]);
            some.iter().copied().chain(needed).collect()
        });
        let generations = reader.snapshot.current(table);
        let reader = reader.for_merge_of(generations.len());
        let mut streams: Vec<BatchStream> = Vec::new();
        for generation in generations {
            streams.push(Box::new(reader.batches(table, generation, columns.as_deref(), None)?));
        }
        Self::over(table, streams)
    }

    /// The same over rows of each generation, older ones first: all rows of the keys that they have, in order.
    pub fn over(table: &'static Table, streams: Vec<BatchStream>) -> Result<Self> {
        let source = |batches| Source { batches, block: None, row: 0, slot: None };
        let mut scan =
            Self { keys: Keys::of(table)?, sources: streams.into_iter().map(source).collect(), order: Vec::new() };
        for index in 0..scan.sources.len() {
            scan.settle(index)?;
        }
        Ok(scan)
    }

    /// Moves a source on to a block that has a row left, and puts it in its place.
    fn settle(&mut self, index: usize) -> Result<()> {
        let source = &mut self.sources[index];
        while source.block.as_ref().is_none_or(|block| source.row >= block.batch.num_rows()) {
            (source.row, source.slot) = (0, None);
            source.block = match source.batches.next().transpose()? {
                Some(batch) => {
                    Some(Arc::new(Block { keys: self.keys.rows(&batch)?, spans: Spans::of(&batch)?, batch }))
                }
                None => return Ok(()),
            };
        }
        let after = |other: &usize| self.compare(*other, index) == Ordering::Greater;
        let at = self.order.iter().rposition(after).map_or(0, |at| at + 1);
        self.order.insert(at, index);
        Ok(())
    }

    /// Key, recorded_from, newest generation first.
    fn compare(&self, a: usize, b: usize) -> Ordering {
        let (x, y) = (&self.sources[a], &self.sources[b]);
        let (Some(p), Some(q)) = (&x.block, &y.block) else { return Ordering::Equal };
        let key = p.keys.row(x.row).cmp(&q.keys.row(y.row));
        key.then_with(|| p.spans.at(x.row).0.cmp(&q.spans.at(y.row).0)).then(Reverse(a).cmp(&Reverse(b)))
    }

    /// Whole keys, some thousand rows, not yet resolved.
    fn gather(&mut self) -> Result<(Vec<Arc<Block>>, Vec<Place>)> {
        let (mut blocks, mut places): (Vec<Arc<Block>>, Vec<Place>) = (Vec::new(), Vec::new());
        self.sources.iter_mut().for_each(|source| source.slot = None);
        while let Some(index) = self.order.last().copied() {
            let source = &mut self.sources[index];
            let (Some(block), row) = (&source.block, source.row) else { break };
            let same = |last: &Place| blocks[last.slot].keys.row(last.row) == block.keys.row(row);
            let key = match places.last() {
                Some(last) if same(last) => last.key,
                Some(_) if places.len() >= BATCH => break,
                last => last.map_or(0, |last| last.key + 1),
            };
            let slot = *source.slot.get_or_insert_with(|| {
                blocks.push(Arc::clone(block));
                blocks.len() - 1
            });
            let (from, to) = block.spans.at(row);
            places.push(Place { key, slot, row, from, to });
            source.row += 1;
            self.order.pop();
            self.settle(index)?;
        }
        Ok((blocks, places))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let (blocks, mut places) = self.gather()?;
            if places.is_empty() {
                return Ok(None);
            }
            resolve(&mut places);
            if !places.is_empty() {
                return Ok(Some(rows_at(&blocks, &places)?));
            }
        }
    }
}

/// The rows at these places, with the ends that they resolved to.
fn rows_at(blocks: &[Arc<Block>], places: &[Place]) -> Result<RecordBatch> {
    let first = &places[0];
    let row_of = |place: usize| first.row + place;
    let together = places.iter().enumerate().all(|(i, place)| place.slot == first.slot && place.row == row_of(i));
    let batch = if together {
        blocks[first.slot].batch.slice(first.row, places.len())
    } else {
        let batches: Vec<&RecordBatch> = blocks.iter().map(|block| &block.batch).collect();
        let indices: Vec<(usize, usize)> = places.iter().map(|place| (place.slot, place.row)).collect();
        interleave_record_batch(&batches, &indices)?
    };
    let ends: TimestampMillisecondArray = places.iter().map(|place| place.to.map(|to| to.0)).collect();
    let schema = batch.schema();
    let at = schema.index_of(TO)?;
    let column = |(i, array): (usize, &ArrayRef)| if i == at { Arc::new(ends.clone()) } else { Arc::clone(array) };
    Ok(RecordBatch::try_new(schema.clone(), batch.columns().iter().enumerate().map(column).collect())?)
}

impl Iterator for HistoryScan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// What a night must write for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NightWrite {
    /// The known row of that index again, with this end (`None` = open).
    Again(usize, Option<Moment>),
    /// The last state, from the night on.
    New,
}

/// The writes that make a key's history a function of the state before the night and the last state of the night alone,
/// however many runs the night had.
///
/// `spans` are the recorded times of the key's resolved rows; `last` tells of each row whether it says the same as the
/// state to hold from `now` on (`None` = the key is gone).
pub fn night_writes(spans: &[Span], last: Option<impl Fn(usize) -> bool>, now: Moment) -> Vec<NightWrite> {
    let before = spans.iter().position(|span| known_before(*span, now));
    let tonight = spans.iter().position(|(from, _)| *from == now);
    let end_of = |index: usize| spans[index].1;
    let take_back = tonight.map(|index| NightWrite::Again(index, Some(now)));
    match last {
        Some(same) if before.is_some_and(&same) => {
            let reopened = before.filter(|b| end_of(*b).is_some()).map(|b| NightWrite::Again(b, None));
            reopened.into_iter().chain(take_back).collect()
        }
        Some(same) if tonight.is_some_and(|t| end_of(t).is_none() && same(t)) => Vec::new(),
        Some(_) => vec![NightWrite::New],
        None => {
            // Tonight's row may be all that ended the one before.
            let closed = before.filter(|b| end_of(*b).is_none() || tonight.is_some());
            closed.map(|b| NightWrite::Again(b, Some(now))).into_iter().chain(take_back).collect()
        }
    }
}

/// [`night_writes`] on whole rows: `rows` are the key's resolved rows, `last` the state to hold from `now` on, with any
/// recorded times; `same` compares two rows without recorded times and source.
pub fn night_rows<R: Recorded>(rows: &[R], last: Option<R>, now: Moment, same: &dyn Fn(&R, &R) -> bool) -> Vec<R> {
    let spans: Vec<Span> = rows.iter().map(R::span).collect();
    let is_last = |index: usize| last.as_ref().is_some_and(|last| same(&rows[index], last));
    let writes = night_writes(&spans, last.as_ref().map(|_| &is_last), now);
    // One row as a rule, for each of a nation's serials: a vector that grows would begin with room for four.
    let mut out = Vec::with_capacity(writes.len());
    for write in writes {
        let (row, span) = match write {
            NightWrite::Again(index, to) => (rows.get(index), (spans[index].0, to)),
            NightWrite::New => (last.as_ref(), (now, None)),
        };
        out.extend(row.cloned().map(|mut row| {
            row.set_span(span.0, span.1);
            row
        }));
    }
    out
}
