//! Changing a document.

use bson::{Bson, Document};

use super::target::Finder;
use super::{Action, Change, arithmetic, array};
use crate::compare::{compare, equal};
use crate::document::{DOCUMENT_DEPTH_MAX, depth, too_deep};
use crate::error::{Error, Kind, Result};
use crate::filter::Filter;
use crate::path::Path;
use crate::path::place::{PADDING_MAX, Place};

/// Puts `replacement` in place of everything but the `_id`, which comes first.
pub(super) fn replace(document: &mut Document, replacement: &Document) -> Result<bool> {
    let id = match (document.get("_id"), replacement.get("_id")) {
        (Some(old), Some(new)) if !equal(old, new) => return Err(immutable()),
        (old, new) => old.or(new),
    };
    let others = replacement.iter().filter(|(name, _)| *name != "_id");
    let named_id = id.map(|id| ("_id".to_owned(), id.clone()));
    let result = named_id
        .into_iter()
        .chain(others.map(|(name, value)| (name.clone(), value.clone())))
        .collect();
    let changed = !is_same(document, &result);
    *document = result;
    Ok(changed)
}

/// Applies operators one after another. `inserting` is true for the document of an upsert.
pub(super) fn change(
    document: &mut Document,
    changes: &[Change],
    finder: Finder<'_>,
    inserting: bool,
) -> Result<bool> {
    let id = document.get("_id").cloned();
    let mut work = Work { document, finder, inserting, padding_left: PADDING_MAX };
    let mut changed = false;
    for change in changes {
        let result = work.apply(change);
        changed |= result.map_err(|error| error.operator(change.operator).at(&change.path))?;
    }
    match (id, document.get("_id")) {
        (Some(old), Some(new)) if is_same_value(&old, new) => Ok(changed),
        (None, None) => Ok(changed),
        (None, Some(_)) if inserting => Ok(changed),
        _ => Err(immutable()),
    }
}

/// The equalities of a filter as a new document. A replacement takes only the `_id` from it.
pub(super) fn seed(filter: &Filter, id_only: bool) -> Result<Document> {
    let mut document = Document::new();
    let mut padding_left = 0;
    for (path, value) in filter.equalities().filter(|(path, _)| !id_only || path.is("_id")) {
        if path.segments().len() + depth(value) > DOCUMENT_DEPTH_MAX {
            return Err(too_deep().at(path));
        }
        let mut place = Place::make(&mut document, path, &mut padding_left)?;
        match place.value() {
            Some(present) if present != value => {
                return Err(
                    Error::new(Kind::Conflict, "filter asks for two values of one field").at(path)
                );
            }
            _ => place.set(value.clone()),
        }
    }
    Ok(document)
}

struct Work<'d> {
    document: &'d mut Document,
    finder: Finder<'d>,
    inserting: bool,
    padding_left: usize,
}

impl Work<'_> {
    fn apply(&mut self, change: &Change) -> Result<bool> {
        let Some(pattern) = &change.pattern else {
            return self.act(&change.path, &change.action);
        };
        let mut changed = false;
        for place in self.finder.places(self.document, pattern)? {
            changed |= self.act(&place, &change.action).map_err(|error| error.at(&place))?;
        }
        Ok(changed)
    }

    fn act(&mut self, path: &Path, action: &Action) -> Result<bool> {
        match action {
            Action::Set(value) => self.set(path, value.clone()),
            Action::SetOnInsert(value) if self.inserting => self.set(path, value.clone()),
            Action::SetOnInsert(_) => Ok(false),
            Action::Unset => Ok(Place::find(self.document, path).is_some_and(Place::unset)),
            Action::Rename(target) => self.rename(path, target),
            Action::Add(operand) => self.compute(path, |current| match current {
                Some(current) => arithmetic::add(current, operand),
                None => Ok(operand.clone()),
            }),
            Action::Multiply(operand) => self.compute(path, |current| match current {
                Some(current) => arithmetic::multiply(current, operand),
                None => Ok(arithmetic::zero_like(operand)),
            }),
            Action::Bits(operations) => self.compute(path, |current| {
                let first = current.cloned().unwrap_or(Bson::Int32(0));
                operations.iter().try_fold(first, |value, (operation, mask)| {
                    arithmetic::bits(&value, *operation, mask)
                })
            }),
            Action::Min(value) => self.compute(path, |current| {
                Ok(current
                    .filter(|current| compare(current, value).is_le())
                    .unwrap_or(value)
                    .clone())
            }),
            Action::Max(value) => self.compute(path, |current| {
                Ok(current
                    .filter(|current| compare(current, value).is_ge())
                    .unwrap_or(value)
                    .clone())
            }),
            Action::Push(push) => self.edit(path, true, |items| push.apply(items)),
            Action::AddToSet(values) => {
                self.edit(path, true, |items| array::add_to_set(items, values))
            }
            Action::Pop(end) => self.edit(path, false, |items| array::pop(items, *end)),
            Action::Pull(test) => self.edit(path, false, |items| array::pull(items, test)),
            Action::PullAll(values) => {
                self.edit(path, false, |items| array::pull_all(items, values))
            }
        }
    }

    fn set(&mut self, path: &Path, value: Bson) -> Result<bool> {
        self.compute(path, |_| Ok(value))
    }

    /// Replaces the value at `path` by a function of it.
    fn compute(
        &mut self,
        path: &Path,
        new: impl FnOnce(Option<&Bson>) -> Result<Bson>,
    ) -> Result<bool> {
        let mut place = Place::make(self.document, path, &mut self.padding_left)?;
        let current = place.value().map(|current| &*current);
        let value = new(current)?;
        let changed = current.is_none_or(|current| !is_same_value(current, &value));
        if changed {
            place.set(value);
        }
        Ok(changed)
    }

    /// Edits the array at `path`; `edit` says whether it changed anything. A missing array is created if `create` is set,
    /// and left alone otherwise.
    fn edit(
        &mut self,
        path: &Path,
        create: bool,
        edit: impl FnOnce(&mut Vec<Bson>) -> bool,
    ) -> Result<bool> {
        let found = if create {
            Some(Place::make(self.document, path, &mut self.padding_left)?)
        } else {
            Place::find(self.document, path)
        };
        let Some(mut place) = found else { return Ok(false) };
        match place.value() {
            Some(Bson::Array(items)) => Ok(edit(items)),
            Some(_) => Err(Error::value("field is not an array")),
            None if create => {
                let mut items = Vec::new();
                edit(&mut items);
                place.set(Bson::Array(items));
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn rename(&mut self, path: &Path, target: &Path) -> Result<bool> {
        let value = match Place::find(self.document, path) {
            Some(Place::Field(parent, name)) => parent.remove(name),
            Some(Place::Item(..)) => return Err(Error::value("cannot rename an item of an array")),
            None => None,
        };
        let Some(value) = value else { return Ok(false) };
        if target.segments().len() + depth(&value) > DOCUMENT_DEPTH_MAX {
            return Err(too_deep());
        }
        match Place::make(self.document, target, &mut self.padding_left)? {
            Place::Item(..) => Err(Error::value("cannot rename to an item of an array")),
            place => {
                place.set(value);
                Ok(true)
            }
        }
    }
}

fn immutable() -> Error {
    Error::new(Kind::Immutable, "_id cannot be changed").at("_id")
}

/// Equal, of the same type, and with fields in the same order, which the library's equality of documents ignores.
fn is_same_value(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Document(a), Bson::Document(b)) => is_same(a, b),
        (Bson::Array(a), Bson::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_value(a, b))
        }
        (Bson::Double(a), Bson::Double(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn is_same(a: &Document, b: &Document) -> bool {
    let mut pairs = a.iter().zip(b);
    a.len() == b.len()
        && pairs.all(|((a_name, a), (b_name, b))| a_name == b_name && is_same_value(a, b))
}
