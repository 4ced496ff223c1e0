//! Lines on their way from requests to the writer: requests append under a short lock and never wait for a disk.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A reader of the log sees a line after this time at the latest.
const WRITE_PERIOD: Duration = Duration::from_millis(200);

/// So many bytes are worth a write of their own.
pub(super) const WRITE_BYTES: usize = 64 << 10;

/// What waits for a slow disk at the most; about 16,000 lines.
pub(super) const BUFFER_BYTES_MAX: usize = 4 << 20;

/// Filled by requests, emptied by the writer.
#[derive(Default)]
pub(super) struct Buffer {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    dropped: u64,
    ended: bool,
}

/// What the writer takes at once.
pub(super) struct Batch {
    /// Whole lines.
    pub(super) lines: Vec<u8>,
    /// Lines that found the buffer full since the batch before.
    pub(super) dropped: u64,
    /// Whether no batch follows.
    pub(super) is_last: bool,
}

// === impl Buffer ===

impl Buffer {
    /// Appends one line, which `format` writes, or drops and counts it when the buffer is full.
    pub(super) fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        let mut pending = self.lock();
        if pending.lines.len() >= BUFFER_BYTES_MAX {
            pending.dropped += 1;
            return;
        }
        let before = pending.lines.len();
        format(&mut pending.lines);
        let filled = before < WRITE_BYTES && pending.lines.len() >= WRITE_BYTES;
        drop(pending);
        if filled {
            self.wake.notify_one();
        }
    }

    /// Lets the writer take what is there and end.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.wake.notify_one();
    }

    /// Waits for a period or for much to write, and takes what is there. `spare` is filled next.
    pub(super) fn take(&self, spare: Vec<u8>) -> Batch {
        let idle = |pending: &mut Pending| pending.lines.len() < WRITE_BYTES && !pending.ended;
        let waited = self.wake.wait_timeout_while(self.lock(), WRITE_PERIOD, idle);
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Batch {
            lines: std::mem::replace(&mut pending.lines, spare),
            dropped: std::mem::take(&mut pending.dropped),
            is_last: pending.ended,
        }
    }

    /// Every section under this lock leaves whole lines, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_stands_still_costs_lines_and_never_a_wait() {
        let buffer = Buffer::default();
        let line = [b'x'; 1024];
        for _ in 0..BUFFER_BYTES_MAX / line.len() + 3 {
            buffer.append(|lines| lines.extend_from_slice(&line));
        }
        let batch = buffer.take(Vec::new());
        assert_eq!((batch.lines.len(), batch.dropped), (BUFFER_BYTES_MAX, 3));
        buffer.append(|lines| lines.extend_from_slice(b"next\n"));
        buffer.end();
        let batch = buffer.take(Vec::new());
        assert_eq!(batch.lines, b"next\n");
        assert!(batch.dropped == 0 && batch.is_last);
    }
}
