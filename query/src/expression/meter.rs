//! What values cost while an expression is evaluated.
//!
//! The bytes of every value that is made are taken from the budget, and given back once the value that is made of it is
//! known. So what counts is what exists at one time: a `$reduce` may build a list of a thousand items one by one, but one
//! that doubles a text at each turn ends early.

use std::borrow::Cow;
use std::cell::Cell;

use bson::{Bson, Document};

use super::VALUE_DEPTH_MAX;
use crate::budget::Budget;
use crate::document::depth;
use crate::error::{Error, Kind, Result};

/// What a value takes in memory beyond its text: about the size of a [`Bson`].
const VALUE_BYTES: u64 = 48;

/// What a field of a document takes beyond its name and value: its place in the table of names.
const FIELD_BYTES: u64 = 48;

/// Copying this many bytes is one step.
const STEP_BYTES: u64 = 64;

/// Takes steps and bytes from a budget and gives all bytes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Meter<'b> {
    budget: &'b Budget,
    kept: Cell<u64>,
}

impl<'b> Meter<'b> {
    pub(crate) fn new(budget: &'b Budget) -> Self {
        Self { budget, kept: Cell::new(0) }
    }

    pub(crate) fn step(&self, steps: usize) -> Result<()> {
        self.budget.step(steps as u64)
    }

    /// Pays for bytes before they are made.
    pub(crate) fn make(&self, bytes: u64) -> Result<()> {
        self.budget.step(bytes / STEP_BYTES)?;
        self.budget.keep(bytes)?;
        self.kept.set(self.kept.get() + bytes);
        Ok(())
    }

    /// Pays for a list of values before it is made.
    pub(crate) fn make_items(&self, count: usize) -> Result<()> {
        self.step(count)?;
        self.make((count as u64).saturating_mul(VALUE_BYTES))
    }

    /// A copy that is paid for.
    pub(crate) fn copy(&self, value: &Bson) -> Result<Bson> {
        self.make(weight(value))?;
        Ok(value.clone())
    }

    /// The value itself, or a copy that is paid for.
    pub(crate) fn own(&self, value: Cow<'_, Bson>) -> Result<Bson> {
        match value {
            Cow::Owned(value) => Ok(value),
            Cow::Borrowed(value) => self.copy(value),
        }
    }

    /// What is kept now, for [`Meter::settle`].
    pub(crate) fn mark(&self) -> u64 {
        self.kept.get()
    }

    /// Of all that was made since `mark`, only `bytes` still exist.
    pub(crate) fn settle(&self, mark: u64, bytes: u64) -> Result<()> {
        let wanted = mark + bytes;
        let kept = self.kept.get();
        if wanted > kept {
            return self.make(wanted - kept);
        }
        self.budget.release(kept - wanted);
        self.kept.set(wanted);
        Ok(())
    }

    /// Refuses a value that no recursion should have to follow.
    pub(crate) fn check_depth(&self, value: &Bson) -> Result<()> {
        if matches!(value, Bson::Document(_) | Bson::Array(_)) && depth(value) > VALUE_DEPTH_MAX {
            let message = format!("value nests deeper than {VALUE_DEPTH_MAX}");
            return Err(Error::new(Kind::TooDeep, message));
        }
        Ok(())
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.budget.release(self.kept.get());
    }
}

/// About how many bytes of memory a value takes.
pub(crate) fn weight(value: &Bson) -> u64 {
    VALUE_BYTES
        + match value {
            Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => {
                text.len() as u64
            }
            Bson::Document(document) => weight_of_document(document),
            Bson::Array(items) => items.iter().map(weight).sum(),
            Bson::Binary(binary) => binary.bytes.len() as u64,
            Bson::RegularExpression(regex) => {
                (regex.pattern.as_str().len() + regex.options.as_str().len()) as u64
            }
            Bson::JavaScriptCodeWithScope(code) => {
                code.code.len() as u64 + weight_of_document(&code.scope)
            }
            _ => 0,
        }
}

/// About how many bytes of memory a document takes.
pub fn weight_of_document(document: &Document) -> u64 {
    let field = |(name, value): (&String, &Bson)| FIELD_BYTES + name.len() as u64 + weight(value);
    document.iter().map(field).sum()
}
