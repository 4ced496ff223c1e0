//! Documents: `$mergeObjects $objectToArray $arrayToObject`.

use bson::{Bson, Document};

use super::argument::{Arguments, is_null};
use super::document_of;
use crate::error::{Error, Result};

/// Later fields win. One argument that is an array counts with its items.
pub(super) fn merge(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let mut merged = Document::new();
    let mut take = |value: Option<&Bson>| match value {
        Some(Bson::Document(document)) => {
            for (name, value) in document {
                args.meter.make(name.len() as u64)?;
                merged.insert(name.as_str(), args.meter.copy(value)?);
            }
            Ok(())
        }
        value if is_null(value) => Ok(()),
        _ => Err(Error::value("takes only documents")),
    };
    match (args.len(), args.get(0)) {
        (1, Some(Bson::Array(items))) => items.iter().try_for_each(|item| take(Some(item)))?,
        _ => args.iter().try_for_each(take)?,
    }
    Ok(Some(Bson::Document(merged)))
}

pub(super) fn to_array(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let document = match args.get(0) {
        value if is_null(value) => return Ok(Some(Bson::Null)),
        Some(Bson::Document(document)) => document,
        _ => return Err(args.wrong(0, "a document")),
    };
    args.meter.make_items(document.len().saturating_mul(5))?;
    let pair = |(name, value): (&String, &Bson)| {
        let value = args.meter.copy(value)?;
        Ok(Bson::Document(document_of([("k", Bson::String(name.clone())), ("v", value)])))
    };
    Ok(Some(Bson::Array(document.iter().map(pair).collect::<Result<_>>()?)))
}

/// Of pairs `[name, value]` or documents `{k, v}`.
pub(super) fn of_array(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.is_null(0) {
        return Ok(Some(Bson::Null));
    }
    let mut document = Document::new();
    for item in args.array(0)? {
        let (name, value) = match item {
            Bson::Array(pair) => (pair.first().filter(|_| pair.len() == 2), pair.get(1)),
            Bson::Document(pair) => (pair.get("k").filter(|_| pair.len() == 2), pair.get("v")),
            _ => (None, None),
        };
        let (Some(Bson::String(name)), Some(value)) = (name, value) else {
            return Err(Error::value("items must be pairs of name and value"));
        };
        if name.contains('\0') {
            return Err(Error::value("a field name may not contain NUL"));
        }
        args.meter.make(name.len() as u64)?;
        document.insert(name.as_str(), args.meter.copy(value)?);
    }
    Ok(Some(Bson::Document(document)))
}
