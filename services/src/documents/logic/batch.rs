//! How large one write batch may be: it is one commit of the database, for which everybody else who writes there waits.

use std::sync::Arc;

use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::Value;

use super::index::{DocumentKeys, Index};
use super::shape::Prepared;

/// Most rows of one write batch. Five thousand small documents with six indexes and their changes are as many, and they take
/// about a third of a second to commit.
pub(in crate::documents) const BATCH_ROWS_MAX: usize = 45_000;

/// Most bytes that the rows of one write batch hold: three of the largest bodies of a request. They are held twice for
/// a moment, as documents and as rows.
pub(in crate::documents) const BATCH_BYTES_MAX: usize = 24 << 20;

/// What a row takes besides its keys and its body: three parameters, and some room for a list that grows.
const ROW_BYTES: usize = 6 * size_of::<Value>();

/// The size of a write batch, counted while it is put together.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::documents) struct BatchSize {
    rows: usize,
    bytes: usize,
}

impl BatchSize {
    /// Adds a new document, whose rows are not made yet, and gives the bytes that they will hold.
    ///
    /// # Errors
    /// `TooLarge` when the batch would have too many rows or bytes.
    pub(in crate::documents) fn insert(
        &mut self,
        indexes: &[Arc<Index>],
        document: &Prepared,
    ) -> Result<u64> {
        let before = self.bytes;
        // The document, and its row in the change log.
        self.rows += 2;
        self.bytes += 2 * (ROW_BYTES + document.key.len()) + document.body.len();
        self.add_keys(indexes, &document.key, &document.keys);
        self.check()?;
        Ok((self.bytes - before) as u64)
    }

    /// Adds a row, or a step that is done once, with these values.
    pub(in crate::documents) fn add<'v>(&mut self, values: impl Iterator<Item = &'v Value>) {
        let bytes = values.map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Taken(_) => 0,
        });
        self.rows += 1;
        self.bytes += ROW_BYTES + bytes.sum::<usize>();
    }

    /// The bytes that its rows hold.
    pub(in crate::documents) fn bytes(self) -> u64 {
        self.bytes as u64
    }

    /// Whether the batch has reached its bound.
    pub(in crate::documents) fn is_full(self) -> bool {
        self.rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Refuses a batch that is beyond its bound.
    ///
    /// # Errors
    /// `TooLarge`.
    pub(in crate::documents) fn check(self) -> Result<()> {
        if self.rows <= BATCH_ROWS_MAX && self.bytes <= BATCH_BYTES_MAX {
            return Ok(());
        }
        let message = format!(
            "the documents of one call have at most {BATCH_ROWS_MAX} rows with their index keys, and {} MiB; write fewer at once",
            BATCH_BYTES_MAX >> 20
        );
        Err(Error::new(Kind::TooLarge, message))
    }

    fn add_keys(&mut self, indexes: &[Arc<Index>], document: &[u8], keys: &DocumentKeys) {
        for (index, entries) in indexes.iter().zip(&keys.0) {
            let rows_of_key = if index.unique { 2 } else { 1 };
            let bytes: usize = entries.keys.iter().map(Vec::len).sum();
            let rows = rows_of_key * entries.keys.len();
            self.rows += rows;
            self.bytes += rows * (ROW_BYTES + document.len()) + rows_of_key * bytes;
        }
    }
}
