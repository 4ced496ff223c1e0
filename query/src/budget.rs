//! What one call may cost: steps of evaluation, and bytes that it keeps.
//!
//! Expressions and pipelines can do much with few words: a `$reduce` in a `$map` is a loop in a loop, and a `$concat` in it
//! doubles a text at each turn. So whoever evaluates takes each step and each kept byte from the call's budget, and the
//! call ends where it is used up, whatever it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Kind, Result};

/// Bytes that a call may keep before it asks the pool: most calls keep less, and so never do.
const UNASKED_BYTES: u64 = 64 << 10;

/// Bytes that a call asks the pool for at once, so that it asks seldom.
const LOAN_BYTES: u64 = 256 << 10;

/// Memory that several calls share. A call takes a part of it while it keeps much, and gives it back when it ends.
pub trait MemoryPool: Send + Sync + std::fmt::Debug {
    /// Takes so many bytes, if they are free.
    fn take(&self, bytes: u64) -> bool;

    /// Gives back bytes that were taken.
    fn give_back(&self, bytes: u64);
}

/// What is left of one call's budget. Shared by reference; one call spends it, so that no two threads do so at once.
#[derive(Debug)]
pub struct Budget {
    steps_max: u64,
    bytes_max: u64,
    steps_left: AtomicU64,
    bytes_left: AtomicU64,
    pool: Option<Arc<dyn MemoryPool>>,
    /// Bytes that were taken from the pool.
    borrowed: AtomicU64,
}

impl Budget {
    /// A budget of `steps_max` steps, each about as dear as comparing two numbers, and `bytes_max` bytes kept at once.
    pub fn new(steps_max: u64, bytes_max: u64) -> Self {
        Self {
            steps_max,
            bytes_max,
            steps_left: AtomicU64::new(steps_max),
            bytes_left: AtomicU64::new(bytes_max),
            pool: None,
            borrowed: AtomicU64::new(0),
        }
    }

    /// The same budget, whose bytes are besides of a pool that others use too.
    #[must_use]
    pub fn sharing(mut self, pool: Arc<dyn MemoryPool>) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Takes steps.
    ///
    /// # Errors
    /// `TooLarge` when fewer are left.
    pub fn step(&self, steps: u64) -> Result<()> {
        let spent = spend(&self.steps_left, steps);
        spent.ok_or_else(|| {
            let steps_max = self.steps_max;
            Error::new(Kind::TooLarge, format!("this call would take more than {steps_max} steps"))
        })
    }

    /// Takes bytes that are kept until [`Budget::release`] gives them back, or the budget is dropped.
    ///
    /// # Errors
    /// `TooLarge` when fewer are left; `Busy` when the pool has no more.
    pub fn keep(&self, bytes: u64) -> Result<()> {
        let spent = spend(&self.bytes_left, bytes);
        spent.ok_or_else(|| {
            let mib = self.bytes_max >> 20;
            Error::new(Kind::TooLarge, format!("this call would keep more than {mib} MiB at once"))
        })?;
        let Some(pool) = &self.pool else { return Ok(()) };
        let borrowed = self.borrowed.load(Ordering::Relaxed);
        let missing = self.kept().saturating_sub(borrowed + UNASKED_BYTES);
        if missing == 0 {
            return Ok(());
        }
        let loan = missing.next_multiple_of(LOAN_BYTES);
        if !pool.take(loan) {
            self.bytes_left.fetch_add(bytes, Ordering::Relaxed);
            let message = "the calls under way hold too much memory; try again in a moment";
            return Err(Error::new(Kind::Busy, message));
        }
        self.borrowed.store(borrowed + loan, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back bytes that are no longer kept.
    pub fn release(&self, bytes: u64) {
        let left = self.bytes_left.load(Ordering::Relaxed).saturating_add(bytes);
        self.bytes_left.store(left.min(self.bytes_max), Ordering::Relaxed);
        let Some(pool) = &self.pool else { return };
        // A little is left, so that whoever keeps and releases in turn does not ask each time.
        let borrowed = self.borrowed.load(Ordering::Relaxed);
        let needed = self.kept().saturating_sub(UNASKED_BYTES) + LOAN_BYTES;
        let spare = borrowed.saturating_sub(needed) / LOAN_BYTES * LOAN_BYTES;
        if spare > 0 {
            self.borrowed.store(borrowed - spare, Ordering::Relaxed);
            pool.give_back(spare);
        }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps_max - self.steps_left.load(Ordering::Relaxed)
    }

    /// Bytes kept now.
    fn kept(&self) -> u64 {
        self.bytes_max - self.bytes_left.load(Ordering::Relaxed)
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.give_back(std::mem::take(self.borrowed.get_mut()));
        }
    }
}

impl Default for Budget {
    /// Enough for every honest call: some hundred milliseconds, and 64 MiB.
    fn default() -> Self {
        Self::new(20_000_000, 64 << 20)
    }
}

/// Not one atomic operation: one call spends its budget on one thread at a time, and a plain store costs nothing.
fn spend(left: &AtomicU64, amount: u64) -> Option<()> {
    let rest = left.load(Ordering::Relaxed).checked_sub(amount)?;
    left.store(rest, Ordering::Relaxed);
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Budget, Kind, LOAN_BYTES, MemoryPool, UNASKED_BYTES};

    /// A pool of so many bytes.
    #[derive(Debug)]
    struct Pool(AtomicU64);

    impl MemoryPool for Pool {
        fn take(&self, bytes: u64) -> bool {
            let less = |left: u64| left.checked_sub(bytes);
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
        }

        fn give_back(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_kept_is_of_a_pool_and_goes_back_to_it() {
        let pool = Arc::new(Pool(AtomicU64::new(2 * LOAN_BYTES)));
        let left = || pool.0.load(Ordering::Relaxed) / LOAN_BYTES;
        let shared = || Budget::default().sharing(Arc::clone(&pool) as Arc<dyn MemoryPool>);
        let (first, second) = (shared(), shared());
        first.keep(UNASKED_BYTES).unwrap();
        assert_eq!(left(), 2, "little is kept without asking");
        first.keep(LOAN_BYTES + 1).unwrap();
        assert_eq!(left(), 0);
        second.keep(UNASKED_BYTES).unwrap();
        let refused = second.keep(1).unwrap_err();
        assert_eq!(refused.kind, Kind::Busy);
        first.release(LOAN_BYTES + 1);
        assert_eq!(left(), 1, "one loan is kept for the next time");
        second.keep(1).unwrap();
        drop((first, second));
        assert_eq!(left(), 2);
    }

    #[test]
    fn what_is_used_up_is_refused() {
        let budget = Budget::new(10, 2 << 20);
        budget.step(9).unwrap();
        assert_eq!(
            budget.step(2).unwrap_err().to_string(),
            "this call would take more than 10 steps"
        );
        assert_eq!(budget.steps(), 9);
        budget.keep(2 << 20).unwrap();
        assert_eq!(
            budget.keep(1).unwrap_err().to_string(),
            "this call would keep more than 2 MiB at once"
        );
        budget.release(1);
        budget.keep(1).unwrap();
    }
}
