//! Columns of a table while rows are gathered: values go straight into Arrow builders, none is kept in row form.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Date32Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder,
};
use shikaku_schemas::tables::{ColumnType, Table};

use super::schema::arrow_schema;
use super::typed::Record;
use crate::base::error::{Error, Result};
use crate::base::time::{Day, Moment};

enum Builder {
    Text(TextBuilder),
    Bytes(BinaryBuilder),
    Int(Int64Builder),
    Date(Date32Builder),
    Timestamp(TimestampMillisecondBuilder),
    List(ListBuilder<Int32Builder>),
}

/// Text in runs of equal values, since many columns hardly change from row to row.
struct TextBuilder {
    done: StringBuilder,
    /// The value of the newest run, and how often it is still to be written.
    value: String,
    run: usize,
}

impl TextBuilder {
    fn new() -> Self {
        Self { done: StringBuilder::new(), value: String::new(), run: 0 }
    }

    fn push(&mut self, text: &str) {
        if self.run == 0 || self.value != text {
            self.settle();
            self.value.clear();
            self.value.push_str(text);
        }
        self.run += 1;
    }

    fn settle(&mut self) {
        for _ in 0..std::mem::take(&mut self.run) {
            self.done.append_value(&self.value);
        }
    }

    fn null(&mut self) {
        self.settle();
        self.done.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        self.settle();
        Arc::new(self.done.finish())
    }
}

impl Builder {
    fn of(kind: ColumnType) -> Self {
        match kind {
            ColumnType::String => Self::Text(TextBuilder::new()),
            ColumnType::Binary => Self::Bytes(BinaryBuilder::new()),
            ColumnType::Int64 => Self::Int(Int64Builder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp => Self::Timestamp(TimestampMillisecondBuilder::new()),
            ColumnType::ListInt32 => Self::List(ListBuilder::new(Int32Builder::new())),
        }
    }

    fn null(&mut self) {
        match self {
            Self::Text(b) => b.null(),
            Self::Bytes(b) => b.append_null(),
            Self::Int(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::List(b) => b.append(false),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(b) => b.finish(),
            Self::Bytes(b) => Arc::new(b.finish()),
            Self::Int(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::List(b) => Arc::new(b.finish()),
        }
    }
}

/// Takes the values of one row in the order of the columns.
pub struct Sink<'s> {
    rest: std::slice::IterMut<'s, Builder>,
    fits: bool,
}

impl Sink<'_> {
    pub(super) fn null(&mut self) {
        match self.rest.next() {
            Some(builder) => builder.null(),
            None => self.fits = false,
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        match self.rest.next() {
            Some(Builder::Text(b)) => b.push(text),
            _ => self.fits = false,
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        match self.rest.next() {
            Some(Builder::Bytes(b)) => b.append_value(bytes),
            _ => self.fits = false,
        }
    }

    pub(super) fn int(&mut self, n: i64) {
        match self.rest.next() {
            Some(Builder::Int(b)) => b.append_value(n),
            _ => self.fits = false,
        }
    }

    pub(super) fn day(&mut self, day: Day) {
        match self.rest.next() {
            Some(Builder::Date(b)) => b.append_value(day.0),
            _ => self.fits = false,
        }
    }

    pub(super) fn moment(&mut self, at: Moment) {
        match self.rest.next() {
            Some(Builder::Timestamp(b)) => b.append_value(at.0),
            _ => self.fits = false,
        }
    }

    pub(super) fn list(&mut self, items: &[i32]) {
        match self.rest.next() {
            Some(Builder::List(b)) => {
                b.values().append_slice(items);
                b.append(true);
            }
            _ => self.fits = false,
        }
    }
}

/// Builders of all columns of a table.
pub struct Columns {
    table: &'static Table,
    builders: Vec<Builder>,
    rows: usize,
}

impl Columns {
    pub fn new(table: &'static Table) -> Self {
        Self { table, builders: table.columns.iter().map(|c| Builder::of(c.kind())).collect(), rows: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds one row of the table.
    pub fn push<R: Record>(&mut self, row: &R) -> Result<()> {
        let mut sink = Sink { rest: self.builders.iter_mut(), fits: R::TABLE == self.table.name };
        if sink.fits {
            row.put(&mut sink);
        }
        if !sink.fits || sink.rest.next().is_some() {
            return Err(Error::internal(format!("a row of {} does not fit table {}", R::TABLE, self.table.name)));
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far as a batch; the builders are empty afterwards.
    pub fn batch(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        Ok(RecordBatch::try_new(arrow_schema(self.table), arrays)?)
    }
}

/// Rows of one table as a batch.
pub fn batch_of<R: Record>(rows: impl IntoIterator<Item = R>) -> Result<RecordBatch> {
    let mut columns = Columns::new(shikaku_schemas::tables::of(R::TABLE));
    rows.into_iter().try_for_each(|row| columns.push(&row))?;
    columns.batch()
}
