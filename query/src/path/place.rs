//! The place that a path names in a document that is being changed.

use bson::{Bson, Document};

use super::{Path, Segment};
use crate::error::{Error, Result};

/// Most nulls that one update may put before a new array item, all its paths together. MongoDB allows 1.5 million, which
/// would let a few bytes of update fill memory.
pub(crate) const PADDING_MAX: usize = 10_000;

/// Where a value stands or would stand: a field of a document, or an item of an array.
pub(crate) enum Place<'d, 'p> {
    Field(&'d mut Document, &'p str),
    Item(&'d mut Vec<Bson>, usize),
}

enum Container<'d> {
    Document(&'d mut Document),
    Array(&'d mut Vec<Bson>),
}

impl<'d, 'p> Place<'d, 'p> {
    /// Finds the place of `path`; `None` if something on the way does not exist or is no container.
    pub(crate) fn find(document: &'d mut Document, path: &'p Path) -> Option<Self> {
        let (last, parents) = path.segments().split_last()?;
        let mut container = Container::Document(document);
        for segment in parents {
            container = Container::of(container.child(segment)?)?;
        }
        container.place(last)
    }

    /// Finds the place of `path` and makes the documents on the way. `padding_left` counts nulls put into arrays.
    ///
    /// # Errors
    /// `InvalidValue` where a scalar is in the way, or an array gets a name instead of a position.
    pub(crate) fn make(
        document: &'d mut Document,
        path: &'p Path,
        padding_left: &mut usize,
    ) -> Result<Self> {
        let (last, parents) = path.segments().split_last().expect("a path has a segment");
        let mut container = Container::Document(document);
        for segment in parents {
            let child = container
                .make_child(segment, padding_left)
                .ok_or_else(|| blocked(segment, path))?;
            container = Container::of(child).ok_or_else(|| blocked(segment, path))?;
        }
        if let (Container::Array(items), Some(position)) = (&mut container, last.position) {
            pad(items, position, padding_left).ok_or_else(|| blocked(last, path))?;
        }
        container.place(last).ok_or_else(|| blocked(last, path))
    }

    /// The value at the place, if there is one.
    pub(crate) fn value(&mut self) -> Option<&mut Bson> {
        match self {
            Self::Field(document, name) => document.get_mut(name),
            Self::Item(items, position) => items.get_mut(*position),
        }
    }

    /// Puts a value at the place.
    pub(crate) fn set(self, value: Bson) {
        match self {
            Self::Field(document, name) => {
                document.insert(name, value);
            }
            Self::Item(items, position) if position < items.len() => items[position] = value,
            Self::Item(items, _) => items.push(value),
        }
    }

    /// Takes the value away. An array keeps its length and gets a null. True if something was there.
    pub(crate) fn unset(self) -> bool {
        match self {
            Self::Field(document, name) => document.remove(name).is_some(),
            Self::Item(items, position) => match items.get_mut(position) {
                Some(Bson::Null) | None => false,
                Some(item) => {
                    *item = Bson::Null;
                    true
                }
            },
        }
    }
}

impl<'d> Container<'d> {
    fn of(value: &'d mut Bson) -> Option<Self> {
        match value {
            Bson::Document(document) => Some(Self::Document(document)),
            Bson::Array(items) => Some(Self::Array(items)),
            _ => None,
        }
    }

    fn child(self, segment: &Segment) -> Option<&'d mut Bson> {
        match self {
            Self::Document(document) => document.get_mut(&segment.name),
            Self::Array(items) => items.get_mut(segment.position?),
        }
    }

    fn make_child(self, segment: &Segment, padding_left: &mut usize) -> Option<&'d mut Bson> {
        match self {
            Self::Document(document) => {
                if !document.contains_key(&segment.name) {
                    document.insert(&*segment.name, Document::new());
                }
                document.get_mut(&segment.name)
            }
            Self::Array(items) => {
                let position = segment.position?;
                pad(items, position, padding_left)?;
                if position == items.len() {
                    items.push(Bson::Document(Document::new()));
                }
                items.get_mut(position)
            }
        }
    }

    fn place(self, segment: &Segment) -> Option<Place<'d, '_>> {
        match self {
            Self::Document(document) => Some(Place::Field(document, &segment.name)),
            Self::Array(items) => Some(Place::Item(items, segment.position?)),
        }
    }
}

/// Fills the array with nulls up to `position`; `None` if that takes more than is left.
fn pad(items: &mut Vec<Bson>, position: usize, padding_left: &mut usize) -> Option<()> {
    let missing = position.saturating_sub(items.len());
    *padding_left = padding_left.checked_sub(missing)?;
    items.resize(items.len() + missing, Bson::Null);
    Some(())
}

fn blocked(segment: &Segment, path: &Path) -> Error {
    let name = &segment.name;
    Error::value(format!(
        "cannot create a field at part {name:?}: a value of another type is in the way"
    ))
    .at(path)
}
