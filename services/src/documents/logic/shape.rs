//! What may be written: names of collections, documents as they are stored, and the bounds of both.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::raw::{RawBsonRef, RawDocument, RawElement};
use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::Needs;

use super::id::{Ids, id_key, slot_of};
use super::index::{DocumentKeys, Index, keys_of};
use super::permission::{OWNER_FIELD, Reach};
use crate::offload::{self, LONG_BYTES};

/// Largest stored document in bytes of BSON. MongoDB's 16 MiB would let one scan of a page hold a gigabyte; a document
/// of a mini-program beyond 4 MiB wants to be a file.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// Most documents in one insert: what one write batch of writing holds comfortably. Bodies are bounded besides.
pub const INSERT_DOCUMENTS_MAX: usize = 5000;

/// Longest name of a collection in bytes: it stands in paths and log lines.
pub const COLLECTION_NAME_BYTES_MAX: usize = 64;

/// The index on the owner that every collection has.
pub(in crate::documents) const OWNER_INDEX: i64 = 1;

/// Checks the name of a collection.
///
/// # Errors
/// `InvalidParameter`.
pub(in crate::documents) fn check_collection_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let starts_well = name.bytes().next().is_some_and(|first| first != b'-');
    if starts_well && name.len() <= COLLECTION_NAME_BYTES_MAX && name.bytes().all(allowed) {
        return Ok(());
    }
    let message = "a collection's name has 1 to 64 of A-Z, a-z, 0-9, '_' and '-', and does not begin with '-'";
    Err(Error::new(Kind::InvalidParameter, message))
}

/// A document as it will stand in the tables.
#[derive(Debug)]
pub(in crate::documents) struct Prepared {
    pub(in crate::documents) id: Bson,
    pub(in crate::documents) key: Vec<u8>,
    pub(in crate::documents) slot: u16,
    pub(in crate::documents) body: Vec<u8>,
    /// Its keys in the indexes of its collection.
    pub(in crate::documents) keys: DocumentKeys,
}

/// Makes a client's document ready to be inserted: with an id, and with its owner when a person inserts it.
///
/// # Errors
/// `InvalidParameter` when a person names an owner or the id cannot be one; `TooLarge`, also for what an index cannot
/// hold.
pub(in crate::documents) fn prepare_insert(
    mut document: Document,
    reach: Reach<'_>,
    ids: &mut Ids,
    indexes: &[Arc<Index>],
) -> Result<Prepared> {
    yunzhan_query::check_insert(&document)?;
    let id = match document.remove("_id") {
        None | Some(Bson::Null) => Bson::String(ids.next()),
        Some(id) => id,
    };
    let mut stored = Document::new();
    stored.insert("_id", &id);
    if let Some(owner) = reach.owner() {
        refuse_owner(document.contains_key(OWNER_FIELD))?;
        stored.insert(OWNER_FIELD, owner);
    }
    stored.extend(document);
    let key = id_key(&id)?;
    let slot = slot_of(&key);
    Ok(Prepared { key, slot, body: encode(&stored)?, keys: keys_of(indexes, &stored)?, id })
}

/// Refuses a person who would write the owner's field.
pub(in crate::documents) fn refuse_owner(is_written: bool) -> Result<()> {
    if !is_written {
        return Ok(());
    }
    let message = "_openid is written by the server; leave it out";
    Err(Error::new(Kind::InvalidParameter, message))
}

/// The bytes of a document to store.
///
/// # Errors
/// `TooLarge`.
pub(in crate::documents) fn encode(document: &Document) -> Result<Vec<u8>> {
    let body = document.to_vec().map_err(|error| {
        Error::new(Kind::InvalidParameter, "the document cannot be stored").because(error)
    })?;
    if body.len() > DOCUMENT_BYTES_MAX {
        return Err(Error::new(Kind::TooLarge, "a document has at most 4 MiB; store it as a file"));
    }
    Ok(body)
}

/// Reads a stored document.
///
/// # Errors
/// `Internal` when the bytes are not BSON.
pub(in crate::documents) fn decode(body: &[u8]) -> Result<Document> {
    offload::run_now(body.len() >= LONG_BYTES, || RawDocument::from_bytes(body).and_then(document))
        .map_err(broken)
}

/// Reads these fields of a stored document into `document`, whatever that held, and no further than to the last of
/// them. Documents of one collection mostly look alike: what is the same in the one before keeps its memory.
///
/// # Errors
/// `Internal` when the bytes are not BSON, as far as they were looked at.
pub(in crate::documents) fn decode_into(
    body: &[u8],
    needs: &Needs,
    document: &mut Document,
) -> Result<()> {
    let Needs::Only(names) = needs else {
        *document = decode(body)?;
        return Ok(());
    };
    let raw = RawDocument::from_bytes(body).map_err(broken)?;
    if !refill(raw, names, document).map_err(broken)? {
        document.clear();
        for element in elements(raw, names) {
            let element = element.map_err(broken)?;
            let value = element.value().and_then(value).map_err(broken)?;
            document.insert(element.key().as_str(), value);
        }
    }
    Ok(())
}

/// Puts the values into the fields of a document that has the same fields in the same order; false if it has not.
fn refill(
    raw: &RawDocument,
    names: &BTreeSet<Box<str>>,
    document: &mut Document,
) -> Result<bool, bson::error::Error> {
    let mut places = document.iter_mut();
    for element in elements(raw, names) {
        let element = element?;
        match places.next() {
            Some((name, place)) if name == element.key().as_str() => {
                match (place, element.value()?) {
                    (Bson::String(old), RawBsonRef::String(text)) => {
                        old.clear();
                        old.push_str(text);
                    }
                    (place, raw) => *place = value(raw)?,
                }
            }
            _ => return Ok(false),
        }
    }
    Ok(places.next().is_none())
}

/// The named ones.
fn elements<'b>(
    raw: &'b RawDocument,
    names: &BTreeSet<Box<str>>,
) -> impl Iterator<Item = Result<RawElement<'b>, bson::error::Error>> {
    let is_named = |element: &Result<RawElement<'_>, _>| match element {
        Ok(element) => names.contains(element.key().as_str()),
        Err(_) => true,
    };
    raw.iter_elements().filter(is_named).take(names.len())
}

fn broken(error: bson::error::Error) -> Error {
    Error::internal("a stored document is not BSON").because(error)
}

/// Makes values straight of the bytes; the driver's own way copies every document inside before it reads it. The
/// recursion is as deep as a stored document nests, which whoever stored it has bounded.
fn document(raw: &RawDocument) -> Result<Document, bson::error::Error> {
    let mut document = Document::new();
    for element in raw.iter_elements() {
        let element = element?;
        document.insert(element.key().as_str(), value(element.value()?)?);
    }
    Ok(document)
}

fn value(raw: RawBsonRef<'_>) -> Result<Bson, bson::error::Error> {
    Ok(match raw {
        RawBsonRef::Document(inner) => Bson::Document(document(inner)?),
        RawBsonRef::Array(items) => {
            let items = items.into_iter().map(|item| item.and_then(value));
            Bson::Array(items.collect::<Result<_, _>>()?)
        }
        RawBsonRef::String(text) => Bson::String(text.to_owned()),
        other => other.try_into()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use bson::oid::ObjectId;
    use bson::raw::cstr;
    use bson::spec::BinarySubtype;
    use bson::{Binary, DateTime, Decimal128, JavaScriptCodeWithScope, Regex, Timestamp, doc};
    use expect_test::expect;

    use super::*;

    fn check(document: Document, reach: Reach<'_>) -> String {
        let mut ids = Ids::new(1_767_225_600_000, 3, [0; 16]);
        match prepare_insert(document, reach, &mut ids, &[]) {
            Ok(prepared) => decode(&prepared.body).unwrap().to_string(),
            Err(error) => format!("{:?}: {error}", error.kind()),
        }
    }

    #[test]
    fn a_person_s_document_gets_an_id_and_its_owner_first() {
        expect![[r#"{ "_id": "019b76daa80070038000000000000000", "_openid": "o1", "a": 1 }"#]]
            .assert_eq(&check(doc! { "a": 1 }, Reach::Owned("o1")));
        expect![[r#"{ "_id": "x", "_openid": "o1", "a": 1 }"#]]
            .assert_eq(&check(doc! { "a": 1, "_id": "x" }, Reach::Owned("o1")));
        expect![[r#"{ "_id": "019b76daa80070038000000000000000", "a": 1 }"#]]
            .assert_eq(&check(doc! { "a": 1, "_id": Bson::Null }, Reach::All));
    }

    #[test]
    fn only_a_server_names_an_owner() {
        let document = doc! { "_openid": "o2" };
        expect!["InvalidParameter: _openid is written by the server; leave it out"]
            .assert_eq(&check(document.clone(), Reach::Owned("o1")));
        expect![[r#"{ "_id": "019b76daa80070038000000000000000", "_openid": "o2" }"#]]
            .assert_eq(&check(document, Reach::All));
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        expect!["InvalidParameter: a field name may not begin with $, at field $a"]
            .assert_eq(&check(doc! { "$a": 1 }, Reach::All));
        expect![
            "InvalidParameter: an _id may not be an array or a regular expression, at field _id"
        ]
        .assert_eq(&check(doc! { "_id": [1] }, Reach::All));
        expect!["InvalidParameter: an _id is a string, a number or an ObjectId"]
            .assert_eq(&check(doc! { "_id": true }, Reach::All));
        expect!["TooLarge: a document has at most 4 MiB; store it as a file"]
            .assert_eq(&check(doc! { "a": "x".repeat(4 << 20) }, Reach::All));
    }

    /// Documents that look alike and documents that do not, with values of every kind.
    fn stored() -> Vec<Document> {
        let scope = doc! { "s": [1, { "t": "u" }] };
        let code = JavaScriptCodeWithScope { code: "f".to_owned(), scope };
        let regex = Regex { pattern: cstr!("^a").into(), options: cstr!("i").into() };
        let bytes = Binary { subtype: BinarySubtype::Uuid, bytes: vec![1, 2] };
        let number: Decimal128 = "1.5E3".parse().unwrap();
        let inner = doc! { "d": 1.5, "e": [[], {}, [{ "f": Bson::Null }]], "茶": "叶" };
        vec![
            doc! { "_id": "1", "a": "x", "b": 1, "c": true },
            doc! { "_id": "2", "a": "a longer text", "b": 2_i64, "c": inner.clone() },
            doc! { "_id": "3", "b": "x", "a": 1, "c": [inner] },
            doc! { "_id": "4", "a": DateTime::from_millis(-1), "b": ObjectId::from_bytes([7; 12]) },
            doc! { "a": regex, "b": code, "c": bytes },
            doc! { "a": Timestamp { time: 1, increment: 2 }, "b": number, "c": Bson::MinKey },
            doc! { "a": Bson::JavaScriptCode("g".to_owned()), "b": Bson::Symbol("h".to_owned()) },
            doc! { "c": Bson::MaxKey, "b": Bson::Undefined },
            doc! {},
        ]
    }

    #[test]
    fn what_was_stored_is_read_again() {
        for document in stored() {
            let body = encode(&document).unwrap();
            assert_eq!(decode(&body).unwrap(), document);
            assert_eq!(Document::from_reader(&*body).unwrap(), document);
        }
    }

    #[test]
    fn some_fields_are_read_as_they_are_in_the_whole() {
        let (all, mut into) = (stored(), Document::new());
        let orders = all.iter().chain(all.iter().rev()).flat_map(|one| [one, one]);
        for needs in ["", "a", "b", "a b", "a c", "_id a b c d"] {
            let needs = Needs::Only(needs.split_whitespace().map(Box::from).collect());
            for document in orders.clone() {
                decode_into(&encode(document).unwrap(), &needs, &mut into).unwrap();
                let mut few = document.clone();
                let others: Vec<_> =
                    few.keys().filter(|name| !needs.includes(name)).cloned().collect();
                others.iter().for_each(|name| drop(few.remove(name)));
                assert_eq!(into.to_string(), few.to_string(), "{needs:?}");
            }
        }
        let body = encode(&all[0]).unwrap();
        decode_into(&body, &Needs::All, &mut into).unwrap();
        assert_eq!(into, all[0]);
    }

    #[test]
    fn bytes_that_are_no_document_are_refused() {
        let needs = Needs::Only([Box::from("a")].into());
        let mut body = encode(&doc! { "b": "x", "a": "y" }).unwrap();
        let read = |body: &[u8]| {
            let few = decode_into(body, &needs, &mut Document::new());
            (decode(body).map_err(|error| error.kind()), few.map_err(|error| error.kind()))
        };
        assert!(read(&body).1.is_ok());
        assert_eq!(read(&body[1..]), (Err(Kind::Internal), Err(Kind::Internal)));
        // The type of the first field.
        body[4] = 0x20;
        assert_eq!(read(&body), (Err(Kind::Internal), Err(Kind::Internal)));
    }

    #[test]
    fn names_of_collections_are_plain() {
        for good in ["goods", "a", "1a", "_a", "Order_2024-01", &"a".repeat(64)] {
            assert!(check_collection_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a.b", "a/b", "订单", "a b", "a\0", &"a".repeat(65)] {
            assert!(check_collection_name(bad).is_err(), "{bad}");
        }
    }
}
