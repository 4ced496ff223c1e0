//! The keys that a document puts into an index, and the key it is sorted by.

use std::collections::BTreeSet;

use bson::{Bson, Document};

use super::{ENTRIES_MAX, FORMAT, KEY_BYTES_MAX, TAG_EMPTY_ARRAY, encode};
use crate::compare::Class;
use crate::error::{Error, Kind, Result};
use crate::order::{Direction, Field, Order};
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

/// How the keys of one document in one index are made.
#[derive(Clone, Copy, Debug)]
pub struct EntryOptions {
    /// Most keys, at most [`ENTRIES_MAX`].
    pub keys_max: usize,
    /// Whether an empty array counts as null: for indexes whose stored keys were made so.
    pub empty_as_null: bool,
    /// Whether arrays in two fields of the index are combined instead of refused: for documents that were stored while they
    /// still were.
    pub combines_arrays: bool,
}

impl Default for EntryOptions {
    fn default() -> Self {
        Self { keys_max: ENTRIES_MAX, empty_as_null: false, combines_arrays: false }
    }
}

/// The keys of `document` in an index over the fields of `pattern`.
///
/// A missing field counts as null. Where a path ends in an array, each item is a key; an empty array has a key of its own,
/// below null; an array that the path names by its position is a key as a whole too. Two fields of the index may go through
/// the same array, and then each combination of their values is a key, so that a filter on all of them still finds the
/// document.
///
/// # Errors
/// `InvalidValue` where two fields of the index hold different arrays, whose items would multiply; `TooLarge` beyond
/// [`ENTRIES_MAX`] keys. Both before the keys are made.
pub fn entries(document: &Document, pattern: &Order) -> Result<Entries> {
    entries_with(document, pattern, EntryOptions::default())
}

/// As [`entries`], with these options.
///
/// # Errors
/// As [`entries`]; `TooLarge` beyond [`EntryOptions::keys_max`] keys.
pub fn entries_with(
    document: &Document,
    pattern: &Order,
    options: EntryOptions,
) -> Result<Entries> {
    if !options.combines_arrays {
        refuse_parallel_arrays(document, pattern)?;
    }
    let empty_array = if options.empty_as_null { Class::Null as u8 } else { TAG_EMPTY_ARRAY };
    let mut entries = Entries { keys: vec![vec![FORMAT]], multikey: false, truncated: false };
    for field in pattern.fields() {
        let room = options.keys_max / entries.keys.len();
        let components = components(document, &field.path, empty_array, room);
        if components.len() > room {
            let message = format!("document has more than {} keys in one index", options.keys_max);
            return Err(Error::new(Kind::TooLarge, message).at(&field.path));
        }
        entries.multikey |= components.len() > 1;
        entries.keys = combine(&entries.keys, &components, field.direction);
    }
    entries.truncate();
    Ok(entries)
}

/// Refuses a document in which two fields of the index hold different arrays: their items would multiply.
///
/// # Errors
/// `InvalidValue` naming the two fields.
fn refuse_parallel_arrays(document: &Document, pattern: &Order) -> Result<()> {
    if let [_] = pattern.fields() {
        return Ok(());
    }
    let fields = pattern.fields().iter().map(|field| (field, field.path.segments()));
    match parallel_arrays(document, &fields.collect::<Vec<_>>()) {
        None => Ok(()),
        Some([first, second]) => {
            let (first, second) = (&first.path, &second.path);
            Err(Error::value(format!("cannot index parallel arrays [{first}] [{second}]")))
        }
    }
}

/// Two fields that hold different arrays in the same document, or in the same item of an array that they share. The
/// recursion is as deep as the longest path.
fn parallel_arrays<'f>(
    document: &Document,
    fields: &[(&'f Field, &'f [Segment])],
) -> Option<[&'f Field; 2]> {
    let mut shared: Option<(&Vec<Bson>, &Field)> = None;
    let mut inside = Vec::new();
    for (field, segments) in fields {
        let Some((items, rest)) = first_array(document, segments) else { continue };
        match shared {
            Some((other, first)) if !std::ptr::eq(other, items) => return Some([first, field]),
            _ => shared = Some((items, field)),
        }
        if !rest.is_empty() {
            inside.push((*field, rest));
        }
    }
    let (items, _) = shared.filter(|_| inside.len() > 1)?;
    items.iter().filter_map(Bson::as_document).find_map(|item| parallel_arrays(item, &inside))
}

/// The first array on the way of a path, or at its end, and what of the path is left behind it. An item that the path names
/// by its position is on the way like a field.
fn first_array<'d, 's>(
    document: &'d Document,
    segments: &'s [Segment],
) -> Option<(&'d Vec<Bson>, &'s [Segment])> {
    let (first, mut rest) = segments.split_first()?;
    let mut value = document.get(&first.name)?;
    loop {
        match (value, rest) {
            (Bson::Document(inner), [segment, behind @ ..]) => {
                value = inner.get(&segment.name)?;
                rest = behind;
            }
            (Bson::Array(items), [segment, behind @ ..]) => {
                match segment.position.and_then(|position| items.get(position)) {
                    Some(item) => (value, rest) = (item, behind),
                    None => return Some((items, rest)),
                }
            }
            (Bson::Array(items), []) => return Some((items, rest)),
            _ => return None,
        }
    }
}

/// The key that puts `document` at its place in `order`: of several values the least counts when ascending, the greatest
/// when descending. Not cut at any length.
pub fn sort_key(document: &Document, order: &Order) -> Vec<u8> {
    let mut key = Vec::new();
    for field in order.fields() {
        let mut extreme: Option<Vec<u8>> = None;
        // One at a time: an array may have as many items as fit into a document.
        let mut see = |component: Vec<u8>| {
            let is_more = extreme.as_ref().is_none_or(|extreme| match field.direction {
                Direction::Ascending => component < *extreme,
                Direction::Descending => component > *extreme,
            });
            if is_more {
                extreme = Some(component);
            }
        };
        sorted_by(document, &field.path, TAG_EMPTY_ARRAY, &mut see);
        append(&mut key, &extreme.expect("a field has at least one component"), field.direction);
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
/// those by which it is sorted; one more than `count_max` where there are more. `empty_array` is the tag of an empty array.
fn components(
    document: &Document,
    path: &Path,
    empty_array: u8,
    count_max: usize,
) -> BTreeSet<Vec<u8>> {
    let mut components = BTreeSet::new();
    let mut keep = |component: Vec<u8>| {
        // What is beyond the bound is refused by whoever counts; it need not be held until then.
        if components.len() <= count_max {
            components.insert(component);
        }
    };
    if sorted_by(document, path, empty_array, &mut keep) {
        path.visit(document, &mut |end| {
            if let Some(Bson::Array(items)) = end.value() {
                // `$elemMatch` looks into an item that is an array, which counts as a whole otherwise.
                items.iter().for_each(|item| keep(component(item)));
            }
            show_components(end, empty_array, &mut keep);
            false
        });
    }
    components
}

/// Shows the components of the values by which a document is sorted, at least one, and tells whether an array was on the
/// way.
///
/// Where an array on the way has an item at the position that the path names, that item counts alone; otherwise each of its
/// items does, and one that has no fields is null.
fn sorted_by(
    document: &Document,
    path: &Path,
    empty_array: u8,
    show: &mut dyn FnMut(Vec<u8>),
) -> bool {
    let (first, rest) = path.segments().split_first().expect("a path has a segment");
    let mut is_any = false;
    let mut see = |end: End<'_>| {
        show_components(end, empty_array, &mut |component| {
            is_any = true;
            show(component);
        });
    };
    let met_array = place(document.get(&first.name), rest, &mut see);
    if !is_any {
        // An empty array on the way: nothing is there, which a sort still has to place.
        show(component(&Bson::Null));
    }
    met_array
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

fn show_components(end: End<'_>, empty_array: u8, show: &mut dyn FnMut(Vec<u8>)) {
    match (end.value(), end.items()) {
        (Some(Bson::Array(items)), _) if items.is_empty() => show(vec![empty_array]),
        (_, Some(items)) => items.iter().for_each(|item| show(component(item))),
        (value, None) => show(component(value.unwrap_or(&Bson::Null))),
    }
}

fn component(value: &Bson) -> Vec<u8> {
    let mut component = Vec::new();
    encode(value, &mut component);
    component
}
