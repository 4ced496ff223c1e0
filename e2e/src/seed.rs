//! Numbers from a seed that a failing test prints. With it, the next run draws the same ones: what is written and when the
//! server dies; how the writers interleave stays the machine's affair.

use crate::report::figure;

/// Names the seed of a run that shall be repeated.
const SEED_VARIABLE: &str = "YUNZHAN_TEST_SEED";

/// The seed of one test. Says what it was when the test fails.
#[derive(Debug)]
pub struct Seed(u64);

/// A source of numbers: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

// === impl Seed ===

impl Seed {
    /// The seed that the environment names, or else a new one.
    ///
    /// # Panics
    /// When the environment names something else than a number, or the system has no random numbers.
    pub fn drawn() -> Self {
        let given = std::env::var(SEED_VARIABLE).ok();
        let given = given.map(|text| text.parse().expect("a seed is a number"));
        Self(given.unwrap_or_else(|| getrandom::u64().expect("random numbers")))
    }

    /// The numbers of one part of the test, such as a writer in a round.
    pub fn random(&self, part: u64) -> Random {
        let mut mixed = Random(self.0 ^ Random(part).number());
        Random(mixed.number())
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            figure(&format!("the seed of the failed test: {SEED_VARIABLE}={}", self.0));
        }
    }
}

// === impl Random ===

impl From<&mut Self> for Random {
    /// Another source, whose numbers have nothing to do with those of the first.
    fn from(other: &mut Self) -> Self {
        Self(other.number())
    }
}

impl Random {
    /// The next number, any of 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 to below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_part_give_the_same_numbers() {
        let draw = |seed: u64, part: u64| {
            let mut random = Seed(seed).random(part);
            [random.number(), random.number(), random.below(10)]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
        assert!(draw(7, 1)[2] < 10);
    }
}
