//! What a subscriber record says of a member and of a coverage, packed into bytes: one allocation for a whole file, and
//! equal contents are equal bytes.
//!
//! The image (内容) is everything but who the person is (紐付番号) and how the record came (更新日時, source, recorded times).

use sha2::{Digest, Sha256};
use shikaku_schemas::layout::Layout;
use shikaku_schemas::tables::{ColumnType, Table};

use crate::check::Value;
use crate::error::{Error, Result};
use crate::lake::row::{Cell, CellRef, Row};
use crate::read::records::RawRecord;
use crate::text::cp932::Encoding;
use crate::text::normal;
use crate::time::{to_days, to_millis};

/// Where a column's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    InsurerCode,
    MemberNo,
    CoverageSeq,
    LinkNo,
    UpdatedAt,
    Image,
    RecordedFrom,
    RecordedTo,
    SourceFile,
    SourceRecord,
    /// A part of the image: its type, so that it can be unpacked.
    Packed(ColumnType),
}

/// A table of the subscriber path.
pub struct Target {
    pub table: &'static Table,
    slots: Vec<Slot>,
}

/// How a column of the image is made from a record of one layout version.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// This version has no such field.
    Absent,
    Field(usize),
    /// Normal form of 記号 or 番号.
    Key(usize),
    /// CP932 bytes of 記号 or 番号, as they will stand in receipts.
    Raw(usize),
}

/// Packs the records of one file.
pub struct Packer {
    parts: Vec<Part>,
    encoding: Encoding,
}

/// A state as it came from a record or stands in the lake.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub link_no: i64,
    /// Digest of the image.
    pub image: i64,
    /// Milliseconds; `None` = blank.
    pub updated_at: Option<i64>,
    pub source_record: i64,
    /// The record that gave it another person since: its row begins with that one. Few are moved, and many are held.
    pub moved: Option<Box<Mover>>,
    pub body: Body,
}

/// A record that changes who the person behind a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mover {
    /// Which of the insurer's files of the night.
    pub file: usize,
    pub record: i64,
    /// Milliseconds.
    pub updated_at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Packed image in the arena of a file of the night.
    Packed { file: usize, start: usize, end: usize },
    /// The row in the lake.
    Stored(Box<Row>),
    /// In the lake, not read: its image and person are all that is known of it.
    Unread,
}

impl State {
    /// Whether two states say the same.
    pub fn same(&self, other: &Self) -> bool {
        self.image == other.image && self.link_no == other.link_no
    }
}

/// What stands around a packed image in its row.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub insurer_code: &'a str,
    pub member_no: &'a str,
    pub coverage_seq: i64,
    /// Milliseconds.
    pub recorded_from: i64,
    pub source_file: &'a str,
}

impl Target {
    pub fn of(name: &str) -> Self {
        let table = shikaku_schemas::tables::of(name);
        let slots = table
            .columns
            .iter()
            .map(|column| match column.name() {
                "insurer_code" => Slot::InsurerCode,
                "member_no" => Slot::MemberNo,
                "coverage_seq" => Slot::CoverageSeq,
                "link_no" => Slot::LinkNo,
                "updated_at" => Slot::UpdatedAt,
                "image" => Slot::Image,
                "recorded_from" => Slot::RecordedFrom,
                "recorded_to" => Slot::RecordedTo,
                "source_file" => Slot::SourceFile,
                "source_record" => Slot::SourceRecord,
                _ => Slot::Packed(column.kind()),
            })
            .collect();
        Self { table, slots }
    }

    /// For files of one layout version and encoding.
    pub fn packer(&self, layout: &Layout, encoding: Encoding) -> Packer {
        let packed = self.table.columns.iter().zip(&self.slots).filter(|(_, slot)| matches!(slot, Slot::Packed(_)));
        let part = |name: &str| {
            let own = |name: &str| layout.index(name);
            match name {
                "symbol_key" => own("symbol").map(Part::Key),
                "number_key" => own("number").map(Part::Key),
                "symbol_raw" => own("symbol").map(Part::Raw),
                "number_raw" => own("number").map(Part::Raw),
                name => own(name).map(Part::Field),
            }
            .unwrap_or(Part::Absent)
        };
        Packer { parts: packed.map(|(column, _)| part(column.name())).collect(), encoding }
    }

    /// Cells of a new row: a packed image with its frame.
    pub fn cells<'c>(
        &'c self,
        state: &'c State,
        packed: &'c [u8],
        frame: Frame<'c>,
    ) -> impl Iterator<Item = CellRef<'c>> {
        let mut rest = packed;
        self.slots.iter().map(move |slot| match slot {
            Slot::InsurerCode => CellRef::Text(frame.insurer_code),
            Slot::MemberNo => CellRef::Text(frame.member_no),
            Slot::CoverageSeq => CellRef::Int(frame.coverage_seq),
            Slot::LinkNo => CellRef::Int(state.link_no),
            Slot::UpdatedAt => state.updated_at.map_or(CellRef::Null, CellRef::Timestamp),
            Slot::Image => CellRef::Int(state.image),
            Slot::RecordedFrom => CellRef::Timestamp(frame.recorded_from),
            Slot::RecordedTo => CellRef::Null,
            Slot::SourceFile => CellRef::Text(frame.source_file),
            Slot::SourceRecord => CellRef::Int(state.source_record),
            Slot::Packed(kind) => unpack(&mut rest, *kind),
        })
    }

    /// A row of the lake with another person, open from a moment on; `source_file` is that of the record that moved it.
    pub fn stored_again(&self, row: &Row, state: &State, recorded_from: i64, source_file: &str) -> Row {
        let mut row = row.clone();
        for (cell, slot) in row.iter_mut().zip(&self.slots) {
            match (slot, state.moved.as_deref()) {
                (Slot::LinkNo, _) => *cell = Cell::Int(state.link_no),
                (Slot::RecordedFrom, _) => *cell = Cell::Timestamp(recorded_from),
                (Slot::RecordedTo, _) => *cell = Cell::Null,
                (Slot::SourceFile, Some(_)) => *cell = Cell::text(source_file),
                (Slot::SourceRecord, Some(mover)) => *cell = Cell::Int(mover.record),
                (Slot::UpdatedAt, Some(mover)) => *cell = mover.updated_at.map_or(Cell::Null, Cell::Timestamp),
                _ => {}
            }
        }
        row
    }

    /// State of a row of the lake.
    pub fn state_of(&self, row: Row) -> State {
        let int = |name: &str| row[self.table.at(name)].as_int().unwrap_or_default();
        let updated_at = match row[self.table.at("updated_at")] {
            Cell::Timestamp(at) => Some(at),
            _ => None,
        };
        let (link_no, image, source_record) = (int("link_no"), int("image"), int("source_record"));
        State { link_no, image, updated_at, source_record, moved: None, body: Body::Stored(Box::new(row)) }
    }
}

impl Packer {
    /// Appends the image of a checked record to an arena; its place and its digest.
    pub fn pack(
        &self,
        values: &[Value<'_>],
        record: &RawRecord<'_>,
        arena: &mut Vec<u8>,
    ) -> Result<(usize, usize, i64)> {
        let start = arena.len();
        for part in &self.parts {
            match part {
                Part::Absent => text(arena, None)?,
                Part::Field(i) => match &values[*i] {
                    Value::Blank => text(arena, None)?,
                    Value::Text(own) => text(arena, Some(own.as_bytes()))?,
                    Value::Date(date) => text(arena, Some(&to_days(*date).to_le_bytes()))?,
                    Value::Timestamp(at) => text(arena, Some(&to_millis(*at).to_le_bytes()))?,
                },
                Part::Key(i) => text(arena, Some(normal::number_key(values[*i].text()).as_bytes()))?,
                Part::Raw(i) if values[*i].is_blank() => text(arena, None)?,
                // Field 0 of the line is its letter.
                Part::Raw(i) => match self.encoding {
                    Encoding::Cp932 => text(arena, Some(record.field(i + 1)))?,
                    Encoding::Utf8 => text(arena, Encoding::Cp932.encode(values[*i].text()).as_deref())?,
                },
            }
        }
        let digest = Sha256::digest(&arena[start..]);
        let mut first = [0u8; 8];
        first.copy_from_slice(&digest[..8]);
        Ok((start, arena.len(), i64::from_le_bytes(first)))
    }
}

/// Length + 1 in two bytes (0 = null), then the bytes.
fn text(arena: &mut Vec<u8>, bytes: Option<&[u8]>) -> Result<()> {
    let bytes = bytes.map(|b| u16::try_from(b.len() + 1).map(|n| (n, b)));
    match bytes.transpose().map_err(|_| Error::failed("a checked field is longer than 65,534 bytes"))? {
        None => arena.extend_from_slice(&0u16.to_le_bytes()),
        Some((length, bytes)) => {
            arena.extend_from_slice(&length.to_le_bytes());
            arena.extend_from_slice(bytes);
        }
    }
    Ok(())
}

fn unpack<'a>(rest: &mut &'a [u8], kind: ColumnType) -> CellRef<'a> {
    let Some((length, tail)) = rest.split_first_chunk::<2>() else { return CellRef::Null };
    *rest = tail;
    let Some(length) = usize::from(u16::from_le_bytes(*length)).checked_sub(1) else { return CellRef::Null };
    let Some((own, tail)) = rest.split_at_checked(length) else { return CellRef::Null };
    *rest = tail;
    match kind {
        ColumnType::Date => own.try_into().map_or(CellRef::Null, |b| CellRef::Date(i32::from_le_bytes(b))),
        ColumnType::Timestamp => own.try_into().map_or(CellRef::Null, |b| CellRef::Timestamp(i64::from_le_bytes(b))),
        ColumnType::Binary => CellRef::Bytes(own),
        ColumnType::String => std::str::from_utf8(own).map_or(CellRef::Null, CellRef::Text),
        // The subscriber tables have no packed numbers or lists.
        ColumnType::Int64 | ColumnType::ListInt32 => CellRef::Null,
    }
}
