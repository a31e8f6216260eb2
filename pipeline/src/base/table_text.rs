//! CSV as it goes out: CRLF, quotes only where they are needed.

use super::error::{Error, Result};

/// UTF-8 with the byte order mark that spreadsheets ask for.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

/// Rows being written.
pub struct TableText(csv::Writer<Vec<u8>>);

impl TableText {
    /// With what stands before the first row, a byte order mark or nothing.
    pub fn new(before: &[u8]) -> Self {
        let mut builder = csv::WriterBuilder::new();
        Self(builder.terminator(csv::Terminator::CRLF).flexible(true).from_writer(before.to_vec()))
    }

    /// A row of fields in whatever encoding they are.
    pub fn row<F: AsRef<[u8]>>(&mut self, fields: impl IntoIterator<Item = F>) -> Result<()> {
        Ok(self.0.write_record(fields)?)
    }

    pub fn bytes(self) -> Result<Vec<u8>> {
        self.0.into_inner().map_err(|error| Error::internal(error.to_string()))
    }

    /// The same as text, of rows that are text.
    pub fn text(self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|error| Error::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_with_crlf_and_only_what_must_be_is_quoted() {
        let mut text = TableText::new(b"");
        text.row(["項目", "", "a,b", "say \"x\""]).unwrap();
        text.row(["one"]).unwrap();
        assert_eq!(text.text().unwrap(), "項目,,\"a,b\",\"say \"\"x\"\"\"\r\none\r\n");
    }
}
