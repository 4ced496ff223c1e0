//! Operators on arrays.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bson::{Bson, Document};

use super::End;
use crate::compare::compare;
use crate::error::{Error, Result};
use crate::filter::ItemFilter;
use crate::key::sort_key;
use crate::number::Number;
use crate::order::{Direction, Order};

/// `$push` with its modifiers, which act in this order: insert, sort, slice.
#[derive(Clone, Debug)]
pub(super) struct Push {
    items: Vec<Bson>,
    position: Option<i64>,
    sort: Option<Sort>,
    slice: Option<i64>,
}

#[derive(Clone, Debug)]
enum Sort {
    Values(Direction),
    Documents(Order),
}

impl Push {
    /// One value, or a document with `$each` and modifiers.
    pub(super) fn parse(operand: Bson) -> Result<Self> {
        let mut push = Self { items: Vec::new(), position: None, sort: None, slice: None };
        match operand {
            Bson::Document(modifiers) if modifiers.contains_key("$each") => {
                push.modify(modifiers)?;
            }
            value => push.items.push(value),
        }
        Ok(push)
    }

    fn modify(&mut self, modifiers: Document) -> Result<()> {
        for (name, operand) in modifiers {
            match (name.as_str(), operand) {
                ("$each", Bson::Array(items)) => self.items = items,
                ("$each", _) => return Err(Error::value("$each needs an array")),
                ("$position", operand) => self.position = Some(whole(&operand, "$position")?),
                ("$slice", operand) => self.slice = Some(whole(&operand, "$slice")?),
                ("$sort", Bson::Document(order)) => {
                    self.sort = Some(Sort::Documents(Order::parse(&order)?));
                }
                ("$sort", operand) => self.sort = Some(Sort::Values(Direction::parse(&operand)?)),
                _ => return Err(Error::unknown_operator(&name)),
            }
        }
        Ok(())
    }

    /// Whether this changes the array is seldom worth finding out: it counts as a change unless nothing was asked for.
    pub(super) fn apply(&self, array: &mut Vec<Bson>) -> bool {
        let at =
            self.position.map_or(array.len(), |position| insertion_point(array.len(), position));
        array.splice(at..at, self.items.iter().cloned());
        match &self.sort {
            Some(Sort::Values(Direction::Ascending)) => array.sort_by(compare),
            Some(Sort::Values(Direction::Descending)) => array.sort_by(|a, b| compare(b, a)),
            Some(Sort::Documents(order)) => array.sort_by_cached_key(|item| {
                let nothing = Document::new();
                sort_key(item.as_document().unwrap_or(&nothing), order)
            }),
            None => {}
        }
        if let Some(slice) = self.slice {
            keep(array, slice);
        }
        !self.items.is_empty() || self.sort.is_some() || self.slice.is_some()
    }
}

/// Appends the items that the array does not hold yet. This and the following tell whether the array changed.
pub(super) fn add_to_set(array: &mut Vec<Bson>, items: &[Bson]) -> bool {
    let mut present: BTreeSet<Ordered<'_>> = array.iter().map(Ordered).collect();
    let new: Vec<Bson> =
        items.iter().filter(|item| present.insert(Ordered(item))).cloned().collect();
    let changed = !new.is_empty();
    array.extend(new);
    changed
}

/// Takes one item from an end.
pub(super) fn pop(array: &mut Vec<Bson>, end: End) -> bool {
    match end {
        End::Last => array.pop().is_some(),
        End::First if array.is_empty() => false,
        End::First => {
            array.remove(0);
            true
        }
    }
}

/// Takes the items that pass.
pub(super) fn pull(array: &mut Vec<Bson>, test: &ItemFilter) -> bool {
    let before = array.len();
    array.retain(|item| !test.matches(item));
    array.len() != before
}

/// Takes the items that equal one of `values`, which are sorted.
pub(super) fn pull_all(array: &mut Vec<Bson>, values: &[Bson]) -> bool {
    let before = array.len();
    array.retain(|item| values.binary_search_by(|value| compare(value, item)).is_err());
    array.len() != before
}

/// A value in the order of all values, so that a long list is not compared item by item.
struct Ordered<'a>(&'a Bson);

impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0, other.0)
    }
}

impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered<'_> {}

fn whole(operand: &Bson, name: &'static str) -> Result<i64> {
    let number = Number::of(operand).and_then(Number::integer);
    number.ok_or_else(|| Error::value(format!("{name} needs a whole number")))
}

/// A negative position counts from the end.
fn insertion_point(length: usize, position: i64) -> usize {
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position < 0 { length.saturating_sub(distance) } else { distance.min(length) }
}

/// Keeps the first items, or the last ones if `slice` is negative.
fn keep(array: &mut Vec<Bson>, slice: i64) {
    let count = usize::try_from(slice.unsigned_abs()).unwrap_or(usize::MAX);
    if slice >= 0 {
        array.truncate(count);
    } else {
        array.drain(..array.len().saturating_sub(count));
    }
}
