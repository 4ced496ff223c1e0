//! Which item of an array made the document match? The positional `$` of updates and projections means it.

use bson::{Bson, Document};

use super::matches::Asking;
use super::{Condition, Filter, Test};
use crate::budget::Budget;
use crate::error::Result;
use crate::path::{Path, Segment, visit_document};

impl Filter {
    /// The place of the first item that meets a condition, in the first array on that condition's path. With conditions
    /// on several arrays, as in MongoDB, the last one in the filter counts. `None` if no array was needed for the match.
    ///
    /// Asked of a document that matches.
    ///
    /// # Errors
    /// As [`Filter::matches`].
    pub fn position(&self, document: &Document, budget: &Budget) -> Result<Option<usize>> {
        let asking = Asking::within(budget);
        let position = self.find(document, &asking);
        asking.conclude(position)
    }

    fn find(&self, document: &Document, asking: &Asking<'_>) -> Option<usize> {
        let found = self.conditions.iter().rev();
        found.into_iter().find_map(|condition| condition.find(document, asking))
    }
}

impl Condition {
    fn find(&self, document: &Document, asking: &Asking<'_>) -> Option<usize> {
        match self {
            Self::Field(path, tests) => {
                let (items, rest) = first_array(document, path)?;
                tests.iter().rev().find_map(|test| test.find(items, rest, asking))
            }
            Self::Or(filters) => filters
                .iter()
                .find(|filter| filter.holds(document, asking))
                .and_then(|filter| filter.find(document, asking)),
            Self::Nor(_) | Self::Expression(_) => None,
        }
    }
}

impl Test {
    fn find(&self, items: &[Bson], rest: &[Segment], asking: &Asking<'_>) -> Option<usize> {
        match self {
            // What an array fulfils as a whole, or by what is not in it, no item fulfils.
            Self::Not(_) | Self::Exists(_) | Self::Size(_) | Self::Near(_) => None,
            Self::All(tests) => tests.iter().rev().find_map(|test| test.find(items, rest, asking)),
            Self::Item(test) if rest.is_empty() => {
                items.iter().position(|item| test.matches(item, asking))
            }
            test => items.iter().position(|item| match item {
                item if rest.is_empty() => test.accepts(Some(item), asking),
                Bson::Document(document) => {
                    visit_document(document, rest, &mut |end| test.accepts_any(end, asking))
                }
                _ => false,
            }),
        }
    }
}

/// The first array on the path, and the segments that lead on from its items. An array whose item the path names by its
/// position is not gone through, so it does not count.
fn first_array<'d, 'p>(
    document: &'d Document,
    path: &'p Path,
) -> Option<(&'d [Bson], &'p [Segment])> {
    let (first, mut rest) = path.segments().split_first()?;
    let mut value = document.get(&first.name)?;
    loop {
        let next = rest.first();
        value = match (value, next) {
            (Bson::Document(document), Some(segment)) => document.get(&segment.name)?,
            (Bson::Array(items), next) => {
                match next.and_then(|segment| items.get(segment.position?)) {
                    Some(item) => item,
                    None => return Some((items, rest)),
                }
            }
            _ => return None,
        };
        rest = rest.get(1..)?;
    }
}
