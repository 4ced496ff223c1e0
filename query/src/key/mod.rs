//! Bytes whose order is the order of values: what an index stores.
//!
//! A key is the byte [`FORMAT`], then one component per indexed field. A component is the tag of its
//! [`Class`](crate::compare::Class), then a payload; no component is a prefix of another one, so that keys of several
//! fields compare field by field:
//!
//! | class | payload |
//! |---|---|
//! | number | the greatest double not above it, as 8 ordered bytes; from 2^53 on also 2 bytes: what remains to an integer |
//! | string, code | UTF-8 with `00` written `00 FF`, then `00 00` |
//! | document | per field: tag, name as a string, payload; then `00` |
//! | array | per item: tag, payload; then `00` |
//! | binary | length in 4 bytes, subtype, bytes |
//! | boolean, ObjectId, date, timestamp | fixed width, big endian, sign flipped |
//! | regex | pattern and options as strings |
//!
//! Some tags belong to no class:
//!
//! | tag | meaning | payload |
//! |---|---|---|
//! | `0c` | a path ends in an empty array: below null, as MongoDB sorts it | none |
//! | `90` | a point in a geo index | its [`Cell`](crate::geo::Cell), 8 bytes |
//! | `98` | another geometry in a geo index, nowhere in particular | none |
//!
//! A descending field has every bit of its component inverted. A key ends at [`KEY_BYTES_MAX`]: beyond it, keys of
//! different values may be equal, never out of order, and whoever finds a document by a key tests it with the filter again.

mod encode;
mod entries;
mod range;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

pub use encode::encode;
pub use entries::{Entries, EntryOptions, entries, entries_with, sort_key};
pub use range::KeyRange;
pub(crate) use range::{Prefix, ranges};

/// The format of keys, and the first byte of each. A change of the encoding takes the next number; both may then stand in
/// one table while an index is rebuilt.
pub const FORMAT: u8 = 1;

/// What an index holds of an empty array.
pub(crate) const TAG_EMPTY_ARRAY: u8 = 0x0c;

/// A point in a geo index.
pub(crate) const TAG_PLACE: u8 = 0x90;

/// A geometry in a geo index that is more than a point.
pub(crate) const TAG_ELSEWHERE: u8 = 0x98;

/// Longest key. With an index id and a document id it stays far below the 3,072 bytes that InnoDB indexes.
pub const KEY_BYTES_MAX: usize = 1024;

/// Most keys that one document may put into one index, and into all indexes together where somebody counts them.
pub const ENTRIES_MAX: usize = 1000;
