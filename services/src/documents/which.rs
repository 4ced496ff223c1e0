//! Which documents a call means: one by its id, or those that match a filter.

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use yunzhan_base::Result;
use yunzhan_query::Filter;
use yunzhan_query::filter::Limits;
use yunzhan_query::rule;

use super::logic::permission::{OWNER_FIELD, Reach};
use crate::offload;

/// Which documents a call means.
#[derive(Clone, Debug)]
pub enum Which {
    /// The one with this id: what `doc(id)` sends, and the path without a parsed filter.
    One(Bson),
    /// Those that match.
    Matching {
        /// What decides which ones do.
        filter: Filter,
        /// The query as the client wrote it: security rules are held against it.
        query: Document,
    },
}

impl Which {
    /// Every document.
    pub fn every() -> Self {
        Self::Matching { filter: Filter::all(), query: Document::new() }
    }

    /// Reads a query document.
    ///
    /// # Errors
    /// Those of [`Filter::parse`].
    pub fn parse(query: &Document) -> Result<Self> {
        match only_id(query) {
            Some(id) => Ok(Self::One(id.clone())),
            None => Self::matching(query.clone()),
        }
    }

    /// The ObjectId that a text of 24 hexadecimal digits is the spelling of. The clients know no ObjectIds and send
    /// that text, so it means the document with this ObjectId where none has the text.
    pub(super) fn spelled(&self) -> Option<ObjectId> {
        match self {
            Self::One(Bson::String(text)) if text.len() == 24 => ObjectId::parse_str(text).ok(),
            _ => None,
        }
    }

    fn matching(query: Document) -> Result<Self> {
        // Compiling a regular expression may take as long as reading a large body.
        let parsed =
            offload::run_now(has_pattern(&query), || Filter::parse(&query, &Limits::default()));
        Ok(Self::Matching { filter: parsed?, query })
    }

    /// The same with the caller in the place of `{openid}` and `{uid}`.
    pub(super) fn of_caller(self, caller: &rule::Caller) -> Result<Self> {
        match self {
            Self::One(id) => {
                let mut query = doc! { "_id": id };
                rule::substitute(&mut query, caller)?;
                Ok(Self::One(query.remove("_id").unwrap_or_default()))
            }
            Self::Matching { filter, query } => {
                let mut own = query.clone();
                rule::substitute(&mut own, caller)?;
                match own == query {
                    true => Ok(Self::Matching { filter, query }),
                    false => Self::matching(own),
                }
            }
        }
    }

    /// The same as a query, for whoever never decides about one document.
    pub(super) fn into_query(self) -> Result<Self> {
        match self {
            Self::One(id) => Self::matching(doc! { "_id": { "$eq": id } }),
            matching @ Self::Matching { .. } => Ok(matching),
        }
    }

    /// The filter that means the same, narrowed to what the caller reaches. Rules narrow nothing; whoever opened the
    /// collection has asked them.
    pub(super) fn filter(self, reach: Reach<'_>) -> Result<Filter> {
        let filter = match self {
            Self::One(id) => Filter::field_eq("_id", id)?,
            Self::Matching { filter, .. } => filter,
        };
        match reach {
            Reach::All | Reach::Ruled(_) => Ok(filter),
            Reach::Owned(owner) => Ok(filter.and(Filter::field_eq(OWNER_FIELD, owner)?)),
        }
    }
}

/// Whether a regular expression may stand anywhere in it; it nests no deeper than a document may.
fn has_pattern(query: &Document) -> bool {
    fn is_pattern(value: &Bson) -> bool {
        match value {
            Bson::RegularExpression(_) => true,
            Bson::Document(inner) => has_pattern(inner),
            Bson::Array(items) => items.iter().any(is_pattern),
            _ => false,
        }
    }
    query.iter().any(|(name, value)| name.starts_with("$regex") || is_pattern(value))
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
