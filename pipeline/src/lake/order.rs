//! The order of rows in a part: by key, then by `recorded_from`, then by all they say. Null comes first.

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::row::{RowConverter, Rows, SortField};
use rayon::prelude::*;
use shikaku_schemas::tables::Table;

use super::schema::arrow_schema;
use crate::base::error::{Error, Result};

/// Columns of a batch as bytes whose order is that of the rows.
pub struct Keys {
    converter: RowConverter,
    columns: Vec<String>,
}

impl Keys {
    /// Of these columns of a table.
    fn new(table: &Table, columns: Vec<String>) -> Result<Self> {
        let schema = arrow_schema(table);
        let fields = columns.iter().map(|name| Ok(SortField::new(schema.field_with_name(name)?.data_type().clone())));
        Ok(Self { converter: RowConverter::new(fields.collect::<Result<_>>()?)?, columns })
    }

    /// The key of a table, without recorded time.
    pub fn of(table: &Table) -> Result<Self> {
        Self::new(table, table.key.clone())
    }

    pub fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        let column = |name: &String| {
            let found = batch.column_by_name(name).cloned();
            found.ok_or_else(|| Error::integrity(format!("column {name} is missing")))
        };
        let columns: Vec<ArrayRef> = self.columns.iter().map(column).collect::<Result<_>>()?;
        Ok(self.converter.convert_columns(&columns)?)
    }
}

/// The rows of a batch in order.
pub fn sorted(table: &Table, batch: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = table.key.clone();
    columns.extend(table.index("recorded_from").map(|_| "recorded_from".to_owned()));
    let places = sorted_by(table, batch, columns.clone())?;
    let places = match places {
        (places, false) => places,
        // Rows with equal keys (a table that adds up) fall back to their whole content.
        (_, true) => {
            columns.extend(table.columns.iter().map(|c| c.name().to_owned()));
            sorted_by(table, batch, columns)?.0
        }
    };
    Ok(take_record_batch(batch, &UInt64Array::from(places))?)
}

/// Places in order, and whether two of them are equal.
fn sorted_by(table: &Table, batch: &RecordBatch, columns: Vec<String>) -> Result<(Vec<u64>, bool)> {
    let rows = Keys::new(table, columns)?.rows(batch)?;
    let at = |place: &u64| rows.row(usize::try_from(*place).unwrap_or(usize::MAX));
    let mut places: Vec<u64> = (0..u64::try_from(batch.num_rows()).unwrap_or(u64::MAX)).collect();
    places.par_sort_unstable_by(|a, b| at(a).cmp(&at(b)));
    let equal = places.windows(2).any(|two| at(&two[0]) == at(&two[1]));
    Ok((places, equal))
}
