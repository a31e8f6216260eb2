//! Delimited files: one record by field names, a body with header and trailer.

use chrono::NaiveDateTime;
use shikaku_schemas::layout::{self, Layout};

use crate::base::error::{Error, Result};
use crate::text::cp932::Encoding;

/// One record: encoded fields in layout order.
#[derive(Debug, Clone)]
pub struct Row {
    layout: &'static Layout,
    encoding: Encoding,
    fields: Vec<Vec<u8>>,
}

impl Row {
    pub fn new(kind: &str, encoding: Encoding) -> Self {
        let layout = layout::of(kind);
        Self { layout, encoding, fields: vec![Vec::new(); layout.fields.len()] }
    }

    pub fn set(&mut self, name: &str, text: &str) -> Result<()> {
        let bytes = encode(self.encoding, text)?;
        self.set_bytes(name, bytes)
    }

    /// Sets bytes that need not be characters.
    pub fn set_bytes(&mut self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let index = self.layout.index(name).ok_or_else(|| Error::failed(format!("synth: no field {name}")))?;
        self.fields[index] = bytes;
        Ok(())
    }

    /// Whether a field holds an ASCII text.
    pub fn is(&self, name: &str, text: &str) -> bool {
        self.layout.index(name).is_some_and(|index| self.fields[index] == text.as_bytes())
    }

    pub fn set_if_blank(&mut self, name: &str, text: &str) -> Result<()> {
        if self.is(name, "") { self.set(name, text) } else { Ok(()) }
    }

    /// The same record with some fields changed.
    pub fn with(mut self, changes: &[(&str, &str)]) -> Result<Self> {
        for (name, text) in changes {
            self.set(name, text)?;
        }
        Ok(self)
    }

    /// The same record with one more field than the layout has.
    pub fn with_extra_field(mut self) -> Self {
        self.fields.push(b"1".to_vec());
        self
    }

    /// The D line with its fields as they stand, quotes and all.
    pub fn unquoted_line(&self) -> Vec<u8> {
        let mut line = b"D".to_vec();
        for field in &self.fields {
            line.push(b',');
            line.extend_from_slice(field);
        }
        line
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }
}

/// Encodes text; a name without a code would be a fault of the lists.
pub fn encode(encoding: Encoding, text: &str) -> Result<Vec<u8>> {
    encoding.encode(text).ok_or_else(|| Error::failed("synth: a text has no code in its encoding"))
}

/// A file while its lines are gathered.
#[derive(Debug, Clone)]
pub struct Body {
    pub kind: String,
    pub origin: String,
    pub receipt_no: u64,
    pub created: NaiveDateTime,
    pub encoding: Encoding,
    pub count: u64,
    lines: Vec<u8>,
}

/// How the end of a file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Right,
    /// The file breaks off before its E line.
    Missing,
    /// E names one record too many.
    WrongCount,
}

impl Body {
    pub fn new(kind: &str, origin: &str, receipt_no: u64, created: NaiveDateTime, encoding: Encoding) -> Self {
        let (kind, origin) = (kind.to_owned(), origin.to_owned());
        Self { kind, origin, receipt_no, created, encoding, count: 0, lines: Vec::new() }
    }

    pub fn push(&mut self, row: &Row) {
        self.lines.push(b'D');
        for field in &row.fields {
            self.lines.push(b',');
            quote(field, &mut self.lines);
        }
        self.lines.extend_from_slice(self.line_end());
        self.count += 1;
    }

    /// A D line as it stands, for lines that no record makes.
    pub fn push_line(&mut self, line: &[u8]) {
        self.lines.extend_from_slice(line);
        self.lines.extend_from_slice(self.line_end());
        self.count += 1;
    }

    fn line_end(&self) -> &'static [u8] {
        if self.encoding == Encoding::Utf8 { b"\n" } else { b"\r\n" }
    }

    pub fn bytes(&self, ending: Ending) -> Vec<u8> {
        let created = self.created.format("%Y%m%d%H%M%S");
        let (end, count) = (self.line_end(), self.count);
        let mut out = format!("H,{},01,{},{},{created},{count}", self.kind, self.origin, self.receipt_no).into_bytes();
        out.extend_from_slice(end);
        out.extend_from_slice(&self.lines);
        let trailer = match ending {
            Ending::Right => format!("E,{count}"),
            Ending::WrongCount => format!("E,{}", count + 1),
            Ending::Missing => return out,
        };
        out.extend_from_slice(trailer.as_bytes());
        out.extend_from_slice(end);
        out
    }

    /// `<kind>_<origin>_<YYYYMMDD>_<receipt no>.csv`
    pub fn name(&self) -> String {
        format!("{}_{}_{}_{}.csv", self.kind, self.origin, self.created.format("%Y%m%d"), self.receipt_no)
    }
}

/// Quotes as RFC 4180 asks. A trail byte of CP932 is never a comma, a quote or a line end.
fn quote(field: &[u8], out: &mut Vec<u8>) {
    if !field.iter().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n')) {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    for byte in field {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
