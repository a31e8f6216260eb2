//! Extensions of a CRL and of its entries (RFC 5280 §5.2, §5.3): what must be there, what may be, what makes it unusable.

use x509_parser::prelude::{FromDer, X509Name};

use crate::base::digest;
use crate::pki::der::Elements;
use crate::pki::der::{BOOLEAN, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, parse_time};
use shikaku_schemas::code::Code;

/// Code and what is wrong.
type Refusal = (Code, &'static str);

const BAD: Refusal = (Code::CrlMalformed, "an extension cannot be read");
const TWICE: Refusal = (Code::CrlMalformed, "an extension stands twice");
const MISSING: Refusal =
    (Code::CrlExtension, "AuthorityKeyIdentifier, CRLNumber or IssuingDistributionPoint is missing");
const UNKNOWN: Refusal = (Code::CrlExtension, "an unknown critical extension");

/// Most extensions of a list: a CA uses four to six, and who sends more has not shown yet that it is one.
const MAX_EXTENSIONS: usize = 64;
const TOO_MANY: Refusal = (Code::CrlExtension, "too many extensions");
const INDIRECT: Refusal = (Code::CrlExtension, "an indirect or partial CRL");

/// Longest CRLNumber (RFC 5280 §5.2.3) in octets.
const MAX_NUMBER: usize = 20;

/// What a CRL says of itself behind its entries.
#[derive(Debug, Default)]
pub struct Extensions {
    /// 発行者鍵識別子 in hex.
    pub authority_key_id: String,
    /// CRLNumber as hex without leading zeros.
    pub crl_number: String,
    /// 配布点: the first URI, else the directory name.
    pub distribution_point: String,
}

/// Extensions of one entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntryExtensions {
    /// reasonCode.
    pub reason: Option<u8>,
    /// invalidityDate, seconds since 1970-01-01 JST.
    pub invalid_since: Option<i64>,
}

/// OID, critical, value; `None` = malformed.
fn extension(bytes: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let mut parts = Elements(bytes);
    let (OID, oid, _) = parts.next_element()? else { return None };
    let mut next = parts.next_element()?;
    let mut critical = false;
    if next.0 == BOOLEAN {
        // Anything but FALSE counts: what may be critical is.
        critical = match next.1 {
            [value] => *value != 0,
            _ => return None,
        };
        next = parts.next_element()?;
    }
    (next.0 == OCTET_STRING && parts.is_empty()).then_some((oid, critical, next.1))
}

/// The one element of these bytes, if it has that tag.
fn only(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let mut elements = Elements(bytes);
    let (own, content, _) = elements.next_element()?;
    (own == tag && elements.is_empty()).then_some(content)
}

/// Extensions of the CRL: AuthorityKeyIdentifier, CRLNumber, IssuingDistributionPoint; no delta, no indirect.
pub fn of_crl(value: &[u8]) -> Result<Extensions, Refusal> {
    let mut own = Extensions::default();
    if value.is_empty() {
        return Err(MISSING);
    }
    let mut elements = Elements(only(SEQUENCE, value).ok_or(BAD)?);
    let mut seen: Vec<&[u8]> = Vec::new();
    while !elements.is_empty() {
        let Some((SEQUENCE, bytes, _)) = elements.next_element() else { return Err(BAD) };
        let (oid, critical, value) = extension(bytes).ok_or(BAD)?;
        if seen.len() == MAX_EXTENSIONS {
            return Err(TOO_MANY);
        }
        if seen.contains(&oid) {
            return Err(TWICE);
        }
        seen.push(oid);
        match oid {
            [0x55, 0x1d, 35] => {
                let parts = only(SEQUENCE, value).ok_or(BAD)?;
                // By issuer and serial number alone no CA can be told from its successor.
                let Some((0x80, id, _)) = Elements(parts).next_element() else { return Err(MISSING) };
                own.authority_key_id = digest::hex(id);
            }
            [0x55, 0x1d, 20] => own.crl_number = crl_number(value).ok_or(BAD)?,
            [0x55, 0x1d, 27] => return Err((Code::CrlDelta, "a delta CRL")),
            [0x55, 0x1d, 28] => {
                let point = distribution_point(value).ok_or(BAD)?;
                own.distribution_point = point.ok_or(INDIRECT)?;
            }
            _ if critical => return Err(UNKNOWN),
            _ => {}
        }
    }
    if own.authority_key_id.is_empty() || own.crl_number.is_empty() || own.distribution_point.is_empty() {
        return Err(MISSING);
    }
    Ok(own)
}

fn crl_number(value: &[u8]) -> Option<String> {
    let number = only(INTEGER, value)?;
    let (first, rest) = number.split_first()?;
    let digits = if *first == 0 { rest } else { number };
    (first & 0x80 == 0 && digits.len() <= MAX_NUMBER).then(|| crate::pki::der::serial_text(number))
}

/// Name of the distribution point; `Some(None)` for a CRL that is indirect, for CAs or attributes only, or by reasons.
fn distribution_point(value: &[u8]) -> Option<Option<String>> {
    let mut elements = Elements(only(SEQUENCE, value)?);
    let mut name = None;
    while !elements.is_empty() {
        let (tag, content, _) = elements.next_element()?;
        match (tag, content) {
            // distributionPoint [0] { fullName [0] { GeneralName, … } }; a name relative to the issuer is not taken.
            (0xa0, _) => {
                let (0xa0, names, _) = Elements(content).next_element()? else { return Some(None) };
                let Some(own) = full_name(names)? else { return Some(None) };
                name = Some(own);
            }
            // onlyContainsUserCerts [1] is what these lists are; the others only count when they are true.
            (0x81, _) | (0x82 | 0x84 | 0x85, [0]) => {}
            _ => return Some(None),
        }
    }
    Some(name)
}

/// The first uniformResourceIdentifier [6], else the first directoryName [4].
fn full_name(names: &[u8]) -> Option<Option<String>> {
    let (mut elements, mut directory) = (Elements(names), None);
    while !elements.is_empty() {
        let (tag, content, _) = elements.next_element()?;
        match tag {
            0x86 => return Some(Some(String::from_utf8(content.to_vec()).ok()?)),
            0xa4 if directory.is_none() => {
                directory = Some(X509Name::from_der(content).ok().map(|(_, name)| name.to_string())?);
            }
            _ => {}
        }
    }
    Some(directory)
}

/// Extensions of an entry; an unknown critical one makes the CRL unusable (RFC 5280 §5.3).
pub fn of_entry(list: &[u8]) -> Result<EntryExtensions, Refusal> {
    let mut own = EntryExtensions::default();
    let mut elements = Elements(list);
    while !elements.is_empty() {
        let Some((SEQUENCE, bytes, _)) = elements.next_element() else { return Err(BAD) };
        let (oid, critical, value) = extension(bytes).ok_or(BAD)?;
        match oid {
            [0x55, 0x1d, 21] => match only(0x0a, value) {
                Some([code]) if own.reason.is_none() => own.reason = Some(*code),
                _ => return Err(BAD),
            },
            [0x55, 0x1d, 24] => {
                let date = only(GENERALIZED_TIME, value).and_then(|v| parse_time(GENERALIZED_TIME, v));
                let (date, _) = date.filter(|_| own.invalid_since.is_none()).ok_or(BAD)?;
                own.invalid_since = Some(date);
            }
            // certificateIssuer: the entry is another CA's, so the list is an indirect one, whatever it says of itself.
            [0x55, 0x1d, 29] => return Err(INDIRECT),
            _ if critical => return Err(UNKNOWN),
            _ => {}
        }
    }
    Ok(own)
}
