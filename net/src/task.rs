//! The one shape of work that lives outside a request: a name, a period, and an end.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::shutdown::Shutdown;

/// Runs `work` every `period` until the shutdown begins; a run in progress is finished first. Runs never overlap, and a
/// late run delays the next one instead of bunching up.
pub fn every<W, F>(name: &'static str, period: Duration, mut shutdown: Shutdown, mut work: W)
where
    W: FnMut() -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    debug_assert!(!name.is_empty(), "a background task has a name");
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                _ = ticks.tick() => work().await,
            }
        }
    });
}
