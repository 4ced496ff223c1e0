//! How large one write batch may be: it is one commit of the database, for which everybody else who writes there waits.

use std::sync::Arc;

use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::{Value, WriteStep};

use super::index::{DocumentKeys, Index};
use super::shape::Prepared;

/// Most steps of one write batch. Five thousand small documents with six indexes are as many, and they take about a
/// third of a second to commit.
pub(in crate::documents) const BATCH_STEPS_MAX: usize = 40_000;

/// Most bytes that the steps of one write batch hold: three of the largest bodies of a request. They are held twice for
/// a moment, as documents and as steps.
pub(in crate::documents) const BATCH_BYTES_MAX: usize = 24 << 20;

/// What a step takes besides its keys and its body: five parameters and the name of the environment.
const STEP_BYTES: usize = size_of::<WriteStep>() + 5 * size_of::<Value>() + 32;

/// The size of a write batch, counted while it is put together.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::documents) struct BatchSize {
    steps: usize,
    bytes: usize,
}

impl BatchSize {
    /// Adds a new document, whose steps are not made yet, and gives the bytes that they will hold.
    ///
    /// # Errors
    /// `TooLarge` when the batch would have too many steps or bytes.
    pub(in crate::documents) fn insert(
        &mut self,
        indexes: &[Arc<Index>],
        document: &Prepared,
    ) -> Result<u64> {
        let before = self.bytes;
        self.steps += 1;
        self.bytes += STEP_BYTES + document.key.len() + document.body.len();
        self.add_keys(indexes, &document.key, &document.keys);
        self.check()?;
        Ok((self.bytes - before) as u64)
    }

    /// Adds steps that were made, and gives the bytes that they hold.
    pub(in crate::documents) fn add(&mut self, steps: &[WriteStep]) -> u64 {
        let before = self.bytes;
        let params = steps.iter().flat_map(|step| &step.statement.params);
        let bytes = params.map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 0,
        });
        self.steps += steps.len();
        self.bytes += STEP_BYTES * steps.len() + bytes.sum::<usize>();
        (self.bytes - before) as u64
    }

    /// Whether the batch has reached its bound.
    pub(in crate::documents) fn is_full(self) -> bool {
        self.steps >= BATCH_STEPS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Refuses a batch that is beyond its bound.
    ///
    /// # Errors
    /// `TooLarge`.
    pub(in crate::documents) fn check(self) -> Result<()> {
        if self.steps <= BATCH_STEPS_MAX && self.bytes <= BATCH_BYTES_MAX {
            return Ok(());
        }
        let message = format!(
            "the documents of one call have at most {BATCH_STEPS_MAX} rows with their index keys, and {} MiB; write fewer at once",
            BATCH_BYTES_MAX >> 20
        );
        Err(Error::new(Kind::TooLarge, message))
    }

    fn add_keys(&mut self, indexes: &[Arc<Index>], document: &[u8], keys: &DocumentKeys) {
        for (index, entries) in indexes.iter().zip(&keys.0) {
            let steps_of_key = if index.unique { 2 } else { 1 };
            let bytes: usize = entries.keys.iter().map(Vec::len).sum();
            let steps = steps_of_key * entries.keys.len();
            self.steps += steps;
            self.bytes += steps * (STEP_BYTES + document.len()) + steps_of_key * bytes;
        }
    }
}
