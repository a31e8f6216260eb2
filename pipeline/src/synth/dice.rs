//! Hashes instead of random numbers: any attribute of any person follows from its index alone.

/// A source of attributes, keyed by the seed.
#[derive(Debug, Clone, Copy)]
pub struct Dice {
    seed: u64,
}

/// Finaliser of splitmix64.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { seed: mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) }
    }

    /// 64 bits for a purpose and an index.
    pub fn value(self, purpose: &str, index: u64) -> u64 {
        // FNV-1a keeps purposes apart.
        let purpose = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        mix(mix(self.seed ^ purpose).wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(self, purpose: &str, index: u64, bound: u64) -> u64 {
        self.value(purpose, index).checked_rem(bound).unwrap_or(0)
    }

    /// True `part` times in `whole`.
    pub fn chance(self, purpose: &str, index: u64, part: u64, whole: u64) -> bool {
        self.below(purpose, index, whole) < part
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(self, purpose: &str, index: u64, list: &[T]) -> T {
        list[at(self.below(purpose, index, count(list.len())))]
    }
}

/// A count as `u64`.
pub fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A small number as an index.
pub fn at(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
