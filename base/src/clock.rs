//! Time as a value that is passed in, so that a test can move it.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time of day. Cheap to clone; a manual clock is shared by its clones.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until somebody moves it.
    Manual(Arc<ManualClock>),
}

/// A clock that stands still until somebody moves it, and whoever waits for that.
#[derive(Debug, Default)]
pub struct ManualClock {
    /// Milliseconds since 1970.
    unix_ms: AtomicI64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How often the clock was moved.
    moves: u64,
    wakers: Vec<Waker>,
}

/// Ends when a manual clock is moved, see [`Clock::moved`].
#[derive(Debug)]
pub struct Moved {
    clock: Arc<ManualClock>,
    moves: u64,
}

// === impl Clock ===

impl Clock {
    /// A clock that stands at `unix_ms`.
    pub fn manual(unix_ms: i64) -> Self {
        let clock = ManualClock { unix_ms: AtomicI64::new(unix_ms), ..ManualClock::default() };
        Self::Manual(Arc::new(clock))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else takes")]
    pub fn now_ms(&self) -> i64 {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Self::Manual(clock) => clock.unix_ms.load(Ordering::SeqCst),
        }
    }

    /// Whole seconds since 1970, as tokens and signatures count.
    pub fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// Moves a manual clock; the machine's clock cannot be moved and stays.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.set_ms(self.now_ms().saturating_add(by_ms));
    }

    /// Sets a manual clock, also backwards as an operator or NTP may set a machine's; the machine's clock stays.
    pub fn set_ms(&self, unix_ms: i64) {
        if let Self::Manual(clock) = self {
            clock.unix_ms.store(unix_ms, Ordering::SeqCst);
            clock.wake();
        }
    }

    /// Ends at the first move of a manual clock after this call. None for the machine's clock, which is waited for with a
    /// timer of the runtime: `yunzhan_net::time::sleep_until` waits for both kinds.
    pub fn moved(&self) -> Option<Moved> {
        match self {
            Self::System => None,
            Self::Manual(clock) => {
                let moves = clock.lock().moves;
                Some(Moved { clock: Arc::clone(clock), moves })
            }
        }
    }
}

// === impl ManualClock ===

impl ManualClock {
    fn wake(&self) {
        let wakers = {
            let mut waiting = self.lock();
            waiting.moves += 1;
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Moved ===

impl Future for Moved {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.clock.lock();
        if waiting.moves != self.moves {
            return Poll::Ready(());
        }
        if !waiting.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_manual_clock_is_woken_when_it_moves() {
        let clock = Clock::manual(1000);
        let mut moved = clock.moved().expect("a manual clock");
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut moved).poll(&mut context), Poll::Pending);
        clock.advance(Duration::from_millis(1));
        assert_eq!(Pin::new(&mut moved).poll(&mut context), Poll::Ready(()));
        assert_eq!(clock.now_ms(), 1001);
        clock.set_ms(5);
        assert_eq!(clock.now_ms(), 5);
        assert!(Clock::System.moved().is_none());
    }
}
