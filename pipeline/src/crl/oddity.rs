//! What is odd about a CRL and still taken: named and counted, never silently passed over.

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
    pub fn code(self) -> &'static str {
        ODDITIES.iter().find(|(own, _)| *own == self).map_or("", |(_, code)| code)
    }
}

/// All kinds in code order, with the code of each in the catalogue.
pub const ODDITIES: [(Oddity, &str); 8] = [
    (Oddity::Duplicate, "400121"),
    (Oddity::Unsorted, "400122"),
    (Oddity::Negative, "400123"),
    (Oddity::Oversized, "400124"),
    (Oddity::NotMinimal, "400125"),
    (Oddity::GeneralizedTime, "400126"),
    (Oddity::Reason, "400127"),
    (Oddity::EmptyList, "400128"),
];

/// How often each was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities([u64; ODDITIES.len()]);

impl Oddities {
    pub fn add(&mut self, oddity: Oddity, count: u64) {
        if count == 0 {
            return;
        }
        for ((own, _), total) in ODDITIES.iter().zip(&mut self.0) {
            if *own == oddity {
                *total += count;
            }
        }
    }

    /// Code and count of each kind that was met, in code order.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ODDITIES.iter().zip(self.0).filter(|(_, count)| *count > 0).map(|((_, code), count)| (*code, count))
    }
}
