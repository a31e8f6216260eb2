//! The XML form of a subscriber file (資格情報ファイル) as the same records as its CSV form, over any reader.
//!
//! Values stay bytes of the file's own encoding: 外字 survive, and a byte that is no character costs its record, not the
//! file. That is safe since no second byte of a Shift_JIS pair is `<`, `>`, `&` or a quote. Whatever the input, no event is
//! larger than [`MAX_EVENT`] and no record larger than [`MAX_RECORD`].

use std::io::{self, BufRead, Read};
use std::ops::Range;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use shikaku_schemas::layout::{Guard, Layout};

use super::records::{MAX_RECORD, RawRecord};
use crate::text::cp932::Encoding;
use crate::text::my_number;

/// Largest value of an element, and largest tag, in bytes (rules.md §2).
pub const MAX_ELEMENT: usize = 4 * 1024;
/// Largest piece read at once: a comment or the white space between two elements may be longer than a value.
pub const MAX_EVENT: usize = 64 * 1024;
/// Deepest element: root, record, field and one more, which no layout has.
const MAX_DEPTH: usize = 4;
/// Most unknown or repeated elements of a record that are kept.
const MAX_SURPLUS: usize = 128;
const ROOT: &[u8] = b"SubscriberFile";
const RECORD: &[u8] = b"Subscriber";
/// Attributes of the root in the order of the H line's fields.
const ATTRIBUTES: [&[u8]; 6] = [b"kind", b"version", b"origin", b"receiptNo", b"created", b"count"];
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why the file cannot be read (on). Texts and values of the file are never in it.
#[derive(Debug)]
pub enum XmlError {
    /// Something before or in the root's start tag that may not be there, too large, or cut off.
    Header { line: u64, byte: u64 },
    /// The declaration names an encoding other than UTF-8 and Shift_JIS.
    Encoding,
    /// Not well-formed, not of this form, too deep, or cut off.
    Malformed { line: u64, byte: u64 },
    /// A tag, a value, a record or anything else is larger than its bound.
    TooLarge { line: u64 },
    /// The source could not be read.
    Io(io::Error),
}

/// What stands before the first record: the declaration and the root's attributes.
#[derive(Debug, Clone)]
pub struct XmlHeader {
    /// As declared; UTF-8 without a declaration.
    pub encoding: Encoding,
    /// The file starts with a UTF-8 byte order mark.
    pub bom: bool,
    data: Vec<u8>,
    ends: Vec<usize>,
    line: u64,
    byte: u64,
}

impl XmlHeader {
    /// As the H line of the CSV form: `H`, kind, version, origin, receiptNo, created, count; an absent one is empty.
    pub fn record(&self) -> RawRecord<'_> {
        RawRecord::new(&self.data, &self.ends, &[], self.line, self.byte)
    }
}

/// Whether a file that starts so is to be read as XML: no delimited file starts with `<`.
pub fn is_xml(head: &[u8]) -> bool {
    let head = head.strip_prefix(BOM).unwrap_or(head);
    head.iter().find(|b| !is_white(**b)) == Some(&b'<')
}

/// A pull reader of the records of an XML file: [`Self::header`], [`Self::set_layout`], then [`Self::advance`].
pub struct XmlRecords<R> {
    reader: Reader<Source<R>>,
    /// The event at hand.
    event: Vec<u8>,
    state: State,
    encoding: Encoding,
    layout: Option<&'static Layout>,
    values: Values,
    current: Current,
    /// A comment, or a value behind references, holds a likely 個人番号: it is no field, but it would land with the file.
    pub suspicious: bool,
    /// Up to which byte everything was looked at: the end of the last whole record.
    looked_to: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Prolog,
    Records,
    /// Behind the root's end.
    Epilog,
    /// An error was handed out: there is no clean end any more.
    Broken,
    Done,
}

/// Values of the record being read, in the order they come.
#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    /// By field of the layout.
    slots: Vec<Option<Slot>>,
    /// Of unknown and repeated elements.
    surplus: Vec<Slot>,
    /// The value at hand without its references: digits on both sides of one are together here.
    joined: Vec<u8>,
    referred: bool,
    broken: bool,
}

/// Where a value lies: in the bytes of its record, and in the file.
#[derive(Debug, Clone, Default)]
struct Slot {
    bytes: Range<usize>,
    file: Range<u64>,
}

/// The record last read, in the order of the layout.
#[derive(Default)]
struct Current {
    data: Vec<u8>,
    ends: Vec<usize>,
    ranges: Vec<Range<u64>>,
    place: Place,
    broken: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    line: u64,
    byte: u64,
}

impl Place {
    fn malformed(self) -> XmlError {
        XmlError::Malformed { line: self.line, byte: self.byte }
    }

    fn too_large(self) -> XmlError {
        XmlError::TooLarge { line: self.line }
    }
}

impl<R: Read> XmlRecords<R> {
    pub fn new(source: R) -> Self {
        let mut reader = Reader::from_reader(Source::new(source));
        let config = reader.config_mut();
        config.check_comments = true;
        config.check_end_names = true;
        Self {
            reader,
            event: Vec::new(),
            state: State::Prolog,
            encoding: Encoding::Utf8,
            layout: None,
            values: Values::default(),
            current: Current::default(),
            suspicious: false,
            looked_to: 0,
        }
    }

    /// Up to which byte the records that were handed out reach. What lies behind was looked at by nobody yet, not even a
    /// record that broke off.
    pub fn looked_to(&self) -> u64 {
        self.looked_to
    }

    /// Reads up to and with the root's start tag. To be called once, before the records.
    pub fn header(&mut self) -> Result<XmlHeader, XmlError> {
        let place = self.place();
        if self.state != State::Prolog {
            return Err(place.malformed());
        }
        let mut event = std::mem::take(&mut self.event);
        let read = self.read_header(&mut event);
        self.event = event;
        read.map_err(|error| {
            self.state = State::Broken;
            match error {
                XmlError::Malformed { line, byte } => XmlError::Header { line, byte },
                XmlError::TooLarge { line } => XmlError::Header { line, byte: self.place().byte },
                other => other,
            }
        })
    }

    /// Names the fields; an element of another name costs its record. Without a layout every element does.
    pub fn set_layout(&mut self, layout: &'static Layout) {
        self.layout = Some(layout);
    }

    /// Reads the next record into [`Self::current`]; false at the end, when nothing but comments follows the root.
    pub fn advance(&mut self) -> Result<bool, XmlError> {
        match self.state {
            State::Done => return Ok(false),
            State::Prolog => drop(self.header()?),
            State::Records | State::Epilog | State::Broken => {}
        }
        if self.state == State::Broken {
            return Err(self.place().malformed());
        }
        let mut event = std::mem::take(&mut self.event);
        let read = self.read_next(&mut event);
        self.event = event;
        match &read {
            Err(_) => self.state = State::Broken,
            Ok(_) => self.looked_to = self.place().byte,
        }
        read
    }

    /// The record last read: field 0 is `D`, then the fields of the layout. An unknown or repeated element, one inside a
    /// field, or a character that the encoding does not have makes it `misshapen`. Values that belong to no field
    /// follow as further fields, so that the 個人番号 guard sees them.
    pub fn current(&self) -> RawRecord<'_> {
        let Current { data, ends, ranges, place, broken } = &self.current;
        let mut record = RawRecord::new(data, ends, &[], place.line, place.byte).with_ranges(ranges);
        record.misshapen = *broken;
        record
    }

    fn place(&self) -> Place {
        let source = self.reader.get_ref();
        Place { line: source.line, byte: source.byte }
    }

    /// The next event and where it starts.
    fn next_event<'b>(&mut self, event: &'b mut Vec<u8>) -> Result<(Event<'b>, Place), XmlError> {
        event.clear();
        self.reader.get_mut().left = MAX_EVENT;
        let place = self.place();
        match self.reader.read_event_into(event) {
            Ok(event) => {
                let tag = matches!(event, Event::Start(_) | Event::Empty(_) | Event::End(_) | Event::Decl(_));
                let size = self.place().byte.saturating_sub(place.byte);
                if tag && usize::try_from(size).map_or(true, |size| size > MAX_ELEMENT) {
                    return Err(place.too_large());
                }
                Ok((event, place))
            }
            Err(quick_xml::Error::Io(_)) if self.reader.get_ref().exhausted => Err(place.too_large()),
            Err(quick_xml::Error::Io(error)) => Err(XmlError::Io(io::Error::new(error.kind(), error))),
            Err(_) => Err(place.malformed()),
        }
    }

    fn read_header(&mut self, buffer: &mut Vec<u8>) -> Result<XmlHeader, XmlError> {
        let (bom, start) = self.reader.get_mut().begin().map_err(XmlError::Io)?;
        if !start.is_some_and(|b| b == b'<' || is_white(b)) {
            return Err(self.place().malformed());
        }
        let mut first = true;
        loop {
            let (event, place) = self.next_event(buffer)?;
            match event {
                Event::Decl(declaration) if first => {
                    let text = std::str::from_utf8(&declaration).map_err(|_| place.malformed())?;
                    self.encoding = declared(&BytesStart::from_content(text, 3), place)?;
                }
                Event::Start(tag) if tag.name().as_ref() == ROOT => {
                    self.state = State::Records;
                    return header_of(&tag, self.encoding, bom, place);
                }
                Event::Empty(tag) if tag.name().as_ref() == ROOT => {
                    self.state = State::Epilog;
                    return header_of(&tag, self.encoding, bom, place);
                }
                event if between(&event) => self.look_at(&event),
                _ => return Err(place.malformed()),
            }
            first = false;
        }
    }

    fn read_next(&mut self, buffer: &mut Vec<u8>) -> Result<bool, XmlError> {
        while self.state == State::Records {
            let (event, place) = self.next_event(buffer)?;
            match event {
                Event::Start(tag) if tag.name().as_ref() == RECORD => {
                    plain(&tag, place)?;
                    self.begin_record();
                    self.read_fields(buffer)?;
                    return self.end_record(place);
                }
                Event::Empty(tag) if tag.name().as_ref() == RECORD => {
                    plain(&tag, place)?;
                    self.begin_record();
                    return self.end_record(place);
                }
                Event::End(_) => self.state = State::Epilog,
                event if between(&event) => self.look_at(&event),
                _ => return Err(place.malformed()),
            }
        }
        loop {
            let (event, place) = self.next_event(buffer)?;
            match event {
                Event::Eof => {
                    self.state = State::Done;
                    return Ok(false);
                }
                event if between(&event) => self.look_at(&event),
                _ => return Err(place.malformed()),
            }
        }
    }

    fn look_at(&mut self, event: &Event<'_>) {
        if let Event::Comment(text) = event {
            self.suspicious |= my_number::found_in_bytes(text, self.encoding);
        }
    }

    fn begin_record(&mut self) {
        let Values { bytes, slots, surplus, broken, .. } = &mut self.values;
        bytes.clear();
        slots.clear();
        slots.resize(self.layout.map_or(0, |layout| layout.fields.len()), None);
        surplus.clear();
        *broken = false;
    }

    /// The elements of a record, up to its end tag.
    fn read_fields(&mut self, buffer: &mut Vec<u8>) -> Result<(), XmlError> {
        loop {
            let (event, place) = self.next_event(buffer)?;
            match event {
                Event::Start(tag) => {
                    plain(&tag, place)?;
                    let index = self.field_of(&tag);
                    let start = self.values.bytes.len();
                    let in_file = self.place().byte;
                    self.read_value(buffer, start)?;
                    self.look_behind_references(index);
                    let file = in_file..self.place().byte;
                    self.put(index, Slot { bytes: start..self.values.bytes.len(), file }, place)?;
                }
                Event::Empty(tag) => {
                    plain(&tag, place)?;
                    let end = self.values.bytes.len();
                    self.put(self.field_of(&tag), Slot { bytes: end..end, file: place.byte..place.byte }, place)?;
                }
                Event::End(_) => return Ok(()),
                event if between(&event) => self.look_at(&event),
                _ => return Err(place.malformed()),
            }
        }
    }

    fn field_of(&self, tag: &BytesStart<'_>) -> Option<usize> {
        let name = tag.name();
        self.layout.and_then(|layout| layout.fields.iter().position(|f| f.name.as_bytes() == name.as_ref()))
    }

    /// The text of an element, up to its end tag. Text of elements inside is kept for the guard.
    fn read_value(&mut self, buffer: &mut Vec<u8>, start: usize) -> Result<(), XmlError> {
        let mut depth = 3;
        let mut piece = start;
        self.values.joined.clear();
        self.values.referred = false;
        loop {
            let (event, place) = self.next_event(buffer)?;
            // Half a character may not become a whole one with what comes behind a reference or a CDATA mark.
            let before = self.values.bytes.get(piece..).unwrap_or_default();
            if !before.is_empty() && !matches!(event, Event::End(_)) {
                self.values.broken |= self.encoding.decode(before).is_err();
                piece = self.values.bytes.len();
            }
            match event {
                Event::Text(text) => {
                    self.values.bytes.extend_from_slice(&text);
                    self.values.joined.extend_from_slice(&text);
                }
                // A lead byte cannot end it: `]` may be its second byte, and the end then is none.
                Event::CData(text) if self.encoding == Encoding::Cp932 && ends_in_lead(&text) => {
                    return Err(place.malformed());
                }
                Event::CData(text) => {
                    self.values.bytes.extend_from_slice(&text);
                    self.values.joined.extend_from_slice(&text);
                }
                Event::GeneralRef(name) => {
                    let from = self.values.bytes.len();
                    match resolve(&name, self.encoding, &mut self.values.bytes) {
                        Some(exact) => self.values.broken |= !exact,
                        None => return Err(place.malformed()),
                    }
                    self.values.referred = true;
                    let digits = self.values.bytes[from..].iter().filter(|b| b.is_ascii_digit());
                    self.values.joined.extend(digits.copied());
                }
                // Neither is text; what stands on both sides of one stands together.
                Event::Comment(_) => {
                    self.look_at(&event);
                    self.values.referred = true;
                }
                Event::PI(_) => {
                    self.values.broken = true;
                    self.values.referred = true;
                }
                Event::Start(tag) if depth < MAX_DEPTH => {
                    plain(&tag, place)?;
                    self.values.broken = true;
                    depth += 1;
                }
                Event::Empty(tag) if depth < MAX_DEPTH => {
                    plain(&tag, place)?;
                    self.values.broken = true;
                }
                Event::End(_) if depth > 3 => depth -= 1,
                Event::End(_) => return Ok(()),
                _ => return Err(place.malformed()),
            }
            if self.values.bytes.len() - start > MAX_ELEMENT || self.values.bytes.len() > MAX_RECORD {
                return Err(place.too_large());
            }
        }
    }

    /// Digits on both sides of a reference are one number, in fields that the guard looks at.
    fn look_behind_references(&mut self, index: Option<usize>) {
        let field = index.and_then(|i| self.layout?.fields.get(i));
        let free_text = field.is_none_or(|field| field.guard == Some(Guard::File));
        if self.values.referred && free_text {
            self.suspicious |= my_number::found_in_bytes(&self.values.joined, self.encoding);
        }
    }

    /// Files a value under its field, or as surplus when there is none or it is filled.
    fn put(&mut self, index: Option<usize>, value: Slot, place: Place) -> Result<(), XmlError> {
        let Values { slots, surplus, broken, .. } = &mut self.values;
        match index.and_then(|i| slots.get_mut(i)) {
            Some(slot) if slot.is_none() => *slot = Some(value),
            _ if surplus.len() == MAX_SURPLUS => return Err(place.too_large()),
            _ => {
                *broken = true;
                surplus.push(value);
            }
        }
        Ok(())
    }

    fn end_record(&mut self, place: Place) -> Result<bool, XmlError> {
        let Current { data, ends, ranges, .. } = &mut self.current;
        data.clear();
        ends.clear();
        ranges.clear();
        data.push(b'D');
        ends.push(data.len());
        for value in self.values.slots.iter().cloned().chain(self.values.surplus.iter().cloned().map(Some)) {
            let Slot { bytes, file } = value.unwrap_or_default();
            data.extend_from_slice(self.values.bytes.get(bytes).unwrap_or_default());
            ends.push(data.len());
            ranges.push(file);
        }
        self.current.place = place;
        self.current.broken = self.values.broken;
        Ok(true)
    }
}

/// What may stand between elements.
fn between(event: &Event<'_>) -> bool {
    match event {
        Event::Comment(_) => true,
        Event::Text(text) => text.iter().all(|b| is_white(*b)),
        _ => false,
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// An element without attributes whose name can be one. From 0x40 on a byte may belong to a Shift_JIS pair.
fn plain(tag: &BytesStart<'_>, place: Place) -> Result<(), XmlError> {
    let name = tag.name();
    let (first, rest) = name.as_ref().split_first().ok_or_else(|| place.malformed())?;
    let named =
        *first >= b'A' && rest.iter().all(|b| *b >= b'@' || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':'));
    if named && tag.attributes().next().is_none() { Ok(()) } else { Err(place.malformed()) }
}

/// The encoding that the XML declaration names.
fn declared(declaration: &BytesStart<'_>, place: Place) -> Result<Encoding, XmlError> {
    let mut encoding = Encoding::Utf8;
    let mut versioned = false;
    for attribute in declaration.attributes() {
        let attribute = attribute.map_err(|_| place.malformed())?;
        match (attribute.key.as_ref(), attribute.value.as_ref()) {
            (b"version", b"1.0") => versioned = true,
            (b"standalone", b"yes" | b"no") => {}
            (b"encoding", name) => {
                encoding = match name.to_ascii_lowercase().as_slice() {
                    b"utf-8" => Encoding::Utf8,
                    b"shift_jis" | b"windows-31j" | b"cp932" | b"ms932" => Encoding::Cp932,
                    _ => return Err(XmlError::Encoding),
                }
            }
            _ => return Err(place.malformed()),
        }
    }
    if versioned { Ok(encoding) } else { Err(place.malformed()) }
}

/// The root's attributes as an H line.
fn header_of(tag: &BytesStart<'_>, encoding: Encoding, bom: bool, place: Place) -> Result<XmlHeader, XmlError> {
    let mut values: [Vec<u8>; 6] = Default::default();
    // quick-xml refuses an attribute that comes twice.
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| place.malformed())?;
        let known = ATTRIBUTES.iter().position(|name| *name == attribute.key.as_ref());
        let value = known.and_then(|i| values.get_mut(i)).ok_or_else(|| place.malformed())?;
        let mut rest = attribute.value.as_ref();
        while let Some(at) = memchr::memchr2(b'&', b'<', rest) {
            let (text, behind) = rest.split_at(at);
            value.extend_from_slice(text);
            let end = memchr::memchr(b';', behind).filter(|_| behind.starts_with(b"&"));
            let (name, behind) = end.map(|end| behind.split_at(end)).ok_or_else(|| place.malformed())?;
            resolve(name.get(1..).unwrap_or_default(), encoding, value).ok_or_else(|| place.malformed())?;
            rest = behind.get(1..).unwrap_or_default();
        }
        value.extend_from_slice(rest);
    }
    let mut header =
        XmlHeader { encoding, bom, data: b"H".to_vec(), ends: vec![1], line: place.line, byte: place.byte };
    for value in values {
        header.data.extend_from_slice(&value);
        header.ends.push(header.data.len());
    }
    Ok(header)
}

/// Appends what a reference (its name without `&` and `;`) stands for. `None` = it stands for nothing that may be here;
/// false = the encoding has no such character, and its mark `〓` was appended.
fn resolve(name: &[u8], encoding: Encoding, out: &mut Vec<u8>) -> Option<bool> {
    let known = match name {
        b"lt" => b'<',
        b"gt" => b'>',
        b"amp" => b'&',
        b"quot" => b'"',
        b"apos" => b'\'',
        _ => {
            let digits = std::str::from_utf8(name).ok()?.strip_prefix('#')?;
            let (digits, radix) = digits.strip_prefix('x').map_or((digits, 10), |hex| (hex, 16));
            // A sign is no digit, though the parser takes it.
            let number = u32::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'))?;
            let c = char::from_u32(number).filter(|c| !c.is_control() || matches!(c, '\t' | '\r' | '\n'))?;
            if matches!(c, '\u{fffe}' | '\u{ffff}') {
                return None;
            }
            let text = c.to_string();
            let exact = encoding.encode(&text);
            out.extend_from_slice(exact.as_deref().unwrap_or(&encoding.encode_lossy(&text)));
            return Some(exact.is_some());
        }
    };
    out.push(known);
    Some(true)
}

/// Whether Shift_JIS text stops in the middle of a pair.
fn ends_in_lead(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if matches!(byte, 0x81..=0x9f | 0xe0..=0xfc) && bytes.next().is_none() {
            return true;
        }
    }
    false
}

/// The bytes of the file, with line and offset of the next one, and a bound on how many the next event may take.
struct Source<R> {
    inner: R,
    input: Vec<u8>,
    start: usize,
    filled: usize,
    at_end: bool,
    line: u64,
    byte: u64,
    left: usize,
    /// An event wanted more than was left.
    exhausted: bool,
}

impl<R: Read> Source<R> {
    fn new(inner: R) -> Self {
        let input = vec![0; MAX_EVENT];
        Self { inner, input, start: 0, filled: 0, at_end: false, line: 1, byte: 0, left: MAX_EVENT, exhausted: false }
    }

    /// Skips a byte order mark; whether there was one, and the byte that follows.
    fn begin(&mut self) -> io::Result<(bool, Option<u8>)> {
        while self.filled <= BOM.len() && !self.at_end {
            self.fill()?;
        }
        let bom = self.input.get(..self.filled).unwrap_or_default().starts_with(BOM);
        if bom {
            self.consume(BOM.len());
        }
        Ok((bom, self.input.get(self.start..self.filled).unwrap_or_default().first().copied()))
    }

    /// Reads once behind what is there.
    fn fill(&mut self) -> io::Result<()> {
        let room = self.input.get_mut(self.filled..).unwrap_or_default();
        match self.inner.read(room) {
            Ok(n) => {
                self.at_end = n == 0;
                self.filled += n;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.filled && !self.at_end {
            (self.start, self.filled) = (0, 0);
            self.fill()?;
        }
        if self.start < self.filled && self.left == 0 {
            self.exhausted = true;
            return Err(io::Error::other("an event is larger than its bound"));
        }
        Ok(self.input.get(self.start..self.filled.min(self.start + self.left)).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.filled - self.start);
        let passed = self.input.get(self.start..self.start + amount).unwrap_or_default();
        self.line += u64::try_from(memchr::memchr_iter(b'\n', passed).count()).unwrap_or(0);
        self.byte += u64::try_from(amount).unwrap_or(0);
        self.start += amount;
        self.left = self.left.saturating_sub(amount);
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        for (to, from) in out.iter_mut().zip(available) {
            *to = *from;
        }
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
