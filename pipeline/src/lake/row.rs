//! Rows of cells, and their Arrow form by the declared schema of a table.

use std::sync::Arc;

use arrow::array::{
    Array, BinaryArray, Date32Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime};
use sha2::{Digest, Sha256};
use shikaku_schemas::tables::{ColumnType, Table};

use crate::error::{Error, Result};
use crate::time::{from_days, from_millis, to_days, to_millis};

/// One value of a row. The order (null first) is the sort order of parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum Cell {
    #[default]
    Null,
    Text(String),
    Bytes(Vec<u8>),
    Int(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Milliseconds since 1970-01-01, JST wall time.
    Timestamp(i64),
    List(Vec<i32>),
}

/// A cell that is only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellRef<'a> {
    Null,
    Text(&'a str),
    Bytes(&'a [u8]),
    Int(i64),
    Date(i32),
    Timestamp(i64),
    List(&'a [i32]),
}

/// Cells in the order of the table's columns.
pub type Row = Vec<Cell>;

impl Cell {
    pub fn as_ref(&self) -> CellRef<'_> {
        match self {
            Self::Null => CellRef::Null,
            Self::Text(text) => CellRef::Text(text),
            Self::Bytes(bytes) => CellRef::Bytes(bytes),
            Self::Int(n) => CellRef::Int(*n),
            Self::Date(n) => CellRef::Date(*n),
            Self::Timestamp(n) => CellRef::Timestamp(*n),
            Self::List(items) => CellRef::List(items),
        }
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn date(date: NaiveDate) -> Self {
        Self::Date(to_days(date))
    }

    pub fn timestamp(at: NaiveDateTime) -> Self {
        Self::Timestamp(to_millis(at))
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    pub fn as_date(&self) -> Option<NaiveDate> {
        match self {
            Self::Date(days) => Some(from_days(*days)),
            _ => None,
        }
    }

    pub fn as_timestamp(&self) -> Option<NaiveDateTime> {
        match self {
            Self::Timestamp(millis) => Some(from_millis(*millis)),
            _ => None,
        }
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}
impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<i64> for Cell {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}
impl From<Option<i64>> for Cell {
    fn from(n: Option<i64>) -> Self {
        n.map_or(Self::Null, Self::Int)
    }
}
impl From<NaiveDate> for Cell {
    fn from(date: NaiveDate) -> Self {
        Self::date(date)
    }
}
impl From<Option<NaiveDate>> for Cell {
    fn from(date: Option<NaiveDate>) -> Self {
        date.map_or(Self::Null, Self::date)
    }
}
impl From<NaiveDateTime> for Cell {
    fn from(at: NaiveDateTime) -> Self {
        Self::timestamp(at)
    }
}
impl From<Option<NaiveDateTime>> for Cell {
    fn from(at: Option<NaiveDateTime>) -> Self {
        at.map_or(Self::Null, Self::timestamp)
    }
}

/// Arrow schema of a table.
pub fn arrow_schema(table: &Table) -> SchemaRef {
    let fields: Vec<Field> = table
        .columns
        .iter()
        .map(|column| {
            let kind = match column.kind() {
                ColumnType::String => DataType::Utf8,
                ColumnType::Binary => DataType::Binary,
                ColumnType::Int64 => DataType::Int64,
                ColumnType::Date => DataType::Date32,
                ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
                ColumnType::ListInt32 => DataType::List(Arc::new(Field::new("item", DataType::Int32, true))),
            };
            Field::new(column.name(), kind, column.nullable())
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Rows of a batch that was read whole (all columns of the table, in order).
pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
    for (index, array) in batch.columns().iter().enumerate() {
        macro_rules! take {
            ($kind:ty, $array:ident, $i:ident => $cell:expr) => {{
                let Some($array) = array.as_any().downcast_ref::<$kind>() else {
                    return Err(Error::integrity(format!("column {index} has an unexpected type")));
                };
                for ($i, row) in rows.iter_mut().enumerate() {
                    row.push(if $array.is_null($i) { Cell::Null } else { $cell });
                }
            }};
        }
        match array.data_type() {
            DataType::Utf8 => take!(StringArray, a, i => Cell::Text(a.value(i).to_owned())),
            DataType::Binary => take!(BinaryArray, a, i => Cell::Bytes(a.value(i).to_vec())),
            DataType::Int64 => take!(Int64Array, a, i => Cell::Int(a.value(i))),
            DataType::Date32 => take!(Date32Array, a, i => Cell::Date(a.value(i))),
            DataType::Timestamp(..) => take!(TimestampMillisecondArray, a, i => Cell::Timestamp(a.value(i))),
            DataType::List(_) => take!(ListArray, a, i => Cell::List(list_items(a, i)?)),
            other => return Err(Error::integrity(format!("column {index} has the type {other}"))),
        }
    }
    Ok(rows)
}

fn list_items(array: &ListArray, index: usize) -> Result<Vec<i32>> {
    let items = array.value(index);
    let numbers = items.as_any().downcast_ref::<Int32Array>();
    numbers.map(|n| n.values().to_vec()).ok_or_else(|| Error::integrity("a list holds no 32-bit integers"))
}

/// Digest of row contents, independent of encryption and file layout.
pub struct ContentDigest {
    sha256: Sha256,
    /// Cells gathered for one update.
    pending: Vec<u8>,
    /// Text last seen in each column; the same again counts as one byte, since columns of equal text are many.
    above: Vec<Vec<u8>>,
    column: usize,
}

impl ContentDigest {
    pub fn new(table: &Table) -> Self {
        let above = vec![Vec::new(); table.columns.len()];
        Self { sha256: Sha256::new(), pending: Vec::new(), above, column: 0 }
    }

    pub fn add(&mut self, row: &[Cell]) {
        row.iter().for_each(|cell| self.cell(cell.as_ref()));
    }

    pub fn cell(&mut self, cell: CellRef<'_>) {
        match cell {
            CellRef::Null => self.pending.push(0),
            CellRef::Text(text) => self.text(text.as_bytes()),
            CellRef::Bytes(bytes) => self.bytes(2, bytes),
            CellRef::Int(n) => self.fixed(3, &n.to_le_bytes()),
            CellRef::Date(n) => self.fixed(4, &n.to_le_bytes()),
            CellRef::Timestamp(n) => self.fixed(5, &n.to_le_bytes()),
            CellRef::List(items) => self.bytes(6, &items.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>()),
        }
        self.column = if self.column + 1 < self.above.len() { self.column + 1 } else { 0 };
        if self.pending.len() > 1 << 13 {
            self.sha256.update(&self.pending);
            self.pending.clear();
        }
    }

    fn text(&mut self, text: &[u8]) {
        let Some(above) = self.above.get_mut(self.column) else { return };
        if !text.is_empty() && above.as_slice() == text {
            self.pending.push(7);
            return;
        }
        above.clear();
        above.extend_from_slice(text);
        self.fixed(1, text);
        // 0xff stands in no UTF-8 text.
        self.pending.push(0xff);
    }

    fn fixed(&mut self, kind: u8, bytes: &[u8]) {
        self.pending.push(kind);
        self.pending.extend_from_slice(bytes);
    }

    /// Bytes and lists have their length before them.
    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.pending.push(kind);
        self.pending.extend_from_slice(&bytes.len().to_le_bytes());
        self.pending.extend_from_slice(bytes);
    }

    pub fn finish(mut self) -> String {
        self.sha256.update(&self.pending);
        crate::digest::hex(&self.sha256.finalize())
    }
}
