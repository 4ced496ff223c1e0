//! Text in, text out: what the tests of this crate share.

use bson::{Bson, Document};

use crate::ejson::{Mode, ReadOptions, read, read_document, write, write_document};

/// The server's time in all tests.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) fn doc(text: &str) -> Document {
    read_document(text.as_bytes(), &ReadOptions::at(NOW_MS))
        .unwrap_or_else(|error| panic!("{error} in {text}"))
}

pub(crate) fn value(text: &str) -> Bson {
    read(text.as_bytes(), &ReadOptions::at(NOW_MS))
        .unwrap_or_else(|error| panic!("{error} in {text}"))
}

pub(crate) fn text(document: &Document) -> String {
    write_document(document, Mode::Relaxed)
}

pub(crate) fn value_text(value: &Bson) -> String {
    write(value, Mode::Relaxed)
}
