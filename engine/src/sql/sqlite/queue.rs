//! The units that wait for a database's writer: bounded by number and bytes, closed without losing one.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use yunzhan_base::Result;

use crate::sql::{WriteBatch, Written};

/// Units that may wait: at 10 µs each, their last one is 40 ms away.
pub(super) const UNITS_MAX: usize = 4096;
/// Bytes that the units waiting for one database may hold: two of the largest bodies, and many databases fit in memory.
pub(super) const BYTES_MAX: usize = 16 << 20;

/// A unit and whoever waits for it.
pub(super) struct Waiting {
    pub(super) unit: WriteBatch,
    pub(super) bytes: usize,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Written>>,
}

/// Why a unit was not taken in.
pub(super) enum Refusal {
    /// Too many or too large units wait already.
    Full,
    /// The database is being closed; it can be opened again.
    Closed(Waiting),
}

/// What the writer finds.
pub(super) enum Taken {
    /// There are units.
    Units,
    /// Nothing came in time.
    Nothing,
    /// Nothing will ever come.
    Closed,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    units: VecDeque<Waiting>,
    bytes: usize,
    is_closed: bool,
    /// Whether the writer sleeps until somebody wakes it. Waking a writer that is at work would be a call into the system
    /// for nothing, in every write.
    is_awaited: bool,
}

// === impl Queue ===

impl Queue {
    /// Lets a unit wait.
    pub(super) fn push(&self, waiting: Waiting) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refusal::Closed(waiting));
        }
        // One unit of any size is let in, so that the bound on a unit is its owner's and not ours.
        let is_full = state.units.len() >= UNITS_MAX
            || (!state.units.is_empty() && state.bytes + waiting.bytes > BYTES_MAX);
        if is_full {
            return Err(Refusal::Full);
        }
        state.bytes += waiting.bytes;
        state.units.push_back(waiting);
        let sleeps = std::mem::take(&mut state.is_awaited);
        drop(state);
        if sleeps {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for units and moves up to `count` of them to `into`.
    pub(super) fn take(&self, count: usize, patience: Duration, into: &mut Vec<Waiting>) -> Taken {
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| {
                state.is_awaited = state.units.is_empty() && !state.is_closed;
                state.is_awaited
            })
            .expect("no panic while held");
        match (state.units.is_empty(), state.is_closed) {
            (true, true) => Taken::Closed,
            (true, false) => Taken::Nothing,
            (false, _) => {
                state.move_to(count, into);
                Taken::Units
            }
        }
    }

    /// Moves up to `count` units that wait already, and says whether there were any.
    pub(super) fn take_waiting(&self, count: usize, into: &mut Vec<Waiting>) -> bool {
        let mut state = self.lock();
        let some = !state.units.is_empty();
        state.move_to(count, into);
        some
    }

    /// Takes no more units in; those that wait are still served.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Closes when nothing waits, and says whether it did.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut state = self.lock();
        if state.units.is_empty() {
            state.is_closed = true;
            self.changed.notify_all();
        }
        state.is_closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}

impl State {
    fn move_to(&mut self, count: usize, into: &mut Vec<Waiting>) {
        let count = count.min(self.units.len());
        for waiting in self.units.drain(..count) {
            self.bytes -= waiting.bytes;
            into.push(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(bytes: usize) -> Waiting {
        let (reply, _) = oneshot::channel();
        Waiting { unit: WriteBatch::default(), bytes, deadline: Instant::now(), reply }
    }

    #[test]
    fn the_bounds_hold_and_one_unit_of_any_size_enters() {
        let queue = Queue::default();
        assert!(queue.push(waiting(BYTES_MAX + 1)).is_ok());
        assert!(matches!(queue.push(waiting(0)), Err(Refusal::Full)));
        let mut taken = Vec::new();
        assert!(queue.take_waiting(1, &mut taken));
        for _ in 0..UNITS_MAX {
            assert!(queue.push(waiting(1)).is_ok());
        }
        assert!(matches!(queue.push(waiting(1)), Err(Refusal::Full)));
    }

    #[test]
    fn a_closed_queue_is_emptied_and_gives_units_back() {
        let queue = Queue::default();
        assert!(queue.push(waiting(1)).is_ok());
        assert!(!queue.close_if_empty());
        queue.close();
        assert!(matches!(queue.push(waiting(7)), Err(Refusal::Closed(back)) if back.bytes == 7));
        let mut taken = Vec::new();
        assert!(matches!(queue.take(9, Duration::MAX, &mut taken), Taken::Units));
        assert!(matches!(queue.take(9, Duration::MAX, &mut taken), Taken::Closed));
        assert_eq!(taken.len(), 1);
    }

    #[test]
    fn patience_ends() {
        let nothing = Queue::default().take(1, Duration::ZERO, &mut Vec::new());
        assert!(matches!(nothing, Taken::Nothing));
    }
}
