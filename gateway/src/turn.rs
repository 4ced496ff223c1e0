//! Whose turn it is: of two sides that pass bytes, the one that keeps the other waiting.
//!
//! A transfer has no time-out on the whole. What is bounded is how long one side may do nothing while the other side could go
//! on, and, where there is a lowest rate, how long it may take a little now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Notes whose turn it is. Clones note the same.
#[derive(Clone)]
pub(crate) struct Turn(Arc<Shared>);

/// Says how many bytes the other side took in all of several transfers that share a connection, and how many those are.
pub(crate) type Shares = Arc<dyn Fn() -> (u64, u64) + Send + Sync>;

struct Shared {
    begun: Instant,
    /// Bytes a second that the other side takes at least; 0 bounds single waits alone.
    rate_min_bytes: u64,
    /// Milliseconds after `begun`, and one, since when it has been the other side's turn; 0 while it is ours.
    theirs_since_ms: AtomicU64,
    /// Bytes that the other side was given then.
    given_bytes: AtomicU64,
    /// What earlier waits left of its debt.
    owed_ms: AtomicU64,
    shares: Option<Shares>,
    /// What was taken in all when it became the other side's turn.
    taken_in_all_bytes: AtomicU64,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_theirs = self.0.theirs_since_ms.load(Ordering::Relaxed) > 0;
        f.write_str(if is_theirs { "Turn(theirs)" } else { "Turn(ours)" })
    }
}

/// How often a side is looked at within the longest wait.
const LOOKS_MAX: u32 = 16;

/// What a side owes that took so many bytes after so long a wait: the time in which it kept the other side waiting, less the
/// time that the lowest rate grants for these bytes. Nobody saves time up: a debt is never less than nothing.
pub(crate) fn owed_ms(
    owed_before_ms: u64,
    waited_ms: u64,
    taken_bytes: u64,
    rate_min_bytes: u64,
) -> u64 {
    let granted_ms = taken_bytes.saturating_mul(1000).checked_div(rate_min_bytes);
    let Some(granted_ms) = granted_ms else { return 0 };
    owed_before_ms.saturating_add(waited_ms).saturating_sub(granted_ms)
}

// === impl Turn ===

impl Turn {
    /// It is ours. Of what the other side is given, it takes so many bytes a second at least; 0 bounds single waits alone.
    pub(crate) fn ours(rate_min_bytes: u64) -> Self {
        Self::new(rate_min_bytes, None)
    }

    /// The same of one of several transfers: as long as the other side takes what the lowest rate asks of all of them
    /// together, none of them stands still. Who brings the bytes decides how they are shared.
    pub(crate) fn of_several(rate_min_bytes: u64, shares: Shares) -> Self {
        Self::new(rate_min_bytes, Some(shares))
    }

    fn new(rate_min_bytes: u64, shares: Option<Shares>) -> Self {
        Self(Arc::new(Shared {
            begun: Instant::now(),
            rate_min_bytes,
            theirs_since_ms: AtomicU64::new(0),
            given_bytes: AtomicU64::new(0),
            owed_ms: AtomicU64::new(0),
            shares,
            taken_in_all_bytes: AtomicU64::new(0),
        }))
    }

    /// The other side did its part: it took what it was given, and it is our turn.
    pub(crate) fn took(&self) {
        let Shared { rate_min_bytes, theirs_since_ms, given_bytes, owed_ms: owed, .. } = &*self.0;
        let Some(since_ms) = theirs_since_ms.swap(0, Ordering::Relaxed).checked_sub(1) else {
            return;
        };
        let waited_ms = self.now_ms().saturating_sub(since_ms);
        let taken_bytes = given_bytes.swap(0, Ordering::Relaxed);
        let owes = owed_ms(owed.load(Ordering::Relaxed), waited_ms, taken_bytes, *rate_min_bytes);
        owed.store(owes, Ordering::Relaxed);
    }

    /// It did, and is given so many bytes more: it is its turn.
    pub(crate) fn give(&self, bytes: u64) {
        self.took();
        self.0.given_bytes.store(bytes, Ordering::Relaxed);
        self.note_all();
        self.0.theirs_since_ms.store(self.now_ms() + 1, Ordering::Relaxed);
    }

    fn note_all(&self) {
        let taken = self.0.shares.as_ref().map_or(0, |shares| shares().0);
        self.0.taken_in_all_bytes.store(taken, Ordering::Relaxed);
    }

    /// Whether the other side took meanwhile what the lowest rate asks of all transfers together.
    fn others_are_served(&self, waited_ms: u64) -> bool {
        let Shared { shares: Some(shares), rate_min_bytes: 1.., .. } = &*self.0 else {
            return false;
        };
        let (taken, transfers) = shares();
        let taken = taken.saturating_sub(self.0.taken_in_all_bytes.load(Ordering::Relaxed));
        let asked =
            self.0.rate_min_bytes.saturating_mul(transfers.max(1)).saturating_mul(waited_ms);
        waited_ms > 0 && taken.saturating_mul(1000) >= asked
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Ends when the other side has done nothing for so long, although it was its turn, or owes as much by its rate.
    pub(crate) async fn stood_still(&self, wait_max: Duration) {
        loop {
            let since_ms = self.0.theirs_since_ms.load(Ordering::Relaxed).checked_sub(1);
            let waited_ms = since_ms.map_or(0, |since_ms| self.now_ms().saturating_sub(since_ms));
            let owed_ms = self.0.owed_ms.load(Ordering::Relaxed);
            let waited = Duration::from_millis(owed_ms.saturating_add(waited_ms));
            if waited >= wait_max {
                if !self.others_are_served(waited_ms) {
                    return;
                }
                self.note_all();
                self.0.owed_ms.store(0, Ordering::Relaxed);
                self.0.theirs_since_ms.store(self.now_ms() + 1, Ordering::Relaxed);
                continue;
            }
            // Whoever owes nearly all is not looked at all the time. At least a millisecond: the state is kept in whole ones.
            let least = (wait_max / LOOKS_MAX).max(Duration::from_millis(1));
            tokio::time::sleep((wait_max - waited).max(least)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT_MAX: Duration = Duration::from_secs(15);

    /// After how many pieces of so many bytes, each taken after so long, a side is found too slow; none within a day.
    async fn pieces_taken(bytes: u64, each: Duration, rate_min_bytes: u64) -> Option<usize> {
        let turn = Turn::ours(rate_min_bytes);
        let day = Instant::now() + Duration::from_secs(24 * 3600);
        let mut taken = 0;
        let taking = async {
            while Instant::now() < day {
                turn.give(bytes);
                tokio::time::sleep(each).await;
                turn.took();
                taken += 1;
                // What is not there to be taken is not waited for.
                tokio::time::sleep(each * 5).await;
            }
        };
        let is_too_slow = tokio::select! {
            () = taking => false,
            () = turn.stood_still(WAIT_MAX) => true,
        };
        is_too_slow.then_some(taken)
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_waits_its_turn_among_others_that_are_served() {
        // Sixty transfers over 50 KB a second: each gets a piece of 16 KiB every 20 s. With a hundred more of them it is less
        // than the lowest rate asks.
        for (transfers, is_long_enough) in [(60, true), (160, false)] {
            let begun = Instant::now();
            let shares: Shares =
                Arc::new(move || ((begun.elapsed().as_millis() * 50) as u64, transfers));
            let turn = Turn::of_several(500, shares);
            turn.give(16 << 10);
            let hour = tokio::time::sleep(Duration::from_secs(3600));
            let lasts = tokio::select! {
                () = hour => true,
                () = turn.stood_still(WAIT_MAX) => false,
            };
            assert_eq!(lasts, is_long_enough, "{transfers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_too_slow_and_a_steady_taker_is_not() {
        let s = Duration::from_secs;
        assert_eq!(pieces_taken(1, s(10), 500).await, Some(1), "half a wait, and another half");
        let in_small_pieces = pieces_taken(1, s(1), 500).await;
        assert!(matches!(in_small_pieces, Some(14..=16)), "{in_small_pieces:?}");
        assert_eq!(pieces_taken(5_000, s(10), 500).await, None, "the lowest rate");
        let a_little_less = pieces_taken(4_900, s(10), 500).await;
        assert!(matches!(a_little_less, Some(24..=28)), "{a_little_less:?}");
        assert_eq!(pieces_taken(1 << 20, s(16), 500).await, Some(0), "a standstill");
        assert_eq!(pieces_taken(1, s(10), 0).await, None, "without a rate, single waits alone");
    }
}
