//! How does the document change? A replacement, or MongoDB's update operators.
//!
//! `$set $unset $inc $mul $min $max $rename $bit $setOnInsert`, and for arrays `$push` (with `$each $position $slice
//! $sort`), `$addToSet` (with `$each`), `$pop`, `$pull`, `$pullAll`. Positional paths (`$`, `$[]`) are refused.
//!
//! Fields that an update creates appear in the order in which the update names them.

mod apply;
mod arithmetic;
mod array;
mod parse;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use bson::{Bson, Document};

use self::array::Push;
use crate::document::check_id;
use crate::error::Result;
use crate::filter::{Filter, ItemFilter};
use crate::path::Path;

/// Most changes in one update.
const CHANGES_MAX: usize = 10_000;

/// Most changes that take a field out of a document: each moves all fields behind it.
const REMOVALS_MAX: usize = 1000;

/// A parsed update.
#[derive(Clone, Debug)]
pub struct Update(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Replace(Document),
    Change(Vec<Change>),
}

/// One operator on one path.
#[derive(Clone, Debug)]
struct Change {
    operator: &'static str,
    path: Path,
    action: Action,
}

#[derive(Clone, Debug)]
enum Action {
    Set(Bson),
    SetOnInsert(Bson),
    Unset,
    Add(Bson),
    Multiply(Bson),
    Min(Bson),
    Max(Bson),
    Bits(Vec<(BitOperation, Bson)>),
    Rename(Path),
    Push(Push),
    AddToSet(Vec<Bson>),
    Pop(End),
    Pull(ItemFilter),
    PullAll(Vec<Bson>),
}

#[derive(Clone, Copy, Debug)]
enum BitOperation {
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug)]
enum End {
    First,
    Last,
}

impl Update {
    /// Parses an update: operators if the first key is one, otherwise a whole new document. An empty document is a
    /// replacement too; whoever must not allow that asks [`Update::is_replacement`].
    ///
    /// # Errors
    /// `InvalidOperator`, `InvalidValue`, `InvalidPath` or `Conflict` naming operator and path; `TooLarge`, `TooDeep`.
    pub fn parse(document: Document) -> Result<Self> {
        parse::parse(document)
    }

    /// Whether the update replaces the whole document.
    pub fn is_replacement(&self) -> bool {
        matches!(self.0, Kind::Replace(_))
    }

    /// The top-level fields that the update names, with repetitions. A replacement also removes all fields it does not name.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let (replacement, changes) = match &self.0 {
            Kind::Replace(document) => (Some(document), [].as_slice()),
            Kind::Change(changes) => (None, changes.as_slice()),
        };
        let replaced =
            replacement.into_iter().flat_map(|document| document.keys().map(String::as_str));
        let changed = changes.iter().flat_map(|change| {
            let target = match &change.action {
                Action::Rename(target) => Some(target.field()),
                _ => None,
            };
            std::iter::once(change.path.field()).chain(target)
        });
        replaced.chain(changed)
    }

    /// Changes `document` and returns whether it became another one. After an error it may be changed in part, so the
    /// caller throws it away.
    ///
    /// # Errors
    /// `InvalidValue` for an operator that cannot work on what it finds; `Immutable` for another `_id`; `TooDeep`.
    pub fn apply(&self, document: &mut Document) -> Result<bool> {
        match &self.0 {
            Kind::Replace(replacement) => apply::replace(document, replacement),
            Kind::Change(changes) => apply::change(document, changes, false),
        }
    }

    /// The document that an upsert inserts when nothing matches `filter`: its equalities, then this update. The caller adds
    /// an `_id` if there is none.
    ///
    /// # Errors
    /// As [`Update::apply`]; `Conflict` if the filter asks for two values of one field.
    pub fn upsert(&self, filter: &Filter) -> Result<Document> {
        let mut document = apply::seed(filter, self.is_replacement())?;
        match &self.0 {
            Kind::Replace(replacement) => apply::replace(&mut document, replacement).map(drop)?,
            Kind::Change(changes) => apply::change(&mut document, changes, true).map(drop)?,
        }
        document.get("_id").map_or(Ok(()), check_id)?;
        Ok(document)
    }
}
