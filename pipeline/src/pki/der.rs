//! Strict DER tags and lengths over a stream that hashes what passes, with a bound on everything it holds.

use std::io::Read;

use chrono::NaiveDate;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::base::time::to_days;
use shikaku_schemas::code::Code;

pub const SEQUENCE: u8 = 0x30;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OID: u8 = 0x06;
pub const BOOLEAN: u8 = 0x01;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;
pub const EXTENSIONS: u8 = 0xa0;

/// Why the bytes are no CRL. The code is the result code, the text says where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub code: Code,
    pub what: &'static str,
    pub offset: u64,
}

/// Largest value held in memory: names, extensions and signatures are far below it.
const MAX_VALUE: u64 = 1 << 20;

/// A running digest of the kind the signature asks for.
pub enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(h) => h.update(bytes),
            Self::Sha384(h) => h.update(bytes),
            Self::Sha512(h) => h.update(bytes),
        }
    }

    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha256(h) => h.finalize().to_vec(),
            Self::Sha384(h) => h.finalize().to_vec(),
            Self::Sha512(h) => h.finalize().to_vec(),
        }
    }
}

/// Tag and content length of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub tag: u8,
    pub length: u64,
}

/// Reads DER elements in order; bytes that pass while a hasher is set are hashed, in long stretches.
pub struct Stream<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of the buffer's first byte in the file.
    base: u64,
    /// First byte that passed but was not hashed or kept yet.
    unhashed: usize,
    /// Bytes passed before the hasher was known, kept until it is.
    prefix: Option<Vec<u8>>,
    hasher: Option<Hasher>,
}

impl<R: Read> Stream<R> {
    pub fn new(source: R) -> Self {
        let buffer = vec![0; 256 * 1024];
        Self { source, buffer, start: 0, end: 0, base: 0, unhashed: 0, prefix: None, hasher: None }
    }

    /// Bytes passed so far.
    pub fn offset(&self) -> u64 {
        self.base + u64::try_from(self.start).unwrap_or(0)
    }

    pub fn bad(&self, what: &'static str) -> Malformed {
        Malformed { code: Code::CrlMalformed, what, offset: self.offset() }
    }

    /// From here on bytes are kept, to be hashed once [`Self::hash_with`] says how.
    pub fn keep_prefix(&mut self) {
        self.unhashed = self.start;
        self.prefix = Some(Vec::new());
    }

    /// Hashes the kept prefix and everything from here on.
    pub fn hash_with(&mut self, mut hasher: Hasher) {
        self.settle();
        hasher.update(&self.prefix.take().unwrap_or_default());
        self.hasher = Some(hasher);
    }

    /// Ends hashing and gives the digest.
    pub fn digest(&mut self) -> Option<Vec<u8>> {
        self.settle();
        self.hasher.take().map(Hasher::finish)
    }

    /// Hashes or keeps what has passed.
    fn settle(&mut self) {
        let passed = &self.buffer[self.unhashed..self.start];
        if let Some(prefix) = &mut self.prefix {
            prefix.extend_from_slice(passed);
        } else if let Some(hasher) = &mut self.hasher {
            hasher.update(passed);
        }
        self.unhashed = self.start;
    }

    /// Reads on until `wanted` bytes lie ahead, or the file ends.
    fn fill(&mut self, wanted: usize) -> Result<(), Malformed> {
        self.settle();
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += u64::try_from(self.start).unwrap_or(0);
        self.end -= self.start;
        (self.start, self.unhashed) = (0, 0);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < wanted {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(self.bad("the file could not be read")),
            }
        }
        Ok(())
    }

    /// The next bytes, which pass.
    fn take(&mut self, count: usize) -> Result<&[u8], Malformed> {
        if self.end - self.start < count {
            self.fill(count)?;
            if self.end - self.start < count {
                return Err(self.bad("the file ends too early"));
            }
        }
        let start = self.start;
        self.start += count;
        Ok(&self.buffer[start..self.start])
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    /// Tag and length of the next element: definite, minimal, one tag byte.
    pub fn head(&mut self) -> Result<Head, Malformed> {
        let tag = self.byte()?;
        if tag & 0x1f == 0x1f {
            return Err(self.bad("a tag of several bytes"));
        }
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(Head { tag, length: u64::from(first) });
        }
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 5 {
            return Err(self.bad("an indefinite or oversized length"));
        }
        let digits = self.take(count)?;
        let length = digits.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        if digits[0] == 0 || length < 0x80 {
            return Err(self.bad("a length that is not minimal"));
        }
        Ok(Head { tag, length })
    }

    /// Content of an element of at most [`MAX_VALUE`] bytes.
    pub fn value(&mut self, length: u64) -> Result<&[u8], Malformed> {
        let size = usize::try_from(length).ok().filter(|_| length <= MAX_VALUE);
        let Some(size) = size else { return Err(self.bad("an element that is too large")) };
        self.take(size)
    }

    /// An element with the tag expected; its whole bytes, head included, can be rebuilt with [`encode`].
    pub fn expect(&mut self, tag: u8, what: &'static str) -> Result<Head, Malformed> {
        let head = self.head()?;
        if head.tag == tag { Ok(head) } else { Err(self.bad(what)) }
    }

    /// Whether the file ends here.
    pub fn at_end(&mut self) -> Result<bool, Malformed> {
        if self.start == self.end {
            self.fill(1)?;
        }
        Ok(self.start == self.end)
    }
}

/// Elements of a DER value in memory.
#[derive(Clone, Copy)]
pub struct Elements<'a>(pub &'a [u8]);

impl<'a> Elements<'a> {
    /// Next element: tag, content, and the whole element; `None` when the bytes are malformed or used up.
    pub fn next_element(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let bytes = self.0;
        let (&tag, rest) = bytes.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            let (digits, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
            let length = digits.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
            if digits[0] == 0 || length < 0x80 {
                return None;
            }
            (length, rest)
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content, &bytes[..bytes.len() - after.len()]))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Encodes an element.
pub fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        out.push(short);
    } else {
        let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
        out.extend(digits);
    }
    out.extend_from_slice(content);
    out
}

/// UTCTime or GeneralizedTime in UTC: seconds since 1970-01-01 JST, and whether a GeneralizedTime stands before 2050
/// (RFC 5280 §5.1.2.4 wants UTCTime there).
pub fn parse_time(tag: u8, value: &[u8]) -> Option<(i64, bool)> {
    let digits = value.strip_suffix(b"Z")?;
    let number = |s: &[u8]| s.iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2])?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, number(&rest[..2])?, number(&rest[2..4])?)?;
    let (hour, minute, second) = (number(&rest[4..6])?, number(&rest[6..8])?, number(&rest[8..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // JST is UTC+9.
    let seconds = i64::from((hour + 9) * 3600 + minute * 60 + second);
    Some((i64::from(to_days(date)) * 86_400 + seconds, tag == GENERALIZED_TIME && year < 2050))
}

/// The octets of a serial that say something.
pub fn without_zeros(serial: &[u8]) -> &[u8] {
    &serial[serial.iter().position(|b| *b != 0).unwrap_or(serial.len() - 1)..]
}

/// Text of a serial: hex of the integer without leading zeros, a negative one with its sign: -1 is not serial 255 (RFC 5280
/// §4.1.2.2; NIST PKITS 4.4.14).
pub fn serial_text(octets: &[u8]) -> String {
    let mut text = Vec::new();
    push_serial(octets, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The same, appended as bytes.
pub fn push_serial(octets: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if octets.first().is_some_and(|first| first & 0x80 != 0) {
        // Negative: no certificate of ours can be meant, least of all the one whose octets these would be without a sign.
        let mut magnitude: Vec<u8> = octets.iter().map(|octet| !octet).collect();
        for octet in magnitude.iter_mut().rev() {
            let (next, carried) = octet.overflowing_add(1);
            *octet = next;
            if !carried {
                break;
            }
        }
        // Of 80 00 … the magnitude is itself, which then is no sign.
        out.push(b'-');
        magnitude.insert(0, 0);
        return push_serial(&magnitude, out);
    }
    let mut started = false;
    for octet in octets {
        for nibble in [octet >> 4, octet & 15] {
            started |= nibble != 0;
            if started {
                out.push(DIGITS[usize::from(nibble)]);
            }
        }
    }
    if !started {
        out.push(b'0');
    }
}
