//! How does the document change? A replacement, or MongoDB's update operators.
//!
//! `$set $unset $inc $mul $min $max $rename $bit $setOnInsert`, and for arrays `$push` (with `$each $position $slice
//! $sort`), `$addToSet` (with `$each`), `$pop`, `$pull`, `$pullAll`; `$currentDate` where the time is given. A path may go
//! through `$`, `$[]` and `$[name]` (`target.rs`); the places it then stands for are changed one after another.
//!
//! Fields that an update creates appear in the order in which the update names them.

mod apply;
mod arithmetic;
mod array;
mod parse;
mod target;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod place_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use bson::{Bson, Document};

use self::array::Push;
use self::target::{Finder, Pattern};
use crate::document::check_id;
use crate::error::Result;
use crate::filter::{Filter, ItemFilter, NamedFilter};
use crate::path::Path;

/// Most changes in one update.
const CHANGES_MAX: usize = 10_000;

/// Most changes that take a field out of a document: each moves all fields behind it.
const REMOVALS_MAX: usize = 1000;

/// Most parts of paths that are `$[name]`: each asks its filter about all items anew.
const FILTERED_MAX: usize = 100;

/// What an update may refer to besides the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The filters of `$[name]`: at most 16.
    pub array_filters: &'a [Document],
    /// The time of `$currentDate` in milliseconds since 1970; without it that operator is refused.
    pub now_ms: Option<i64>,
}

/// A parsed update.
#[derive(Clone, Debug)]
pub struct Update(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Replace(Document),
    Change(Vec<Change>, Vec<NamedFilter>),
}

/// One operator on one path.
#[derive(Clone, Debug)]
struct Change {
    operator: &'static str,
    path: Path,
    /// The path once more if it stands for other paths.
    pattern: Option<Pattern>,
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
        Self::parse_with(document, &Options::default())
    }

    /// As [`Update::parse`], with what the update may refer to.
    ///
    /// # Errors
    /// As [`Update::parse`], and `InvalidValue` for an array filter that no path uses or that is missing.
    pub fn parse_with(document: Document, options: &Options<'_>) -> Result<Self> {
        parse::parse(document, options)
    }

    /// Whether a path goes through `$`, so that [`Update::apply`] has to know which item was matched.
    pub fn needs_position(&self) -> bool {
        match &self.0 {
            Kind::Replace(_) => false,
            Kind::Change(changes, _) => changes
                .iter()
                .any(|change| change.pattern.as_ref().is_some_and(Pattern::needs_position)),
        }
    }

    /// Whether the update replaces the whole document.
    pub fn is_replacement(&self) -> bool {
        matches!(self.0, Kind::Replace(_))
    }

    /// The top-level fields that the update names, with repetitions. A replacement also removes all fields it does not name.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let (replacement, changes) = match &self.0 {
            Kind::Replace(document) => (Some(document), [].as_slice()),
            Kind::Change(changes, _) => (None, changes.as_slice()),
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
    /// caller throws it away. `position` is the item that the filter matched ([`Filter::position`]), which only matters to
    /// an update that [needs](Update::needs_position) it.
    ///
    /// # Errors
    /// `InvalidValue` for an operator that cannot work on what it finds; `Immutable` for another `_id`; `TooDeep`;
    /// `TooLarge` where paths stand for too many places.
    pub fn apply(&self, document: &mut Document, position: Option<usize>) -> Result<bool> {
        match &self.0 {
            Kind::Replace(replacement) => apply::replace(document, replacement),
            Kind::Change(changes, filters) => {
                apply::change(document, changes, Finder::new(filters, position), false)
            }
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
            Kind::Change(changes, filters) => {
                apply::change(&mut document, changes, Finder::new(filters, None), true)
                    .map(drop)?;
            }
        }
        document.get("_id").map_or(Ok(()), check_id)?;
        Ok(document)
    }
}
