//! How much open files hold in memory, beside how much they may: counted connection by connection.
//!
//! What SQLite really holds can only be asked with unsafe code, connection by connection. So it is counted as what it can be at
//! the most: a page cache holds no more than the file has, and no more than it may; the rest is the same for every connection.
//! The count is an upper bound that follows the files as they grow, and it needs no look at another thread's connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a reader holds besides pages: SQLite's own 48 KB for small things, the schema, prepared statements. Measured with a
/// hundred files: 157 KiB of which 60 to 100 were pages.
pub(super) const READER_BYTES: u64 = 128 << 10;
/// What a writer holds besides pages: the same, and its thread's heap, of which the kernel makes huge pages for the program's
/// allocator. Measured as above: 1264 KiB; without huge pages 377.
pub(super) const WRITER_BYTES: u64 = (1 << 20) + READER_BYTES;

/// The bytes that open files hold together.
pub(super) struct Memory {
    bytes_max: u64,
    bytes: AtomicU64,
    /// Whether they grew past it since somebody last made room.
    wants_room: AtomicBool,
}

// === impl Memory ===

impl Memory {
    pub(super) const fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: AtomicU64::new(0), wants_room: AtomicBool::new(false) }
    }

    /// A file that held `before` holds `after`; one that is not in the table holds nothing.
    pub(super) fn change(&self, before: u64, after: u64) {
        // Wrapping, as atomics add: a difference below zero takes away.
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        if after > before && self.is_over() {
            self.wants_room.store(true, Ordering::Relaxed);
        }
    }

    /// Whether room is to be made, which is said once: where nothing can be let go, not every read shall try again.
    pub(super) fn wants_room(&self) -> bool {
        self.wants_room.load(Ordering::Relaxed) && self.wants_room.swap(false, Ordering::Relaxed)
    }

    /// Whether they hold more than they may.
    pub(super) fn is_over(&self) -> bool {
        self.is_over_by(0)
    }

    /// Whether they hold more than they may and so much beside.
    pub(super) fn is_over_by(&self, bytes: u64) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max.saturating_add(bytes)
    }

    /// The bytes that are held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
