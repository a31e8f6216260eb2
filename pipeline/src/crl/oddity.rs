//! What is odd about a CRL and still taken: named and counted, never silently passed over.

use shikaku_schemas::code::Code;
/// One kind of oddity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// The same serial twice; the earlier revocation holds.
    Duplicate,
    /// A serial smaller than the one before it in its list.
    Unsorted,
    Negative,
    /// More than 20 octets.
    Oversized,
    /// An INTEGER with a redundant first octet.
    NotMinimal,
    /// GeneralizedTime before 2050.
    GeneralizedTime,
    /// A reasonCode that a full CRL should not hold.
    Reason,
    /// A list of entries that is there and empty.
    EmptyList,
}

impl Oddity {
    pub fn code(self) -> Code {
        match self {
            Self::Duplicate => Code::CrlEntryDuplicate,
            Self::Unsorted => Code::CrlEntryUnsorted,
            Self::Negative => Code::CrlSerialNegative,
            Self::Oversized => Code::CrlSerialOversized,
            Self::NotMinimal => Code::CrlSerialNotMinimal,
            Self::GeneralizedTime => Code::CrlGeneralizedTime,
            Self::Reason => Code::CrlReasonOdd,
            Self::EmptyList => Code::CrlListEmpty,
        }
    }
}

/// All kinds in code order.
pub const ODDITIES: [Oddity; 8] = [
    Oddity::Duplicate,
    Oddity::Unsorted,
    Oddity::Negative,
    Oddity::Oversized,
    Oddity::NotMinimal,
    Oddity::GeneralizedTime,
    Oddity::Reason,
    Oddity::EmptyList,
];

/// How often each was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities([u64; ODDITIES.len()]);

impl Oddities {
    pub fn add(&mut self, oddity: Oddity, count: u64) {
        if count == 0 {
            return;
        }
        for (own, total) in ODDITIES.iter().zip(&mut self.0) {
            if *own == oddity {
                *total += count;
            }
        }
    }

    /// Code and count of each kind that was met, in code order.
    pub fn counts(&self) -> impl Iterator<Item = (Code, u64)> {
        ODDITIES.iter().zip(self.0).filter(|(_, count)| *count > 0).map(|(own, count)| (own.code(), count))
    }
}
