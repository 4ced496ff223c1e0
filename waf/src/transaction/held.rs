//! The bytes of a body that are held until it is complete.

use bytes::Bytes;

/// Bytes in the order of their arrival.
#[derive(Debug, Default)]
pub(super) enum Held {
    #[default]
    Nothing,
    /// One chunk, shared with whoever gave it.
    Chunk(Bytes),
    /// Several, which operators need side by side: a copy of our own.
    Joined(Vec<u8>),
}

impl Held {
    /// Adds a chunk of a body of which at most so many bytes are held. Room for more is never taken.
    pub(super) fn push(&mut self, chunk: Bytes, bytes_max: u64) {
        if chunk.is_empty() {
            return;
        }
        match std::mem::take(self) {
            Self::Nothing => *self = Self::Chunk(chunk),
            Self::Chunk(first) => {
                let mut joined = Vec::with_capacity(first.len() + chunk.len());
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&chunk);
                *self = Self::Joined(joined);
            }
            Self::Joined(mut joined) => {
                let needed = joined.len() + chunk.len();
                if needed > joined.capacity() {
                    // Doubled, so that few bytes are copied often, but not beyond what will ever be held.
                    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
                    let room = joined.capacity().saturating_mul(2).min(most).max(needed);
                    joined.reserve_exact(room - joined.len());
                }
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
            Self::Joined(joined) => joined.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_takes_no_more_room_than_its_bound() {
        for chunk_bytes in [1, 7, 100, 999, 1000] {
            let mut held = Held::default();
            let whole: Vec<u8> = (0..=255).cycle().take(1000).collect();
            for chunk in whole.chunks(chunk_bytes) {
                held.push(Bytes::copy_from_slice(chunk), 1000);
            }
            assert!(held.held_bytes() <= 1000, "{chunk_bytes}: {}", held.held_bytes());
            assert_eq!(held.finish(), whole);
        }
    }
}
