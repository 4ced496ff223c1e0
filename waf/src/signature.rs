//! What a value is made of, in a form that says in a few instructions that an operator cannot match it.
//!
//! A signature holds which bytes occur and which pairs of neighbours. Pairs are of *classes*: letters without case, digits
//! as one, each mark of punctuation by itself. A pair that does not occur rules out every operator that needs it.

use crate::bytes::ByteSet;

/// How many classes there are.
const CLASSES: usize = 64;

/// Words of 64 bits of a set of pairs.
const WORDS: usize = CLASSES * CLASSES / 64;

/// The class of each byte.
const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut class = [61_u8; 256];
    let (mut byte, mut next) = (0_usize, 30_u8);
    while byte < 256 {
        let b = byte as u8;
        class[byte] = match b {
            0 => 63,
            b' ' | b'\t'..=b'\r' => 29,
            b'0'..=b'9' => 27,
            b'_' => 28,
            b'a'..=b'z' => b - b'a' + 1,
            b'A'..=b'Z' => b - b'A' + 1,
            0x80..=0xff => 62,
            b'!'..=b'~' => {
                next += 1;
                next - 1
            }
            _ => 61,
        };
        byte += 1;
    }
    assert!(next <= 61, "every mark of punctuation has a class of its own");
    class
}

/// A pair of neighbours, by class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pair(pub(crate) u16);

impl Pair {
    pub(crate) fn of(first: u8, second: u8) -> Self {
        Self(u16::from(CLASS[usize::from(first)]) * 64 + u16::from(CLASS[usize::from(second)]))
    }
}

/// A set of pairs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PairSet(Box<[u64; WORDS]>);

impl Default for PairSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl PairSet {
    #[inline]
    pub(crate) fn has(&self, pair: Pair) -> bool {
        self.0[usize::from(pair.0 >> 6)] & (1 << (pair.0 & 63)) != 0
    }

    #[inline]
    pub(crate) fn add(&mut self, pair: Pair) {
        self.0[usize::from(pair.0 >> 6)] |= 1 << (pair.0 & 63);
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&*other.0).any(|(a, b)| a & b != 0)
    }
}

/// What one value is made of: exact bytes, and pairs folded into 512 bits, so that a pair may seem to be there that is not.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Small {
    pub(crate) bytes: ByteSet,
    pairs: [u64; 8],
}

/// What many values are made of together.
#[derive(Clone, Default, Debug)]
pub(crate) struct Union {
    pub(crate) bytes: ByteSet,
    pub(crate) pairs: PairSet,
}

/// Where a pair stands in the folded set.
fn folded(pair: Pair) -> (usize, u64) {
    let hash = pair.0.wrapping_mul(0x9e37) >> 7;
    (usize::from(hash >> 6), 1 << (hash & 63))
}

impl Small {
    #[inline]
    pub(crate) fn has(&self, pair: Pair) -> bool {
        let (word, bit) = folded(pair);
        self.pairs[word] & bit != 0
    }
}

impl Union {
    /// Adds a value and gives what it alone is made of.
    pub(crate) fn add(&mut self, value: &[u8]) -> Small {
        let mut small = Small::default();
        let Some((&first, rest)) = value.split_first() else { return small };
        let (mut bytes, mut previous) =
            (ByteSet::NONE.with(first), u16::from(CLASS[usize::from(first)]));
        for &byte in rest {
            bytes.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
            let class = u16::from(CLASS[usize::from(byte)]);
            let pair = Pair(previous * 64 + class);
            self.pairs.add(pair);
            let (word, bit) = folded(pair);
            small.pairs[word] |= bit;
            previous = class;
        }
        small.bytes = bytes;
        self.bytes = self.bytes.or(bytes);
        small
    }
}
