//! Numbers from a seed: SplitMix64, which is small and the same everywhere.

/// A source of numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("lengths fit");
        usize::try_from(self.next() % bound).expect("below a usize")
    }

    /// A number from `least` to `greatest`.
    pub(super) fn between(&mut self, least: i32, greatest: i32) -> i32 {
        let span = usize::try_from(greatest - least).expect("the least comes first") + 1;
        least + i32::try_from(self.below(span)).expect("a small span")
    }

    /// True in `percent` of a hundred times.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these, of which there is at least one.
    pub(super) fn pick<'t, T>(&mut self, choices: &'t [T]) -> &'t T {
        &choices[self.below(choices.len())]
    }

    /// One of these words, of which there is at least one.
    pub(super) fn word<'t>(&mut self, words: &[&'t str]) -> &'t str {
        words[self.below(words.len())]
    }

    /// Between `least` and `greatest` of what `make` makes.
    pub(super) fn some<T>(
        &mut self,
        least: i32,
        greatest: i32,
        mut make: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        (0..self.between(least, greatest)).map(|_| make(self)).collect()
    }
}
