//! Values of a batch as text, for exports and reports: dates and times as ISO 8601, bytes as hex, lists joined by spaces.

use arrow::array::{Array, BinaryArray, Date32Array, Int32Array, ListArray, RecordBatch, TimestampMillisecondArray};
use arrow::util::display::array_value_to_string;

use crate::base::digest;
use crate::base::error::Result;
use crate::base::time::{Day, Moment};

/// One value; null is empty.
pub fn value(array: &dyn Array, row: usize) -> Result<String> {
    if array.is_null(row) {
        return Ok(String::new());
    }
    let any = array.as_any();
    if let Some(bytes) = any.downcast_ref::<BinaryArray>() {
        return Ok(digest::hex(bytes.value(row)));
    }
    if let Some(dates) = any.downcast_ref::<Date32Array>() {
        return Ok(Day(dates.value(row)).date().to_string());
    }
    if let Some(times) = any.downcast_ref::<TimestampMillisecondArray>() {
        return Ok(Moment(times.value(row)).at().format("%Y-%m-%dT%H:%M:%S%.f").to_string());
    }
    if let Some(lists) = any.downcast_ref::<ListArray>() {
        let items = lists.value(row);
        let numbers = items.as_any().downcast_ref::<Int32Array>().map_or(&[][..], |n| n.values());
        return Ok(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(array_value_to_string(array, row)?)
}

/// One row, column by column.
pub fn row(batch: &RecordBatch, row: usize) -> Result<Vec<String>> {
    batch.columns().iter().map(|array| value(array, row)).collect()
}
