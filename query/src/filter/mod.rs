//! Which documents? MongoDB's filter language.
//!
//! `parse.rs` turns a document into a [`Filter`], `matches.rs` asks a document, `position.rs` which item it was about, `pattern.rs` holds regular expressions,
//! `expression.rs` conditions that are computed, `constraint.rs` says what an index can contribute, and `cost.rs` what a
//! match costs.
//!
//! Fields: `$eq $ne $gt $gte $lt $lte $in $nin $exists $type $regex $options $not $mod $all $elemMatch $size`, and for places
//! `$geoWithin $geoIntersects $near $nearSphere $maxDistance $minDistance`. Documents: `$and $or $nor $expr`, and `$comment`,
//! which says nothing. Everything else is refused by name.

mod constraint;
mod cost;
mod expression;
mod matches;
mod named;
mod parse;
mod pattern;
mod position;
mod types;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod geo_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use bson::{Bson, Document};

pub use self::constraint::Constraint;
use self::expression::Computed;
pub(crate) use self::named::NamedFilter;
use self::pattern::Pattern;
use self::types::Types;
use crate::error::Result;
use crate::geo::{Area, Near, Reach};
use crate::needs::Needs;
use crate::path::Path;

/// How large a filter may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Nesting of conditions.
    pub depth_max: usize,
    /// Conditions: each is asked about each item of an array.
    pub conditions_max: usize,
    /// Values in all `$in` and `$nin` together, which are searched and not asked one by one, and the corners of all areas.
    pub values_max: usize,
    /// Length of one regular expression.
    pub pattern_bytes_max: usize,
    /// Regular expressions in one filter: each may take two megabytes once compiled.
    pub patterns_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 100,
            conditions_max: 1000,
            values_max: 10_000,
            pattern_bytes_max: 1024,
            patterns_max: 16,
        }
    }
}

/// A parsed filter: conditions that must all hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
enum Condition {
    /// The tests of one field, all of which must hold, each for any value of the field.
    Field(Path, Vec<Test>),
    /// At least one holds. Nested `$and` is flattened into the filter it stands in.
    Or(Vec<Filter>),
    /// None holds.
    Nor(Vec<Filter>),
    /// `$expr`, wherever it was written, is about the whole document.
    Expression(Computed),
}

#[derive(Clone, Debug)]
enum Test {
    Equal(Bson),
    Compare(Comparison, Bson),
    In(Members),
    Pattern(Pattern),
    Exists(bool),
    Remainder {
        divisor: i64,
        remainder: i64,
    },
    Size(usize),
    Type(Types),
    /// All of the geometry is in the area.
    Within(Box<Area>),
    /// The geometry and the area have a point in common.
    Intersects(Box<Area>),
    /// The nearest of the field's points is in reach.
    Near(Reach),
    All(Vec<Test>),
    Item(ItemTest),
    /// Not all of these hold. `$ne` and `$nin` are this too.
    Not(Vec<Test>),
}

/// A condition on one item of an array: of `$elemMatch` and `$pull`.
#[derive(Clone, Debug)]
enum ItemTest {
    /// The item is a document that matches.
    Document(Filter),
    /// The item itself passes all tests.
    Value(Vec<Test>),
}

/// The condition of `$pull`.
#[derive(Clone, Debug)]
pub(crate) struct ItemFilter {
    test: ItemTest,
    /// An item that is an array is also asked through its own items, and passes no filter on documents.
    through_arrays: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// The values of `$in`, sorted, and its regular expressions.
#[derive(Clone, Debug)]
struct Members {
    values: Vec<Bson>,
    patterns: Vec<Pattern>,
}

impl Filter {
    /// Parses a filter document.
    ///
    /// # Errors
    /// `InvalidOperator`, `InvalidValue` or `InvalidPath` naming operator and path; `TooDeep` or `TooLarge` beyond `limits`.
    pub fn parse(document: &Document, limits: &Limits) -> Result<Self> {
        parse::parse(document, limits)
    }

    /// The filter that every document matches.
    pub fn all() -> Self {
        Self::default()
    }

    /// `{path: {$eq: value}}`. Unlike in a parsed filter, a regular expression is a value here, not a pattern.
    ///
    /// # Errors
    /// `InvalidPath`.
    pub fn field_eq(path: &str, value: impl Into<Bson>) -> Result<Self> {
        Ok(Self::field(Path::parse(path)?, Test::Equal(value.into())))
    }

    /// `{path: {$in: values}}`, without patterns.
    ///
    /// # Errors
    /// `InvalidPath`.
    pub fn field_in(path: &str, values: Vec<Bson>) -> Result<Self> {
        let members = Members::new(values, Vec::new());
        Ok(Self::field(Path::parse(path)?, Test::In(members)))
    }

    /// Both filters at once. What one of them refuses, the other cannot allow.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self
    }

    /// Whether the filter has no condition.
    pub fn is_all(&self) -> bool {
        self.conditions.is_empty()
    }

    /// How many conditions a document is held against, at most: what a match costs, as each may be asked about every value
    /// in the document. A regular expression reads text and counts as several.
    pub fn conditions(&self) -> usize {
        self.conditions.iter().map(Condition::count).sum()
    }

    /// The fields that must equal a value, in the order written: what an upsert puts into a new document.
    pub fn equalities(&self) -> impl Iterator<Item = (&Path, &Bson)> {
        self.fields().flat_map(|(path, tests)| {
            tests.iter().filter_map(move |test| match test {
                Test::Equal(value) => Some((path, value)),
                _ => None,
            })
        })
    }

    /// The `$near` or `$nearSphere` of this filter, of which there is at most one: its results come in order of distance
    /// unless another order is asked for.
    pub fn near(&self) -> Option<Near> {
        let reach = |(path, tests): (&Path, &[Test])| {
            tests.iter().find_map(|test| match test {
                Test::Near(Reach { point, min_m, max_m }) => {
                    Some(Near { path: path.clone(), point: *point, min_m: *min_m, max_m: *max_m })
                }
                _ => None,
            })
        };
        self.fields().find_map(reach)
    }

    /// The area in which a geometry at `path` must lie, or that it must touch, if every match has one there.
    pub fn area(&self, path: &str) -> Option<&Area> {
        let tests = self.fields().filter(|(field, _)| field.is(path)).flat_map(|(_, tests)| tests);
        tests.into_iter().find_map(|test| match test {
            Test::Within(area) | Test::Intersects(area) => Some(&**area),
            _ => None,
        })
    }

    /// The top-level fields that a match reads.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::nothing();
        self.add_needs(&mut needs);
        needs
    }

    pub(crate) fn add_needs(&self, needs: &mut Needs) {
        for condition in &self.conditions {
            match condition {
                Condition::Field(path, _) => needs.add(path.field()),
                Condition::Or(filters) | Condition::Nor(filters) => {
                    filters.iter().for_each(|filter| filter.add_needs(needs));
                }
                Condition::Expression(computed) => computed.add_needs(needs),
            }
        }
    }

    fn field(path: Path, test: Test) -> Self {
        Self { conditions: vec![Condition::Field(path, vec![test])] }
    }

    /// The conditions on fields that every match satisfies.
    fn fields(&self) -> impl Iterator<Item = (&Path, &[Test])> {
        self.conditions.iter().filter_map(|condition| match condition {
            Condition::Field(path, tests) => Some((path, tests.as_slice())),
            Condition::Or(_) | Condition::Nor(_) | Condition::Expression(_) => None,
        })
    }
}
