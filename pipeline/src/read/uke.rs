//! レセプト電算 files (UKE): lines and receipts as bytes. Positions come from the layout declarations; what is not
//! interpreted is carried byte for byte.

use std::io::{BufRead, Read};

use shikaku_schemas::code::Code;
use shikaku_schemas::uke::{self, Edition};

use crate::base::time::Month;
use crate::text::cp932::Encoding;
use crate::text::my_number;

/// Longest line (rules.md).
pub const MAX_LINE: usize = 64 * 1024;
/// Largest receipt.
const MAX_RECEIPT: usize = 16 * 1024 * 1024;

/// One line with its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub bytes: Vec<u8>,
    /// From 1.
    pub number: i64,
    /// Leading columns that files from the insurers' side carry before the record id: 0 or 3.
    lead: usize,
}

impl Line {
    pub fn new(bytes: Vec<u8>, number: i64) -> Self {
        let lead = if is_id(field_of(&bytes, 0)) || !is_id(field_of(&bytes, 3)) { 0 } else { 3 };
        Self { bytes, number, lead }
    }

    /// Record id, for example `RE`.
    pub fn id(&self) -> &[u8] {
        field_of(self.content(), self.lead)
    }

    pub fn is(&self, id: &str) -> bool {
        self.id() == id.as_bytes()
    }

    /// Field by its 1-based position, the record id being 1; empty when there is none.
    pub fn field(&self, position: usize) -> &[u8] {
        field_of(self.content(), self.lead + position - 1)
    }

    /// The line without its line end.
    pub fn content(&self) -> &[u8] {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }

    pub fn line_end(&self) -> &[u8] {
        &self.bytes[self.content().len()..]
    }

    /// The line with some fields replaced; everything else keeps its bytes.
    pub fn with_fields(&self, changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut fields: Vec<&[u8]> = self.content().split(|b| *b == b',').collect();
        for (position, value) in changes {
            let index = self.lead + position - 1;
            while fields.len() <= index {
                fields.push(b"");
            }
            fields[index] = value;
        }
        [fields.join(&b','), self.line_end().to_vec()].concat()
    }

    /// The leading columns with their commas, as they must stand before an inserted record.
    pub fn lead_bytes(&self) -> &[u8] {
        let content = self.content();
        let end = content.iter().enumerate().filter(|(_, b)| **b == b',').nth(self.lead.wrapping_sub(1));
        match (self.lead, end) {
            (0, _) | (_, None) => &[],
            (_, Some((i, _))) => &content[..=i],
        }
    }
}

fn is_id(field: &[u8]) -> bool {
    field.len() == 2 && field.iter().all(u8::is_ascii_uppercase)
}

fn field_of(content: &[u8], index: usize) -> &[u8] {
    let field = content.split(|b| *b == b',').nth(index).unwrap_or(&[]);
    let field = field.strip_suffix(b"\n").unwrap_or(field);
    field.strip_suffix(b"\r").unwrap_or(field)
}

/// The lines before the first receipt: IR, and UK before it where a file has one.
#[derive(Debug, Clone)]
pub struct FileHead {
    pub lines: Vec<Line>,
    pub edition: &'static Edition,
    pub payer: String,
    /// 10 digits: 都道府県, 点数表, 医療機関コード.
    pub institution_code: String,
    /// 請求年月.
    pub billing_month: Month,
    pub volume: String,
}

/// One receipt: RE and all lines up to the next one.
#[derive(Debug, Clone, Default)]
pub struct Receipt {
    pub lines: Vec<Line>,
}

impl Receipt {
    pub fn first(&self, id: &str) -> Option<&Line> {
        self.lines.iter().find(|l| l.is(id))
    }

    pub fn all<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |l| l.is(id))
    }
}

/// The lines after the last receipt: GO, and an end mark where the file has one.
#[derive(Debug, Clone, Default)]
pub struct FileTail {
    pub lines: Vec<Line>,
    /// 0x1A after the last line.
    pub end_mark: Vec<u8>,
}

/// Why a file cannot be read: result code and line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    pub code: Code,
    pub line: i64,
}

/// Pull reader of receipts.
pub struct UkeReader<R> {
    source: R,
    number: i64,
    next: Option<Line>,
    pub head: FileHead,
    tail: FileTail,
}

fn broken(code: Code, line: i64) -> Broken {
    Broken { code, line }
}

/// ASCII digits of a field, if it has that many and nothing else.
fn digits(field: &[u8], len: usize) -> Option<String> {
    (field.len() == len && field.iter().all(u8::is_ascii_digit)).then(|| String::from_utf8_lossy(field).into_owned())
}

impl<R: BufRead> UkeReader<R> {
    /// Reads the head of a file.
    pub fn open(source: R) -> Result<Self, Broken> {
        let placeholder = FileHead {
            lines: Vec::new(),
            edition: &uke::all()[0],
            payer: String::new(),
            institution_code: String::new(),
            billing_month: Month::of(chrono::NaiveDate::MIN),
            volume: String::new(),
        };
        let mut reader = Self { source, number: 0, next: None, head: placeholder, tail: FileTail::default() };
        let mut lines = Vec::new();
        loop {
            let line = reader.read_line()?.ok_or(broken(Code::UkeStructure, reader.number))?;
            match line.id() {
                b"IR" => {
                    lines.push(line);
                    break;
                }
                b"UK" if lines.is_empty() => lines.push(line),
                _ => return Err(broken(Code::HeaderUnreadable, line.number)),
            }
        }
        reader.head = head(lines)?;
        reader.next = reader.read_line()?;
        Ok(reader)
    }

    fn read_line(&mut self) -> Result<Option<Line>, Broken> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_LINE + 2).unwrap_or(u64::MAX);
        self.number += 1;
        let read = Read::by_ref(&mut self.source).take(limit).read_until(b'\n', &mut bytes);
        read.map_err(|_| broken(Code::UkeStructure, self.number))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes == [0x1a] {
            self.tail.end_mark = bytes;
            return Ok(None);
        }
        let line = Line::new(bytes, self.number);
        if line.content().len() > MAX_LINE || line.line_end().is_empty() {
            return Err(broken(
                if line.content().len() > MAX_LINE { Code::TooLarge } else { Code::UkeStructure },
                self.number,
            ));
        }
        Ok(Some(line))
    }

    /// The next receipt, or `None` before GO.
    pub fn next_receipt(&mut self) -> Result<Option<Receipt>, Broken> {
        match &self.next {
            Some(line) if line.is("RE") => {}
            Some(line) if line.is("GO") => return Ok(None),
            Some(line) => return Err(broken(Code::UkeStructure, line.number)),
            None => return Err(broken(Code::Truncated, self.number)),
        }
        let mut receipt = Receipt::default();
        let mut size = 0;
        while let Some(line) = self.next.take() {
            if line.is("GO") || (line.is("RE") && !receipt.lines.is_empty()) {
                self.next = Some(line);
                return Ok(Some(receipt));
            }
            // One institution a file: what follows a second IR would go out under the first one's name.
            if line.is("IR") {
                return Err(broken(Code::UkeStructure, line.number));
            }
            size += line.bytes.len();
            if size > MAX_RECEIPT {
                return Err(broken(Code::TooLarge, line.number));
            }
            receipt.lines.push(line);
            self.next = self.read_line()?;
        }
        Err(broken(Code::Truncated, self.number))
    }

    /// GO and what follows; nothing but an end mark may.
    pub fn finish(mut self) -> Result<(FileHead, FileTail), Broken> {
        let Some(go) = self.next.take() else { return Err(broken(Code::Truncated, self.number)) };
        self.tail.lines.push(go);
        if self.read_line()?.is_some() {
            return Err(broken(Code::UkeStructure, self.number));
        }
        Ok((self.head, self.tail))
    }
}

fn head(lines: Vec<Line>) -> Result<FileHead, Broken> {
    let Some(ir) = lines.last() else { return Err(broken(Code::HeaderUnreadable, 1)) };
    let bad = broken(Code::HeaderUnreadable, ir.number);
    // IR has the same positions in every edition we know; its 点数表 then chooses the edition.
    let layout = uke::all().iter().find_map(|e| e.record("IR")).ok_or(bad)?;
    let at = |name: &str| layout.position(name).map_or(&[][..], |p| ir.field(p));
    let payer = digits(at("payer"), 1).filter(|p| p == "1" || p == "2").ok_or(bad)?;
    let prefecture = digits(at("prefecture"), 2).ok_or(bad)?;
    let fee_table = digits(at("fee_table"), 1).ok_or(bad)?;
    let institution = digits(at("institution"), 7).ok_or(bad)?;
    let billing_month = Month::parse_compact(at("billing_month")).ok_or(bad)?;
    let edition = uke::edition(&fee_table, &billing_month.compact()).ok_or(broken(Code::KindOrVersion, ir.number))?;
    let volume = String::from_utf8_lossy(at("volume")).into_owned();
    let institution_code = format!("{prefecture}{fee_table}{institution}");
    Ok(FileHead { edition, payer, institution_code, billing_month, volume, lines })
}

/// The record that marks a DPC receipt.
pub fn all_dpc_marker() -> Option<&'static str> {
    uke::all().iter().find_map(|e| e.marker.as_deref())
}

/// A number field; blank is `None`, anything but digits too.
pub fn number(field: &[u8]) -> Option<i64> {
    if field.is_empty() || field.len() > 15 {
        return None;
    }
    field.iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// 8-digit form of 保険者番号 as it stands in HO (left-padded with spaces or short).
pub fn insurer_no(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let plain = text.trim_matches([' ', '\u{3000}']);
    format!("{plain:0>8}")
}

/// What makes a receipt unusable that is otherwise whole: a field that decides cannot be read, and nothing may be guessed in
/// its place. Code and line. Such a receipt is rejected alone.
pub fn fault(edition: &Edition, receipt: &Receipt) -> Option<Broken> {
    let field = |id: &str, name: &str| -> Option<(&[u8], i64)> {
        let position = edition.record(id)?.position(name)?;
        receipt.first(id).map(|line| (line.field(position), line.number))
    };
    let first = receipt.lines.first().map_or(0, |line| line.number);
    let (month, line) = field("RE", "service_month").unwrap_or((&[], first));
    if Month::parse_compact(month).is_none() {
        return Some(broken(Code::UkeServiceMonth, line));
    }
    let (kind, line) = field("RE", "kind").unwrap_or((&[], first));
    if digits(kind, 4).is_none() {
        return Some(broken(Code::UkeReceiptKind, line));
    }
    let (points, line) = field("HO", "points").unwrap_or((&[], first));
    (!points.is_empty() && number(points).is_none()).then(|| broken(Code::UkePoints, line))
}

/// Whether a free-text field of the line holds a likely 個人番号.
pub fn holds_my_number(edition: &Edition, line: &Line) -> bool {
    let id = line.id();
    edition.text_fields.iter().filter_map(|f| f.split_once('.')).filter(|(record, _)| record.as_bytes() == id).any(
        |(record, name)| {
            let position = edition.record(record).and_then(|r| r.position(name));
            position.is_some_and(|p| my_number::found_in_bytes(line.field(p), Encoding::Cp932))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_count_from_the_record_id_behind_leading_columns() {
        let plain = Line::new(b"HO,01130012,x\r\n".to_vec(), 1);
        let lead = Line::new(b"1,2,3,HO,01130012,x\r\n".to_vec(), 1);
        for line in [&plain, &lead] {
            assert!(line.is("HO"));
            assert_eq!(line.field(2), b"01130012");
            assert_eq!(line.field(9), b"");
        }
        assert_eq!(lead.lead_bytes(), b"1,2,3,");
        assert_eq!(plain.lead_bytes(), b"");
        assert_eq!(lead.with_fields(&[(3, b"y")]), b"1,2,3,HO,01130012,y\r\n");
        assert_eq!(plain.with_fields(&[]), plain.bytes);
    }

    #[test]
    fn insurer_numbers_are_padded_to_eight() {
        assert_eq!(insurer_no(b"  138016"), "00138016");
        assert_eq!(insurer_no(b"06132013"), "06132013");
    }
}
