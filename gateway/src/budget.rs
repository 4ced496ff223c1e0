//! The memory that held bodies may take together, and what they take of it now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use yunzhan_base::{Error, Kind, Result};

/// Bodies up to this size cost no more than the connection's own buffers do, and always pass: whoever fills the budget with
/// uploads must not stop everybody's small requests.
const SMALL_BODY_BYTES: usize = 16 << 10;

/// What held bodies take now, and the most that they took at once. Clones see the same figures.
#[derive(Clone, Debug, Default)]
pub struct HeldBodies(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

/// The memory that held bodies of one gateway may take together. Each body has a bound of its own, but thousands of
/// connections may each hold one, and an anonymous login is enough to send it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    bytes_max: u64,
    held: HeldBodies,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Where it is given back; nothing for a share of nothing.
    held: Option<HeldBodies>,
    bytes: u64,
}

// === impl HeldBodies ===

impl HeldBodies {
    /// Bytes that are held now. Bodies up to 16 KiB do not count.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The most bytes that were held at once since the start.
    pub fn peak_bytes(&self) -> u64 {
        self.0.peak_bytes.load(Ordering::Relaxed)
    }
}

// === impl Budget ===

impl Budget {
    /// A budget of so many bytes, whose use `held` shows.
    pub(crate) fn new(bytes: usize, held: HeldBodies) -> Self {
        Self { bytes_max: bytes as u64, held }
    }

    /// Makes `share` large enough for `bytes`, or refuses: waiting would hold the connection as well.
    pub(crate) fn cover(&self, share: &mut Share, bytes: usize) -> Result<()> {
        let lacks = (bytes as u64).saturating_sub(share.bytes);
        if bytes <= SMALL_BODY_BYTES || lacks == 0 {
            return Ok(());
        }
        let Figures { bytes: taken, peak_bytes } = &*self.held.0;
        let add = |taken: u64| Some(taken + lacks).filter(|sum| *sum <= self.bytes_max);
        let before =
            taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| {
                Error::new(
                    Kind::TooManyAtOnce,
                    "too many large requests are under way; try again in a moment",
                )
            })?;
        peak_bytes.fetch_max(before + lacks, Ordering::Relaxed);
        share.held.get_or_insert_with(|| self.held.clone());
        share.bytes += lacks;
        Ok(())
    }
}

// === impl Share ===

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            held.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_within_the_budget_and_are_given_back() {
        let held = HeldBodies::default();
        let budget = Budget::new(64 << 10, held.clone());
        let (mut first, mut second) = (Share::default(), Share::default());
        for (bytes, taken) in [(16 << 10, 0), (20_000, 20_000), (40_000, 40_000), (30_000, 40_000)]
        {
            budget.cover(&mut first, bytes).unwrap();
            assert_eq!(held.bytes(), taken, "{bytes}");
        }
        let refusal = budget.cover(&mut second, 30_000).unwrap_err();
        assert_eq!(refusal.kind(), Kind::TooManyAtOnce);
        drop(second);
        assert_eq!((held.bytes(), held.peak_bytes()), (40_000, 40_000));
        drop(first);
        assert_eq!((held.bytes(), held.peak_bytes()), (0, 40_000));
        budget.cover(&mut Share::default(), 64 << 10).unwrap();
    }
}
