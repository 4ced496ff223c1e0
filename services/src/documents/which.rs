//! Which documents a call means: one by its id, or those that match a filter.

use bson::{Bson, Document};
use yunzhan_base::Result;
use yunzhan_query::Filter;
use yunzhan_query::filter::Limits;

use super::logic::permission::{OWNER_FIELD, Reach};

/// Which documents a call means.
#[derive(Clone, Debug)]
pub enum Which {
    /// The one with this id: what `doc(id)` sends, and the path without a parsed filter.
    One(Bson),
    /// Those that match.
    Matching(Filter),
}

impl Which {
    /// Every document.
    pub fn every() -> Self {
        Self::Matching(Filter::all())
    }

    /// Reads a query document.
    ///
    /// # Errors
    /// Those of [`Filter::parse`].
    pub fn parse(query: &Document) -> Result<Self> {
        match only_id(query) {
            Some(id) => Ok(Self::One(id.clone())),
            None => Ok(Self::Matching(Filter::parse(query, &Limits::default())?)),
        }
    }

    /// The filter that means the same, narrowed to what the caller reaches.
    pub(super) fn filter(self, reach: Reach<'_>) -> Result<Filter> {
        let filter = match self {
            Self::One(id) => Filter::field_eq("_id", id)?,
            Self::Matching(filter) => filter,
        };
        match reach {
            Reach::All => Ok(filter),
            Reach::Owned(owner) => Ok(filter.and(Filter::field_eq(OWNER_FIELD, owner)?)),
        }
    }
}

/// The id in `{_id: id}` and `{_id: {$eq: id}}`, when it is of a kind that ids are of.
fn only_id(query: &Document) -> Option<&Bson> {
    let mut fields = query.iter();
    let (name, value) = fields.next()?;
    if name != "_id" || fields.next().is_some() {
        return None;
    }
    let id = match value {
        Bson::Document(test) if test.len() == 1 => test.get("$eq")?,
        other => other,
    };
    let is_plain = matches!(
        id,
        Bson::String(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::ObjectId(_)
    );
    is_plain.then_some(id)
}
