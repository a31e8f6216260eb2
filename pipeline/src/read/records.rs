//! RFC 4180 records over any reader, with line and byte of each record and a bound on its size.

use std::io::Read;
use std::ops::Range;

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
    /// Bytes between two fields in `data`: 1 where it is the line itself, 0 where quotes were taken off.
    gap: usize,
    /// Where the fields began in the file, of a record that had quotes.
    starts: &'a [Start],
    /// Where the values of an XML record lie in the file, of the fields from 1 on.
    ranges: &'a [Range<u64>],
    /// Line of its first byte, from 1.
    pub line: u64,
    /// Offset of its first byte in the file.
    pub byte: u64,
    /// Its quotes are not as RFC 4180 has them: the reader and the sender may see other fields.
    pub misquoted: bool,
    /// Of an XML file: an element that is unknown, repeated, nested or not readable; it follows the fields of the layout.
    pub misshapen: bool,
}

/// Where a field begins in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Start {
    pub line: u64,
    pub byte: u64,
    quoted: bool,
}

impl<'a> RawRecord<'a> {
    /// A record of fields that lie one after the other in `data`, each ending where `ends` says; `starts` may be empty.
    pub fn new(data: &'a [u8], ends: &'a [usize], starts: &'a [Start], line: u64, byte: u64) -> Self {
        Self { data, ends, gap: 0, starts, ranges: &[], line, byte, misquoted: false, misshapen: false }
    }

    /// The same of an XML file, whose values lie where these ranges say.
    pub fn with_ranges(self, ranges: &'a [Range<u64>]) -> Self {
        Self { ranges, ..self }
    }

    /// Bytes of the file that a field was written with, without quotes around it.
    pub fn raw_range(&self, index: usize) -> Range<u64> {
        match index.checked_sub(1).and_then(|at| self.ranges.get(at)) {
            Some(range) => range.clone(),
            None => self.place(index, 0).1..self.place(index, self.field(index).len()).1,
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] + self.gap }
    }

    /// Field by position; empty when there is none.
    pub fn field(&self, index: usize) -> &'a [u8] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        &self.data[self.start(index)..end]
    }

    /// Line and offset in the file of a byte of a field.
    pub fn place(&self, index: usize, offset: usize) -> (u64, u64) {
        let far = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let Some(start) = self.starts.get(index) else {
            return (self.line, self.byte + far(self.start(index) + offset));
        };
        // Inside quotes a quote stands twice and a line may end.
        let before = &self.field(index)[..offset];
        let count = |b: u8| far(memchr::memchr_iter(b, before).count());
        let quotes = if start.quoted { 1 + count(b'"') } else { 0 };
        (start.line + count(b'\n'), start.byte + far(offset) + quotes)
    }
}

/// A pull reader of records.
pub struct Records<R> {
    source: R,
    /// Size of one read.
    step: usize,
    core: Reader,
    input: Vec<u8>,
    start: usize,
    filled: usize,
    data: Vec<u8>,
    ends: Vec<usize>,
    starts: Vec<Start>,
    byte: u64,
    line: u64,
    at_end: bool,
    /// The record last read.
    current: Current,
    quotes: Quotes,
}

/// Where the record last read lies.
#[derive(Debug, Clone, Copy, Default)]
struct Current {
    /// Its line in `input`; `None` = unquoted into `data`, `used` bytes of it.
    in_input: Option<(usize, usize)>,
    used: usize,
    fields: usize,
    line: u64,
    byte: u64,
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
}

impl<R: Read> Records<R> {
    pub fn new(source: R) -> Self {
        Self::with_buffer(source, 1 << 16)
    }

    /// `buffer` is the size of one read; results do not depend on it.
    pub fn with_buffer(source: R, buffer: usize) -> Self {
        let step = buffer.max(1);
        Self {
            source,
            step,
            core: Reader::new(),
            input: vec![0; step],
            start: 0,
            filled: 0,
            data: Vec::new(),
            ends: Vec::new(),
            starts: Vec::new(),
            byte: 0,
            line: 1,
            at_end: false,
            current: Current::default(),
            quotes: Quotes::FieldStart,
        }
    }

    /// Whether the input starts with a UTF-8 byte order mark; if so it is skipped.
    pub fn skip_bom(&mut self) -> Result<bool, std::io::Error> {
        while self.filled - self.start < 3 && !self.at_end {
            self.read_more()?;
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
        let Current { in_input, used, fields, line, byte, misquoted } = self.current;
        let ends = &self.ends[..fields];
        match in_input {
            Some((from, to)) => RawRecord {
                ranges: &[],
                data: &self.input[from..to],
                ends,
                gap: 1,
                starts: &[],
                line,
                byte,
                misquoted,
                misshapen: false,
            },
            None => RawRecord {
                ranges: &[],
                data: &self.data[..used],
                ends,
                gap: 0,
                starts: &self.starts,
                line,
                byte,
                misquoted,
                misshapen: false,
            },
        }
    }

    /// Reads the next record into [`Self::current`]; false at the end.
    pub fn advance(&mut self) -> Result<bool, RecordError> {
        // Line ends left over from the record before belong to no record.
        self.skip_line_ends()?;
        match self.plain_line()? {
            Some(found) => Ok(found),
            None => self.quoted_record(),
        }
    }

    /// Reads on behind what is there.
    fn read_more(&mut self) -> std::io::Result<()> {
        if self.start > 0 {
            self.input.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
        if self.filled + self.step > self.input.len() {
            self.input.resize(self.filled + self.step, 0);
        }
        let n = self.source.read(&mut self.input[self.filled..self.filled + self.step])?;
        self.at_end = n == 0;
        self.filled += n;
        Ok(())
    }

    /// The usual case: a line without quotes, its fields as they stand. `None` = it must be read with quotes in mind.
    fn plain_line(&mut self) -> Result<Option<bool>, RecordError> {
        let mut searched = 0;
        let end = loop {
            let rest = &self.input[self.start..self.filled];
            match memchr::memchr(b'\n', &rest[searched..]) {
                Some(at) => break searched + at,
                None if self.at_end => break rest.len(),
                None if rest.len() > MAX_RECORD + 1 => break rest.len(),
                None => searched = rest.len(),
            }
            self.read_more().map_err(RecordError::Io)?;
        };
        let whole = &self.input[self.start..self.start + end];
        if whole.is_empty() {
            return Ok(Some(false));
        }
        let text = whole.strip_suffix(b"\r").unwrap_or(whole);
        if memchr::memchr2(b'"', b'\r', text).is_some() {
            return Ok(None);
        }
        self.ends.clear();
        self.ends.extend(memchr::memchr_iter(b',', text));
        self.ends.push(text.len());
        let fields = self.ends.len();
        if text.len() > MAX_RECORD || fields > MAX_FIELDS {
            return Err(RecordError::TooLarge { line: self.line });
        }
        let in_input = Some((self.start, self.start + text.len()));
        self.current = Current { in_input, used: 0, fields, line: self.line, byte: self.byte, misquoted: false };
        self.pass(end);
        Ok(Some(true))
    }

    fn pass(&mut self, bytes: usize) {
        self.start += bytes;
        self.byte += u64::try_from(bytes).unwrap_or(0);
    }

    /// A record by the library's reader, watched byte by byte for where its fields began and how it was quoted.
    fn quoted_record(&mut self) -> Result<bool, RecordError> {
        self.core.reset();
        self.data.resize(MAX_RECORD, 0);
        self.ends.resize(MAX_FIELDS, 0);
        self.starts.clear();
        self.quotes = Quotes::FieldStart;
        let (line, byte) = (self.line, self.byte);
        let (mut used, mut fields, mut misquoted) = (0, 0, false);
        loop {
            if self.start == self.filled && !self.at_end {
                self.read_more().map_err(RecordError::Io)?;
            }
            let chunk = &self.input[self.start..self.filled];
            let (result, read, wrote, ends) =
                self.core.read_record(chunk, &mut self.data[used..], &mut self.ends[fields..]);
            for byte in &chunk[..read] {
                if self.quotes == Quotes::FieldStart && self.starts.len() < MAX_FIELDS {
                    self.starts.push(Start { line: self.line, byte: self.byte, quoted: *byte == b'"' });
                }
                match self.quotes.after(*byte) {
                    Some(next) => self.quotes = next,
                    None => {
                        misquoted = true;
                        self.quotes = Quotes::Plain;
                    }
                }
                self.line += u64::from(*byte == b'\n');
                self.byte += 1;
            }
            self.start += read;
            used += wrote;
            fields += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(RecordError::TooLarge { line });
                }
                ReadRecordResult::Record => {
                    self.current = Current { in_input: None, used, fields, line, byte, misquoted };
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
            self.read_more().map_err(RecordError::Io)?;
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
    fn a_byte_of_a_field_is_found_in_the_file() {
        let text = b"H\r\nD,ab,c\r\nD,\"a\"\"b\ncX\",\"Y\",Z\r\n";
        let at = |b: u8| u64::try_from(text.iter().rposition(|c| *c == b).unwrap()).unwrap();
        let mut records = Records::new(text.as_slice());
        records.advance().unwrap();
        records.advance().unwrap();
        assert_eq!(records.current().place(1, 1), (2, 6));
        records.advance().unwrap();
        let places = [records.current().place(1, 5), records.current().place(2, 0), records.current().place(3, 0)];
        assert_eq!(places, [(4, at(b'X')), (4, at(b'Y')), (4, at(b'Z'))]);
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
