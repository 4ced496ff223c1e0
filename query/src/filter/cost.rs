//! What does a match cost? The number of conditions, so that a caller can bound conditions times documents.

use super::{Condition, Filter, ItemTest, Test};

/// Reading a geometry out of a document costs as much as this many comparisons.
const GEOMETRY_CONDITIONS: usize = 4;

/// A regular expression costs as much as this many comparisons: it reads each byte of a text, a few nanoseconds long.
const PATTERN_CONDITIONS: usize = 16;

impl Condition {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Field(_, tests) => count_all(tests),
            Self::Or(filters) | Self::Nor(filters) => filters.iter().map(Filter::conditions).sum(),
            Self::Expression(computed) => computed.cost(),
        }
    }
}

impl Test {
    fn count(&self) -> usize {
        match self {
            // The values are searched, the patterns are asked one by one.
            Self::In(members) => 1 + members.patterns.len() * PATTERN_CONDITIONS,
            Self::Pattern(_) => PATTERN_CONDITIONS,
            Self::All(tests) | Self::Not(tests) | Self::Item(ItemTest::Value(tests)) => {
                count_all(tests)
            }
            Self::Item(ItemTest::Document(filter)) => 1 + filter.conditions(),
            Self::Within(area) | Self::Intersects(area) => GEOMETRY_CONDITIONS + area.corners() / 4,
            Self::Near(_) => GEOMETRY_CONDITIONS,
            Self::Equal(_)
            | Self::Compare(..)
            | Self::Exists(_)
            | Self::Remainder { .. }
            | Self::Size(_)
            | Self::Type(_) => 1,
        }
    }
}

fn count_all(tests: &[Test]) -> usize {
    tests.iter().map(Test::count).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use bson::{Document, doc};

    use super::*;
    use crate::filter::Limits;

    #[test]
    fn every_condition_counts_wherever_it_stands() {
        let count =
            |query: Document| Filter::parse(&query, &Limits::default()).unwrap().conditions();
        assert_eq!(count(doc! {}), 0);
        assert_eq!(count(doc! { "a": 1, "b": { "$gt": 1, "$lt": 5 } }), 3);
        assert_eq!(count(doc! { "$or": [{ "a": 1 }, { "$nor": [{ "b": 1, "c": 1 }] }] }), 3);
        assert_eq!(count(doc! { "a": { "$in": [1, 2, 3] } }), 1);
        assert_eq!(count(doc! { "a": { "$not": { "$gt": 1, "$lt": 5 } } }), 2);
        assert_eq!(count(doc! { "a": { "$elemMatch": { "b": 1, "c": 1 } } }), 3);
        assert_eq!(count(doc! { "a": { "$regex": "x" } }), PATTERN_CONDITIONS);
    }
}
