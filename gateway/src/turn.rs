//! Whose turn it is: of two sides that pass bytes, the one that keeps the other waiting.
//!
//! A transfer has no time-out on the whole. What is bounded is how long one side may do nothing while the other side could go
//! on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Notes whose turn it is. Clones note the same.
#[derive(Clone, Debug)]
pub(crate) struct Turn(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// Milliseconds after `begun`, and one, since when it has been the other side's turn; 0 while it is ours.
    theirs_since_ms: AtomicU64,
}

impl Turn {
    /// It is the other side's turn from now on.
    pub(crate) fn theirs() -> Self {
        Self(Arc::new(Shared { begun: Instant::now(), theirs_since_ms: AtomicU64::new(1) }))
    }

    /// Notes whose turn it is from now on.
    pub(crate) fn set(&self, is_theirs: bool) {
        let now_ms = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.theirs_since_ms.store(if is_theirs { now_ms + 1 } else { 0 }, Ordering::Relaxed);
    }

    /// Ends when the other side has done nothing for so long, although it was its turn.
    pub(crate) async fn stood_still(&self, wait_max: Duration) {
        loop {
            let now = self.0.begun.elapsed();
            let waited = match self.0.theirs_since_ms.load(Ordering::Relaxed).checked_sub(1) {
                Some(since_ms) => now.saturating_sub(Duration::from_millis(since_ms)),
                None => Duration::ZERO,
            };
            if waited >= wait_max {
                return;
            }
            // At least a millisecond: the state is kept in whole ones.
            tokio::time::sleep((wait_max - waited).max(Duration::from_millis(1))).await;
        }
    }
}
