//! Sorting more records than memory should hold: sorted runs in unnamed temporary files, merged as they are read.
//!
//! A record is a string of bytes and its order is theirs, so the order in which records were pushed does not show. Runs are
//! sealed like landed inputs when keys are configured: nothing personal lies in clear, not even in a file without a name.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufWriter, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;

use rayon::prelude::*;

use crate::base::error::{At, Error, Result};
use crate::seal::Sealing;
use crate::seal::stream::{Opener, Sealer};

/// Bytes of a run's buffer while it is merged.
const BUFFER: usize = 1 << 17;
/// Tells the runs of several sorters apart for as long as they have names.
static NUMBER: AtomicU32 = AtomicU32::new(0);
/// Longest record.
const MAX_RECORD: usize = 1 << 15;

/// Where a record lies in its arena; the first bytes decide most comparisons.
#[derive(Debug, Clone, Copy)]
struct Slot {
    prefix: u64,
    start: u32,
    length: u16,
}

/// Some records in memory, in the order they came.
#[derive(Default)]
pub struct Batch {
    arena: Vec<u8>,
    slots: Vec<Slot>,
    /// A record is smaller than the one before it.
    unsorted: bool,
}

impl Batch {
    /// Bytes held.
    pub fn size(&self) -> usize {
        self.arena.len() + self.slots.len() * size_of::<Slot>()
    }

    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        let start = u32::try_from(self.arena.len());
        let length = u16::try_from(record.len()).ok().filter(|_| record.len() <= MAX_RECORD);
        let (Ok(start), Some(length)) = (start, length) else {
            return Err(Error::failed("a record is too long to be sorted"));
        };
        let slot = Slot { prefix: prefix(record), start, length };
        self.unsorted |=
            self.slots.last().is_some_and(|last| (last.prefix, self.record(*last)) > (slot.prefix, record));
        self.arena.extend_from_slice(record);
        self.slots.push(slot);
        Ok(())
    }

    fn record(&self, slot: Slot) -> &[u8] {
        let start = usize::try_from(slot.start).unwrap_or(usize::MAX);
        &self.arena[start..start + usize::from(slot.length)]
    }

    /// Takes over the records of another batch, which is empty afterwards.
    fn append(&mut self, other: &mut Self) -> Result<()> {
        let Ok(offset) = u32::try_from(self.arena.len()) else {
            return Err(Error::failed("a run is too long to sort"));
        };
        let (last, first) = (self.slots.last(), other.slots.first());
        let falls = last.zip(first).is_some_and(|(last, first)| self.record(*last) > other.record(*first));
        self.unsorted |= other.unsorted || falls;
        self.slots.extend(other.slots.iter().map(|slot| Slot { start: slot.start + offset, ..*slot }));
        self.arena.append(&mut other.arena);
        other.clear();
        Ok(())
    }

    fn sort(&mut self) {
        if self.unsorted {
            let mut slots = std::mem::take(&mut self.slots);
            slots.par_sort_unstable_by(|a, b| {
                a.prefix.cmp(&b.prefix).then_with(|| self.record(*a).cmp(self.record(*b)))
            });
            self.slots = slots;
            self.unsorted = false;
        }
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.slots.clear();
        self.unsorted = false;
    }
}

fn prefix(record: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = record.len().min(8);
    first[..length].copy_from_slice(&record[..length]);
    u64::from_be_bytes(first)
}

/// Takes records and hands them out in order.
pub struct Sorter<'a> {
    dir: PathBuf,
    sealing: Option<Sealing<'a>>,
    /// Bytes held in memory before a run is written.
    budget: usize,
    own: Batch,
    runs: Vec<File>,
}

impl<'a> Sorter<'a> {
    /// Runs go to `dir`, sealed if there is a way to.
    pub fn new(dir: &Path, sealing: Option<Sealing<'a>>, budget: usize) -> Self {
        Self { dir: dir.to_owned(), sealing, budget, own: Batch::default(), runs: Vec::new() }
    }

    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        self.own.push(record)?;
        if self.own.size() >= self.budget { self.spill() } else { Ok(()) }
    }

    /// Takes over records that were gathered apart; the batch is empty afterwards.
    pub fn absorb(&mut self, batch: &mut Batch) -> Result<()> {
        self.own.append(batch)?;
        if self.own.size() >= self.budget { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        self.own.sort();
        let file = self.unnamed()?;
        let copy = file.try_clone().at(&self.dir)?;
        match self.sealing {
            Some(sealing) => {
                let sealer = self.write_run(Sealer::new(copy, sealing)?)?;
                sealer.finish().at(&self.dir)?;
            }
            None => drop(self.write_run(copy)?),
        }
        self.runs.push(file);
        self.own.clear();
        Ok(())
    }

    /// A file that is gone with the process, however that ends.
    fn unnamed(&self) -> Result<File> {
        let path = self.dir.join(format!("sort-{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
        let file = File::options().read(true).write(true).create_new(true).open(&path).at(&path)?;
        std::fs::remove_file(&path).at(&path)?;
        Ok(file)
    }

    fn write_run<W: Write>(&self, sink: W) -> Result<W> {
        let mut sink = BufWriter::with_capacity(BUFFER, sink);
        for slot in &self.own.slots {
            sink.write_all(&slot.length.to_le_bytes()).at(&self.dir)?;
            sink.write_all(self.own.record(*slot)).at(&self.dir)?;
        }
        sink.into_inner().map_err(|e| e.into_error()).at(&self.dir)
    }

    /// Ends taking; the records follow in order.
    pub fn finish(mut self) -> Result<Sorted> {
        self.own.sort();
        let mut cursors = Vec::new();
        for mut file in std::mem::take(&mut self.runs) {
            file.rewind().at(&self.dir)?;
            let source: Box<dyn Read + Send> = match self.sealing {
                Some(sealing) => Box::new(Opener::new(file, sealing.keys)?),
                None => Box::new(file),
            };
            cursors.push(Cursor::new(source)?);
        }
        let mut sorted = Sorted { own: self.own, next: 0, cursors, heap: Vec::new(), last: None };
        sorted.heap = (0..=sorted.cursors.len()).filter(|i| sorted.head(*i).is_some()).collect();
        for at in (0..sorted.heap.len() / 2).rev() {
            sorted.sink(at);
        }
        Ok(sorted)
    }
}

/// One run while it is read; its head stands in the buffer.
struct Cursor {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Length of the head; none at the end of the run.
    head: Option<usize>,
    prefix: u64,
}

impl Cursor {
    fn new(source: Box<dyn Read + Send>) -> Result<Self> {
        let mut cursor = Self { source, buffer: vec![0; BUFFER], start: 0, end: 0, head: Some(0), prefix: 0 };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<()> {
        self.start += self.head.unwrap_or(0);
        if self.end - self.start < 2 + MAX_RECORD {
            self.fill()?;
        }
        let Some(length) = self.buffer[self.start..self.end].first_chunk::<2>() else {
            self.head = None;
            return if self.start == self.end { Ok(()) } else { Err(cut()) };
        };
        let length = usize::from(u16::from_le_bytes(*length));
        self.start += 2;
        if self.end - self.start < length {
            return Err(cut());
        }
        self.head = Some(length);
        self.prefix = prefix(self.record());
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < self.buffer.len() {
            match self.source.read(&mut self.buffer[self.end..]).at("a sorted run")? {
                0 => break,
                n => self.end += n,
            }
        }
        Ok(())
    }

    fn record(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.head.unwrap_or(0)]
    }
}

fn cut() -> Error {
    Error::failed("a sorted run was cut short; is the disk full?")
}

/// Records in order: a merge of the runs and of what was still in memory.
pub struct Sorted {
    own: Batch,
    next: usize,
    cursors: Vec<Cursor>,
    /// Sources by their heads, least first; the number after the last cursor is `own`.
    heap: Vec<usize>,
    /// Source to advance before the next record.
    last: Option<usize>,
}

impl Sorted {
    fn head(&self, source: usize) -> Option<(u64, &[u8])> {
        match self.cursors.get(source) {
            Some(cursor) => cursor.head.map(|_| (cursor.prefix, cursor.record())),
            None => self.own.slots.get(self.next).map(|slot| (slot.prefix, self.own.record(*slot))),
        }
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        self.head(a).cmp(&self.head(b))
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.order(self.heap[child], self.heap[least]) == Ordering::Less {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    /// The next record; it stands until the one after it is asked for.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>> {
        if let Some(source) = self.last.take() {
            match self.cursors.get_mut(source) {
                Some(cursor) => cursor.advance()?,
                None => self.next += 1,
            }
            if self.head(source).is_none() {
                self.heap.swap_remove(0);
            }
            self.sink(0);
        }
        let Some(source) = self.heap.first().copied() else { return Ok(None) };
        self.last = Some(source);
        Ok(self.head(source).map(|(_, record)| record))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gives_what_a_plain_sort_gives(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..400),
            budget in 1usize..4000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::new(dir.path(), None, budget);
            let (apart, own) = records.split_at(records.len() / 3);
            let mut batch = Batch::default();
            apart.iter().for_each(|r| batch.push(r).unwrap());
            own.iter().for_each(|r| sorter.push(r).unwrap());
            sorter.absorb(&mut batch).unwrap();
            let mut sorted = sorter.finish().unwrap();
            let mut got = Vec::new();
            while let Some(record) = sorted.next_record().unwrap() {
                got.push(record.to_vec());
            }
            let mut expected = records.clone();
            expected.sort();
            prop_assert_eq!(got, expected);
        }
    }
}
