//! Waiting for a time of day, by whatever clock was passed in. Deadlines of requests are no business of this module: they go
//! by the runtime's own timers.

use std::time::Duration;

use yunzhan_base::Clock;

/// How long at most until a machine's clock that was set is noticed. A timer of the runtime does not notice by itself, nor
/// that the machine was suspended.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Waits until `clock` says `at_ms` (milliseconds since 1970) or later. A manual clock is waited for without any timer: it
/// wakes its waiters when it is moved.
pub async fn sleep_until(clock: &Clock, at_ms: i64) {
    while clock.now_ms() < at_ms {
        look_again(clock, at_ms).await;
    }
}

/// Waits for a span of time: by the machine's clock for one that nobody can set back, by a manual clock until it is that much
/// later.
pub async fn sleep(clock: &Clock, span: Duration) {
    match clock {
        Clock::System => tokio::time::sleep(span).await,
        Clock::Manual(_) => {
            let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            sleep_until(clock, clock.now_ms().saturating_add(span_ms)).await;
        }
    }
}

/// Waits once, for as long as nobody sets the clock: afterwards it may be `at_ms`, or the clock may have been set, or it is
/// time to look whether it was.
pub(crate) async fn look_again(clock: &Clock, at_ms: i64) {
    // Made before the clock is read, so that no move between the two is missed.
    let moved = clock.moved();
    let left_ms = u64::try_from(at_ms.saturating_sub(clock.now_ms())).unwrap_or(0);
    match moved {
        _ if left_ms == 0 => {}
        Some(moved) => moved.await,
        None => tokio::time::sleep(Duration::from_millis(left_ms).min(LOOK_EVERY)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_who_waits_for_it() {
        let clock = Clock::manual(0);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { sleep_until(&clock, 3_600_000).await }
        });
        clock.advance(Duration::from_secs(1800));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_secs(1800));
        waiting.await.expect("it ends");
    }

    #[tokio::test]
    async fn the_machine_s_clock_is_waited_for_and_past_times_are_not() {
        sleep_until(&Clock::System, 0).await;
        sleep_until(&Clock::System, Clock::System.now_ms() + 2).await;
    }
}
