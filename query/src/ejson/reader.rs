//! The structure of JSON: one recursive descent straight to BSON, bounded in bytes, depth and number of values.

use std::borrow::Cow;

use bson::{Bson, Document};

use super::lexer::Lexer;
use super::wrapper::Wrapper;
use crate::document::DOCUMENT_DEPTH_MAX;
use crate::error::{Error, Kind, Result};

/// MongoDB's bound on one document; a longer text cannot become one.
const BYTES_MAX: usize = 16 << 20;

/// A value takes a hundred bytes of memory and more, but only two of text (`0,`). This bound keeps what is read from any
/// one text below a hundred megabytes.
const VALUES_MAX: usize = 200_000;

/// What the reader needs to know, and how much it takes.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The server's time in milliseconds since 1970, for dates that the server fills in.
    pub now_ms: i64,
    /// Nesting of objects and arrays. Keep it below 500: each level takes some of the stack.
    pub depth_max: usize,
    /// Length of the text.
    pub bytes_max: usize,
    /// Values in the text, the containers among them.
    pub values_max: usize,
}

impl ReadOptions {
    /// The default bounds at the time `now_ms`.
    pub fn at(now_ms: i64) -> Self {
        Self { now_ms, depth_max: DOCUMENT_DEPTH_MAX, bytes_max: BYTES_MAX, values_max: VALUES_MAX }
    }
}

/// Reads one value of Extended JSON, canonical or relaxed, or any plain JSON.
///
/// # Errors
/// `Malformed` with the byte offset; `TooDeep` or `TooLarge` when a bound of `options` is passed.
pub fn read(bytes: &[u8], options: &ReadOptions) -> Result<Bson> {
    let mut reader = Reader::new(bytes, options)?;
    let value = reader.value()?;
    match reader.lexer.peek() {
        None => Ok(value),
        Some(_) => Err(reader.lexer.error("more text after the value")),
    }
}

/// Reads one object of Extended JSON that is not a typed value such as `{"$oid":…}`.
///
/// # Errors
/// As [`read`]; `Malformed` if the value is not a document.
pub fn read_document(bytes: &[u8], options: &ReadOptions) -> Result<Document> {
    match read(bytes, options)? {
        Bson::Document(document) => Ok(document),
        _ => Err(Error::malformed("expected an object")),
    }
}

pub(super) struct Reader<'a> {
    pub(super) lexer: Lexer<'a>,
    pub(super) now_ms: i64,
    depth_left: usize,
    values_left: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], options: &ReadOptions) -> Result<Self> {
        if bytes.len() > options.bytes_max {
            return Err(Error::new(
                Kind::TooLarge,
                format!("text is longer than {} bytes", options.bytes_max),
            ));
        }
        let text = str::from_utf8(bytes)
            .map_err(|error| Error::malformed("text is not UTF-8").offset(error.valid_up_to()))?;
        Ok(Self {
            lexer: Lexer::new(text),
            now_ms: options.now_ms,
            depth_left: options.depth_max,
            values_left: options.values_max,
        })
    }

    pub(super) fn value(&mut self) -> Result<Bson> {
        self.count_value()?;
        match self.lexer.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Bson::String(self.lexer.string()?.into_owned())),
            Some(b'-' | b'0'..=b'9') => self.lexer.number(),
            Some(b't') => self.lexer.literal("true", Bson::Boolean(true)),
            Some(b'f') => self.lexer.literal("false", Bson::Boolean(false)),
            Some(b'n') => self.lexer.literal("null", Bson::Null),
            Some(_) => Err(self.lexer.error("expected a value")),
            None => Err(self.lexer.error("unexpected end of text")),
        }
    }

    /// A key and its colon. NUL is refused because BSON ends a key with it.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>> {
        let key = self.lexer.string()?;
        // A NUL can only come from an escape, so a borrowed key needs no search.
        if matches!(&key, Cow::Owned(key) if key.contains('\0')) {
            return Err(self.lexer.error("a key contains NUL"));
        }
        self.lexer.expect(b':')?;
        Ok(key)
    }

    fn count_value(&mut self) -> Result<()> {
        let left = self.values_left.checked_sub(1);
        self.values_left = left.ok_or_else(|| {
            Error::new(Kind::TooLarge, "text holds too many values").offset(self.lexer.offset())
        })?;
        Ok(())
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Bson>) -> Result<Bson> {
        let left = self.depth_left.checked_sub(1);
        self.depth_left = left.ok_or_else(|| {
            Error::new(Kind::TooDeep, "text nests too deep").offset(self.lexer.offset())
        })?;
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Bson> {
        self.lexer.expect(b'{')?;
        if self.lexer.take(b'}') {
            return Ok(Bson::Document(Document::new()));
        }
        let key = self.key()?;
        match Wrapper::named(&key) {
            Some(wrapper) => self.wrapped(wrapper),
            None => self.members(key).map(Bson::Document),
        }
    }

    fn members(&mut self, first_key: Cow<'a, str>) -> Result<Document> {
        let mut document = Document::new();
        let mut key = first_key;
        loop {
            let value = self.value()?;
            if document.insert(key, value).is_some() {
                return Err(self.lexer.error("a key occurs twice in one object"));
            }
            if !self.lexer.more(b'}')? {
                return Ok(document);
            }
            key = self.key()?;
            if let Some(wrapper) = Wrapper::named(&key) {
                return Err(self
                    .lexer
                    .error(format!("{} must be the only key of its object", wrapper.name())));
            }
        }
    }

    fn array(&mut self) -> Result<Bson> {
        self.lexer.expect(b'[')?;
        let mut items = Vec::new();
        if self.lexer.take(b']') {
            return Ok(Bson::Array(items));
        }
        loop {
            items.push(self.value()?);
            if !self.lexer.more(b']')? {
                return Ok(Bson::Array(items));
            }
        }
    }
}
