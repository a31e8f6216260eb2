//! What a subscriber record says of a member and of a coverage, packed into bytes: one allocation for a whole file, and
//! equal contents are equal bytes.
//!
//! The image (内容) is everything but who the person is (紐付番号) and how the record came (更新日時, source, recorded times).

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::LazyLock;

use arrow::array::RecordBatch;
use shikaku_schemas::layout::Layout;
use shikaku_schemas::tables::{self, Table};

use crate::base::error::{Error, Result};
use crate::base::time::{Day, Moment, to_days, to_millis};
use crate::lake::history::Span;
use crate::lake::tables::{coverage, member};
use crate::lake::typed::{Owned as _, Source};
use crate::lake::write::TableWriter;
use crate::read::records::RawRecord;
use crate::rules::Value;
use crate::text::cp932::Encoding;
use crate::text::normal;

/// A table of the subscriber path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Member,
    Coverage,
}

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
    /// A part of the image.
    Packed,
}

impl Slot {
    fn of(column: &str) -> Self {
        const FRAME: [(&str, Slot); 10] = [
            (coverage::INSURER_CODE.name, Slot::InsurerCode),
            (coverage::MEMBER_NO.name, Slot::MemberNo),
            (coverage::COVERAGE_SEQ.name, Slot::CoverageSeq),
            (coverage::LINK_NO.name, Slot::LinkNo),
            (coverage::UPDATED_AT.name, Slot::UpdatedAt),
            (coverage::IMAGE.name, Slot::Image),
            (coverage::RECORDED_FROM.name, Slot::RecordedFrom),
            (coverage::RECORDED_TO.name, Slot::RecordedTo),
            (coverage::SOURCE_FILE.name, Slot::SourceFile),
            (coverage::SOURCE_RECORD.name, Slot::SourceRecord),
        ];
        FRAME.iter().find(|(name, _)| *name == column).map_or(Self::Packed, |(_, slot)| *slot)
    }
}

/// By [`Target`].
static SLOTS: LazyLock<[Vec<Slot>; 2]> =
    LazyLock::new(|| Target::BOTH.map(|t| t.table().columns.iter().map(|c| Slot::of(c.name())).collect()));

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
#[derive(Clone, PartialEq)]
pub struct State {
    pub link_no: i64,
    /// Digest of the image.
    pub image: i64,
    /// `None` = blank.
    pub updated_at: Option<Moment>,
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
    pub updated_at: Option<Moment>,
}

#[derive(Clone, PartialEq)]
pub enum Body {
    /// Packed image in the arena of a file of the night.
    Packed { file: usize, start: usize, end: usize },
    /// The row in the lake.
    Stored(Box<Whole>),
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
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    pub insurer_code: &'a str,
    pub member_no: &'a str,
    pub coverage_seq: i64,
    pub link_no: i64,
    pub image: i64,
    pub updated_at: Option<Moment>,
    pub recorded_from: Moment,
    pub source_file: &'a str,
    pub source_record: i64,
}

/// A row of the lake.
#[derive(Clone, PartialEq)]
pub enum Whole {
    Member(member::Row<'static>),
    Coverage(coverage::Row<'static>),
}

/// The same for the rows of both tables, which share these columns.
macro_rules! of_both {
    ($whole:expr, $row:ident => $do:expr) => {
        match $whole {
            Whole::Member($row) => $do,
            Whole::Coverage($row) => $do,
        }
    };
}

impl Whole {
    pub fn span(&self) -> Span {
        of_both!(self, row => (row.recorded_from, row.recorded_to))
    }

    pub fn set_span(&mut self, (from, to): Span) {
        of_both!(self, row => (row.recorded_from, row.recorded_to) = (from, to));
    }

    pub fn write(&self, writer: &mut TableWriter<'_>) -> Result<()> {
        of_both!(self, row => writer.push(row))
    }

    /// The same with another person, open from a moment on; `source_file` is that of the record that moved it.
    pub fn of_person(&self, state: &State, recorded_from: Moment, source_file: &str) -> Self {
        let mut own = self.clone();
        own.set_span((recorded_from, None));
        of_both!(&mut own, row => {
            row.link_no = state.link_no;
            if let Some(mover) = &state.moved {
                row.source_file = Cow::Owned(source_file.to_owned());
                row.source_record = mover.record;
                row.updated_at = mover.updated_at;
            }
        });
        own
    }

    pub fn into_state(self) -> State {
        let (link_no, image, updated_at, source_record) =
            of_both!(&self, row => (row.link_no, row.image, row.updated_at, row.source_record));
        State { link_no, image, updated_at, source_record, moved: None, body: Body::Stored(Box::new(self)) }
    }
}

/// A packed image with its frame, column by column.
struct Framed<'a> {
    frame: Frame<'a>,
    slots: std::slice::Iter<'static, Slot>,
    /// What is left of the image.
    rest: &'a [u8],
}

impl<'a> Framed<'a> {
    fn slot(&mut self) -> Option<Slot> {
        self.slots.next().copied()
    }

    /// The next value of the image: length + 1 in two bytes (0 = null), then the bytes.
    fn unpack(&mut self) -> Option<&'a [u8]> {
        let (length, tail) = self.rest.split_first_chunk::<2>()?;
        self.rest = tail;
        let length = usize::from(u16::from_le_bytes(*length)).checked_sub(1)?;
        let (own, tail) = self.rest.split_at_checked(length)?;
        self.rest = tail;
        Some(own)
    }
}

impl<'a> Source<'a> for Framed<'a> {
    fn text(&mut self) -> Option<&'a str> {
        match self.slot()? {
            Slot::InsurerCode => Some(self.frame.insurer_code),
            Slot::MemberNo => Some(self.frame.member_no),
            Slot::SourceFile => Some(self.frame.source_file),
            Slot::Packed => self.unpack().and_then(|bytes| std::str::from_utf8(bytes).ok()),
            _ => None,
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        self.slot().filter(|slot| *slot == Slot::Packed).and_then(|_| self.unpack())
    }

    fn int(&mut self) -> Option<i64> {
        match self.slot()? {
            Slot::CoverageSeq => Some(self.frame.coverage_seq),
            Slot::LinkNo => Some(self.frame.link_no),
            Slot::Image => Some(self.frame.image),
            Slot::SourceRecord => Some(self.frame.source_record),
            // The subscriber tables have no packed numbers or lists.
            Slot::Packed => self.unpack().and(None),
            _ => None,
        }
    }

    fn day(&mut self) -> Option<Day> {
        let packed = self.slot().filter(|slot| *slot == Slot::Packed).and_then(|_| self.unpack())?;
        packed.try_into().ok().map(|bytes| Day(i32::from_le_bytes(bytes)))
    }

    fn moment(&mut self) -> Option<Moment> {
        match self.slot()? {
            Slot::UpdatedAt => self.frame.updated_at,
            Slot::RecordedFrom => Some(self.frame.recorded_from),
            Slot::Packed => self.unpack()?.try_into().ok().map(|bytes| Moment(i64::from_le_bytes(bytes))),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<Vec<i32>> {
        self.slot().and_then(|_| self.unpack()).and(None)
    }
}

impl Target {
    pub const BOTH: [Self; 2] = [Self::Member, Self::Coverage];

    pub fn table(self) -> &'static Table {
        tables::of(match self {
            Self::Member => "member",
            Self::Coverage => "coverage",
        })
    }

    /// All rows of a batch.
    pub fn read(self, batch: &RecordBatch) -> Result<Vec<Whole>> {
        Ok(match self {
            Self::Member => member::Row::read(batch)?.into_iter().map(Whole::Member).collect(),
            Self::Coverage => coverage::Row::read(batch)?.into_iter().map(Whole::Coverage).collect(),
        })
    }

    /// For files of one layout version and encoding.
    pub fn packer(self, layout: &Layout, encoding: Encoding) -> Packer {
        let names = self.table().columns.iter().map(|c| c.name());
        let packed = names.filter(|name| Slot::of(name) == Slot::Packed);
        let part = |name: &str| {
            let field = |name: &str| layout.index(name);
            match name {
                "symbol_key" => field("symbol").map(Part::Key),
                "number_key" => field("number").map(Part::Key),
                "symbol_raw" => field("symbol").map(Part::Raw),
                "number_raw" => field("number").map(Part::Raw),
                name => field(name).map(Part::Field),
            }
            .unwrap_or(Part::Absent)
        };
        Packer { parts: packed.map(part).collect(), encoding }
    }

    /// Writes a new row: a packed image in its frame.
    pub fn write(self, packed: &[u8], frame: Frame<'_>, writer: &mut TableWriter<'_>) -> Result<()> {
        let [of_member, of_coverage] = &*SLOTS;
        let missing = || Error::internal("a packed record lacks a value that its table must have");
        let framed = |slots: &'static Vec<Slot>| Framed { frame, slots: slots.iter(), rest: packed };
        match self {
            Self::Member => writer.push(&member::Row::of(&mut framed(of_member)).ok_or_else(missing)?),
            Self::Coverage => writer.push(&coverage::Row::of(&mut framed(of_coverage)).ok_or_else(missing)?),
        }
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
    match bytes.transpose().map_err(|_| Error::internal("a checked field is longer than 65,534 bytes"))? {
        None => arena.extend_from_slice(&0u16.to_le_bytes()),
        Some((length, bytes)) => {
            arena.extend_from_slice(&length.to_le_bytes());
            arena.extend_from_slice(bytes);
        }
    }
    Ok(())
}
