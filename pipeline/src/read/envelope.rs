//! Files with header and trailer: `H,…`, `D,…` lines, `E,<count>` (formats.md, Common rules).
//!
//! [`inspect`] decides in one streaming pass whether the file may be read at all, with one code for the whole file in the
//! order answers.md gives; only then [`DataLines`] hands out the records. Nothing of a refused file is applied.

use std::fs::File;
use std::path::Path;

use chrono::NaiveDateTime;
use shikaku_schemas::layout::{self, Guard, Layout, Origin};

use super::records::{RawRecord, RecordError, Records};
use crate::error::{At, Result};
use crate::text::cp932::Encoding;
use crate::text::my_number;
use crate::time::parse_timestamp;

/// The H line.
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

/// What is known of an origin before its file is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct OriginRule {
    pub encoding: Encoding,
}

/// What [`inspect`] found.
#[derive(Debug)]
pub struct Inspected {
    /// The H line, if it could be read.
    pub header: Option<Header>,
    pub encoding: Encoding,
    /// D lines seen.
    pub rows: u64,
    /// `None` = the file may be read; else the code of its rejection.
    pub code: Option<&'static str>,
}

/// One pass over a file: header, encoding, guard, limits, trailer. A file that could not be read to its end by its layout
/// is looked through as it is, since its bytes would land.
///
/// `kinds` are the kinds the job takes; `origin_rule` answers `None` for an origin that is not registered; `limit` gives
/// rows and bytes of a layout.
pub fn inspect(
    path: &Path,
    kinds: &[&str],
    origin_rule: &dyn Fn(&Layout, &str) -> Option<OriginRule>,
    limit: &dyn Fn(&Layout) -> (u64, u64),
) -> Result<Inspected> {
    let (mut seen, to_the_end) = inspect_by_layout(path, kinds, origin_rule, limit)?;
    if !to_the_end && seen.code != Some("900001") && my_number::found_in_file(path)? {
        seen.code = Some("900001");
    }
    Ok(seen)
}

/// The verdict, and whether every line was looked at.
fn inspect_by_layout(
    path: &Path,
    kinds: &[&str],
    origin_rule: &dyn Fn(&Layout, &str) -> Option<OriginRule>,
    limit: &dyn Fn(&Layout) -> (u64, u64),
) -> Result<(Inspected, bool)> {
    let file = File::open(path).at(path)?;
    let bytes = file.metadata().at(path)?.len();
    let mut records = Records::new(file);
    let refused = |code, header, encoding, rows| Ok((Inspected { header, encoding, rows, code: Some(code) }, false));
    let bom = records.skip_bom().at(path)?;
    let raw = match records.next_record() {
        Ok(Some(record)) => parse_header(&record),
        Ok(None) | Err(RecordError::TooLarge { .. }) => Err("400001"),
        Err(RecordError::Io(error)) => return Err(error).at(path),
    };
    let (header, undecodable_header) = match raw {
        Ok(header) => header,
        Err(code) => return refused(code, None, Encoding::default(), 0),
    };
    let Some(layout) = layout::find(&header.kind, &header.version).filter(|l| kinds.contains(&l.kind.as_str())) else {
        return refused("400004", Some(header), Encoding::default(), 0);
    };
    let rule = known_origin(layout, &header.origin).then(|| origin_rule(layout, &header.origin)).flatten();
    let encoding = match layout.encoding.as_deref() {
        Some("utf-8") => Encoding::Utf8,
        _ => rule.map(|r| r.encoding).unwrap_or(if bom { Encoding::Utf8 } else { Encoding::Cp932 }),
    };

    // The guard looks at every line before any other verdict on the file is given, so it runs to the end.
    let (max_rows, max_bytes) = limit(layout);
    let mut body = Body::default();
    let mut to_the_end = true;
    loop {
        match records.next_record() {
            Ok(Some(record)) => {
                if holds_my_number(layout, encoding, &record) {
                    return refused("900001", Some(header), encoding, body.rows);
                }
                body.take(&record);
            }
            Ok(None) => break,
            Err(RecordError::TooLarge { .. }) => {
                body.broken = true;
                to_the_end = false;
                break;
            }
            Err(RecordError::Io(error)) => return Err(error).at(path),
        }
        // Reading on far past the limit would let one file hold the night.
        if body.rows > max_rows.saturating_mul(2) {
            to_the_end = false;
            break;
        }
    }
    let code = if rule.is_none() {
        Some("400005")
    } else if (bom && encoding == Encoding::Cp932) || undecodable_header || body.undecodable_trailer {
        Some("400006")
    } else if body.rows > max_rows || bytes > max_bytes {
        Some("400003")
    } else if body.broken || body.trailer != Some(body.rows) || header.count != body.rows {
        Some("400002")
    } else {
        None
    };
    Ok((Inspected { header: Some(header), encoding, rows: body.rows, code }, to_the_end))
}

/// Counts of the lines after the header.
#[derive(Default)]
struct Body {
    rows: u64,
    trailer: Option<u64>,
    undecodable_trailer: bool,
    broken: bool,
}

impl Body {
    fn take(&mut self, record: &RawRecord<'_>) {
        if self.trailer.is_some() {
            // Anything after E means that two files were joined or the count is wrong.
            self.broken = true;
        }
        match record.field(0) {
            b"D" => self.rows += 1,
            b"E" => {
                self.undecodable_trailer |= !record.field(1).is_ascii();
                let count = number(record.field(1), u64::MAX);
                self.broken |= record.len() != 2 || count.is_none();
                self.trailer = count;
            }
            _ => self.broken = true,
        }
    }
}

fn known_origin(layout: &Layout, origin: &str) -> bool {
    match layout.origin {
        Origin::Fixed => layout.origin_value.as_deref() == Some(origin),
        Origin::Insurer => true,
        Origin::Master => false,
    }
}

/// Reads the H line; the flag says that it holds a byte that is no ASCII (H is ASCII in every encoding).
fn parse_header(record: &RawRecord<'_>) -> std::result::Result<(Header, bool), &'static str> {
    if record.field(0) != b"H" || record.len() != 7 {
        return Err("400001");
    }
    let mut undecodable = false;
    let mut text = |i: usize| {
        let bytes = record.field(i);
        undecodable |= Encoding::Cp932.decode(bytes).is_err() && Encoding::Utf8.decode(bytes).is_err();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let (kind, version, origin) = (text(1), text(2), text(3));
    let plain = |s: &str| !s.is_empty() && s.len() <= 16 && s.bytes().all(|b| b.is_ascii_alphanumeric());
    if undecodable {
        // Read on for the other fields: an undecodable header is 400006 only if it is a header.
        let header = parse_numbers(record, kind, version, origin)?;
        return Ok((header, true));
    }
    if !plain(&kind) || !plain(&version) || !plain(&origin) {
        return Err("400001");
    }
    Ok((parse_numbers(record, kind, version, origin)?, false))
}

fn parse_numbers(
    record: &RawRecord<'_>,
    kind: String,
    version: String,
    origin: String,
) -> std::result::Result<Header, &'static str> {
    let receipt_no = number(record.field(4), 99_999_999).filter(|n| *n >= 1).ok_or("400001")?;
    let created = parse_timestamp(record.field(5)).ok_or("400001")?;
    let count = number(record.field(6), u64::from(u32::MAX)).ok_or("400001")?;
    let receipt_no = i64::try_from(receipt_no).map_err(|_| "400001")?;
    Ok(Header { kind, version, origin, receipt_no, created, count })
}

fn number(digits: &[u8], max: u64) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let n = digits.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))?;
    (n <= max).then_some(n)
}

/// The guard: free-text fields; every field of a record that has more than declared, since then no field is what it is
/// declared to be (an added column is how such numbers come). A record with fewer is most likely cut off.
fn holds_my_number(layout: &Layout, encoding: Encoding, record: &RawRecord<'_>) -> bool {
    let misfit = record.len() > layout.fields.len() + 1;
    let free_text = |i: usize| layout.fields.get(i - 1).is_some_and(|f| f.guard == Some(Guard::File));
    record.field(0) == b"D"
        && (1..record.len()).filter(|i| misfit || free_text(*i)).any(|i| {
            let bytes = record.field(i);
            // What does not decode is looked at byte by byte: half-width digits are ASCII in both encodings.
            bytes.len() >= 12
                && match encoding.decode(bytes) {
                    Ok(text) => my_number::found_in(&text),
                    Err(_) => my_number::found_in(&String::from_utf8_lossy(bytes)),
                }
        })
}

/// The D lines of a file that [`inspect`] let through.
pub struct DataLines {
    records: Records<File>,
}

impl DataLines {
    pub fn open(path: &Path) -> Result<Self> {
        let mut records = Records::new(File::open(path).at(path)?);
        records.skip_bom().at(path)?;
        Ok(Self { records })
    }

    /// The next D line; its field 0 is the letter. H and E are passed over.
    pub fn next_line(&mut self) -> Result<Option<RawRecord<'_>>> {
        loop {
            match self.records.advance() {
                Ok(false) => return Ok(None),
                Ok(true) if self.records.current().field(0) == b"D" => break,
                Ok(true) => {}
                Err(RecordError::Io(error)) => return Err(error).at("input"),
                Err(RecordError::TooLarge { line }) => {
                    return Err(crate::Error::failed(format!("line {line} grew while it was read; run again")));
                }
            }
        }
        Ok(Some(self.records.current()))
    }
}
