//! What an operator is given: the values of its arguments, and ways to ask for the type it needs.

use std::borrow::Cow;

use bson::Bson;

use super::meter::Meter;
use crate::error::{Error, Result};
use crate::number::Number;
use crate::search::Search;

/// The values of all arguments.
pub(super) struct Arguments<'a> {
    pub(super) values: Vec<Option<Cow<'a, Bson>>>,
    pub(super) meter: &'a Meter<'a>,
    /// The compiled expression, if the operator's pattern is a constant.
    pub(super) regex: Option<&'a Search>,
}

impl Arguments<'_> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value of an argument; `None` if it is missing or not written.
    pub(super) fn get(&self, index: usize) -> Option<&Bson> {
        self.values.get(index).and_then(Option::as_deref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&Bson>> {
        self.values.iter().map(Option::as_deref)
    }

    /// Whether an argument is null or missing.
    pub(super) fn is_null(&self, index: usize) -> bool {
        is_null(self.get(index))
    }

    /// Whether any argument is null or missing.
    pub(super) fn any_null(&self) -> bool {
        self.iter().any(is_null)
    }

    /// Whether an argument was written and is null: one that was not written has a default.
    pub(super) fn given_null(&self, index: usize) -> bool {
        matches!(self.get(index), Some(Bson::Null | Bson::Undefined))
    }

    pub(super) fn number(&self, index: usize) -> Result<Number> {
        let number = self.get(index).and_then(Number::of);
        number.ok_or_else(|| self.wrong(index, "a number"))
    }

    /// A whole number.
    pub(super) fn integer(&self, index: usize) -> Result<i64> {
        let integer = self.get(index).and_then(Number::of).and_then(Number::integer);
        integer.ok_or_else(|| self.wrong(index, "a whole number"))
    }

    pub(super) fn array(&self, index: usize) -> Result<&[Bson]> {
        match self.get(index) {
            Some(Bson::Array(items)) => Ok(items),
            _ => Err(self.wrong(index, "an array")),
        }
    }

    pub(super) fn text(&self, index: usize) -> Result<&str> {
        match self.get(index) {
            Some(Bson::String(text) | Bson::Symbol(text)) => Ok(text),
            _ => Err(self.wrong(index, "a string")),
        }
    }

    /// An argument is of the wrong type.
    pub(super) fn wrong(&self, index: usize, wanted: &str) -> Error {
        let found = type_name(self.get(index));
        Error::value(format!("argument {} must be {wanted}, not {found}", index + 1))
    }

    /// Pays for a text and makes it a value.
    pub(super) fn string(&self, text: impl Into<String>) -> Result<Option<Bson>> {
        let text = text.into();
        self.meter.make(text.len() as u64)?;
        Ok(Some(Bson::String(text)))
    }

    /// Copies of items.
    pub(super) fn items<'i>(
        &self,
        items: impl IntoIterator<Item = &'i Bson>,
    ) -> Result<Option<Bson>> {
        let copies = items.into_iter().map(|item| self.meter.copy(item));
        Ok(Some(Bson::Array(copies.collect::<Result<_>>()?)))
    }
}

pub(super) fn is_null(value: Option<&Bson>) -> bool {
    matches!(value, None | Some(Bson::Null | Bson::Undefined))
}

/// As small as it can be without losing its value: what counts and positions are.
pub(super) fn int(value: i64) -> Bson {
    i32::try_from(value).map_or(Bson::Int64(value), Bson::Int32)
}

/// A length or a count.
pub(super) fn count(value: usize) -> Bson {
    int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// The name that `$type` gives.
pub(super) fn type_name(value: Option<&Bson>) -> &'static str {
    match value {
        None => "missing",
        Some(Bson::Double(_)) => "double",
        Some(Bson::String(_)) => "string",
        Some(Bson::Document(_)) => "object",
        Some(Bson::Array(_)) => "array",
        Some(Bson::Binary(_)) => "binData",
        Some(Bson::Undefined) => "undefined",
        Some(Bson::ObjectId(_)) => "objectId",
        Some(Bson::Boolean(_)) => "bool",
        Some(Bson::DateTime(_)) => "date",
        Some(Bson::Null) => "null",
        Some(Bson::RegularExpression(_)) => "regex",
        Some(Bson::DbPointer(_)) => "dbPointer",
        Some(Bson::JavaScriptCode(_)) => "javascript",
        Some(Bson::Symbol(_)) => "symbol",
        Some(Bson::JavaScriptCodeWithScope(_)) => "javascriptWithScope",
        Some(Bson::Int32(_)) => "int",
        Some(Bson::Timestamp(_)) => "timestamp",
        Some(Bson::Int64(_)) => "long",
        Some(Bson::Decimal128(_)) => "decimal",
        Some(Bson::MinKey) => "minKey",
        Some(Bson::MaxKey) => "maxKey",
    }
}
