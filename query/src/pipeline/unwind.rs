//! `$unwind`: one document for each item of an array.

use bson::{Bson, Document};

use super::parse::check_field;
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::expression::weight_of_document;
use crate::needs::Needs;

#[derive(Clone, Debug)]
pub(super) struct Unwind {
    path: String,
    index: Option<String>,
    preserve: bool,
}

impl Unwind {
    /// Reads `"$a.b"` or `{path, includeArrayIndex, preserveNullAndEmptyArrays}`.
    pub(super) fn parse(operand: &Bson) -> Result<Self> {
        let Bson::Document(document) = operand else { return Self::of(operand, None, false) };
        let known = ["path", "includeArrayIndex", "preserveNullAndEmptyArrays"];
        if let Some(unknown) = document.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Error::value("has no such option").at(unknown));
        }
        let index = match document.get(known[1]) {
            None => None,
            Some(Bson::String(name)) => Some(name.clone()),
            Some(_) => return Err(Error::value("needs a field name").at(known[1])),
        };
        index.as_deref().map_or(Ok(()), check_field)?;
        let preserve = match document.get(known[2]) {
            None => false,
            Some(Bson::Boolean(preserve)) => *preserve,
            Some(_) => return Err(Error::value("needs true or false").at(known[2])),
        };
        Self::of(document.get("path").unwrap_or(&Bson::Null), index, preserve)
    }

    fn of(path: &Bson, index: Option<String>, preserve: bool) -> Result<Self> {
        let path = path.as_str().and_then(|path| path.strip_prefix('$'));
        let path = path.ok_or_else(|| Error::value("needs a field path that begins with $"))?;
        check_field(path)?;
        Ok(Self { path: path.to_owned(), index, preserve })
    }

    /// What must go in, if `behind` must come out.
    pub(super) fn needs(&self, behind: Needs) -> Needs {
        let mut needs = behind;
        needs.add(self.path.split_once('.').map_or(&self.path, |(top, _)| top));
        needs
    }

    /// One document after the other, each paid for when it is made.
    pub(super) fn apply<'u>(
        &'u self,
        mut document: Document,
        budget: &'u Budget,
    ) -> impl Iterator<Item = Result<Document>> + 'u {
        let taken = place(&mut document, &self.path).map(std::mem::take);
        let (items, is_array) = match taken {
            Some(Bson::Array(items)) if !items.is_empty() => (items, true),
            None | Some(Bson::Null | Bson::Undefined) if !self.preserve => (Vec::new(), false),
            Some(Bson::Array(_)) if !self.preserve => (Vec::new(), false),
            Some(Bson::Array(_)) => {
                remove(&mut document, &self.path);
                (vec![Bson::Undefined], false)
            }
            None => (vec![Bson::Undefined], false),
            Some(single) => (vec![single], false),
        };
        let bytes = weight_of_document(&document);
        (0_i64..).zip(items).map(move |(number, item)| {
            budget.step(1 + bytes / 64)?;
            let mut document = document.clone();
            // Undefined stands for a place that remains empty.
            if !matches!(item, Bson::Undefined)
                && let Some(place) = place(&mut document, &self.path)
            {
                *place = item;
            }
            if let Some(index) = &self.index {
                set(&mut document, index, if is_array { Bson::Int64(number) } else { Bson::Null });
            }
            Ok(document)
        })
    }
}

fn place<'d>(document: &'d mut Document, path: &str) -> Option<&'d mut Bson> {
    match path.split_once('.') {
        Some((name, rest)) => place(document.get_mut(name)?.as_document_mut()?, rest),
        None => document.get_mut(path),
    }
}

fn remove(document: &mut Document, path: &str) {
    match path.split_once('.') {
        Some((name, rest)) => {
            if let Ok(child) = document.get_document_mut(name) {
                remove(child, rest);
            }
        }
        None => drop(document.remove(path)),
    }
}

/// Puts a value at a path and makes the documents on the way; what is no document gives way.
pub(super) fn set(document: &mut Document, path: &str, value: Bson) {
    let Some((name, rest)) = path.split_once('.') else {
        document.insert(path, value);
        return;
    };
    if !matches!(document.get(name), Some(Bson::Document(_))) {
        document.insert(name, Document::new());
    }
    if let Ok(child) = document.get_document_mut(name) {
        set(child, rest, value);
    }
}
