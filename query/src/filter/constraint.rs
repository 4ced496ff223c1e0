//! What an index can contribute: for one field, values that every matching document has among its keys.
//!
//! A constraint is always a superset: a document outside of it does not match, a document inside may still not match.

use std::ops::Bound;

use bson::{Bson, DateTime, Document};

use super::{Comparison, Condition, Filter, ItemTest, Test};
use crate::compare::{Class, compare};
use crate::number::Number;
use crate::order::Field;
use crate::path::Path;

/// The values of one field that a matching document may have in an index.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a plan holds a few of them for a moment")]
pub enum Constraint {
    /// One of these, in ascending order and distinct. No value means that no document matches.
    Points(Vec<Bson>),
    /// Between these.
    Range {
        /// Where the values begin.
        lower: Bound<Bson>,
        /// Where they end.
        upper: Bound<Bson>,
    },
}

impl Filter {
    /// The constraint on the field at `path`, if there is one that an index can use.
    ///
    /// `multikey` says that documents may hold several values at this path. Then two conditions may be met by two
    /// different values, so that only one of them counts.
    pub fn constraint(&self, path: &str, multikey: bool) -> Option<Constraint> {
        let tests = self.fields().filter(|(field, _)| field.is(path)).flat_map(|(_, tests)| tests);
        strongest(tests.filter_map(of_test), multikey)
    }
}

impl Filter {
    /// Whether the constraints on these fields of an index say all that the filter says, for documents with one key each:
    /// then whoever is within them matches.
    pub(crate) fn is_told_by(&self, fields: &[Field]) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::Field(path, _) => fields.iter().any(|field| field.path == *path),
            Condition::Or(_) | Condition::Nor(_) | Condition::Expression(_) => false,
        }) && fields.iter().all(|field| self.is_told_at(&field.path))
    }

    /// Whether the constraint on one field is neither wider than its tests nor left one of them out.
    fn is_told_at(&self, path: &Path) -> bool {
        let tests =
            || self.fields().filter(|(field, _)| *field == path).flat_map(|(_, tests)| tests);
        let is_range = |test: &Test| matches!(test, Test::Compare(..));
        let is_one_kind = tests().count() <= 1 || tests().all(is_range);
        // A missing field has the key of null, and an empty array once had it too; NaN is below all numbers and in no range.
        let is_exact = match strongest(tests().filter_map(of_test), false) {
            None => false,
            Some(Constraint::Points(values)) => values.iter().all(is_plain),
            Some(Constraint::Range { lower, upper }) => {
                let is_nan = |bound: &Bound<Bson>| match bound {
                    Bound::Included(value) | Bound::Excluded(value) => {
                        Number::of(value).is_some_and(Number::is_nan)
                    }
                    Bound::Unbounded => true,
                };
                !is_nan(&lower) && !is_nan(&upper)
            }
        };
        let is_test =
            |test: &Test| matches!(test, Test::Equal(_) | Test::In(_) | Test::Compare(..));
        is_one_kind && is_exact && tests().all(|test| is_test(test) && of_test(test).is_some())
    }

    /// The fields that have conditions which every match satisfies.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.fields().map(|(path, _)| path)
    }
}

/// A value whose key no other value has.
fn is_plain(value: &Bson) -> bool {
    matches!(
        Class::of(value),
        Class::Number | Class::String | Class::Boolean | Class::Date | Class::ObjectId
    )
}

/// Points rather than a range; with single values, all of the ranges at once.
fn strongest(constraints: impl Iterator<Item = Constraint>, multikey: bool) -> Option<Constraint> {
    constraints.reduce(|a, b| match (&a, &b) {
        (Constraint::Points(few), Constraint::Points(many)) if many.len() < few.len() => b,
        (Constraint::Points(_), _) => a,
        (_, Constraint::Points(_)) => b,
        _ if multikey => a,
        _ => intersect(a, b),
    })
}

fn intersect(a: Constraint, b: Constraint) -> Constraint {
    match (a, b) {
        (
            Constraint::Range { lower: a_lower, upper: a_upper },
            Constraint::Range { lower: b_lower, upper: b_upper },
        ) => Constraint::Range {
            lower: if is_tighter_lower(&b_lower, &a_lower) { b_lower } else { a_lower },
            upper: if is_tighter_upper(&b_upper, &a_upper) { b_upper } else { a_upper },
        },
        (points, _) => points,
    }
}

fn is_tighter_lower(bound: &Bound<Bson>, than: &Bound<Bson>) -> bool {
    match (bound, than) {
        (Bound::Unbounded, _) => false,
        (_, Bound::Unbounded) => true,
        (Bound::Included(a), Bound::Included(b) | Bound::Excluded(b)) => compare(a, b).is_gt(),
        (Bound::Excluded(a), Bound::Included(b)) => compare(a, b).is_ge(),
        (Bound::Excluded(a), Bound::Excluded(b)) => compare(a, b).is_gt(),
    }
}

fn is_tighter_upper(bound: &Bound<Bson>, than: &Bound<Bson>) -> bool {
    match (bound, than) {
        (Bound::Unbounded, _) => false,
        (_, Bound::Unbounded) => true,
        (Bound::Included(a), Bound::Included(b) | Bound::Excluded(b)) => compare(a, b).is_lt(),
        (Bound::Excluded(a), Bound::Included(b)) => compare(a, b).is_le(),
        (Bound::Excluded(a), Bound::Excluded(b)) => compare(a, b).is_lt(),
    }
}

fn of_test(test: &Test) -> Option<Constraint> {
    match test {
        Test::Equal(value) => is_indexed(value).then(|| Constraint::Points(vec![value.clone()])),
        Test::In(members)
            if members.patterns.is_empty() && members.values.iter().all(is_indexed) =>
        {
            Some(Constraint::Points(members.values.clone()))
        }
        Test::Compare(comparison, bound) => range(*comparison, bound),
        Test::Pattern(pattern) => pattern.prefix().map(starting_with),
        Test::All(tests) => tests.iter().find_map(of_test),
        // One and the same item passes all tests, so their ranges intersect whatever else the array holds.
        Test::Item(ItemTest::Value(tests)) => strongest(tests.iter().filter_map(of_test), false),
        _ => None,
    }
}

/// An array is indexed by its items, not as a whole.
fn is_indexed(value: &Bson) -> bool {
    !matches!(value, Bson::Array(_))
}

/// A comparison reaches to the end of the bound's class.
fn range(comparison: Comparison, bound: &Bson) -> Option<Constraint> {
    let (least, beyond) = class_bounds(bound)?;
    let value = bound.clone();
    let (lower, upper) = match comparison {
        Comparison::Greater => (Bound::Excluded(value), beyond),
        Comparison::GreaterOrEqual => (Bound::Included(value), beyond),
        Comparison::Less => (least, Bound::Excluded(value)),
        Comparison::LessOrEqual => (least, Bound::Included(value)),
    };
    Some(Constraint::Range { lower, upper })
}

/// Where the class of a value begins and ends. `None` for the classes of which only equality is of use.
fn class_bounds(value: &Bson) -> Option<(Bound<Bson>, Bound<Bson>)> {
    let include =
        |least: Bson, greatest: Bson| Some((Bound::Included(least), Bound::Included(greatest)));
    match Class::of(value) {
        Class::Number => include(Bson::Double(f64::NAN), Bson::Double(f64::INFINITY)),
        // The class after strings begins with the empty document.
        Class::String => Some((
            Bound::Included(Bson::String(String::new())),
            Bound::Excluded(Bson::Document(Document::new())),
        )),
        Class::Boolean => include(Bson::Boolean(false), Bson::Boolean(true)),
        Class::Date => include(Bson::DateTime(DateTime::MIN), Bson::DateTime(DateTime::MAX)),
        Class::ObjectId => include(
            Bson::ObjectId(bson::oid::ObjectId::from_bytes([0; 12])),
            Bson::ObjectId(bson::oid::ObjectId::from_bytes([0xff; 12])),
        ),
        _ => None,
    }
}

/// From the prefix to just before the next text that does not have it.
fn starting_with(prefix: &str) -> Constraint {
    let lower = Bound::Included(Bson::String(prefix.to_owned()));
    let mut next = prefix.to_owned();
    while let Some(last) = next.pop() {
        // Order by code points is order by UTF-8 bytes. Surrogates are no characters.
        let successor =
            if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(successor) = successor {
            next.push(successor);
            return Constraint::Range { lower, upper: Bound::Excluded(Bson::String(next)) };
        }
    }
    Constraint::Range { lower, upper: Bound::Excluded(Bson::Document(Document::new())) }
}
