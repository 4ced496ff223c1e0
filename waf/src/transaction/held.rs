//! The bytes of a body that are held until it is complete.

use bytes::{Bytes, BytesMut};

/// Bytes in the order of their arrival.
#[derive(Debug, Default)]
pub(super) enum Held {
    #[default]
    Nothing,
    /// One chunk, shared with whoever gave it.
    Chunk(Bytes),
    /// Several, which operators need side by side: a copy of our own.
    Joined(BytesMut),
}

impl Held {
    /// Adds a chunk.
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        match std::mem::take(self) {
            Self::Nothing => *self = Self::Chunk(chunk),
            Self::Chunk(first) => {
                let mut joined = BytesMut::with_capacity(first.len() + chunk.len());
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&chunk);
                *self = Self::Joined(joined);
            }
            Self::Joined(mut joined) => {
                joined.extend_from_slice(&chunk);
                *self = Self::Joined(joined);
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Chunk(chunk) => chunk.len(),
            Self::Joined(joined) => joined.len(),
        }
    }

    /// Memory that they take.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Joined(joined) => joined.capacity(),
            held => held.len(),
        }
    }

    /// All of them, side by side.
    pub(super) fn finish(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Chunk(chunk) => chunk,
            Self::Joined(joined) => joined.freeze(),
        }
    }
}
