//! Random plans of what happens to a lake, and making a plan that fails small. Dice that anybody can throw again.

pub mod lake;
pub mod subscribers;

/// Takes things away from a plan that fails for as long as it still does; what is left, and how that fails.
pub fn shrunk<P>(
    mut plan: P,
    mut what: String,
    without: impl Fn(&P, usize, u8) -> Option<P>,
    check: impl Fn(&P) -> Result<(), String>,
) -> (P, String) {
    for part in [0, 1, 2] {
        let mut n = 0;
        while let Some(less) = without(&plan, n, part) {
            match check(&less) {
                Err(still) => (plan, what) = (less, still),
                Ok(()) => n += 1,
            }
        }
    }
    (plan, what)
}

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }

    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    pub fn of<'v>(&mut self, values: &[&'v str]) -> &'v str {
        values[self.below(values.len())]
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }
}

pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}
