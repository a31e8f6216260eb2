//! Entries as they are sorted: issuer, serial, earliest revocation first, in bytes whose order is the table's.

use std::sync::LazyLock;

use super::parse::Entry;
use crate::base::error::{Error, Result};
use crate::pki::der::push_serial;

/// Puts seconds before 1970 before those after it; 48 bits reach beyond the year 9999.
const EPOCH: i64 = 1 << 40;
/// Bytes of [`Says`]: revoked_at 6, reason 2, invalid_since 6, point 4.
const TAIL: usize = 18;

/// What an entry says of its serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Says {
    /// Milliseconds since 1970-01-01, JST.
    pub revoked_at: i64,
    pub reason: Option<u8>,
    pub invalid_since: Option<i64>,
    /// Which CRL of the set it stands in.
    pub point: usize,
}

/// An entry that was sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Place of its CA among those configured, by key id.
    pub issuer: usize,
    /// Hex without leading zeros.
    pub serial: &'a str,
    pub says: Says,
}

/// Puts the sortable form of an entry into a buffer.
pub fn pack(entry: &Entry<'_>, issuer: usize, point: usize, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    out.push(u8::try_from(issuer).map_err(|_| Error::failed("there are too many CAs"))?);
    push_serial(entry.serial, out);
    // Less than every digit, so that a shorter serial comes first, as it does in text.
    out.push(0);
    let own = entry.extensions;
    let invalid_since = own.invalid_since.map(|at| at * 1000);
    push_says(Says { revoked_at: entry.revoked_at * 1000, reason: own.reason, invalid_since, point }, out)
}

/// Reads what [`pack`] wrote.
pub fn unpack(record: &[u8]) -> Option<Listed<'_>> {
    let (issuer, rest) = record.split_first()?;
    let (serial, tail) = rest.split_at_checked(rest.len().checked_sub(TAIL)?)?;
    let serial = std::str::from_utf8(serial.strip_suffix(&[0])?).ok()?;
    Some(Listed { issuer: usize::from(*issuer), serial, says: read_says(tail)? })
}

/// Appends [`TAIL`] bytes, the earlier revocation less than the later.
pub fn push_says(says: Says, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&seconds(says.revoked_at));
    let reason = says.reason.map_or(0, |reason| u16::from(reason) + 1);
    out.extend_from_slice(&reason.to_be_bytes());
    out.extend_from_slice(&says.invalid_since.map_or([0; 6], seconds));
    let point = u32::try_from(says.point).map_err(|_| Error::failed("a CRL set has too many files"))?;
    out.extend_from_slice(&point.to_be_bytes());
    Ok(())
}

pub fn read_says(tail: &[u8]) -> Option<Says> {
    let (at, rest) = tail.split_first_chunk::<6>()?;
    let (reason, rest) = rest.split_first_chunk::<2>()?;
    let (invalid, point) = rest.split_first_chunk::<6>()?;
    Some(Says {
        revoked_at: (number(at) - EPOCH) * 1000,
        reason: u8::try_from(number(reason) - 1).ok(),
        invalid_since: Some(number(invalid)).filter(|at| *at != 0).map(|at| (at - EPOCH) * 1000),
        point: usize::try_from(number(point)).ok()?,
    })
}

fn seconds(millis: i64) -> [u8; 6] {
    let [_, _, rest @ ..] = (millis / 1000 + EPOCH).to_be_bytes();
    rest
}

fn number(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |n, b| n << 8 | i64::from(*b))
}

/// reasonCode as it stands in the tables.
pub fn reason_text(reason: u8) -> &'static str {
    static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| (0..=u8::MAX).map(|n| n.to_string()).collect());
    TEXTS.get(usize::from(reason)).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::extensions::EntryExtensions;
    use super::*;
    use crate::pki::der::serial_text;

    proptest! {
        #[test]
        fn packed_entries_sort_as_their_texts_and_come_back_as_they_were(
            a in (proptest::collection::vec(any::<u8>(), 1..22), -2_208_988_800i64..253_402_300_800, any::<Option<u8>>()),
            b in (proptest::collection::vec(any::<u8>(), 1..22), -2_208_988_800i64..253_402_300_800, any::<Option<u8>>()),
        ) {
            let mut packed = [Vec::new(), Vec::new()];
            for ((serial, revoked_at, reason), out) in [&a, &b].into_iter().zip(&mut packed) {
                let extensions = EntryExtensions { reason: *reason, invalid_since: reason.map(|_| *revoked_at) };
                pack(&Entry { serial, revoked_at: *revoked_at, extensions }, 3, 70_000, out).unwrap();
                let text = serial_text(serial);
                let invalid_since = reason.map(|_| revoked_at * 1000);
                let says = Says { revoked_at: revoked_at * 1000, reason: *reason, invalid_since, point: 70_000 };
                prop_assert_eq!(unpack(out), Some(Listed { issuer: 3, serial: &text, says }));
            }
            let text = |e: &(Vec<u8>, i64, Option<u8>)| (serial_text(&e.0), e.1, e.2);
            prop_assert_eq!(packed[0].cmp(&packed[1]), text(&a).cmp(&text(&b)));
        }
    }
}
