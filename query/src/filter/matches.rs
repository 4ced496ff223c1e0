//! Does this document match?
//!
//! A test on a field holds if it holds for any value that the path shows; an array at the end of a path counts with each of
//! its items and as a whole. `$not` turns the result for the field round, not for a single value.

use bson::{Bson, Document};

use super::{Comparison, Condition, ItemFilter, ItemTest, Members, Test};
use crate::compare::{Class, compare, equal};
use crate::number::Number;
use crate::path::Path;

/// What a test is asked about: all values at a path, or one value.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Field(&'a Document, &'a Path),
    Value(&'a Bson),
}

impl Condition {
    pub(super) fn matches(&self, document: &Document) -> bool {
        match self {
            Self::Field(path, tests) => Subject::Field(document, path).passes_all(tests),
            Self::Or(filters) => filters.iter().any(|filter| filter.matches(document)),
            Self::Nor(filters) => !filters.iter().any(|filter| filter.matches(document)),
        }
    }
}

impl ItemFilter {
    /// Whether an item of an array passes.
    pub(crate) fn matches(&self, item: &Bson) -> bool {
        self.0.matches(item)
    }
}

impl ItemTest {
    fn matches(&self, item: &Bson) -> bool {
        match self {
            Self::Document(filter) => {
                item.as_document().is_some_and(|document| filter.matches(document))
            }
            Self::Value(tests) => Subject::Value(item).passes_all(tests),
        }
    }
}

impl Subject<'_> {
    fn passes_all(self, tests: &[Test]) -> bool {
        tests.iter().all(|test| self.passes(test))
    }

    fn passes(self, test: &Test) -> bool {
        match test {
            Test::Not(tests) => !self.passes_all(tests),
            Test::All(tests) => !tests.is_empty() && self.passes_all(tests),
            Test::Exists(false) => !self.passes(&Test::Exists(true)),
            single => match self {
                Self::Field(document, path) => {
                    path.visit(document, &mut |value| single.accepts_any(value))
                }
                Self::Value(value) => single.accepts(Some(value)),
            },
        }
    }
}

impl Test {
    /// Whether a value, or an item of it if it is an array, is accepted.
    fn accepts_any(&self, value: Option<&Bson>) -> bool {
        let of_whole_arrays = matches!(self, Self::Exists(_) | Self::Size(_) | Self::Item(_));
        match value {
            Some(Bson::Array(items)) if !of_whole_arrays => {
                items.iter().any(|item| self.accepts(Some(item))) || self.accepts(value)
            }
            _ => self.accepts(value),
        }
    }

    /// Whether this very value is accepted; `None` is a missing field.
    fn accepts(&self, value: Option<&Bson>) -> bool {
        match self {
            Self::Equal(wanted) => equal(value.unwrap_or(&Bson::Null), wanted),
            Self::Compare(comparison, bound) => {
                comparison.holds(value.unwrap_or(&Bson::Null), bound)
            }
            Self::In(members) => members.contains(value.unwrap_or(&Bson::Null)),
            Self::Pattern(pattern) => value.is_some_and(|value| pattern.matches(value)),
            Self::Exists(_) => value.is_some(),
            Self::Remainder { divisor, remainder } => {
                let number = value.and_then(Number::of).and_then(Number::truncate);
                number.is_some_and(|number| number.wrapping_rem(*divisor) == *remainder)
            }
            Self::Size(size) => matches!(value, Some(Bson::Array(items)) if items.len() == *size),
            Self::Item(test) => {
                matches!(value, Some(Bson::Array(items)) if items.iter().any(|item| test.matches(item)))
            }
            Self::Not(_) | Self::All(_) => unreachable!("decided for the field as a whole"),
        }
    }
}

impl Comparison {
    /// Values of different classes are never in range of each other, except for the least and the greatest key.
    fn holds(self, value: &Bson, bound: &Bson) -> bool {
        let bracketed = !matches!(bound, Bson::MinKey | Bson::MaxKey);
        if bracketed && (Class::of(value) != Class::of(bound) || is_nan(value) != is_nan(bound)) {
            return false;
        }
        let order = compare(value, bound);
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
        }
    }
}

impl Members {
    fn contains(&self, value: &Bson) -> bool {
        self.values.binary_search_by(|member| compare(member, value)).is_ok()
            || self.patterns.iter().any(|pattern| pattern.matches(value))
    }
}

fn is_nan(value: &Bson) -> bool {
    Number::of(value).is_some_and(Number::is_nan)
}
