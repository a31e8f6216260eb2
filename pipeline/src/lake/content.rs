//! Digest of row contents, independent of encryption, of file layout and of how the rows were cut into batches.

use arrow::array::{
    Array, BinaryArray, Date32Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use sha2::{Digest, Sha256};
use shikaku_schemas::tables::Table;

use crate::base::error::{Error, Result};

/// A column whose type is known.
enum Values<'b> {
    Text(&'b StringArray),
    Bytes(&'b BinaryArray),
    Int(&'b Int64Array),
    Date(&'b Date32Array),
    Timestamp(&'b TimestampMillisecondArray),
    List(&'b ListArray),
}

impl<'b> Values<'b> {
    fn of(array: &'b dyn Array) -> Option<Self> {
        let any = array.as_any();
        let text = any.downcast_ref().map(Self::Text);
        let numbers = || any.downcast_ref().map(Self::Int).or_else(|| any.downcast_ref().map(Self::Timestamp));
        let others = || any.downcast_ref().map(Self::Date).or_else(|| any.downcast_ref().map(Self::Bytes));
        text.or_else(numbers).or_else(others).or_else(|| any.downcast_ref().map(Self::List))
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(a) => a.is_null(row),
            Self::Bytes(a) => a.is_null(row),
            Self::Int(a) => a.is_null(row),
            Self::Date(a) => a.is_null(row),
            Self::Timestamp(a) => a.is_null(row),
            Self::List(a) => a.is_null(row),
        }
    }
}

/// Takes batches, row by row.
pub struct ContentDigest {
    sha256: Sha256,
    /// Values gathered for one update.
    pending: Vec<u8>,
    /// Text last seen in each column; the same again counts as one byte, since columns of equal text are many.
    above: Vec<Vec<u8>>,
}

impl ContentDigest {
    pub fn new(table: &Table) -> Self {
        let above = vec![Vec::new(); table.columns.len()];
        Self { sha256: Sha256::new(), pending: Vec::new(), above }
    }

    /// Adds the rows of a batch of the whole table.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let strange = || Error::integrity("a column has an unexpected type");
        let columns: Vec<Values<'_>> =
            batch.columns().iter().map(|array| Values::of(array).ok_or_else(strange)).collect::<Result<_>>()?;
        for row in 0..batch.num_rows() {
            for (values, above) in columns.iter().zip(&mut self.above) {
                value(&mut self.pending, values, row, above);
            }
            if self.pending.len() > 1 << 13 {
                self.sha256.update(&self.pending);
                self.pending.clear();
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> String {
        self.sha256.update(&self.pending);
        crate::base::digest::hex(&self.sha256.finalize())
    }
}

/// Its type in one byte, then the value; what has no fixed length is told apart by an end or by its length before it.
fn value(out: &mut Vec<u8>, values: &Values<'_>, row: usize, above: &mut Vec<u8>) {
    if values.is_null(row) {
        return out.push(0);
    }
    match values {
        Values::Text(a) => text(out, a.value(row).as_bytes(), above),
        Values::Bytes(a) => with_length(out, 2, a.value(row)),
        Values::Int(a) => fixed(out, 3, &a.value(row).to_le_bytes()),
        Values::Date(a) => fixed(out, 4, &a.value(row).to_le_bytes()),
        Values::Timestamp(a) => fixed(out, 5, &a.value(row).to_le_bytes()),
        Values::List(a) => {
            let items = a.value(row);
            let numbers = items.as_any().downcast_ref::<Int32Array>().map_or(&[][..], |n| n.values());
            with_length(out, 6, &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
        }
    }
}

fn text(out: &mut Vec<u8>, text: &[u8], above: &mut Vec<u8>) {
    if !text.is_empty() && above.as_slice() == text {
        return out.push(7);
    }
    above.clear();
    above.extend_from_slice(text);
    fixed(out, 1, text);
    // 0xff stands in no UTF-8 text.
    out.push(0xff);
}

fn fixed(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn with_length(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&bytes.len().to_le_bytes());
    out.extend_from_slice(bytes);
}
