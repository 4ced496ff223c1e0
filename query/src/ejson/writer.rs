//! From BSON values, or straight from stored BSON bytes, to Extended JSON.
//!
//! The writer keeps its own stack, so that no depth of nesting can exhaust the thread's.

use bson::raw::{RawBinaryRef, RawBsonRef, RawDocument, RawIter, RawRegexRef};
use bson::{Bson, Document};

use super::scalar;
use crate::error::{Error, Result};

/// Which Extended JSON to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Canonical: every type survives a round trip. What the server-side SDKs speak.
    Canonical,
    /// Canonical, but an ObjectId as its 24 digits: the server-side SDKs make nothing of `{"$oid":…}` in an answer.
    Server,
    /// Relaxed, by the specification: plain numbers, ISO 8601 dates.
    Relaxed,
    /// What the mini-program SDK expects in plain JSON: plain numbers, `{"$date":ms}`, `{"$oid":…}`.
    Client,
}

/// Writes one value.
pub fn write(value: &Bson, mode: Mode) -> String {
    let mut writer = Writer { out: String::new(), mode };
    let item = match value {
        Bson::Document(document) => Item::Open(Frame::document(document)),
        Bson::Array(items) => Item::Open(Frame::array(items)),
        other => item_of(other),
    };
    writer.run(item).expect("values in memory are well formed");
    writer.out
}

/// Writes one document.
pub fn write_document(document: &Document, mode: Mode) -> String {
    let mut out = String::new();
    append_document(&mut out, document, mode);
    out
}

/// Writes one document to the end of `out`.
pub fn append_document(out: &mut String, document: &Document, mode: Mode) {
    let mut writer = Writer { out: std::mem::take(out), mode };
    writer.run(Item::Open(Frame::document(document))).expect("values in memory are well formed");
    *out = writer.out;
}

/// Writes one document from its BSON bytes, without building it in memory: the path of a point read.
///
/// # Errors
/// `Malformed` if the bytes are not BSON.
pub fn write_raw_document(bson: &[u8], mode: Mode) -> Result<String> {
    // Text is about as long as BSON; one growth is the exception.
    let mut out = String::with_capacity(bson.len() + bson.len() / 2);
    append_raw_document(&mut out, bson, mode)?;
    Ok(out)
}

/// As [`write_raw_document`], to the end of `out`. After an error `out` ends in a part of the document.
///
/// # Errors
/// `Malformed` if the bytes are not BSON.
pub fn append_raw_document(out: &mut String, bson: &[u8], mode: Mode) -> Result<()> {
    let document = RawDocument::from_bytes(bson).map_err(malformed_bson)?;
    let mut writer = Writer { out: std::mem::take(out), mode };
    let result = writer.run(Item::Open(Frame::raw_document(document)));
    *out = writer.out;
    result
}

struct Writer {
    out: String,
    mode: Mode,
}

/// What stands behind a key: a value to write at once, or a container to walk.
enum Item<'a> {
    Scalar(RawBsonRef<'a>),
    Open(Frame<'a>),
    /// Code with its variables, which are a document again.
    Code(&'a str, Frame<'a>),
}

/// A container that is being written.
struct Frame<'a> {
    cursor: Cursor<'a>,
    opening: char,
    closing: &'static str,
    first: bool,
}

enum Cursor<'a> {
    Document(bson::document::Iter<'a>),
    Array(std::slice::Iter<'a, Bson>),
    RawDocument(RawIter<'a>),
    RawArray(RawIter<'a>),
}

impl Writer {
    fn run(&mut self, root: Item<'_>) -> Result<()> {
        let mut stack = Vec::new();
        self.begin(root, &mut stack);
        while let Some(frame) = stack.last_mut() {
            let Some((key, item)) = frame.cursor.next()? else {
                self.out.push_str(frame.closing);
                stack.pop();
                continue;
            };
            if !std::mem::take(&mut frame.first) {
                self.out.push(',');
            }
            if let Some(key) = key {
                scalar::string(&mut self.out, key);
                self.out.push(':');
            }
            self.begin(item, &mut stack);
        }
        Ok(())
    }

    fn begin<'a>(&mut self, item: Item<'a>, stack: &mut Vec<Frame<'a>>) {
        let frame = match item {
            Item::Scalar(value) => return scalar::write(&mut self.out, value, self.mode),
            Item::Open(frame) => frame,
            Item::Code(code, frame) => {
                self.out.push_str("{\"$code\":");
                scalar::string(&mut self.out, code);
                self.out.push_str(",\"$scope\":");
                Frame { closing: "}}", ..frame }
            }
        };
        self.out.push(frame.opening);
        stack.push(frame);
    }
}

impl<'a> Frame<'a> {
    fn document(document: &'a Document) -> Self {
        Self { cursor: Cursor::Document(document.iter()), opening: '{', closing: "}", first: true }
    }

    fn array(items: &'a [Bson]) -> Self {
        Self { cursor: Cursor::Array(items.iter()), opening: '[', closing: "]", first: true }
    }

    fn raw_document(document: &'a RawDocument) -> Self {
        Self {
            cursor: Cursor::RawDocument(document.iter_elements()),
            opening: '{',
            closing: "}",
            first: true,
        }
    }

    fn raw_array(elements: RawIter<'a>) -> Self {
        Self { cursor: Cursor::RawArray(elements), opening: '[', closing: "]", first: true }
    }
}

impl<'a> Cursor<'a> {
    fn next(&mut self) -> Result<Option<(Option<&'a str>, Item<'a>)>> {
        match self {
            Self::Document(fields) => {
                Ok(fields.next().map(|(key, value)| (Some(key.as_str()), item_of(value))))
            }
            Self::Array(items) => Ok(items.next().map(|value| (None, item_of(value)))),
            Self::RawDocument(elements) => next_raw(elements),
            Self::RawArray(elements) => Ok(next_raw(elements)?.map(|(_, item)| (None, item))),
        }
    }
}

fn next_raw<'a>(elements: &mut RawIter<'a>) -> Result<Option<(Option<&'a str>, Item<'a>)>> {
    let Some(element) = elements.next() else { return Ok(None) };
    let element = element.map_err(malformed_bson)?;
    let item = match element.value().map_err(malformed_bson)? {
        RawBsonRef::Document(document) => Item::Open(Frame::raw_document(document)),
        RawBsonRef::Array(array) => Item::Open(Frame::raw_array(array.iter_elements())),
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            Item::Code(code.code, Frame::raw_document(code.scope))
        }
        value => Item::Scalar(value),
    };
    Ok(Some((Some(element.key().as_str()), item)))
}

fn item_of(value: &Bson) -> Item<'_> {
    Item::Scalar(match value {
        Bson::Document(document) => return Item::Open(Frame::document(document)),
        Bson::Array(items) => return Item::Open(Frame::array(items)),
        Bson::JavaScriptCodeWithScope(code) => {
            return Item::Code(&code.code, Frame::document(&code.scope));
        }
        Bson::Double(double) => RawBsonRef::Double(*double),
        Bson::String(text) => RawBsonRef::String(text),
        Bson::Boolean(truth) => RawBsonRef::Boolean(*truth),
        Bson::RegularExpression(regex) => RawBsonRef::RegularExpression(RawRegexRef {
            pattern: &regex.pattern,
            options: &regex.options,
        }),
        Bson::JavaScriptCode(code) => RawBsonRef::JavaScriptCode(code),
        Bson::Int32(int) => RawBsonRef::Int32(*int),
        Bson::Int64(int) => RawBsonRef::Int64(*int),
        Bson::Timestamp(timestamp) => RawBsonRef::Timestamp(*timestamp),
        Bson::Binary(binary) => {
            RawBsonRef::Binary(RawBinaryRef { subtype: binary.subtype, bytes: &binary.bytes })
        }
        Bson::ObjectId(id) => RawBsonRef::ObjectId(*id),
        Bson::DateTime(date) => RawBsonRef::DateTime(*date),
        Bson::Symbol(text) => RawBsonRef::Symbol(text),
        Bson::Decimal128(decimal) => RawBsonRef::Decimal128(*decimal),
        Bson::MaxKey => RawBsonRef::MaxKey,
        Bson::MinKey => RawBsonRef::MinKey,
        // The library keeps the parts of a pointer to itself, and our reader makes none.
        Bson::Null | Bson::Undefined | Bson::DbPointer(_) => RawBsonRef::Null,
    })
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn malformed_bson(error: bson::error::Error) -> Error {
    Error::malformed(format!("stored document is not BSON: {error}"))
}
