//! MongoDB Extended JSON v2, read and written straight from and to BSON.
//!
//! A reader of our own because clients of cloud databases write forms that no library knows: a date that the server fills
//! in (`{"$tcb_server_date":{"offset":0}}`, `{"$date":{"offset":1000}}`), resolved here against the given clock. In
//! reading order: `lexer.rs` knows JSON's strings and numbers, `reader.rs` its structure, `wrapper.rs` the objects that
//! stand for typed values, `writer.rs` and `scalar.rs` the way back.
//!
//! Decisions:
//! - A key that occurs twice in one object is refused: two readers could see two different documents.
//! - A plain integer becomes Int32 if it fits, else Int64, else Double; a number with fraction or exponent is a Double.
//! - An unpaired surrogate escape becomes U+FFFD, as drivers encode it: phones cut strings inside an emoji.
//! - `$regex` with `$options` stays a document, for it is a query operator; `$regularExpression` is a value.
//! - `$undefined` becomes null and `$symbol` a string. A `$dbPointer` is refused.

mod lexer;
mod reader;
mod scalar;
mod wrapper;
mod writer;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

pub use reader::{ReadOptions, read, read_document};
pub use writer::{
    Mode, append_document, append_raw_document, write, write_document, write_raw_document,
};
