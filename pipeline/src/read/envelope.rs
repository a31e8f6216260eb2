//! Files with header and trailer: `H,…`, `D,…` lines, `E,<count>`, or their XML form (formats.md, Common rules and §1).
//!
//! [`inspect`] decides in one streaming pass whether the file may be read at all, with one code for the whole file in the
//! order rules.md gives; only then [`DataLines`] hands out the records. Nothing of a refused file is applied.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use chrono::NaiveDateTime;
use shikaku_schemas::code::Code;
use shikaku_schemas::layout::{self, Guard, Layout, Origin};

use super::records::{RawRecord, RecordError, Records};
use super::xml::{self, XmlError, XmlRecords};
use crate::base::error::{At, Error, Result};
use crate::base::stamp::Reopen;
use crate::base::time::parse_timestamp;
use crate::read::guard;
use crate::text::cp932::Encoding;
use crate::text::my_number;

/// The H line, or the root of the XML form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub kind: String,
    pub version: String,
    pub origin: String,
    pub receipt_no: i64,
    /// ファイル作成日時.
    pub created: NaiveDateTime,
    pub count: u64,
}

/// What a job takes.
pub struct Accepts<'a> {
    pub kinds: &'a [&'a str],
    /// Encoding of an origin's files; `None` = not registered.
    pub encoding_of: &'a dyn Fn(&str) -> Option<Encoding>,
    /// Most rows and bytes.
    pub limit: &'a dyn Fn(&Layout) -> (u64, u64),
}

/// What [`inspect`] found.
#[derive(Debug)]
pub struct Inspected {
    /// The header, if it could be read and its origin is registered or may be shown.
    pub header: Option<Header>,
    /// The origin is one that this kind of file may come from.
    pub registered: bool,
    /// Encoding of the data.
    pub encoding: Encoding,
    /// Encoding that the origin is answered in.
    pub answer: Encoding,
    /// 提出元, if it is registered: it can be named and answered even if the rest of the header cannot be read.
    pub origin: Option<String>,
    /// D lines seen.
    pub rows: u64,
    /// Line on which the guard found what looks like a 個人番号.
    pub line: Option<u64>,
    /// `None` = the file may be read; else the code of its rejection.
    pub code: Option<Code>,
}

/// The kind that the header of a file names, if it can be read that far.
pub fn kind_of(path: &Path) -> Option<String> {
    let mut lines = Lines::open(File::open(path).ok()?, path).ok()?;
    lines.head().ok().map(|head| head.kind)
}

/// One pass over a file: header, encoding, guard, limits, trailer. A file that could not be read to its end by its layout
/// is looked through as it is, since its bytes would land.
pub fn inspect(file: &(impl Reopen + ?Sized), accepts: &Accepts<'_>) -> Result<Inspected> {
    let (mut seen, unseen_from) = inspect_by_layout(file, accepts)?;
    if let Some(from) = unseen_from.filter(|_| seen.code != Some(Code::MyNumber))
        && let Some(line) = guard::found_in_file(file, from)?
    {
        (seen.code, seen.line) = (Some(Code::MyNumber), Some(line));
    }
    Ok(seen)
}

/// The verdict, and from which byte on the file was not looked at by its layout.
fn inspect_by_layout(file: &(impl Reopen + ?Sized), accepts: &Accepts<'_>) -> Result<(Inspected, Option<u64>)> {
    let path = file.place();
    let file = file.reopen()?;
    let bytes = file.metadata().at(path)?.len();
    let mut lines = Lines::open(file, path)?;
    let (mut seen, known) = look_at_head(&mut lines, accepts).at(path)?;
    let Some((layout, undecodable)) = known else { return Ok((seen, Some(0))) };
    lines.set_layout(layout);
    let (max_rows, max_bytes) = (accepts.limit)(layout);
    let body = Body::read(&mut lines, layout, seen.encoding, max_rows).at(path)?;
    seen.rows = body.rows;
    if body.guarded.is_some() {
        (seen.code, seen.line) = (Some(Code::MyNumber), body.guarded);
        return Ok((seen, Some(0)));
    }
    let (bom, _) = lines.encoding();
    let trailer = if lines.is_xml() { Some(body.rows) } else { body.trailer };
    let count = seen.header.as_ref().map(|h| h.count);
    seen.code = if lines.is_suspicious() {
        Some(Code::MyNumber)
    } else if !seen.registered {
        Some(Code::OriginUnknown)
    } else if (bom && seen.encoding == Encoding::Cp932) || undecodable || body.undecodable_trailer {
        Some(Code::Encoding)
    } else if body.rows > max_rows || bytes > max_bytes {
        Some(Code::TooLarge)
    } else if body.broken || trailer != Some(body.rows) || count != Some(body.rows) {
        Some(Code::Truncated)
    } else {
        None
    };
    Ok((seen, body.unseen_from))
}

/// What the header says: with its layout, and whether a byte in it is no character, unless the file is refused for it.
fn look_at_head(
    lines: &mut Lines,
    accepts: &Accepts<'_>,
) -> std::io::Result<(Inspected, Option<(&'static Layout, bool)>)> {
    let mut seen = Inspected {
        header: None,
        registered: false,
        encoding: Encoding::Cp932,
        answer: Encoding::Cp932,
        origin: None,
        rows: 0,
        line: None,
        code: None,
    };
    let refused = |seen: Inspected, code: Code| Ok((Inspected { code: Some(code), ..seen }, None));
    let register = |seen: &mut Inspected, origin: &str| {
        let answer = (accepts.encoding_of)(origin).filter(|_| may_come_from(accepts.kinds, origin));
        if let Some(answer) = answer {
            (seen.registered, seen.answer, seen.encoding) = (true, answer, answer);
            seen.origin = Some(origin.to_owned());
        }
    };
    let head = match lines.head() {
        Ok(head) => head,
        Err(Unreadable::Io(error)) => return Err(error),
        Err(Unreadable::Encoding) => return refused(seen, Code::Encoding),
        Err(unreadable) => {
            if let Unreadable::Head(Some(origin)) = unreadable {
                register(&mut seen, &origin);
            }
            return refused(seen, Code::HeaderUnreadable);
        }
    };
    register(&mut seen, &head.origin);
    seen.header = head.whole();
    if [&head.kind, &head.version, &head.origin].into_iter().any(|text| my_number::found_in(text)) {
        return refused(Inspected { header: None, origin: None, line: Some(1), ..seen }, Code::MyNumber);
    }
    let known = layout::find(&head.kind, &head.version)
        .filter(|l| accepts.kinds.contains(&l.kind.as_str()) && (l.xml || !lines.is_xml()));
    let Some(layout) = known else { return refused(seen, Code::KindOrVersion) };
    // Of the kinds that a job takes each has its own origin.
    if !may_come_from(&[layout.kind.as_str()], &head.origin) {
        (seen.registered, seen.origin) = (false, None);
    }
    seen.encoding = match (lines.encoding(), layout.encoding.as_deref()) {
        ((_, Some(declared)), _) => declared,
        ((_, None), Some("utf-8")) => Encoding::Utf8,
        (_, _) if seen.registered => seen.answer,
        ((true, _), _) => Encoding::Utf8,
        ((false, _), _) => Encoding::Cp932,
    };
    Ok((seen, Some((layout, head.undecodable))))
}

/// Counts of the lines after the header.
#[derive(Default)]
struct Body {
    rows: u64,
    trailer: Option<u64>,
    undecodable_trailer: bool,
    broken: bool,
    /// Line that the guard found something on; the lines behind it were not read.
    guarded: Option<u64>,
    /// Byte from which on the layout could not be applied.
    unseen_from: Option<u64>,
}

impl Body {
    /// Goes through the lines. The guard looks at every one before any other verdict on the file is given, so it runs to the
    /// end.
    fn read(lines: &mut Lines, layout: &Layout, encoding: Encoding, max_rows: u64) -> std::io::Result<Self> {
        let mut body = Self::default();
        loop {
            match lines.advance() {
                Ok(true) => {
                    let record = lines.current();
                    if holds_my_number(layout, encoding, &record, body.trailer.is_some()) {
                        body.guarded = Some(record.line);
                        return Ok(body);
                    }
                    body.take(&record, encoding);
                }
                Ok(false) => return Ok(body),
                Err(Unreadable::Io(error)) => return Err(error),
                Err(unreadable) => {
                    body.broken = true;
                    body.unseen_from = Some(match unreadable {
                        Unreadable::Malformed { byte, .. } => lines.looked_to().unwrap_or(byte),
                        _ => 0,
                    });
                    return Ok(body);
                }
            }
            // Reading on far past the limit would let one file hold the night.
            if body.rows > max_rows.saturating_mul(2) {
                body.unseen_from = Some(0);
                return Ok(body);
            }
        }
    }

    fn take(&mut self, record: &RawRecord<'_>, encoding: Encoding) {
        if self.trailer.is_some() {
            // Anything after E means that two files were joined or the count is wrong.
            self.broken = true;
        }
        match record.field(0) {
            b"D" => self.rows += 1,
            b"E" => {
                self.undecodable_trailer |= (1..record.len()).any(|i| encoding.decode(record.field(i)).is_err());
                let count = number(record.field(1), u64::MAX);
                self.broken |= record.len() != 2 || count.is_none() || record.misquoted;
                self.trailer = count;
            }
            _ => self.broken = true,
        }
    }
}

/// Whether any of the kinds may come from that origin at all.
fn may_come_from(kinds: &[&str], origin: &str) -> bool {
    kinds.iter().map(|kind| layout::of(kind)).any(|layout| match layout.origin {
        Origin::Fixed => layout.origin_value.as_deref() == Some(origin),
        Origin::Insurer => true,
        Origin::Master => false,
    })
}

/// The header's fields as far as they can be read.
struct Head {
    kind: String,
    version: String,
    origin: String,
    /// 受付番号, 作成日時, 件数; none when a byte in them is no character.
    numbers: Option<(i64, NaiveDateTime, u64)>,
    undecodable: bool,
}

impl Head {
    /// Reads the H line; `None` = it is none.
    fn parse(record: &RawRecord<'_>) -> Option<Self> {
        if record.field(0) != b"H" || record.len() != 7 || record.misquoted {
            return None;
        }
        let undecodable = (1..7).any(|i| {
            let bytes = record.field(i);
            Encoding::Cp932.decode(bytes).is_err() && Encoding::Utf8.decode(bytes).is_err()
        });
        // Kind, version and origin are plain ASCII; what is none names nothing that is known.
        let text = |i: usize| {
            let bytes = record.field(i);
            let plain = !bytes.is_empty() && bytes.len() <= 16 && bytes.iter().all(u8::is_ascii_alphanumeric);
            plain.then(|| String::from_utf8_lossy(bytes).into_owned())
        };
        let names = [text(1), text(2), text(3)];
        if !undecodable && names.iter().any(Option::is_none) {
            return None;
        }
        let numbers = numbers(record);
        if !undecodable && numbers.is_none() {
            return None;
        }
        let [kind, version, origin] = names.map(Option::unwrap_or_default);
        Some(Self { kind, version, origin, numbers, undecodable })
    }

    /// The origin of a line that is no header otherwise.
    fn origin_of(record: &RawRecord<'_>) -> Option<String> {
        let bytes = record.field(3);
        let plain = record.field(0) == b"H" && !bytes.is_empty() && bytes.len() <= 16;
        let origin = String::from_utf8_lossy(bytes).into_owned();
        (plain && bytes.iter().all(u8::is_ascii_alphanumeric) && !my_number::found_in(&origin)).then_some(origin)
    }

    fn whole(&self) -> Option<Header> {
        let (receipt_no, created, count) = self.numbers?;
        let (kind, version, origin) = (self.kind.clone(), self.version.clone(), self.origin.clone());
        Some(Header { kind, version, origin, receipt_no, created, count })
    }
}

fn numbers(record: &RawRecord<'_>) -> Option<(i64, NaiveDateTime, u64)> {
    let receipt_no = number(record.field(4), 99_999_999).filter(|n| *n >= 1)?;
    let created = parse_timestamp(record.field(5))?;
    let count = number(record.field(6), u64::from(u32::MAX))?;
    Some((i64::try_from(receipt_no).ok()?, created, count))
}

fn number(digits: &[u8], max: u64) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let n = digits.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))?;
    (n <= max).then_some(n)
}

/// The guard: free-text fields of a D line. A line that is not what its layout declares (a column added or missing, another
/// letter, a place after E) has its other fields looked at too, since such numbers come that way; of a D line with missing
/// columns not those of digits alone, which a cut would make of any key.
fn holds_my_number(layout: &Layout, encoding: Encoding, record: &RawRecord<'_>, after_end: bool) -> bool {
    let data = record.field(0) == b"D" && !after_end;
    let expected = layout.fields.len() + 1;
    let looked_at = |i: usize| {
        let free_text = i > 0 && layout.fields.get(i - 1).is_some_and(|f| f.guard == Some(Guard::File));
        match data {
            true if record.len() == expected => free_text,
            true if record.len() < expected => free_text || !record.field(i).iter().all(u8::is_ascii_digit),
            _ => true,
        }
    };
    (0..record.len()).filter(|i| looked_at(*i)).any(|i| my_number::found_in_bytes(record.field(i), encoding))
}

/// Why a file cannot be read on.
enum Unreadable {
    Io(std::io::Error),
    /// The header names an origin, perhaps, and is otherwise no header.
    Head(Option<String>),
    Encoding,
    /// Where; byte 0 when only the line is known.
    Malformed {
        line: u64,
        byte: u64,
    },
}

impl From<RecordError> for Unreadable {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Io(error) => Self::Io(error),
            RecordError::TooLarge { line } => Self::Malformed { line, byte: 0 },
        }
    }
}

impl From<XmlError> for Unreadable {
    fn from(error: XmlError) -> Self {
        match error {
            XmlError::Io(error) => Self::Io(error),
            XmlError::Encoding => Self::Encoding,
            XmlError::Header { line, byte } | XmlError::Malformed { line, byte } => Self::Malformed { line, byte },
            XmlError::TooLarge { line } => Self::Malformed { line, byte: 0 },
        }
    }
}

/// Records of either form; the first bytes say which.
enum Lines {
    Csv { records: Box<Records<File>>, bom: bool },
    Xml { records: Box<XmlRecords<File>>, bom: bool, encoding: Encoding },
}

impl Lines {
    fn open(mut file: File, path: &Path) -> Result<Self> {
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(256).read_to_end(&mut head).at(path)?;
        file.seek(SeekFrom::Start(0)).at(path)?;
        if xml::is_xml(&head) {
            let records = Box::new(XmlRecords::new(file));
            return Ok(Self::Xml { records, bom: false, encoding: Encoding::Utf8 });
        }
        let mut records = Box::new(Records::new(file));
        let bom = records.skip_bom().at(path)?;
        Ok(Self::Csv { records, bom })
    }

    /// Reads the header; to be called first.
    fn head(&mut self) -> std::result::Result<Head, Unreadable> {
        match self {
            Self::Csv { records, .. } => match records.next_record()? {
                Some(record) => Head::parse(&record).ok_or_else(|| Unreadable::Head(Head::origin_of(&record))),
                None => Err(Unreadable::Head(None)),
            },
            Self::Xml { records, bom, encoding } => {
                let header = records.header()?;
                (*bom, *encoding) = (header.bom, header.encoding);
                let record = header.record();
                Head::parse(&record).ok_or_else(|| Unreadable::Head(Head::origin_of(&record)))
            }
        }
    }

    /// Whether there is a byte order mark, and the encoding that the file itself declares.
    fn encoding(&self) -> (bool, Option<Encoding>) {
        match self {
            Self::Csv { bom, .. } => (*bom, None),
            Self::Xml { bom, encoding, .. } => (*bom, Some(*encoding)),
        }
    }

    fn is_xml(&self) -> bool {
        matches!(self, Self::Xml { .. })
    }

    fn is_suspicious(&self) -> bool {
        matches!(self, Self::Xml { records, .. } if records.suspicious)
    }

    /// Up to which byte an XML file's records were handed out whole.
    fn looked_to(&self) -> Option<u64> {
        match self {
            Self::Csv { .. } => None,
            Self::Xml { records, .. } => Some(records.looked_to()),
        }
    }

    fn set_layout(&mut self, layout: &'static Layout) {
        if let Self::Xml { records, .. } = self {
            records.set_layout(layout);
        }
    }

    fn advance(&mut self) -> std::result::Result<bool, Unreadable> {
        match self {
            Self::Csv { records, .. } => Ok(records.advance()?),
            Self::Xml { records, .. } => Ok(records.advance()?),
        }
    }

    fn current(&self) -> RawRecord<'_> {
        match self {
            Self::Csv { records, .. } => records.current(),
            Self::Xml { records, .. } => records.current(),
        }
    }
}

/// The D lines of a file that [`inspect`] let through.
pub struct DataLines {
    lines: Lines,
}

impl DataLines {
    pub fn open(file: &(impl Reopen + ?Sized), layout: &'static Layout) -> Result<Self> {
        let mut lines = Lines::open(file.reopen()?, file.place())?;
        lines.set_layout(layout);
        Ok(Self { lines })
    }

    /// The next D line; its field 0 is the letter. H and E are passed over.
    pub fn next_line(&mut self) -> Result<Option<RawRecord<'_>>> {
        loop {
            match self.lines.advance() {
                Ok(false) => return Ok(None),
                Ok(true) if self.lines.current().field(0) == b"D" => break,
                Ok(true) => {}
                Err(Unreadable::Io(error)) => return Err(error).at("input"),
                Err(Unreadable::Encoding | Unreadable::Head(_)) => {
                    return Err(Error::failed("a file changed while it was read; run again"));
                }
                Err(Unreadable::Malformed { line, .. }) => {
                    return Err(Error::failed(format!("line {line} changed while it was read; run again")));
                }
            }
        }
        Ok(Some(self.lines.current()))
    }
}
