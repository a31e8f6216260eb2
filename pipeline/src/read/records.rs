//! RFC 4180 records over any reader, with line and byte of each record and a bound on its size.

use std::io::Read;

use csv_core::{ReadRecordResult, Reader};

/// Largest record in bytes after unquoting: a SUB line with every field at its limit is under 5 KiB.
pub const MAX_RECORD: usize = 64 * 1024;
/// Most fields of a record; the widest layout has 35.
const MAX_FIELDS: usize = 256;

/// Why no record could be read.
#[derive(Debug)]
pub enum RecordError {
    /// A record is larger than [`MAX_RECORD`] or has too many fields.
    TooLarge {
        line: u64,
    },
    Io(std::io::Error),
}

/// One record; slices live until the next one is read.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    data: &'a [u8],
    ends: &'a [usize],
    /// Line of its first byte, from 1.
    pub line: u64,
    /// Offset of its first byte in the file.
    pub byte: u64,
    /// Its quotes are not as RFC 4180 has them: the reader and the sender may see other fields.
    pub misquoted: bool,
}

impl<'a> RawRecord<'a> {
    /// A record of fields that lie one after the other in `data`, each ending where `ends` says.
    pub fn new(data: &'a [u8], ends: &'a [usize], line: u64, byte: u64) -> Self {
        Self { data, ends, line, byte, misquoted: false }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Field by position; empty when there is none.
    pub fn field(&self, index: usize) -> &'a [u8] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.data[start..end]
    }
}

/// A pull reader of records.
pub struct Records<R> {
    source: R,
    core: Reader,
    input: Vec<u8>,
    start: usize,
    filled: usize,
    data: Vec<u8>,
    ends: Vec<usize>,
    byte: u64,
    line: u64,
    at_end: bool,
    /// Of the record last read: bytes, fields, line, byte.
    current: (usize, usize, u64, u64),
    quotes: Quotes,
    misquoted: bool,
}

/// Where the bytes read so far stand towards quoting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    FieldStart,
    Plain,
    Quoted,
    /// Behind a quote inside a quoted field: it ends there or is doubled.
    Closing,
}

impl Quotes {
    /// The state after a byte; `None` = the byte may not stand there.
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Quoted, b'"') => Some(Self::Closing),
            (Self::Quoted, _) | (Self::FieldStart | Self::Closing, b'"') => Some(Self::Quoted),
            (_, b',' | b'\n' | b'\r') => Some(Self::FieldStart),
            (Self::FieldStart | Self::Plain, b) if b != b'"' => Some(Self::Plain),
            _ => None,
        }
    }

    /// The state after bytes without any quote that began at a field.
    fn after_plain(bytes: &[u8]) -> Self {
        if matches!(bytes.last(), None | Some(b',' | b'\n' | b'\r')) { Self::FieldStart } else { Self::Plain }
    }
}

impl<R: Read> Records<R> {
    pub fn new(source: R) -> Self {
        Self::with_buffer(source, 1 << 16)
    }

    /// `buffer` is the size of one read; results do not depend on it.
    pub fn with_buffer(source: R, buffer: usize) -> Self {
        Self {
            source,
            core: Reader::new(),
            input: vec![0; buffer.max(1)],
            start: 0,
            filled: 0,
            data: vec![0; MAX_RECORD],
            ends: vec![0; MAX_FIELDS],
            byte: 0,
            line: 1,
            at_end: false,
            current: (0, 0, 1, 0),
            quotes: Quotes::FieldStart,
            misquoted: false,
        }
    }

    /// Whether the input starts with a UTF-8 byte order mark; if so it is skipped.
    pub fn skip_bom(&mut self) -> Result<bool, std::io::Error> {
        while self.filled - self.start < 3 && !self.at_end {
            if self.input.len() < 3 {
                self.input.resize(3, 0);
            }
            let n = self.source.read(&mut self.input[self.filled..])?;
            self.at_end |= n == 0;
            self.filled += n;
        }
        let found = self.input[self.start..self.filled].starts_with(b"\xef\xbb\xbf");
        if found {
            self.start += 3;
            self.byte += 3;
        }
        Ok(found)
    }

    /// The next record, or `None` at the end. Empty lines are passed over.
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_>>, RecordError> {
        Ok(if self.advance()? { Some(self.current()) } else { None })
    }

    /// The record last read.
    pub fn current(&self) -> RawRecord<'_> {
        let (used, fields, line, byte) = self.current;
        let (data, ends) = (&self.data[..used], &self.ends[..fields]);
        RawRecord { data, ends, line, byte, misquoted: self.misquoted }
    }

    /// Reads the next record into [`Self::current`]; false at the end.
    pub fn advance(&mut self) -> Result<bool, RecordError> {
        let (mut used, mut fields) = (0, 0);
        // Line ends left over from the record before belong to no record.
        self.skip_line_ends()?;
        let (line, byte) = (self.line, self.byte);
        self.quotes = Quotes::FieldStart;
        self.misquoted = false;
        loop {
            if self.start == self.filled && !self.at_end {
                self.start = 0;
                self.filled = self.source.read(&mut self.input).map_err(RecordError::Io)?;
                self.at_end = self.filled == 0;
            }
            let chunk = &self.input[self.start..self.filled];
            let (result, read, wrote, ends) =
                self.core.read_record(chunk, &mut self.data[used..], &mut self.ends[fields..]);
            let passed = &chunk[..read];
            self.line += u64::try_from(memchr::memchr_iter(b'\n', passed).count()).unwrap_or(0);
            // Most files have no quote at all; then there is nothing to follow.
            if self.quotes == Quotes::FieldStart && memchr::memchr(b'"', passed).is_none() {
                self.quotes = if read == 0 { self.quotes } else { Quotes::after_plain(passed) };
            } else {
                for byte in passed {
                    match self.quotes.after(*byte) {
                        Some(next) => self.quotes = next,
                        None => {
                            self.misquoted = true;
                            self.quotes = Quotes::Plain;
                        }
                    }
                }
            }
            self.start += read;
            self.byte += u64::try_from(read).unwrap_or(0);
            used += wrote;
            fields += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(RecordError::TooLarge { line });
                }
                ReadRecordResult::Record => {
                    self.current = (used, fields, line, byte);
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    fn skip_line_ends(&mut self) -> Result<(), RecordError> {
        loop {
            while self.start < self.filled {
                match self.input[self.start] {
                    b'\n' => self.line += 1,
                    b'\r' => {}
                    _ => return Ok(()),
                }
                self.start += 1;
                self.byte += 1;
            }
            if self.at_end {
                return Ok(());
            }
            self.start = 0;
            self.filled = self.source.read(&mut self.input).map_err(RecordError::Io)?;
            self.at_end = self.filled == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = Vec<(u64, u64, Vec<Vec<u8>>)>;

    fn all(bytes: &[u8], buffer: usize) -> Owned {
        let mut records = Records::with_buffer(bytes, buffer);
        let mut out = Vec::new();
        while let Some(r) = records.next_record().unwrap() {
            out.push((r.line, r.byte, (0..r.len()).map(|i| r.field(i).to_vec()).collect()));
        }
        out
    }

    #[test]
    fn records_know_their_line_and_byte() {
        let read = all(b"H,a\r\n\r\nD,\"x,\r\ny\",z\nE,1", 4096);
        let at: Vec<(u64, u64)> = read.iter().map(|r| (r.0, r.1)).collect();
        assert_eq!(at, [(1, 0), (3, 7), (5, 19)]);
        assert_eq!(read[1].2, [b"D".to_vec(), b"x,\r\ny".to_vec(), b"z".to_vec()]);
    }

    #[test]
    fn quotes_that_rfc_4180_does_not_have_are_seen_for_any_buffer() {
        for (text, bad) in [
            ("D,\"a\"\"b\",c\n", false),
            ("D,\"a,\r\nb\"\n", false),
            ("D,a\"b,c\n", true),
            ("D,\"a\"b,c\n", true),
            ("D,a,b\n", false),
        ] {
            for buffer in [1, 2, 3, 64] {
                let mut records = Records::with_buffer(text.as_bytes(), buffer);
                assert!(records.advance().unwrap());
                assert_eq!(records.current().misquoted, bad, "{text:?} with {buffer}");
            }
        }
    }

    #[test]
    fn a_record_without_end_is_too_large_not_unbounded() {
        let endless = std::io::repeat(b'a').take(10 << 20);
        assert!(matches!(Records::new(endless).next_record(), Err(RecordError::TooLarge { line: 1 })));
    }

    proptest! {
        // N4: the same records for read buffers of any size.
        #[test]
        fn buffer_boundaries_do_not_show(bytes in proptest::collection::vec(prop_oneof![
            Just(b','), Just(b'"'), Just(b'\r'), Just(b'\n'), Just(0x83u8), Just(0x5cu8), any::<u8>()], 0..200)) {
            let whole = all(&bytes, 65536);
            for buffer in [1, 2, 3, 7, 4096] {
                prop_assert_eq!(&all(&bytes, buffer), &whole);
            }
        }
    }
}
