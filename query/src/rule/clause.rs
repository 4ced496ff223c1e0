//! What does a clause ask of a field? The same as a filter does: whether some value at its path lies in a set.

use bson::{Bson, Document};

use super::syntax::{Operand, Operator, Source};
use super::value::{Evaluated, Sources};
use crate::compare::{Class, compare, equal};
use crate::number::Number;
use crate::path::Path;

/// A clause for one caller.
#[derive(Debug)]
pub(super) enum Clause<'p> {
    /// It does not depend on the document.
    Known(bool),
    /// Some value at the path is in the set, or with `negated` none is.
    Field { path: &'p Path, negated: bool, set: Set },
}

/// A set of values: what `$eq`, `$in` and the four comparisons accept.
#[derive(Clone, Debug)]
pub(super) enum Set {
    /// These, in ascending order.
    Points(Vec<Bson>),
    /// Those that compare so with the bound. The operator is one of the four that ask for an order.
    Range(Operator, Bson),
}

impl<'p> Clause<'p> {
    /// What a comparison asks. At most one of its sides stays open; in `doc.a == doc.b` that is the left one.
    pub(super) fn of(
        operator: Operator,
        left: &'p Operand,
        right: &'p Operand,
        sources: &Sources<'_>,
    ) -> Evaluated<Self> {
        Ok(match (&left.source, &right.source) {
            (Source::Doc(path), _) => {
                let nulls = matches!(right.source, Source::List(_));
                Self::of_field(operator, path, sources.value(right)?, nulls)
            }
            (_, Source::Doc(path)) if operator == Operator::In => {
                Self::of_field(Operator::Equal, path, sources.value(left)?, true)
            }
            (_, Source::Doc(path)) => {
                Self::of_field(operator.turned(), path, sources.value(left)?, true)
            }
            _ => Self::Known(holds(operator, sources.value(left)?, sources.value(right)?)),
        })
    }

    fn of_field(operator: Operator, path: &'p Path, value: Option<Bson>, nulls: bool) -> Self {
        let negated = operator == Operator::NotEqual;
        let Some(value) = value else { return Self::Known(negated) };
        let set = match (operator, value) {
            (Operator::Equal | Operator::NotEqual, value) => Set::points(vec![value]),
            (Operator::In, Bson::Array(mut items)) => {
                // Null in somebody's document must not mean the documents without this field.
                items.retain(|item| nulls || !matches!(item, Bson::Null | Bson::Undefined));
                Set::points(items)
            }
            (Operator::In, value) => Set::points(vec![value]),
            (operator, bound) => Set::Range(operator, bound),
        };
        Self::Field { path, negated, set }
    }
}

fn holds(operator: Operator, left: Option<Bson>, right: Option<Bson>) -> bool {
    let is_null = |value: &Option<Bson>| matches!(value, Some(Bson::Null));
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (left, right) => {
            let same = is_null(&left) || is_null(&right);
            return match operator {
                Operator::Equal => same,
                Operator::NotEqual => !same,
                _ => false,
            };
        }
    };
    match (operator, right) {
        (Operator::Equal, right) => equal(&left, &right),
        (Operator::NotEqual, right) => !equal(&left, &right),
        (Operator::In, Bson::Array(items)) => items.iter().any(|item| equal(item, &left)),
        (Operator::In, right) => equal(&left, &right),
        (operator, right) => in_order(operator, &left, &right),
    }
}

impl Set {
    pub(super) fn points(mut values: Vec<Bson>) -> Self {
        values.sort_by(compare);
        values.dedup_by(|a, b| equal(a, b));
        Self::Points(values)
    }

    pub(super) fn contains(&self, value: &Bson) -> bool {
        match self {
            Self::Points(values) => values.binary_search_by(|known| compare(known, value)).is_ok(),
            Self::Range(operator, bound) => in_order(*operator, value, bound),
        }
    }

    /// Whether every value in here is in `other`. May miss that it is so; never says so wrongly.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Points(values), other) => values.iter().all(|value| other.contains(value)),
            (Self::Range(narrow, a), Self::Range(wide, b)) => is_narrower((*narrow, a), (*wide, b)),
            (Self::Range(..), Self::Points(_)) => false,
        }
    }

    /// What asking whether a value or a set is in here costs, in comparisons.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Points(values) => 1 + values.len(),
            Self::Range(..) => 1,
        }
    }

    /// Whether some value at the path is in here: a missing field is null, an array is each of its items and itself.
    pub(super) fn has_some(&self, document: &Document, path: &Path) -> bool {
        path.visit(document, &mut |end| {
            let items = end.items().unwrap_or_default();
            items.iter().any(|item| self.contains(item))
                || self.contains(end.value().unwrap_or(&Bson::Null))
        })
    }
}

/// As in filters, values of different classes are in no order, except with the least and the greatest key.
fn in_order(operator: Operator, value: &Bson, bound: &Bson) -> bool {
    if !is_extreme(bound)
        && (Class::of(value) != Class::of(bound) || is_nan(value) != is_nan(bound))
    {
        return false;
    }
    let order = compare(value, bound);
    match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
        Operator::Equal | Operator::NotEqual | Operator::In => false,
    }
}

fn is_narrower((narrow, a): (Operator, &Bson), (wide, b): (Operator, &Bson)) -> bool {
    use Operator::{Greater, GreaterOrEqual, Less, LessOrEqual};
    let plain = |bound: &Bson| !is_extreme(bound) && !is_nan(bound);
    if !plain(a) || !plain(b) || Class::of(a) != Class::of(b) {
        return false;
    }
    let order = compare(a, b);
    match (narrow, wide) {
        (Greater, Greater | GreaterOrEqual) | (GreaterOrEqual, GreaterOrEqual) => order.is_ge(),
        (GreaterOrEqual, Greater) => order.is_gt(),
        (Less, Less | LessOrEqual) | (LessOrEqual, LessOrEqual) => order.is_le(),
        (LessOrEqual, Less) => order.is_lt(),
        _ => false,
    }
}

fn is_extreme(value: &Bson) -> bool {
    matches!(value, Bson::MinKey | Bson::MaxKey)
}

fn is_nan(value: &Bson) -> bool {
    Number::of(value).is_some_and(Number::is_nan)
}
