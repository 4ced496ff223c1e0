//! Some items of an array.

use bson::{Bson, Document};

use crate::error::{Error, Result};
use crate::filter::ItemFilter;
use crate::number::Number;

/// Which items are kept.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// `$slice`: `count` items from `skip` on. A negative `skip` counts from the end.
    Slice { skip: i64, count: u64 },
    /// `$elemMatch`: the first item that passes.
    Matching(ItemFilter),
    /// The item that the query matched.
    Matched,
}

impl Part {
    /// Reads `{$slice: n}`, `{$slice: [skip, n]}` or `{$elemMatch: {…}}`.
    pub(super) fn parse(document: &Document) -> Result<Self> {
        let Some((operator, operand)) = document.iter().next() else {
            return Err(Error::value("projection needs 1, 0 or an operator"));
        };
        let part = match operator.as_str() {
            "$slice" => slice(operand),
            "$elemMatch" => match operand {
                Bson::Document(condition) => ItemFilter::of_item(condition).map(Self::Matching),
                _ => Err(Error::value("needs a document")),
            },
            _ => return Err(Error::unknown_operator(operator)),
        };
        match document.keys().nth(1) {
            Some(second) => Err(Error::unknown_operator(second)),
            None => part.map_err(|error| error.operator(operator.clone())),
        }
    }

    /// The part of `value`, or `None` if there is none. A slice of something else than an array is all of it.
    pub(super) fn of(&self, value: Bson, position: Option<usize>) -> Option<Bson> {
        let items = match (self, value) {
            (_, Bson::Array(items)) => items,
            (Self::Slice { .. }, other) => return Some(other),
            _ => return None,
        };
        match self {
            Self::Slice { skip, count } => {
                let start = place(items.len(), *skip);
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                Some(Bson::Array(items.into_iter().skip(start).take(count).collect()))
            }
            Self::Matching(test) => {
                let item = items.into_iter().find(|item| test.matches(item))?;
                Some(Bson::Array(vec![item]))
            }
            Self::Matched => {
                let item = items.into_iter().nth(position?)?;
                Some(Bson::Array(vec![item]))
            }
        }
    }
}

fn slice(operand: &Bson) -> Result<Part> {
    let whole = |value: &Bson| {
        let number = Number::of(value).and_then(Number::truncate);
        number.ok_or_else(|| Error::value("needs a number, or an array of skip and limit"))
    };
    match operand.as_array().map(Vec::as_slice) {
        Some([skip, limit]) => {
            let count = u64::try_from(whole(limit)?).ok().filter(|count| *count > 0);
            let count = count.ok_or_else(|| Error::value("limit must be positive"))?;
            Ok(Part::Slice { skip: whole(skip)?, count })
        }
        _ => {
            let count = whole(operand)?;
            Ok(Part::Slice { skip: count.min(0), count: count.unsigned_abs() })
        }
    }
}

/// A negative place counts from the end.
fn place(length: usize, skip: i64) -> usize {
    let distance = usize::try_from(skip.unsigned_abs()).unwrap_or(usize::MAX);
    if skip < 0 { length.saturating_sub(distance) } else { distance.min(length) }
}
