//! What are the values of a rule, for one caller, one document and what was fetched?
//!
//! `None` is what is missing. It equals only `null` that is written out, which is the only way to `Some(Null)`.

use bson::{Bson, Document};

use super::syntax::{Lookup, Operand, Part, Source, Step};
use super::{Facts, Fetched, Get};
use crate::path::Path;

/// Length of a text that is put together from values.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Why a value cannot be told.
#[derive(Debug)]
pub(super) enum Stop {
    /// A document must be fetched first.
    Needs(Box<Get>),
    /// It differs from document to document.
    Unbound,
    /// The evaluation would take too long.
    TooMuch,
}

pub(super) type Evaluated<T> = Result<T, Stop>;

/// One value for a field of the document on which the argument of `get` depends; `None` is a missing field.
pub(super) type Choice<'a> = (&'a Path, Option<&'a Bson>);

/// Where values come from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) facts: Facts<'a>,
    pub(super) fetched: &'a Fetched,
    /// The document; `None` when the rule is asked about all documents that match a query.
    pub(super) doc: Option<&'a Document>,
    /// What the fields in arguments of `get` are.
    pub(super) choices: &'a [Choice<'a>],
}

impl Sources<'_> {
    pub(super) fn value(&self, operand: &Operand) -> Evaluated<Option<Bson>> {
        self.source(&operand.source, false)
    }

    fn source(&self, source: &Source, in_get: bool) -> Evaluated<Option<Bson>> {
        let text = |text: &Option<String>| text.clone().map(Bson::String);
        let caller = self.facts.caller;
        Ok(match source {
            Source::Literal(value) => Some(value.clone()),
            Source::List(items) => Some(Bson::Array(self.list(items, in_get)?)),
            Source::Now => Some(Bson::Int64(self.facts.now_ms)),
            Source::Auth => caller.logged_in.then(|| Bson::Document(Document::new())),
            Source::Openid => text(&caller.openid),
            Source::Uid => text(&caller.uid),
            Source::LoginType => text(&caller.login_type),
            Source::Roles => {
                Some(Bson::Array(caller.roles.iter().cloned().map(Bson::String).collect()))
            }
            Source::Doc(path) => present(self.field(path, in_get)?),
            Source::Data(path) => present(self.facts.data.and_then(|data| path.get(data))),
            Source::Template(parts) => self.text(parts, in_get)?.map(Bson::String),
            Source::Get(lookup) => self.lookup(lookup)?,
        })
    }

    fn list(&self, items: &[Operand], in_get: bool) -> Evaluated<Vec<Bson>> {
        let values = items.iter().map(|item| self.source(&item.source, in_get));
        values.filter_map(Result::transpose).collect()
    }

    fn field(&self, path: &Path, in_get: bool) -> Evaluated<Option<&Bson>> {
        if in_get {
            let chosen = self.choices.iter().find(|(known, _)| *known == path);
            return chosen.map(|(_, value)| *value).ok_or(Stop::Unbound);
        }
        self.doc.map(|doc| path.get(doc)).ok_or(Stop::Unbound)
    }

    fn lookup(&self, lookup: &Lookup) -> Evaluated<Option<Bson>> {
        let Some(id) = self.id(&lookup.id)? else { return Ok(None) };
        let get = Get { collection: lookup.collection.clone(), id };
        let Some(found) = self.fetched.find(&get) else { return Err(Stop::Needs(Box::new(get))) };
        let Some(document) = found else { return Ok(None) };
        if lookup.steps.is_empty() {
            return Ok(Some(Bson::Document(document.clone())));
        }
        let mut value: Option<&Bson> = None;
        for step in &lookup.steps {
            let Some(name) = self.step(step)? else { return Ok(None) };
            value = match value {
                None => document.get(&name),
                Some(Bson::Document(inner)) => inner.get(&name),
                Some(Bson::Array(items)) => name.parse().ok().and_then(|at: usize| items.get(at)),
                Some(_) => None,
            };
            if value.is_none() {
                return Ok(None);
            }
        }
        Ok(present(value))
    }

    fn step(&self, step: &Step) -> Evaluated<Option<String>> {
        match step {
            Step::Name(name) => Ok(Some(name.clone())),
            Step::Value(operand) => {
                Ok(self.source(&operand.source, true)?.as_ref().and_then(as_text))
            }
        }
    }

    /// A single value is an id as it is; with text around it becomes text.
    fn id(&self, parts: &[Part]) -> Evaluated<Option<Bson>> {
        let id = match parts {
            [Part::Value(operand)] => self.source(&operand.source, true)?,
            parts => self.text(parts, true)?.map(Bson::String),
        };
        let is_id = |id: &Bson| match id {
            Bson::String(text) => !text.is_empty(),
            id => {
                matches!(id, Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::ObjectId(_))
            }
        };
        Ok(id.filter(is_id))
    }

    fn text(&self, parts: &[Part], in_get: bool) -> Evaluated<Option<String>> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(piece) => text.push_str(piece),
                Part::Value(operand) => {
                    let value = self.source(&operand.source, in_get)?;
                    let Some(piece) = value.as_ref().and_then(as_text) else { return Ok(None) };
                    text.push_str(&piece);
                }
            }
            if text.len() > TEXT_BYTES_MAX {
                return Err(Stop::TooMuch);
            }
        }
        Ok(Some(text))
    }
}

/// Null in a document counts as missing.
fn present(value: Option<&Bson>) -> Option<Bson> {
    value.filter(|value| !matches!(value, Bson::Null | Bson::Undefined)).cloned()
}

fn as_text(value: &Bson) -> Option<String> {
    match value {
        Bson::String(text) => Some(text.clone()),
        Bson::Int32(number) => Some(number.to_string()),
        Bson::Int64(number) => Some(number.to_string()),
        Bson::ObjectId(id) => Some(id.to_hex()),
        _ => None,
    }
}
