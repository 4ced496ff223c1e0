//! Reads the members of a request's JSON object: what is missing, what has the wrong type, what is out of bounds.
//!
//! Pure functions from bytes to values, and so a target of fuzzing.

use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::ejson::{ReadOptions, read, read_document};
use yunzhan_query::{Order, Projection};

use crate::documents::Which;

/// The members of one JSON object. Every member is taken once.
#[derive(Debug, Default)]
pub(crate) struct Members {
    object: Document,
    now_ms: i64,
    /// The members that the action's row names; none before the action is known.
    declared: Option<&'static [&'static str]>,
}

impl Members {
    /// Reads the body of a request; an empty one has no members. `now_ms` fills in the server's dates.
    pub(crate) fn read(body: &[u8], now_ms: i64) -> Result<Self> {
        let object = match body {
            [] => Document::new(),
            body => read_document(body, &ReadOptions::at(now_ms))?,
        };
        Ok(Self { object, now_ms, declared: None })
    }

    /// Says which members there are from now on: what is not declared could be signed under another spelling.
    pub(crate) fn declare(&mut self, members: &'static [&'static str]) {
        self.declared = Some(members);
    }

    fn is_declared(&self, name: &str) -> bool {
        let is_declared = self.declared.is_none_or(|members| members.contains(&name));
        debug_assert!(is_declared, "the member {name} does not stand in the action's row");
        is_declared
    }

    /// A member of any type; null counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Bson> {
        // The order of what is left matters to nobody, but `remove` keeps it: bodies have few members.
        let value = self.is_declared(name).then(|| self.object.remove(name)).flatten();
        value.filter(|value| *value != Bson::Null)
    }

    /// A text; an empty one counts as absent.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Bson::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(refused(name, "text")),
        }
    }

    /// A text that must be there.
    pub(crate) fn required_text(&mut self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A whole number from 0 on.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<usize>> {
        let number = match self.take(name) {
            None => return Ok(None),
            Some(Bson::Int32(number)) => i64::from(number),
            Some(Bson::Int64(number)) => number,
            Some(_) => return Err(refused(name, "a whole number")),
        };
        usize::try_from(number).map(Some).map_err(|_| refused(name, "a whole number from 0 on"))
    }

    /// Yes or no; absent is no.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Bson::Boolean(flag)) => Ok(flag),
            Some(_) => Err(refused(name, "true or false")),
        }
    }

    /// A document, as an object or as Extended JSON in a string; an empty string counts as absent.
    pub(crate) fn document(&mut self, name: &str) -> Result<Option<Document>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => document(name, value, self.now_ms),
        }
    }

    /// A list of documents, each as [`Members::document`]; a single one counts as a list of one.
    pub(crate) fn documents(&mut self, name: &str) -> Result<Vec<Document>> {
        let items = match self.take(name) {
            None => return Err(missing(name)),
            Some(Bson::Array(items)) => items,
            Some(single) => vec![single],
        };
        let now_ms = self.now_ms;
        let one =
            |item| document(name, item, now_ms)?.ok_or_else(|| refused(name, "a list of objects"));
        items.into_iter().map(one).collect()
    }

    /// Whether a member is a list.
    pub(crate) fn is_list(&self, name: &str) -> bool {
        self.is_declared(name) && matches!(self.object.get(name), Some(Bson::Array(_)))
    }

    /// Whether a member is there; null counts as absent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.is_declared(name) && self.object.get(name).is_some_and(|value| *value != Bson::Null)
    }

    /// The stages of a pipeline: documents of one field, or pairs `{"stageKey":"$match","stageValue":"…"}` whose value is
    /// Extended JSON in a string.
    pub(crate) fn stages(&mut self, name: &str) -> Result<Vec<Document>> {
        let now_ms = self.now_ms;
        let items = match self.take(name) {
            None => return Err(missing(name)),
            Some(Bson::String(text)) => match value_text(name, &text, now_ms)? {
                Bson::Array(items) => items,
                _ => return Err(refused(name, "a list of stages")),
            },
            Some(Bson::Array(items)) => items,
            Some(_) => return Err(refused(name, "a list of stages")),
        };
        items.into_iter().map(|item| stage(name, item, now_ms)).collect()
    }

    /// The member `query`; absent means every document.
    pub(crate) fn which(&mut self) -> Result<Which> {
        which(self.document("query")?)
    }

    /// The member `order`, as it is or in a string; absent means any.
    pub(crate) fn order(&mut self) -> Result<Order> {
        match self.take("order") {
            None => Ok(Order::default()),
            Some(Bson::String(text)) if text.is_empty() => Ok(Order::default()),
            Some(Bson::String(text)) => order(&value_text("order", &text, self.now_ms)?),
            Some(value) => order(&value),
        }
    }

    /// The member `projection`; absent means every field.
    pub(crate) fn projection(&mut self) -> Result<Option<Projection>> {
        projection(self.document("projection")?)
    }

    /// The transaction that the call belongs to.
    pub(crate) fn transaction(&mut self) -> Result<Option<String>> {
        self.text("transactionId")
    }
}

fn stage(name: &str, item: Bson, now_ms: i64) -> Result<Document> {
    let Bson::Document(mut stage) = item else { return Err(refused(name, "a list of stages")) };
    let Some(key) = stage.remove("stageKey") else { return Ok(stage) };
    let key = key.as_str().ok_or_else(|| refused("stageKey", "text"))?.to_owned();
    let value = match stage.remove("stageValue") {
        None => return Err(missing("stageValue")),
        Some(Bson::String(text)) => value_text(&key, &text, now_ms)?,
        Some(value) => value,
    };
    Ok(Document::from_iter([(key, value)]))
}

/// Which documents a query means; none means all.
pub(crate) fn which(query: Option<Document>) -> Result<Which> {
    let Some(query) = query else { return Ok(Which::every()) };
    Which::parse(&query).map_err(|error| inside("query", &error))
}

/// An order, as a document of directions or as a list of `{"field":…,"direction":…}`.
pub(crate) fn order(value: &Bson) -> Result<Order> {
    let listed;
    let fields = match value {
        Bson::Document(fields) => fields,
        Bson::Array(items) => {
            listed = order_fields(items)?;
            &listed
        }
        _ => return Err(refused("order", "an object or a list")),
    };
    Order::parse(fields).map_err(|error| inside("order", &error.into()))
}

fn order_fields(items: &[Bson]) -> Result<Document> {
    let mut fields = Document::new();
    for item in items {
        let item = item.as_document().ok_or_else(|| refused("order", "a list of objects"))?;
        let field = item.get_str("field").map_err(|_| missing("order.field"))?;
        let direction = item.get("direction").ok_or_else(|| missing("order.direction"))?;
        // A field that is named again counts where it was named first: what follows cannot decide anything.
        if !fields.contains_key(field) {
            fields.insert(field, direction.clone());
        }
    }
    Ok(fields)
}

/// A projection; an empty one means every field.
pub(crate) fn projection(fields: Option<Document>) -> Result<Option<Projection>> {
    let Some(fields) = fields.filter(|fields| !fields.is_empty()) else { return Ok(None) };
    Projection::parse(&fields).map(Some).map_err(|error| inside("projection", &error.into()))
}

/// A value in Extended JSON; `name` is the parameter that holds it.
pub(crate) fn value_text(name: &str, text: &str, now_ms: i64) -> Result<Bson> {
    read(text.as_bytes(), &ReadOptions::at(now_ms)).map_err(|error| inside(name, &error.into()))
}

/// A document in Extended JSON; `name` is the parameter that holds it.
pub(crate) fn document_text(name: &str, text: &str, now_ms: i64) -> Result<Document> {
    let document = read_document(text.as_bytes(), &ReadOptions::at(now_ms));
    document.map_err(|error| inside(name, &error.into()))
}

fn document(name: &str, value: Bson, now_ms: i64) -> Result<Option<Document>> {
    match value {
        Bson::Document(document) => Ok(Some(document)),
        Bson::String(text) if text.is_empty() => Ok(None),
        Bson::String(text) => document_text(name, &text, now_ms).map(Some),
        _ => Err(refused(name, "an object")),
    }
}

/// An error in a parameter, with the parameter's name.
fn inside(name: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("{name}: {error}"))
}

pub(crate) fn missing(name: &str) -> Error {
    Error::new(Kind::InvalidParameter, format!("{name} is missing"))
}

pub(crate) fn refused(name: &str, expected: &str) -> Error {
    Error::new(Kind::InvalidParameter, format!("{name} must be {expected}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    /// Bodies that are almost what a client sends.
    const SEEDS: &[&str] = &[
        r#"{"query":{"_id":"a"},"data":[{"a":1},"{\"b\":{\"$numberInt\":\"2\"}}"],"multi":true,"limit":5,"order":[{"field":"a","direction":"desc"}]}"#,
        r#"{"query":"{\"n\":{\"$gt\":{\"$numberInt\":\"1\"}}}","order":"{\"n\":-1}","projection":"{\"n\":1}","offset":0,"transactionId":""}"#,
    ];

    fn read_all(body: &[u8]) -> Result<()> {
        let mut members = Members::read(body, 0)?;
        let mut first = Ok(());
        // Every member is read, whatever the one before was.
        for read in [
            members.order().map(drop),
            members.projection().map(drop),
            members.which().map(drop),
            members.documents("data").map(drop),
            members.count("limit").map(drop),
            members.count("offset").map(drop),
            members.flag("multi").map(drop),
        ] {
            first = first.and(read);
        }
        first
    }

    #[test]
    fn no_bytes_make_a_reader_panic() {
        assert!(read_all(SEEDS[0].as_bytes()).is_ok());
        let mut random: u32 = 1;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize
        };
        for round in 0..4000 {
            let mut body = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
            for _ in 0..=next() % 3 {
                let (at, length) = (next() % body.len(), next() % 8);
                let end = (at + length).min(body.len());
                let put = &b"{}[]\"\\:,$1-e\0\xff"[next() % 12..];
                body.splice(at..end, put[..next() % put.len()].iter().copied());
            }
            // A refusal is as good as a reading; only a panic is neither.
            let _ = read_all(&body);
        }
    }

    #[test]
    fn an_order_is_read_in_both_spellings() {
        let read = |json: &str| order(&value_text("order", json, 0)?);
        let listed = read(
            r#"[{"field":"b","direction":"desc"},{"field":"a","direction":"asc"},{"field":"b","direction":"asc"}]"#,
        );
        assert_eq!(listed.unwrap(), read(r#"{"b":{"$numberInt":"-1"},"a":1}"#).unwrap());
        for bad in [
            "1",
            "[1]",
            r#"[{"field":"a"}]"#,
            r#"[{"direction":"asc"}]"#,
            r#"{"a":2}"#,
            r#"{"a..b":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
