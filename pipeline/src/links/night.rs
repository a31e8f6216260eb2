//! Going through a night's links in the order of their serials: what the rules made of chains and of what waited, and claims
//! on single serials, which stream from a sorter so that a first load of the nation does not have to fit in memory.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::NaiveDateTime;
use shikaku_schemas::tables::{self, Table};

use super::insurers::Insurers;
use super::resolve::{LinkState, Links, Made, Source, Verdict, claim};
use crate::base::error::{Error, Result};
use crate::lake::history::night_rows;
use crate::lake::layer;
use crate::lake::lookup;
use crate::lake::read::Reader;
use crate::lake::sort::{Sorted, Sorter};
use crate::lake::tables::{acquisition, serial_link};
use crate::lake::write::TableWriter;
use crate::masters::Masters;
use crate::masters::UNKNOWN_INSURER;
use crate::store::Stage;

/// Serials whose stored rows and insurers are looked up at once.
pub const BLOCK: usize = 1 << 19;

/// One シリアル＋紐付番号 record as it is sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub serial: String,
    /// Which of the night's files, in their order, and which of its lines.
    pub file: usize,
    pub line: u64,
    pub link_no: i64,
    pub record: i64,
}

impl Claim {
    /// Sorts by serial, then in the order of the files.
    pub fn push_to(&self, sorter: &mut Sorter<'_>) -> Result<()> {
        let mut record = self.serial.clone().into_bytes();
        record.push(0);
        let file = u32::try_from(self.file).map_err(|_| Error::failed("a night has too many files"))?;
        record.extend_from_slice(&file.to_be_bytes());
        record.extend_from_slice(&self.line.to_be_bytes());
        record.extend_from_slice(&self.link_no.to_be_bytes());
        record.extend_from_slice(&self.record.to_be_bytes());
        sorter.push(&record)
    }

    fn read(record: &[u8]) -> Option<Self> {
        let (serial, rest) = record.split_at_checked(record.len().checked_sub(28)?)?;
        let serial = std::str::from_utf8(serial.strip_suffix(&[0])?).ok()?.to_owned();
        let (file, rest) = rest.split_first_chunk::<4>()?;
        let (line, rest) = rest.split_first_chunk::<8>()?;
        let (link_no, record) = rest.split_first_chunk::<8>()?;
        Some(Self {
            serial,
            file: usize::try_from(u32::from_be_bytes(*file)).ok()?,
            line: u64::from_be_bytes(*line),
            link_no: i64::from_be_bytes(*link_no),
            record: i64::from_be_bytes(record.try_into().ok()?),
        })
    }
}

/// What the night knows of a file.
pub struct FileOf {
    pub source_file: String,
    pub created: NaiveDateTime,
}

/// Writes `serial_link` and `acquisition`, each only if there is something to write, and tells what became of each claim.
pub struct Night<'s, 'n> {
    reader: &'n Reader,
    masters: &'n Masters,
    links: &'n Links,
    /// Links made by the rules, by serial.
    made: BTreeMap<&'n str, Vec<&'n Made>>,
    files: &'n [FileOf],
    table: &'static Table,
    written: Option<TableWriter<'s>>,
    acquired: Option<TableWriter<'s>>,
    partition: String,
}

/// What becomes of one serial.
struct Outcome {
    rows: Vec<serial_link::Row<'static>>,
    made: Vec<Made>,
}

impl<'s, 'n> Night<'s, 'n> {
    pub fn new(
        stage: &Stage<'_>,
        reader: &'n Reader,
        masters: &'n Masters,
        links: &'n Links,
        files: &'n [FileOf],
    ) -> Self {
        let table = tables::of("serial_link");
        let partition = format!("on_date={}", stage.date);
        let mut made: BTreeMap<&str, Vec<&Made>> = BTreeMap::new();
        for one in &links.made {
            made.entry(&one.serial).or_default().push(one);
        }
        Self { reader, masters, links, made, files, table, written: None, acquired: None, partition }
    }

    /// Goes through everything. `told` is given the verdict of each claim, in any order.
    pub fn run(
        mut self,
        stage: &mut Stage<'s>,
        mut claims: Sorted,
        size: usize,
        told: &mut dyn FnMut(&Claim, Verdict),
    ) -> Result<()> {
        let touched = self.links.touched.iter().map(String::as_str);
        let chained: BTreeSet<&str> = touched.chain(self.made.keys().copied()).collect();
        let mut chained = chained.into_iter().peekable();
        let mut next = next_claim(&mut claims)?;
        loop {
            let mut block: Vec<Vec<Claim>> = Vec::new();
            while block.len() < size.max(1) {
                let Some(first) = next.take() else { break };
                let mut own = vec![first];
                next = next_claim(&mut claims)?;
                while let Some(same) = next.take_if(|claim| claim.serial == own[0].serial) {
                    own.push(same);
                    next = next_claim(&mut claims)?;
                }
                block.push(own);
            }
            let end = next.as_ref().map(|claim| claim.serial.clone());
            let mut bound = Vec::new();
            while let Some(serial) = chained.next_if(|serial| end.as_ref().is_none_or(|end| *serial < end.as_str())) {
                bound.push(serial);
            }
            self.block(stage, &block, &bound, told)?;
            if next.is_none() {
                break;
            }
        }
        if let Some(writer) = self.written {
            stage.finish_table(self.table, layer(false), writer)?;
        }
        if let Some(writer) = self.acquired {
            stage.finish_table(tables::of("acquisition"), &self.partition, writer)?;
        }
        Ok(())
    }

    /// One stretch of serials: claims on single ones and serials of chains, both ascending.
    fn block(
        &mut self,
        stage: &mut Stage<'s>,
        claims: &[Vec<Claim>],
        bound: &[&str],
        told: &mut dyn FnMut(&Claim, Verdict),
    ) -> Result<()> {
        let serials: Vec<&str> = claims.iter().map(|own| own[0].serial.as_str()).collect();
        let mut known: Vec<serial_link::Row<'static>> =
            lookup::rows_with(self.reader, serial_link::SERIAL.name, &serials)?;
        // Should there be several issuers, their serials stand side by side here.
        known.sort_by(|a, b| a.serial.cmp(&b.serial));
        let mut known = known.into_iter().peekable();
        let (mut claims, mut bound) = (claims.iter().peekable(), bound.iter().peekable());
        let mut outcomes = Vec::new();
        loop {
            let single = match (claims.peek(), bound.peek()) {
                (None, None) => break,
                (Some(own), Some(serial)) => own[0].serial.as_str() < **serial,
                (own, _) => own.is_some(),
            };
            if single {
                let Some(own) = claims.next() else { break };
                let serial = own[0].serial.as_str();
                let rows = lookup::next_equal(&mut known, |row| row.serial.as_ref().cmp(serial));
                outcomes.push(self.single(stage, own, &rows, told));
            } else if let Some(serial) = bound.next() {
                outcomes.push(self.chained(stage, serial));
            }
        }
        let persons: HashSet<i64> = outcomes.iter().flat_map(|o| &o.made).map(|m| m.link_no).collect();
        let insurers = Insurers::of(self.reader, self.masters, &stage.store.config, &persons)?;
        for outcome in outcomes {
            for row in outcome.rows {
                writer(&mut self.written, stage, self.table, layer(false))?.push(&row)?;
            }
            for made in outcome.made {
                let row = acquisition(&made, &insurers);
                writer(&mut self.acquired, stage, tables::of("acquisition"), &self.partition)?.push(&row)?;
            }
        }
        Ok(())
    }

    fn single(
        &self,
        stage: &Stage<'_>,
        claims: &[Claim],
        rows: &[serial_link::Row<'static>],
        told: &mut dyn FnMut(&Claim, Verdict),
    ) -> Outcome {
        let mut holder = rows.iter().find(|row| row.recorded_to.is_none()).map(|row| row.link_no);
        let (mut state, mut made) = (None, Vec::new());
        for own in claims {
            let verdict = claim(holder, own.link_no);
            if verdict == Verdict::Done
                && let Some(file) = self.files.get(own.file)
            {
                holder = Some(own.link_no);
                let (file, created) = (file.source_file.clone(), file.created);
                state = Some(LinkState {
                    link_no: own.link_no,
                    superseded_by: None,
                    file: file.clone(),
                    record: own.record,
                });
                let source = Source { file, record: own.record, created };
                made.push(Made { kind: "LNKP", serial: own.serial.clone(), link_no: own.link_no, source });
            }
            told(own, verdict);
        }
        let rows = match state {
            Some(state) => self.rows(stage, &claims[0].serial, rows, &state),
            None => Vec::new(),
        };
        Outcome { rows, made }
    }

    /// A serial that the rules went through with all they knew.
    fn chained(&self, stage: &Stage<'_>, serial: &str) -> Outcome {
        let none = Vec::new();
        let known = self.links.rows.get(serial).unwrap_or(&none);
        let rows = match self.links.states.get(serial).filter(|_| self.links.touched.contains(serial)) {
            Some(state) => self.rows(stage, serial, known, state),
            None => Vec::new(),
        };
        let made = self.made.get(serial).into_iter().flatten().map(|made| (*made).clone()).collect();
        Outcome { rows, made }
    }

    fn rows(
        &self,
        stage: &Stage<'_>,
        serial: &str,
        known: &[serial_link::Row<'static>],
        state: &LinkState,
    ) -> Vec<serial_link::Row<'static>> {
        let same = |a: &serial_link::Row<'_>, b: &serial_link::Row<'_>| {
            (&a.issuer_key_id, &a.serial, a.link_no, &a.superseded_by)
                == (&b.issuer_key_id, &b.serial, b.link_no, &b.superseded_by)
        };
        let last = state.to_row(&self.links.issuer, serial);
        night_rows(known, Some(last), stage.recorded_at().into(), &same)
    }
}

fn next_claim(claims: &mut Sorted) -> Result<Option<Claim>> {
    let unreadable = || Error::internal("a sorted link cannot be read");
    claims.next_record()?.map(|record| Claim::read(record).ok_or_else(unreadable)).transpose()
}

/// The writer of a table, made when the first row comes.
fn writer<'w, 's>(
    open: &'w mut Option<TableWriter<'s>>,
    stage: &Stage<'s>,
    table: &'static Table,
    partition: &str,
) -> Result<&'w mut TableWriter<'s>> {
    match open {
        Some(writer) => Ok(writer),
        None => Ok(open.insert(stage.table(table, partition)?)),
    }
}

/// A row of the acquisition log (取得記録ログ).
fn acquisition<'r>(made: &'r Made, insurers: &'r Insurers) -> acquisition::Row<'r> {
    let created = made.source.created;
    let insurer = insurers.on(made.link_no, created.date());
    acquisition::Row {
        acquired_at: created.into(),
        kind: made.kind.into(),
        serial: made.serial.as_str().into(),
        link_no: made.link_no,
        insurer_code: insurer.map_or(UNKNOWN_INSURER, |(code, _)| code).into(),
        insurer_no: insurer.map(|(_, number)| number.as_str().into()),
        source_file: made.source.file.as_str().into(),
        source_record: made.source.record,
    }
}
