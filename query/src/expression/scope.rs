//! What an expression sees: the document, variables, the time, and what it may spend.

use bson::{Bson, Document};

use crate::budget::Budget;

/// Values with names: those of a lookup's `let`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables {
    values: Vec<(Box<str>, Bson)>,
}

impl Variables {
    /// No variable at all.
    pub const NONE: &'static Self = &Self { values: Vec::new() };

    /// Sets a variable, given without `$$`. A missing value is kept as none, so that it hides one from further outside.
    pub fn set(&mut self, name: &str, value: Option<Bson>) {
        // An undefined value stands for a missing one, as no client can send one.
        let value = value.unwrap_or(Bson::Undefined);
        match self.values.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name.into(), value)),
        }
    }

    /// `None` for a name that was never set, `Some(None)` for one that was set to a missing value.
    pub(crate) fn get(&self, name: &str) -> Option<Option<&Bson>> {
        let (_, value) = self.values.iter().find(|(known, _)| **known == *name)?;
        Some(Some(value).filter(|value| !matches!(value, Bson::Undefined)))
    }
}

/// What an expression is evaluated against.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    pub(super) root: &'s Document,
    pub(super) current: &'s Document,
    pub(super) variables: &'s Variables,
    pub(super) now_ms: i64,
    pub(super) budget: &'s Budget,
}

impl<'s> Scope<'s> {
    /// A document as `$$ROOT` and `$$CURRENT`, `now_ms` (milliseconds since 1970) as `$$NOW`, without variables.
    pub fn new(document: &'s Document, now_ms: i64, budget: &'s Budget) -> Self {
        Self { root: document, current: document, variables: Variables::NONE, now_ms, budget }
    }

    /// With these variables.
    #[must_use]
    pub fn with(self, variables: &'s Variables) -> Self {
        Self { variables, ..self }
    }

    /// With another `$$CURRENT`, which paths begin at.
    #[must_use]
    pub fn at(self, current: &'s Document) -> Self {
        Self { current, ..self }
    }
}
