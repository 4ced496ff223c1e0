//! Which fields of a document can a question read at all?
//!
//! Whoever has documents in another form (as stored bytes, say) makes values of these fields only. What is asked of the
//! rest of such a document is never seen in an answer: that is what `needs()` of a [`Filter`](crate::Filter), an
//! [`Order`](crate::Order) and a [`Pipeline`](crate::Pipeline) promise. They may name more than is read, never less.

use std::collections::BTreeSet;

/// Top-level fields that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Whatever the document has.
    All,
    /// Those with these names, as far as the document has them.
    Only(BTreeSet<Box<str>>),
}

impl Needs {
    /// Nothing is read: it only counts that there is a document.
    pub const fn nothing() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// Whether the field is read.
    pub fn includes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    /// What this or the other reads.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(mut names), Self::Only(others)) => {
                names.extend(others);
                Self::Only(names)
            }
            _ => Self::All,
        }
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, name: &str) {
        if let Self::Only(names) = self
            && !names.contains(name)
        {
            names.insert(name.into());
        }
    }
}
