//! Does this document match?
//!
//! A test on a field holds if it holds for any value that the path shows; an array at the end of a path counts with each of
//! its items and as a whole, and as a whole alone where the path names it by its position in another array. `$not` turns the result for the field round, not for a single value.
//!
//! Answers are plain truths. What may refuse to answer (an expression, a used up budget) leaves its error with the
//! [`Asking`], and whoever began to ask finds it there: so the item conditions of `$pull`, in which nothing refuses, are
//! asked by the same code.

use std::cell::RefCell;

use bson::{Bson, Document};

use super::{Comparison, Condition, Filter, ItemFilter, ItemTest, Members, Test};
use crate::budget::Budget;
use crate::compare::{Class, compare, equal};
use crate::error::{Error, Result};
use crate::expression::weight;
use crate::geo::{Area, Reach, Shape, distance_m};
use crate::number::Number;
use crate::path::{End, Path, Segment, visit_value};

/// A distance takes some sines.
const STEPS_PER_DISTANCE: usize = 4;

/// Bytes that are copied in about the time of one comparison of values.
const BYTES_PER_STEP: u64 = 64;

/// Pairs of corners that are compared in about the time of one comparison of values.
const PAIRS_PER_STEP: usize = 2;

/// One question to one document: what it may cost, and the first refusal to answer.
pub(super) struct Asking<'b> {
    /// `None` where only bounded things are asked.
    budget: Option<&'b Budget>,
    refusal: RefCell<Option<Error>>,
}

/// What a test is asked about: all values at a path, or one value.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Field(&'a Document, &'a Path),
    Value(&'a Bson),
    /// One value as if it stood in a field: of an array also the items count.
    Wrapped(&'a Bson),
    /// All values at the segments below a value.
    Below(&'a Bson, &'a [Segment]),
}

impl<'b> Asking<'b> {
    pub(super) fn within(budget: &'b Budget) -> Self {
        Self { budget: Some(budget), refusal: RefCell::new(None) }
    }

    /// Only for conditions that the parser found to need no budget.
    pub(super) fn unmetered() -> Self {
        Self { budget: None, refusal: RefCell::new(None) }
    }

    /// The answer, unless something refused on the way.
    pub(super) fn conclude<T>(self, answer: T) -> Result<T> {
        self.refusal.into_inner().map_or(Ok(answer), Err)
    }

    /// Whether the values at `rest` below an item pass all tests; without `rest`, the item itself.
    pub(super) fn named_item_passes(&self, item: &Bson, rest: &[Segment], tests: &[Test]) -> bool {
        Subject::Below(item, rest).passes_all(tests, self)
    }

    /// Takes steps; false, with a refusal of the whole question, once there are none.
    pub(super) fn step(&self, steps: usize) -> bool {
        self.budget.is_none_or(|budget| self.answered(budget.step(steps as u64).map(|()| true)))
    }

    /// The answer, or false where there is none.
    fn answered(&self, answer: Result<bool>) -> bool {
        answer.unwrap_or_else(|error| {
            self.refusal.borrow_mut().get_or_insert(error);
            false
        })
    }
}

impl Filter {
    /// Whether `document` matches. Takes steps from `budget` for what reads long texts, shapes or computes; the conditions
    /// themselves are bounded by [`Filter::conditions`].
    ///
    /// # Errors
    /// `TooLarge` when the budget is used up; what an expression of `$expr` refuses.
    pub fn matches(&self, document: &Document, budget: &Budget) -> Result<bool> {
        let asking = Asking::within(budget);
        let holds = self.holds(document, &asking);
        asking.conclude(holds)
    }

    pub(super) fn holds(&self, document: &Document, asking: &Asking<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(document, asking))
    }

    /// Of an array as if it were a document with its positions for names. The copy is dear, and such items are rare.
    fn holds_by_position(&self, items: &[Bson], asking: &Asking<'_>) -> bool {
        let bytes: u64 = items.iter().map(weight).sum();
        asking.step((bytes / BYTES_PER_STEP) as usize) && {
            let named = items.iter().enumerate();
            let named = named.map(|(position, item)| (position.to_string(), item.clone()));
            self.holds(&named.collect(), asking)
        }
    }
}

impl Condition {
    fn holds(&self, document: &Document, asking: &Asking<'_>) -> bool {
        match self {
            Self::Field(path, tests) => Subject::Field(document, path).passes_all(tests, asking),
            Self::Or(filters) => filters.iter().any(|filter| filter.holds(document, asking)),
            Self::Nor(filters) => !filters.iter().any(|filter| filter.holds(document, asking)),
            Self::Expression(computed) => asking
                .budget
                .is_some_and(|budget| asking.answered(computed.holds(document, budget))),
        }
    }
}

impl ItemFilter {
    /// Whether an item of an array passes. An item condition holds no `$expr`, so it always has an answer.
    pub(crate) fn matches(&self, item: &Bson) -> bool {
        let asking = Asking::unmetered();
        match &self.test {
            ItemTest::Value(tests) if self.through_arrays => {
                Subject::Wrapped(item).passes_all(tests, &asking)
            }
            // `$pull` asks documents alone; `$elemMatch` asks arrays as well.
            ItemTest::Document(_) if self.through_arrays && item.as_document().is_none() => false,
            test => test.matches(item, &asking),
        }
    }
}

impl ItemTest {
    pub(super) fn matches(&self, item: &Bson, asking: &Asking<'_>) -> bool {
        match self {
            Self::Document(filter) => match item {
                Bson::Document(document) => filter.holds(document, asking),
                Bson::Array(items) => filter.holds_by_position(items, asking),
                _ => false,
            },
            Self::Value(tests) => Subject::Value(item).passes_all(tests, asking),
        }
    }
}

impl Subject<'_> {
    fn passes_all(self, tests: &[Test], asking: &Asking<'_>) -> bool {
        tests.iter().all(|test| self.passes(test, asking))
    }

    fn passes(self, test: &Test, asking: &Asking<'_>) -> bool {
        match test {
            Test::Not(tests) => !self.passes_all(tests, asking),
            Test::All(tests) => !tests.is_empty() && self.passes_all(tests, asking),
            Test::Near(reach) => self.is_in_reach(reach, asking),
            Test::Exists(false) => !self.passes(&Test::Exists(true), asking),
            single => match self {
                Self::Field(document, path) => {
                    path.visit(document, &mut |end| single.accepts_any(end, asking))
                }
                Self::Value(value) => single.accepts(Some(value), asking),
                Self::Wrapped(value) => single.accepts_any(End::Field(value), asking),
                Self::Below(value, rest) => {
                    visit_value(value, rest, &mut |end| single.accepts_any(end, asking))
                }
            },
        }
    }
}

impl Subject<'_> {
    /// Of several points the nearest counts, so this is decided for the field as a whole.
    fn is_in_reach(self, reach: &Reach, asking: &Asking<'_>) -> bool {
        match self {
            Self::Field(document, path) if asking.step(STEPS_PER_DISTANCE) => {
                let distance = distance_m(document, path, reach.point);
                distance.is_some_and(|distance| reach.includes(distance))
            }
            _ => false,
        }
    }
}

impl Test {
    /// Whether what a path ends in is accepted, or an item of it that counts.
    pub(super) fn accepts_any(&self, end: End<'_>, asking: &Asking<'_>) -> bool {
        let of_whole_arrays = matches!(self, Self::Exists(_) | Self::Size(_) | Self::Item(_));
        let items = end.items().filter(|_| !of_whole_arrays).unwrap_or_default();
        items.iter().any(|item| self.accepts(Some(item), asking))
            || self.accepts(end.value(), asking)
    }

    /// Whether this very value is accepted; `None` is a missing field.
    pub(super) fn accepts(&self, value: Option<&Bson>, asking: &Asking<'_>) -> bool {
        match self {
            Self::Equal(wanted) => equal(value.unwrap_or(&Bson::Null), wanted),
            Self::Compare(comparison, bound) => {
                comparison.holds(value.unwrap_or(&Bson::Null), bound)
            }
            Self::In(members) => members.contains(value.unwrap_or(&Bson::Null), asking),
            Self::Pattern(pattern) => value.is_some_and(|value| pattern.matches(value, asking)),
            Self::Exists(_) => value.is_some(),
            Self::Remainder { divisor, remainder } => {
                let number = value.and_then(Number::of).and_then(Number::truncate);
                number.is_some_and(|number| number.wrapping_rem(*divisor) == *remainder)
            }
            Self::Size(size) => matches!(value, Some(Bson::Array(items)) if items.len() == *size),
            Self::Item(test) => {
                matches!(value, Some(Bson::Array(items)) if items.iter().any(|item| test.matches(item, asking)))
            }
            Self::Type(types) => value.is_some_and(|value| types.contains(value)),
            Self::Within(area) => has_place(value, area, asking, Area::contains),
            Self::Intersects(area) => has_place(value, area, asking, Area::intersects),
            Self::Not(_) | Self::All(_) | Self::Near(_) => {
                unreachable!("decided for the field as a whole")
            }
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
    fn contains(&self, value: &Bson, asking: &Asking<'_>) -> bool {
        self.values.binary_search_by(|member| compare(member, value)).is_ok()
            || self.patterns.iter().any(|pattern| pattern.matches(value, asking))
    }
}

/// Whether the value is a geometry that relates to the area as asked.
fn has_place(
    value: Option<&Bson>,
    area: &Area,
    asking: &Asking<'_>,
    relates: fn(&Area, &Shape) -> bool,
) -> bool {
    let Some(Ok(shape)) = value.filter(|value| may_be_shape(value)).map(Shape::parse) else {
        return false;
    };
    let pairs = shape.positions().saturating_mul(area.corners());
    asking.step(1 + pairs / PAIRS_PER_STEP) && relates(area, &shape)
}

fn may_be_shape(value: &Bson) -> bool {
    matches!(value, Bson::Document(_) | Bson::Array(_))
}

fn is_nan(value: &Bson) -> bool {
    Number::of(value).is_some_and(Number::is_nan)
}
