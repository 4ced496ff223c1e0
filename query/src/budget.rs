//! What one call may cost: steps of evaluation, and bytes that it keeps.
//!
//! Expressions and pipelines can do much with few words: a `$reduce` in a `$map` is a loop in a loop, and a `$concat` in it
//! doubles a text at each turn. So whoever evaluates takes each step and each kept byte from the call's budget, and the
//! call ends where it is used up, whatever it was.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Kind, Result};

/// What is left of one call's budget. Shared by reference; one call spends it, so that no two threads do so at once.
#[derive(Debug)]
pub struct Budget {
    steps_max: u64,
    bytes_max: u64,
    steps_left: AtomicU64,
    bytes_left: AtomicU64,
}

impl Budget {
    /// A budget of `steps_max` steps, each about as dear as comparing two numbers, and `bytes_max` bytes kept at once.
    pub fn new(steps_max: u64, bytes_max: u64) -> Self {
        let (steps_left, bytes_left) = (AtomicU64::new(steps_max), AtomicU64::new(bytes_max));
        Self { steps_max, bytes_max, steps_left, bytes_left }
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

    /// Takes bytes that are kept until [`Budget::release`] gives them back.
    ///
    /// # Errors
    /// `TooLarge` when fewer are left.
    pub fn keep(&self, bytes: u64) -> Result<()> {
        let spent = spend(&self.bytes_left, bytes);
        spent.ok_or_else(|| {
            let mib = self.bytes_max >> 20;
            Error::new(Kind::TooLarge, format!("this call would keep more than {mib} MiB at once"))
        })
    }

    /// Gives back bytes that are no longer kept.
    pub fn release(&self, bytes: u64) {
        let left = self.bytes_left.load(Ordering::Relaxed).saturating_add(bytes);
        self.bytes_left.store(left.min(self.bytes_max), Ordering::Relaxed);
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps_max - self.steps_left.load(Ordering::Relaxed)
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
    use super::Budget;

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
