//! One CRL in one pass: header, entries as they come, extensions, signature over the digest of what passed.
//!
//! Entries are handed out before the signature is known to be good; the caller keeps them apart until [`read`] returns.

use std::io::Read;

use chrono::NaiveDateTime;

use super::extensions::{self, EntryExtensions};
use super::oddity::{Oddities, Oddity};
use crate::base::digest;
use crate::base::time::from_millis;
use crate::pki::ca::{Algorithm, Ca};
use crate::pki::der::{
    BIT_STRING, EXTENSIONS, Elements, GENERALIZED_TIME, INTEGER, Malformed, OID, SEQUENCE, Stream, UTC_TIME,
    parse_time, without_zeros,
};
use shikaku_schemas::code::Code;

/// One entry as it stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Octets of the serial's INTEGER, as sent.
    pub serial: &'a [u8],
    /// Seconds since 1970-01-01, JST.
    pub revoked_at: i64,
    pub extensions: EntryExtensions,
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
    /// Digest of what was signed and of the signature: the same in DER and in PEM.
    pub identity: String,
    pub oddities: Oddities,
}

/// Longest serial that is looked at, in octets; RFC 5280 allows 20.
const MAX_SERIAL: usize = 1000;
/// Highest reasonCode (RFC 5280 §5.3.1).
const MAX_REASON: u8 = 10;

/// Why a CRL was not read to its end: its bytes, or trouble of whoever takes the entries.
#[derive(Debug)]
pub enum Stop {
    Malformed(Malformed),
    Own(crate::Error),
}

impl From<Malformed> for Stop {
    fn from(bad: Malformed) -> Self {
        Self::Malformed(bad)
    }
}

/// Reads and verifies a CRL in DER. `take` is given each entry, with the CA that must have issued it if the issuer's name alone
/// tells it: which of several CAs of one name it is (a key rollover) is known behind the entries only.
pub fn read<R: Read>(
    source: R,
    cas: &[Ca],
    mut take: impl FnMut(Option<&Ca>, Entry<'_>) -> crate::Result<()>,
) -> Result<Header, Stop> {
    let mut stream = Stream::new(source);
    let outer = stream.expect(SEQUENCE, "a CRL is a SEQUENCE")?;
    let outer_end = stream.offset() + outer.length;
    let signed = signed(&mut stream, outer_end, cas, &mut take)?;
    let hashed = stream.digest().unwrap_or_default();
    let bits = signature_bits(&mut stream, outer_end, &signed.algorithm_bytes)?;
    let Some((0, signature_bytes)) = bits.split_first() else {
        return Err(stream.bad("the signature is no whole bytes").into());
    };
    let offset = stream.offset();
    let own = extensions::of_crl(&signed.extensions).map_err(|(code, what)| Malformed { code, what, offset })?;
    let Some(ca) = cas.iter().find(|ca| ca.key_id == own.authority_key_id && ca.subject == signed.issuer) else {
        let what = "no configured CA has this issuer and key";
        return Err(Malformed { code: Code::CrlIssuerUnknown, what, offset: 0 }.into());
    };
    if !ca.verify(signed.algorithm, &hashed, signature_bytes) {
        return Err(signature(&stream, "the signature is wrong").into());
    }
    Ok(Header {
        issuer_key_id: own.authority_key_id,
        this_update: signed.this_update,
        next_update: signed.next_update,
        crl_number: own.crl_number,
        distribution_point: own.distribution_point,
        entries: signed.entries,
        identity: digest::sha256(&[hashed.as_slice(), signature_bytes].concat()),
        oddities: signed.oddities,
    })
}

/// What is signed (tbsCertList), but for the entries, which are handed out.
struct Signed {
    algorithm: Algorithm,
    algorithm_bytes: Vec<u8>,
    /// Key of the issuer's name.
    issuer: Vec<u8>,
    this_update: NaiveDateTime,
    next_update: NaiveDateTime,
    entries: u64,
    extensions: Vec<u8>,
    oddities: Oddities,
}

fn signed<R: Read>(
    stream: &mut Stream<R>,
    outer_end: u64,
    cas: &[Ca],
    take: &mut impl FnMut(Option<&Ca>, Entry<'_>) -> crate::Result<()>,
) -> Result<Signed, Stop> {
    stream.keep_prefix();
    let tbs = stream.expect(SEQUENCE, "tbsCertList is a SEQUENCE")?;
    let end = stream.offset() + tbs.length;
    if end > outer_end {
        return Err(stream.bad("tbsCertList is longer than the CRL").into());
    }
    let version = stream.expect(INTEGER, "a version is missing; only v2 is taken")?;
    if stream.value(version.length)? != [1] {
        return Err(stream.bad("only v2 is taken").into());
    }
    let inner = stream.expect(SEQUENCE, "the signature algorithm is missing")?;
    let algorithm_bytes = stream.value(inner.length)?.to_vec();
    let algorithm =
        algorithm(&algorithm_bytes).ok_or_else(|| signature(stream, "the signature algorithm is not taken"))?;
    stream.hash_with(algorithm.hasher());
    let issuer = stream.expect(SEQUENCE, "the issuer is missing")?;
    let issuer = crate::pki::name::key(&crate::pki::der::encode(SEQUENCE, stream.value(issuer.length)?));
    let mut named = cas.iter().filter(|ca| ca.subject == issuer);
    // Two certificates of one key are one CA.
    let sole = named.next().filter(|first| named.all(|ca| ca.key_id == first.key_id));
    let mut oddities = Oddities::default();
    let this_update = time(stream, &mut oddities, "thisUpdate cannot be read")?;
    let next_update = time(stream, &mut oddities, "nextUpdate is missing or cannot be read")?;
    let (mut count, mut extensions) = (None, None);
    while stream.offset() < end {
        let head = stream.head()?;
        let element_end = stream.offset() + head.length;
        if element_end > end {
            return Err(stream.bad("an element is longer than tbsCertList").into());
        }
        match head.tag {
            SEQUENCE if count.is_none() && extensions.is_none() => {
                count = Some(entries(stream, element_end, &mut oddities, &mut |entry| take(sole, entry))?);
            }
            EXTENSIONS if extensions.is_none() => extensions = Some(stream.value(head.length)?.to_vec()),
            _ => return Err(stream.bad("an unexpected element in tbsCertList").into()),
        }
    }
    if stream.offset() != end {
        return Err(stream.bad("tbsCertList does not end where it says").into());
    }
    let (entries, extensions) = (count.unwrap_or(0), extensions.unwrap_or_default());
    Ok(Signed { algorithm, algorithm_bytes, issuer, this_update, next_update, entries, extensions, oddities })
}

/// The BIT STRING behind what is signed, which must end the CRL; its algorithm must be the one that is signed.
fn signature_bits<R: Read>(stream: &mut Stream<R>, outer_end: u64, algorithm: &[u8]) -> Result<Vec<u8>, Stop> {
    let outer = stream.expect(SEQUENCE, "the outer signature algorithm is missing")?;
    if stream.value(outer.length)? != algorithm {
        return Err(signature(stream, "inner and outer signature algorithm differ").into());
    }
    let bits = stream.expect(BIT_STRING, "the signature is missing")?;
    let bits = stream.value(bits.length)?.to_vec();
    if stream.offset() != outer_end || !stream.at_end()? {
        return Err(stream.bad("bytes follow the CRL").into());
    }
    Ok(bits)
}

fn signature<R: Read>(stream: &Stream<R>, what: &'static str) -> Malformed {
    Malformed { code: Code::CrlSignature, ..stream.bad(what) }
}

fn algorithm(value: &[u8]) -> Option<Algorithm> {
    match Elements(value).next_element()? {
        (OID, oid, _) => Algorithm::of_oid(oid),
        _ => None,
    }
}

fn time<R: Read>(
    stream: &mut Stream<R>,
    oddities: &mut Oddities,
    what: &'static str,
) -> Result<NaiveDateTime, Malformed> {
    let head = stream.head()?;
    let is_time = matches!(head.tag, UTC_TIME | GENERALIZED_TIME);
    let read = if is_time { parse_time(head.tag, stream.value(head.length)?) } else { None };
    let (seconds, early) = read.ok_or_else(|| stream.bad(what))?;
    oddities.add(Oddity::GeneralizedTime, u64::from(early));
    Ok(from_millis(seconds * 1000))
}

/// All entries up to the end of their list; their number.
fn entries<R: Read>(
    stream: &mut Stream<R>,
    end: u64,
    oddities: &mut Oddities,
    take: &mut impl FnMut(Entry<'_>) -> crate::Result<()>,
) -> Result<u64, Stop> {
    let mut count = 0u64;
    let mut previous = Vec::new();
    // RFC 5280 §5.1.2.6: without entries the list must be absent.
    oddities.add(Oddity::EmptyList, u64::from(stream.offset() == end));
    while stream.offset() < end {
        let head = stream.expect(SEQUENCE, "an entry is a SEQUENCE")?;
        let offset = stream.offset();
        let value = stream.value(head.length)?;
        let (entry, early) = entry(value).map_err(|(code, what)| Malformed { code, what, offset })?;
        let trimmed = without_zeros(entry.serial);
        let order = (trimmed.len(), trimmed);
        oddities.add(Oddity::Unsorted, u64::from(order < (previous.len(), previous.as_slice())));
        previous.clear();
        previous.extend_from_slice(trimmed);
        oddities.add(Oddity::GeneralizedTime, u64::from(early));
        note(&entry, trimmed, oddities);
        take(entry).map_err(Stop::Own)?;
        count += 1;
    }
    if stream.offset() != end {
        return Err(stream.bad("the entries do not end where they say").into());
    }
    Ok(count)
}

/// An entry, and whether it has a GeneralizedTime before 2050.
fn entry(value: &[u8]) -> Result<(Entry<'_>, bool), (Code, &'static str)> {
    const BAD: (Code, &str) = (Code::CrlMalformed, "an entry cannot be read");
    let mut elements = Elements(value);
    let Some((INTEGER, serial, _)) = elements.next_element() else { return Err(BAD) };
    let Some((tag, when, _)) = elements.next_element() else { return Err(BAD) };
    let (revoked_at, early) = parse_time(tag, when).ok_or(BAD)?;
    let mut extensions = EntryExtensions::default();
    if !elements.is_empty() {
        let Some((SEQUENCE, list, _)) = elements.next_element() else { return Err(BAD) };
        extensions = extensions::of_entry(list)?;
    }
    if serial.is_empty() || serial.len() > MAX_SERIAL || !elements.is_empty() {
        return Err(BAD);
    }
    Ok((Entry { serial, revoked_at, extensions }, early))
}

/// Counts what is odd about an entry by itself.
fn note(entry: &Entry<'_>, trimmed: &[u8], oddities: &mut Oddities) {
    let first = entry.serial[0];
    let next = entry.serial.get(1).copied();
    let redundant = next.is_some_and(|next| (first == 0 && next < 0x80) || (first == 0xff && next >= 0x80));
    oddities.add(Oddity::Negative, u64::from(first >= 0x80));
    oddities.add(Oddity::NotMinimal, u64::from(redundant));
    oddities.add(Oddity::Oversized, u64::from(trimmed.len() > 20));
    // 0 should be absent, 7 is unused, 8 belongs to delta CRLs.
    let reason = entry.extensions.reason;
    oddities.add(Oddity::Reason, u64::from(reason.is_some_and(|r| matches!(r, 0 | 7 | 8) || r > MAX_REASON)));
}
