//! Columns of a table while rows are written: cells go straight into Arrow builders, none is kept in row form.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Date32Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder,
};
use shikaku_schemas::tables::{ColumnType, Table};

use super::row::{CellRef, arrow_schema};
use crate::error::{Error, Result};

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

    /// False when the cell has another type.
    fn push(&mut self, cell: CellRef<'_>) -> bool {
        match (self, cell) {
            (Self::Text(b), CellRef::Text(text)) => b.push(text),
            (Self::Text(b), CellRef::Null) => b.null(),
            (Self::Bytes(b), CellRef::Bytes(bytes)) => b.append_value(bytes),
            (Self::Bytes(b), CellRef::Null) => b.append_null(),
            (Self::Int(b), CellRef::Int(n)) => b.append_value(n),
            (Self::Int(b), CellRef::Null) => b.append_null(),
            (Self::Date(b), CellRef::Date(n)) => b.append_value(n),
            (Self::Date(b), CellRef::Null) => b.append_null(),
            (Self::Timestamp(b), CellRef::Timestamp(n)) => b.append_value(n),
            (Self::Timestamp(b), CellRef::Null) => b.append_null(),
            (Self::List(b), CellRef::List(items)) => {
                b.values().append_slice(items);
                b.append(true);
            }
            (Self::List(b), CellRef::Null) => b.append(false),
            _ => return false,
        }
        true
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

    /// Adds one row; a cell of another type than declared is an error that names the column.
    pub fn push<'c>(&mut self, cells: impl Iterator<Item = CellRef<'c>>) -> Result<()> {
        let mut filled = 0;
        for (cell, (builder, column)) in cells.zip(self.builders.iter_mut().zip(&self.table.columns)) {
            if !builder.push(cell) {
                return Err(self.wrong(column.name()));
            }
            filled += 1;
        }
        if filled != self.builders.len() {
            return Err(self.wrong("after the last cell"));
        }
        self.rows += 1;
        Ok(())
    }

    fn wrong(&self, column: &str) -> Error {
        Error::failed(format!("table {}, column {column}: a value is missing or has another type", self.table.name))
    }

    /// The rows so far as a batch; the builders are empty afterwards.
    pub fn batch(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        Ok(RecordBatch::try_new(arrow_schema(self.table), arrays)?)
    }
}
