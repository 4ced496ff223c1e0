//! From constraints on values to ranges of keys.

use std::ops::Bound;

use bson::Bson;

use super::entries::append;
use super::{FORMAT, KEY_BYTES_MAX, encode};
use crate::filter::Constraint;
use crate::order::Direction;

/// The keys `from ≤ key < to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    /// The first key that may belong to the range.
    pub from: Vec<u8>,
    /// The first key after the range.
    pub to: Vec<u8>,
}

/// The beginning that all keys of interest share: format and the components of the fields before.
#[derive(Clone, Debug)]
pub(crate) struct Prefix(Vec<u8>);

impl Prefix {
    /// The beginning of every key.
    pub(crate) fn empty() -> Self {
        Self(vec![FORMAT])
    }

    /// The range of all keys with this beginning.
    pub(crate) fn range(&self) -> KeyRange {
        let (from, _) = cut(self.0.clone());
        KeyRange { to: successor(&from), from }
    }

    /// This beginning, then `value`.
    pub(crate) fn then(&self, value: &Bson, direction: Direction) -> Self {
        let mut component = Vec::new();
        encode(value, &mut component);
        let mut key = self.0.clone();
        append(&mut key, &component, direction);
        Self(key)
    }
}

/// The ranges of keys that begin with `prefix` and go on with a value within `constraint`. A superset where keys are cut.
pub(crate) fn ranges(
    prefix: &Prefix,
    constraint: &Constraint,
    direction: Direction,
) -> Vec<KeyRange> {
    match constraint {
        Constraint::Points(values) => {
            values.iter().map(|value| prefix.then(value, direction).range()).collect()
        }
        Constraint::Range { lower, upper } => {
            let (first, last) = match direction {
                Direction::Ascending => (lower, upper),
                Direction::Descending => (upper, lower),
            };
            let range = KeyRange {
                from: start(prefix, first, direction),
                to: end(prefix, last, direction),
            };
            if range.from < range.to { vec![range] } else { Vec::new() }
        }
    }
}

fn start(prefix: &Prefix, first: &Bound<Bson>, direction: Direction) -> Vec<u8> {
    match first {
        Bound::Unbounded => prefix.range().from,
        Bound::Included(value) => prefix.then(value, direction).range().from,
        Bound::Excluded(value) => match cut(prefix.then(value, direction).0) {
            // A cut key may belong to a greater value as well.
            (key, true) => key,
            (key, false) => successor(&key),
        },
    }
}

fn end(prefix: &Prefix, last: &Bound<Bson>, direction: Direction) -> Vec<u8> {
    match last {
        Bound::Unbounded => prefix.range().to,
        Bound::Included(value) => prefix.then(value, direction).range().to,
        Bound::Excluded(value) => match cut(prefix.then(value, direction).0) {
            // A cut key may belong to a lesser value as well.
            (key, true) => successor(&key),
            (key, false) => key,
        },
    }
}

/// The key as it would be stored, and whether that lost something.
fn cut(mut key: Vec<u8>) -> (Vec<u8>, bool) {
    let truncated = key.len() > KEY_BYTES_MAX;
    key.truncate(KEY_BYTES_MAX);
    (key, truncated)
}

/// The first key that is after every key beginning with `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    let last = key.iter().rposition(|byte| *byte != 0xff).expect("the format byte is not FF");
    let mut successor = key[..=last].to_vec();
    successor[last] += 1;
    successor
}
