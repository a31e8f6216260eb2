//! A small DER writer: what a CA certificate and a CRL need, no more.

use chrono::{Datelike, NaiveDateTime};

/// Tag, length, content.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let bytes = content.len().to_be_bytes();
    let skip = bytes.iter().take_while(|b| **b == 0).count();
    match (content.len(), u8::try_from(content.len()), u8::try_from(bytes.len() - skip)) {
        (0..128, Ok(short), _) => out.push(short),
        (_, _, octets) => {
            out.push(0x80 | octets.unwrap_or(0));
            out.extend_from_slice(&bytes[skip..]);
        }
    }
    out.extend_from_slice(content);
    out
}

pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

pub fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x31, &parts.concat())
}

/// Context tag, constructed: `[n]` EXPLICIT or of a constructed type.
pub fn context(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | number, content)
}

/// A positive INTEGER from big-endian bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|b| **b == 0).count();
    let bytes = &bytes[skip..];
    // A first bit of 1 would make it negative.
    let lead: &[u8] = if bytes.first().is_none_or(|b| *b >= 0x80) { &[0] } else { &[] };
    element(0x02, &[lead, bytes].concat())
}

pub fn enumerated(value: u8) -> Vec<u8> {
    element(0x0a, &[value])
}

/// OBJECT IDENTIFIER; the first two arcs in one byte, then base 128.
pub fn oid(arcs: &[u32]) -> Vec<u8> {
    let first = arcs.first().copied().unwrap_or(0) * 40 + arcs.get(1).copied().unwrap_or(0);
    let mut out = Vec::new();
    for arc in [first].iter().chain(arcs.iter().skip(2)) {
        for shift in [28, 21, 14, 7, 0] {
            let rest = arc >> shift;
            if rest > 0 || shift == 0 {
                let digit = u8::try_from(rest & 0x7f).unwrap_or(0);
                out.push(if shift == 0 { digit } else { digit | 0x80 });
            }
        }
    }
    element(0x06, &out)
}

pub fn octet_string(content: &[u8]) -> Vec<u8> {
    element(0x04, content)
}

/// BIT STRING with `unused` bits at its end.
pub fn bit_string(unused: u8, content: &[u8]) -> Vec<u8> {
    element(0x03, &[&[unused], content].concat())
}

pub fn boolean_true() -> Vec<u8> {
    element(0x01, &[0xff])
}

pub fn utf8_string(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

pub fn printable_string(text: &str) -> Vec<u8> {
    element(0x13, text.as_bytes())
}

/// Time in UTC as RFC 5280 §5.1.2.4 asks: UTCTime up to 2049.
pub fn time(utc: NaiveDateTime) -> Vec<u8> {
    if utc.year() < 2050 {
        element(0x17, utc.format("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        generalized_time(utc)
    }
}

pub fn generalized_time(utc: NaiveDateTime) -> Vec<u8> {
    element(0x18, utc.format("%Y%m%d%H%M%SZ").to_string().as_bytes())
}
