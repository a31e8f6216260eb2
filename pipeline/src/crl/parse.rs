//! One CRL in one pass: header, entries as they come, extensions, signature over the digest of what passed.
//!
//! Entries are handed out before the signature is known to be good; the caller keeps them apart until [`read`] returns.

use std::io::Read;

use base64::Engine as _;
use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use super::ca::{Algorithm, Ca};
use super::der::{Elements, Malformed, Stream};
use crate::digest;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Hex without leading zero nibbles.
    pub serial: String,
    /// JST.
    pub revoked_at: NaiveDateTime,
    /// reasonCode of RFC 5280 §5.3.1.
    pub reason: Option<u8>,
}

/// Things that are allowed to pass but are counted (peers.md N11).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    pub unsorted: u64,
    pub negative: u64,
    pub oversized: u64,
    pub not_minimal: u64,
    pub generalized_time: u64,
}

/// What a verified CRL says of itself. Times are JST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub issuer_key_id: String,
    pub this_update: NaiveDateTime,
    pub next_update: NaiveDateTime,
    /// CRLNumber as hex without leading zeros.
    pub crl_number: String,
    pub distribution_point: String,
    pub entries: u64,
    pub oddities: Oddities,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const EXTENSIONS: u8 = 0xa0;

/// Reads and verifies a CRL in DER.
pub fn read<R: Read>(source: R, cas: &[Ca], mut entry: impl FnMut(Entry)) -> Result<Header, Malformed> {
    let mut stream = Stream::new(source);
    let outer = stream.expect(SEQUENCE, "a CRL is a SEQUENCE")?;
    let outer_end = stream.offset() + outer.length;
    stream.keep_prefix();
    let tbs = stream.expect(SEQUENCE, "tbsCertList is a SEQUENCE")?;
    let tbs_end = stream.offset() + tbs.length;
    if tbs_end > outer_end {
        return Err(stream.bad("tbsCertList is longer than the CRL"));
    }
    let version = stream.expect(INTEGER, "a version is missing; only v2 is taken")?;
    if stream.value(version.length)? != [1] {
        return Err(stream.bad("only v2 is taken"));
    }
    let inner = stream.expect(SEQUENCE, "the signature algorithm is missing")?;
    let inner_algorithm = stream.value(inner.length)?;
    let algorithm =
        algorithm(&inner_algorithm).ok_or_else(|| signature(&stream, "the signature algorithm is not taken"))?;
    stream.hash_with(algorithm.hasher());
    let issuer = stream.expect(SEQUENCE, "the issuer is missing")?;
    let issuer = super::der::encode(SEQUENCE, &stream.value(issuer.length)?);
    let mut oddities = Oddities::default();
    let this_update = time(&mut stream, &mut oddities)?;
    let next_update = time(&mut stream, &mut oddities)?;

    let mut count = 0u64;
    let mut extensions = None;
    while stream.offset() < tbs_end {
        let head = stream.head()?;
        let end = stream.offset() + head.length;
        if end > tbs_end {
            return Err(stream.bad("an element is longer than tbsCertList"));
        }
        match head.tag {
            SEQUENCE if count == 0 && extensions.is_none() => {
                let mut previous = Vec::new();
                while stream.offset() < end {
                    let head = stream.expect(SEQUENCE, "an entry is a SEQUENCE")?;
                    let value = stream.value(head.length)?;
                    let bad = stream.bad("an entry cannot be read");
                    entry(parse_entry(&value, &mut previous, &mut oddities).map_err(|code| Malformed { code, ..bad })?);
                    count += 1;
                }
                if stream.offset() != end {
                    return Err(stream.bad("the entries do not end where they say"));
                }
            }
            EXTENSIONS if extensions.is_none() => extensions = Some(stream.value(head.length)?),
            _ => return Err(stream.bad("an unexpected element in tbsCertList")),
        }
    }
    if stream.offset() != tbs_end {
        return Err(stream.bad("tbsCertList does not end where it says"));
    }
    let digest = stream.digest().unwrap_or_default();
    let outer_algorithm = stream.expect(SEQUENCE, "the outer signature algorithm is missing")?;
    if stream.value(outer_algorithm.length)? != inner_algorithm {
        return Err(signature(&stream, "inner and outer signature algorithm differ"));
    }
    let bits = stream.expect(BIT_STRING, "the signature is missing")?;
    let bits = stream.value(bits.length)?;
    if stream.offset() != outer_end || !stream.at_end()? {
        return Err(stream.bad("bytes follow the CRL"));
    }
    let Some((0, signature_bytes)) = bits.split_first() else {
        return Err(stream.bad("the signature is no whole bytes"));
    };

    let own = parse_extensions(&extensions.unwrap_or_default()).map_err(|(code, what)| Malformed {
        code,
        what,
        offset: stream.offset(),
    })?;
    let ca = cas.iter().find(|ca| ca.key_id == own.authority_key_id && ca.subject == issuer);
    let Some(ca) = ca else {
        return Err(Malformed { code: "400103", what: "no configured CA has this issuer and key", offset: 0 });
    };
    if !ca.verify(algorithm, &digest, signature_bytes) {
        return Err(signature(&stream, "the signature is wrong"));
    }
    Ok(Header {
        issuer_key_id: own.authority_key_id,
        this_update,
        next_update,
        crl_number: own.crl_number,
        distribution_point: own.distribution_point,
        entries: count,
        oddities,
    })
}

fn signature<R: Read>(stream: &Stream<R>, what: &'static str) -> Malformed {
    Malformed { code: "400102", ..stream.bad(what) }
}

fn algorithm(value: &[u8]) -> Option<Algorithm> {
    match Elements(value).next_element()? {
        (OID, oid, _) => Algorithm::of_oid(oid),
        _ => None,
    }
}

fn time<R: Read>(stream: &mut Stream<R>, oddities: &mut Oddities) -> Result<NaiveDateTime, Malformed> {
    let head = stream.head()?;
    let value = stream.value(head.length)?;
    parse_time(head.tag, &value, oddities).ok_or_else(|| stream.bad("a time cannot be read"))
}

/// UTCTime or GeneralizedTime in UTC, to JST.
fn parse_time(tag: u8, value: &[u8], oddities: &mut Oddities) -> Option<NaiveDateTime> {
    let digits = value.strip_suffix(b"Z")?;
    let number = |s: &[u8]| s.iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2])?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => {
            let year = number(&digits[..4])?;
            // RFC 5280 §5.1.2.4: GeneralizedTime from 2050 on only.
            oddities.generalized_time += u64::from(year < 2050);
            (year, &digits[4..])
        }
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, number(&rest[..2])?, number(&rest[2..4])?)?;
    let at = date.and_hms_opt(number(&rest[4..6])?, number(&rest[6..8])?, number(&rest[8..])?)?;
    at.checked_add_signed(TimeDelta::hours(9))
}

fn parse_entry(value: &[u8], previous: &mut Vec<u8>, oddities: &mut Oddities) -> Result<Entry, &'static str> {
    const BAD: &str = "400101";
    let mut elements = Elements(value);
    let Some((INTEGER, serial, _)) = elements.next_element() else { return Err(BAD) };
    let Some((tag, when, _)) = elements.next_element() else { return Err(BAD) };
    let revoked_at = parse_time(tag, when, oddities).ok_or(BAD)?;
    let mut reason = None;
    if !elements.is_empty() {
        let Some((SEQUENCE, list, _)) = elements.next_element() else { return Err(BAD) };
        reason = entry_reason(list)?;
    }
    if serial.is_empty() || !elements.is_empty() {
        return Err(BAD);
    }
    oddities.negative += u64::from(serial[0] & 0x80 != 0);
    oddities.not_minimal += u64::from(serial.len() > 1 && serial[0] == 0 && serial[1] & 0x80 == 0);
    let trimmed = &serial[serial.iter().position(|b| *b != 0).unwrap_or(serial.len() - 1)..];
    oddities.oversized += u64::from(trimmed.len() > 20);
    let order = (trimmed.len(), trimmed);
    oddities.unsorted += u64::from(!previous.is_empty() && order <= (previous.len(), previous.as_slice()));
    previous.clear();
    previous.extend_from_slice(trimmed);
    Ok(Entry { serial: normal_hex(trimmed), revoked_at, reason })
}

fn normal_hex(bytes: &[u8]) -> String {
    let hex = digest::hex(bytes);
    let trimmed = hex.trim_start_matches('0');
    if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() }
}

/// reasonCode of an entry; an unknown critical entry extension makes the CRL unusable (RFC 5280 §5.3).
fn entry_reason(list: &[u8]) -> Result<Option<u8>, &'static str> {
    let mut reason = None;
    let mut elements = Elements(list);
    while !elements.is_empty() {
        let Some((SEQUENCE, extension, _)) = elements.next_element() else { return Err("400101") };
        let (oid, critical, value) = parse_extension(extension).ok_or("400101")?;
        match oid {
            [0x55, 0x1d, 21] => match Elements(value).next_element() {
                Some((0x0a, [code], _)) => reason = Some(*code),
                _ => return Err("400101"),
            },
            // invalidityDate and everything that may be ignored.
            _ if oid == [0x55, 0x1d, 24] || !critical => {}
            _ => return Err("400109"),
        }
    }
    Ok(reason)
}

/// OID, critical, value.
fn parse_extension(extension: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let mut parts = Elements(extension);
    let (OID, oid, _) = parts.next_element()? else { return None };
    let mut next = parts.next_element()?;
    let mut critical = false;
    if next.0 == BOOLEAN {
        critical = next.1 == [0xff];
        next = parts.next_element()?;
    }
    (next.0 == OCTET_STRING && parts.is_empty()).then_some((oid, critical, next.1))
}

#[derive(Default)]
struct Extensions {
    authority_key_id: String,
    crl_number: String,
    distribution_point: String,
}

/// The extensions a CRL must have: AuthorityKeyIdentifier, CRLNumber, IssuingDistributionPoint; no delta, no indirect.
fn parse_extensions(value: &[u8]) -> Result<Extensions, (&'static str, &'static str)> {
    const MISSING: (&str, &str) =
        ("400109", "AuthorityKeyIdentifier, CRLNumber or IssuingDistributionPoint is missing");
    const BAD: (&str, &str) = ("400101", "an extension cannot be read");
    let mut own = Extensions::default();
    let mut outer = Elements(value);
    let Some((SEQUENCE, list, _)) = outer.next_element() else { return Err(MISSING) };
    let mut elements = Elements(list);
    while !elements.is_empty() {
        let Some((SEQUENCE, extension, _)) = elements.next_element() else { return Err(BAD) };
        let (oid, critical, value) = parse_extension(extension).ok_or(BAD)?;
        match oid {
            [0x55, 0x1d, 35] => {
                let Some((SEQUENCE, parts, _)) = Elements(value).next_element() else { return Err(BAD) };
                let Some((0x80, id, _)) = Elements(parts).next_element() else { return Err(BAD) };
                own.authority_key_id = digest::hex(id);
            }
            [0x55, 0x1d, 20] => {
                let Some((INTEGER, number, _)) = Elements(value).next_element() else { return Err(BAD) };
                if number.is_empty() || number.len() > 20 || number[0] & 0x80 != 0 {
                    return Err(BAD);
                }
                own.crl_number = normal_hex(number);
            }
            [0x55, 0x1d, 27] => return Err(("400108", "a delta CRL")),
            [0x55, 0x1d, 28] => {
                own.distribution_point =
                    distribution_point(value).ok_or(BAD)?.ok_or(("400109", "an indirect or partial CRL"))?
            }
            _ if critical => return Err(("400109", "an unknown critical extension")),
            _ => {}
        }
    }
    if own.authority_key_id.is_empty() || own.crl_number.is_empty() || own.distribution_point.is_empty() {
        return Err(MISSING);
    }
    Ok(own)
}

/// URI of the distribution point; `Some(None)` for a CRL that is indirect, for CAs or attributes only, or by reasons.
fn distribution_point(value: &[u8]) -> Option<Option<String>> {
    let (SEQUENCE, parts, _) = Elements(value).next_element()? else { return None };
    let mut elements = Elements(parts);
    let mut uri = None;
    while !elements.is_empty() {
        let (tag, content, _) = elements.next_element()?;
        match tag {
            // distributionPoint [0] { fullName [0] { uniformResourceIdentifier [6] } }
            0xa0 => {
                let (0xa0, names, _) = Elements(content).next_element()? else { return Some(None) };
                let (0x86, text, _) = Elements(names).next_element()? else { return Some(None) };
                uri = Some(String::from_utf8(text.to_vec()).ok()?);
            }
            // onlyContainsUserCerts [1] is what these lists are.
            0x81 => {}
            _ => return Some(None),
        }
    }
    Some(uri)
}

/// Decodes a PEM body of that label; `None` = the bytes are no PEM, `Some(None)` = broken PEM.
pub fn pem_body(bytes: &[u8], label: &str) -> Option<Option<Vec<u8>>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let begin = format!("-----BEGIN {label}-----");
    let start = text.find(&begin)? + begin.len();
    let body = text[start..].split("-----END").next().unwrap_or("");
    let plain: String = body.split_ascii_whitespace().collect();
    Some(base64::engine::general_purpose::STANDARD.decode(plain).ok())
}
