//! What every stored document must satisfy, whoever writes it.

use bson::{Bson, Document};

use crate::error::{Error, Kind, Result};

/// Nesting of a stored document, counted in documents and arrays: MongoDB's own bound.
pub const DOCUMENT_DEPTH_MAX: usize = 100;

/// Checks a document that a client wants to store.
///
/// # Errors
/// A top-level field that begins with `$`, an `_id` that cannot be one, or nesting beyond [`DOCUMENT_DEPTH_MAX`]. A field
/// whose name contains a dot is kept, as MongoDB does since version 5; no path reaches it.
pub fn check_insert(document: &Document) -> Result<()> {
    for name in document.keys() {
        check_field_name(name)?;
    }
    if let Some(id) = document.get("_id") {
        check_id(id)?;
    }
    if depth_of_document(document) > DOCUMENT_DEPTH_MAX {
        return Err(too_deep());
    }
    Ok(())
}

/// How deep a value nests: 0 for a scalar, 1 for a flat document or array.
///
/// Recursive, so meant for values that came through [`crate::ejson`] or [`crate::update`], which bound nesting.
pub fn depth(value: &Bson) -> usize {
    match value {
        Bson::Document(document) => depth_of_document(document),
        Bson::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Bson::JavaScriptCodeWithScope(code) => 1 + depth_of_document(&code.scope),
        _ => 0,
    }
}

fn depth_of_document(document: &Document) -> usize {
    1 + document.values().map(depth).max().unwrap_or(0)
}

pub(crate) fn too_deep() -> Error {
    Error::new(Kind::TooDeep, format!("document nests deeper than {DOCUMENT_DEPTH_MAX}"))
}

pub(crate) fn check_field_name(name: &str) -> Result<()> {
    if name.starts_with('$') {
        return Err(Error::new(Kind::InvalidPath, "a field name may not begin with $").at(name));
    }
    Ok(())
}

pub(crate) fn check_id(id: &Bson) -> Result<()> {
    match id {
        Bson::Array(_) | Bson::RegularExpression(_) | Bson::Undefined => {
            Err(Error::value("an _id may not be an array or a regular expression").at("_id"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use bson::{Bson, Document};

    use super::{check_insert, depth};
    use crate::testing::{doc, value};

    #[test]
    fn documents_that_may_be_stored() {
        let check = |text: &str| check_insert(&doc(text)).map_err(|error| error.to_string());
        assert_eq!(check(r#"{"_id":{"a":1},"a":{"b.c":1}}"#), Ok(()));
        let refused = |text: &str| check(text).unwrap_err();
        assert_eq!(refused(r#"{"$a":1}"#), "a field name may not begin with $, at field $a");
        assert_eq!(check(r#"{"a.b":1}"#), Ok(()));
        assert_eq!(
            refused(r#"{"_id":[]}"#),
            "an _id may not be an array or a regular expression, at field _id"
        );
    }

    #[test]
    fn depth_counts_containers() {
        assert_eq!(
            [depth(&value("1")), depth(&value("[]")), depth(&value(r#"{"a":[{"b":1},2]}"#))],
            [0, 1, 3]
        );
        let deep = (0..101).fold(Bson::Null, |inner, _| {
            Bson::Document(Document::from_iter([("a".to_owned(), inner)]))
        });
        let error = check_insert(deep.as_document().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "document nests deeper than 100");
    }
}
