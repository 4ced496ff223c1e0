//! The keys that a document puts into an index, and the key it is sorted by.

use std::collections::BTreeSet;

use bson::{Bson, Document};

use super::{ENTRIES_MAX, FORMAT, KEY_BYTES_MAX, TAG_EMPTY_ARRAY, encode};
use crate::compare::Class;
use crate::error::{Error, Kind, Result};
use crate::order::{Direction, Order};
use crate::path::{End, Path, Segment};

/// The keys of one document in one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    /// Distinct keys in ascending order; never empty.
    pub keys: Vec<Vec<u8>>,
    /// The document has several keys because a field holds several values. An index with such a document says so to
    /// [`crate::plan`].
    pub multikey: bool,
    /// A key was cut at [`KEY_BYTES_MAX`], so that it may be equal to the key of another value.
    pub truncated: bool,
}

/// The keys of `document` in an index over the fields of `pattern`.
///
/// A missing field counts as null. Where a path ends in an array, each item is a key; an empty array has a key of its own,
/// below null; an array that the path names by its position is a key as a whole too. When several fields hold several values, each combination is a key: a filter on all of them still finds the
/// document.
///
/// # Errors
/// `TooLarge` beyond [`ENTRIES_MAX`] keys.
pub fn entries(document: &Document, pattern: &Order) -> Result<Entries> {
    entries_with(document, pattern, TAG_EMPTY_ARRAY)
}

/// As [`entries`], but an empty array counts as null: for indexes whose stored keys were made so.
///
/// # Errors
/// `TooLarge` beyond [`ENTRIES_MAX`] keys.
pub fn entries_with_empty_as_null(document: &Document, pattern: &Order) -> Result<Entries> {
    entries_with(document, pattern, Class::Null as u8)
}

fn entries_with(document: &Document, pattern: &Order, empty_array: u8) -> Result<Entries> {
    let mut entries = Entries { keys: vec![vec![FORMAT]], multikey: false, truncated: false };
    for field in pattern.fields() {
        let components = components(document, &field.path, empty_array);
        entries.multikey |= components.len() > 1;
        if entries.keys.len().saturating_mul(components.len()) > ENTRIES_MAX {
            let message = format!("document has more than {ENTRIES_MAX} keys in one index");
            return Err(Error::new(Kind::TooLarge, message).at(&field.path));
        }
        entries.keys = combine(&entries.keys, &components, field.direction);
    }
    entries.truncate();
    Ok(entries)
}

/// The key that puts `document` at its place in `order`: of several values the least counts when ascending, the greatest
/// when descending. Not cut at any length.
pub fn sort_key(document: &Document, order: &Order) -> Vec<u8> {
    let mut key = Vec::new();
    for field in order.fields() {
        let (components, _) = sorted_by(document, &field.path, TAG_EMPTY_ARRAY);
        let extreme = match field.direction {
            Direction::Ascending => components.first(),
            Direction::Descending => components.last(),
        };
        append(&mut key, extreme.expect("a field has at least one component"), field.direction);
    }
    key
}

impl Entries {
    fn truncate(&mut self) {
        self.truncated = self.keys.iter().any(|key| key.len() > KEY_BYTES_MAX);
        self.keys.iter_mut().for_each(|key| key.truncate(KEY_BYTES_MAX));
        self.keys.sort_unstable();
        self.keys.dedup();
    }
}

/// Appends a component, inverted for a descending field.
pub(super) fn append(key: &mut Vec<u8>, component: &[u8], direction: Direction) {
    match direction {
        Direction::Ascending => key.extend(component),
        Direction::Descending => key.extend(component.iter().map(|byte| !byte)),
    }
}

fn combine(keys: &[Vec<u8>], components: &BTreeSet<Vec<u8>>, direction: Direction) -> Vec<Vec<u8>> {
    let pairs =
        keys.iter().flat_map(|key| components.iter().map(move |component| (key, component)));
    pairs
        .map(|(key, component)| {
            let mut combined = Vec::with_capacity(key.len() + component.len());
            combined.extend(key);
            append(&mut combined, component, direction);
            // One byte over the bound still shows that something was cut, and a thousand keys stay small.
            combined.truncate(KEY_BYTES_MAX + 1);
            combined
        })
        .collect()
}

/// The distinct components of the values at `path`, in ascending order: all by which a filter may find the document, and
/// those by which it is sorted. `empty_array` is the tag of an empty array.
fn components(document: &Document, path: &Path, empty_array: u8) -> BTreeSet<Vec<u8>> {
    let (mut components, met_array) = sorted_by(document, path, empty_array);
    if met_array {
        path.visit(document, &mut |end| {
            if let Some(Bson::Array(items)) = end.value() {
                // `$elemMatch` looks into an item that is an array, which counts as a whole otherwise.
                components.extend(items.iter().map(component));
            }
            insert(&mut components, end, empty_array);
            false
        });
    }
    components
}

/// The distinct components of the values by which a document is sorted, at least one, and whether an array was on the way.
///
/// Where an array on the way has an item at the position that the path names, that item counts alone; otherwise each of its
/// items does, and one that has no fields is null.
fn sorted_by(document: &Document, path: &Path, empty_array: u8) -> (BTreeSet<Vec<u8>>, bool) {
    let (first, rest) = path.segments().split_first().expect("a path has a segment");
    let mut components = BTreeSet::new();
    let mut see = |end: End<'_>| insert(&mut components, end, empty_array);
    let met_array = place(document.get(&first.name), rest, &mut see);
    if components.is_empty() {
        // An empty array on the way: nothing is there, which a sort still has to place.
        components.insert(component(&Bson::Null));
    }
    (components, met_array)
}

fn place(value: Option<&Bson>, rest: &[Segment], see: &mut dyn FnMut(End<'_>)) -> bool {
    match (value, rest) {
        (Some(value), []) => see(End::Field(value)),
        (Some(Bson::Document(document)), [segment, rest @ ..]) => {
            return place(document.get(&segment.name), rest, see);
        }
        (Some(Bson::Array(items)), [segment, behind @ ..]) => {
            match (segment.position.and_then(|position| items.get(position)), behind) {
                (Some(item), []) => see(End::Item(item)),
                (item @ Some(_), behind) => {
                    place(item, behind, see);
                }
                (None, _) => items.iter().for_each(|item| {
                    place(Some(item).filter(|item| item.as_document().is_some()), rest, see);
                }),
            }
            return true;
        }
        _ => see(End::Missing),
    }
    false
}

fn insert(components: &mut BTreeSet<Vec<u8>>, end: End<'_>, empty_array: u8) {
    match (end.value(), end.items()) {
        (Some(Bson::Array(items)), _) if items.is_empty() => {
            components.insert(vec![empty_array]);
        }
        (_, Some(items)) => components.extend(items.iter().map(component)),
        (value, None) => {
            components.insert(component(value.unwrap_or(&Bson::Null)));
        }
    }
}

fn component(value: &Bson) -> Vec<u8> {
    let mut component = Vec::new();
    encode(value, &mut component);
    component
}
