//! Arrow schemas of the declared tables, and columns of batches by their names.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use shikaku_schemas::tables::{ColumnType, Table};

use crate::base::error::{Error, Result};

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

/// A column of a batch by its name.
pub fn named<'b, T: Array + 'static>(batch: &'b RecordBatch, name: &str) -> Result<&'b T> {
    let found = batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref::<T>());
    found.ok_or_else(|| Error::integrity(format!("column {name} is missing or has another type")))
}
