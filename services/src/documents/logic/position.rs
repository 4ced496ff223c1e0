//! Places in the change log of an environment.
//!
//! Slots are kept in [`SLOT_GROUPS`] groups, whose number never changes. Each has a counter of its own, its *sequence*: every
//! write batch that writes documents of the group raises it by one and holds it until its commit, so that numbers are given in
//! the order in which batches become visible, without a gap. What one batch wrote in one group has one number.
//!
//! A *position* is the number of each group. All positions that were read from the tables in one statement are of one moment,
//! and of two such moments none is ahead in one group and behind in another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::SLOTS;

use super::id::slot_of;

/// Groups of slots in each environment: enough that writers of different owners seldom wait for one another, few enough that
/// all of them are read in one small statement. Part of stored formats and of tokens.
pub(in crate::documents) const SLOT_GROUPS: usize = 64;

/// Slots of one group, which lie side by side.
const SLOTS_PER_GROUP: u16 = SLOTS / 64;

/// What tokens begin with: the version of their format.
const TOKEN_VERSION: u8 = 1;

/// Longest token in bytes of text: 64 numbers of ten bytes at the most, and the version.
const TOKEN_BYTES_MAX: usize = (1 + SLOT_GROUPS * 10).div_ceil(3) * 4;

/// A place in the change log: which changes have been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position(Box<[i64; SLOT_GROUPS]>);

/// The group of a slot.
pub(in crate::documents) fn group_of_slot(slot: u16) -> usize {
    usize::from(slot / SLOTS_PER_GROUP) % SLOT_GROUPS
}

/// The group in which the document with this key is written.
pub(in crate::documents) fn group_of(key: &[u8]) -> usize {
    group_of_slot(slot_of(key))
}

// === impl Position ===

impl Position {
    /// Before every change.
    pub fn zero() -> Self {
        Self(Box::new([0; SLOT_GROUPS]))
    }

    /// The number of the last change of a slot group that has been seen; groups go from 0 to 63.
    ///
    /// # Panics
    /// When there is no such group.
    pub fn of(&self, group: usize) -> i64 {
        self.0[group]
    }

    pub(in crate::documents) fn set(&mut self, group: usize, sequence: i64) {
        self.0[group] = sequence;
    }

    /// Whether the document with this key has been seen as it was written under this number.
    pub(in crate::documents) fn includes(&self, key: &[u8], version: i64) -> bool {
        version <= self.of(group_of(key))
    }

    /// The slot groups in which `later` is ahead.
    pub fn behind(&self, later: &Self) -> impl Iterator<Item = usize> {
        (0..SLOT_GROUPS).filter(|group| self.0[*group] < later.0[*group])
    }

    /// Whether `later` is ahead in some group.
    pub fn is_behind(&self, later: &Self) -> bool {
        self.behind(later).next().is_some()
    }

    /// As text, for clients that go on from here later. It stays readable.
    pub fn token(&self) -> String {
        let mut bytes = vec![TOKEN_VERSION];
        for number in self.0.iter() {
            let mut left = number.unsigned_abs();
            while left >= 0x80 {
                bytes.push((left & 0x7f) as u8 | 0x80);
                left >>= 7;
            }
            bytes.push(left as u8);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// `InvalidParameter` for what is none.
    pub fn from_token(token: &str) -> Result<Self> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            let (version, mut rest) = bytes.split_first()?;
            let mut position = Self::zero();
            for number in position.0.iter_mut() {
                *number = take_number(&mut rest)?;
            }
            (*version == TOKEN_VERSION && rest.is_empty()).then_some(position)
        };
        let read = if token.len() <= TOKEN_BYTES_MAX { read() } else { None };
        read.ok_or_else(|| {
            Error::new(Kind::InvalidParameter, "this is no token of a place in the change log")
        })
    }
}

/// The next number, in seven bits a byte, the lowest first.
fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return i64::try_from(number).ok();
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_slot_has_a_group_and_every_group_as_many_slots() {
        let mut slots = [0; SLOT_GROUPS];
        (0..SLOTS).for_each(|slot| slots[group_of_slot(slot)] += 1);
        assert_eq!(slots, [16; SLOT_GROUPS]);
        assert_eq!((group_of_slot(15), group_of_slot(16), group_of_slot(1023)), (0, 1, 63));
    }

    #[test]
    fn a_token_is_short_and_its_format_stays() {
        let mut position = Position::zero();
        position.set(0, 1);
        position.set(63, 300);
        let token = position.token();
        expect![
            "AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAKwC"
        ]
        .assert_eq(&token);
        assert_eq!(Position::from_token(&token).unwrap(), position);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let whole = Position::zero().token();
        let longer = URL_SAFE_NO_PAD.encode([TOKEN_VERSION; 66]);
        let other = URL_SAFE_NO_PAD.encode([2; 65]);
        let endless = URL_SAFE_NO_PAD.encode([0xff; 65]);
        for text in ["", "?", &whole[1..], &longer, &other, &endless, &"A".repeat(5000)] {
            assert!(Position::from_token(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn tokens_come_back(numbers in prop::collection::vec(0..=i64::MAX, SLOT_GROUPS)) {
            let position = Position(Box::new(numbers.try_into().unwrap()));
            prop_assert_eq!(Position::from_token(&position.token()).unwrap(), position);
        }

        #[test]
        fn no_text_is_a_panic(text in "[A-Za-z0-9_-]{0,900}") {
            let _ = Position::from_token(&text);
        }
    }
}
