//! How often something happened lately, in a few bytes: what rate limits and tables of attempts count with.

use std::time::Duration;

/// Counts what happened in the span of time that ends now.
///
/// Time is cut into spans of one length. The count is that of the running span and, of the span before, the share that still
/// lies within the last span's length, as if its events were spread evenly. The error is at most one span's uneven spread;
/// the cost is 16 bytes, whatever the rate.
///
/// A clock that goes back within a span, or to the span before, changes nothing: clocks are corrected by a moment. One that
/// goes back further starts the count anew, for otherwise nothing would leave the window until that time came again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateWindow {
    span_ms: u32,
    /// Number of the running span since 1970.
    number: u32,
    current: u32,
    previous: u32,
}

/// With shorter spans the number of the running span would not fit until 2106.
pub const SPAN_MIN: Duration = Duration::from_secs(1);

/// What fits in the milliseconds of a span: longer ones are a matter of a database.
pub const SPAN_MAX: Duration = Duration::from_secs(49 * 24 * 3600);

// === impl RateWindow ===

impl RateWindow {
    /// Nothing happened yet.
    ///
    /// # Panics
    /// When the span is not from [`SPAN_MIN`] to [`SPAN_MAX`]: spans are constants, or checked where they are configured.
    #[expect(clippy::cast_possible_truncation, reason = "49 days are less than 2^32 ms")]
    pub const fn new(span: Duration) -> Self {
        let span_ms = span.as_millis();
        assert!(span_ms >= SPAN_MIN.as_millis(), "a span of a second at least");
        assert!(span_ms <= SPAN_MAX.as_millis(), "a span of 49 days at most");
        Self { span_ms: span_ms as u32, number: 0, current: 0, previous: 0 }
    }

    /// Counts one event of this moment, in milliseconds since 1970.
    pub fn record(&mut self, now_ms: i64) {
        *self = self.moved_to(now_ms);
        self.current = self.current.saturating_add(1);
    }

    /// Counts one event unless `count_max` lie in the window already; says whether it was counted.
    pub fn admit(&mut self, now_ms: i64, count_max: u64) -> bool {
        let is_admitted = self.count(now_ms) < count_max;
        if is_admitted {
            self.record(now_ms);
        }
        is_admitted
    }

    /// About how many events lie in the span of time that ends at this moment; rounded up.
    pub fn count(&self, now_ms: i64) -> u64 {
        let moved = self.moved_to(now_ms);
        let span_ms = i64::from(self.span_ms);
        let left_ms = (span_ms - now_ms.rem_euclid(span_ms)).unsigned_abs();
        let still = (u64::from(moved.previous) * left_ms).div_ceil(u64::from(self.span_ms));
        u64::from(moved.current) + still
    }

    fn moved_to(self, now_ms: i64) -> Self {
        let number = now_ms.max(0) / i64::from(self.span_ms);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        match i64::from(number) - i64::from(self.number) {
            0 | -1 => self,
            1 => Self { number, current: 0, previous: self.current, ..self },
            _ => Self { number, current: 0, previous: 0, ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const START_MS: i64 = 1_767_225_600_000;

    fn at_s(seconds: i64) -> i64 {
        START_MS + 1000 * seconds
    }

    fn counted(seconds: &[i64]) -> RateWindow {
        let mut window = RateWindow::new(MINUTE);
        seconds.iter().for_each(|&second| window.record(at_s(second)));
        window
    }

    #[test]
    fn events_leave_the_window_by_and_by() {
        let window = counted(&[0, 10, 20, 59]);
        for (second, count) in [(59, 4), (60, 4), (75, 3), (90, 2), (119, 1), (120, 0), (500, 0)] {
            assert_eq!(window.count(at_s(second)), count, "at {second} s");
        }
    }

    #[test]
    fn a_rate_is_held_also_across_the_edge_of_two_spans() {
        let mut window = RateWindow::new(MINUTE);
        let admitted = |window: &mut RateWindow, from: i64| {
            (0..100).filter(|_| window.admit(at_s(from), 10)).count()
        };
        assert_eq!(admitted(&mut window, 59), 10);
        assert_eq!(admitted(&mut window, 60), 0, "a burst at the edge is no second chance");
        assert_eq!(admitted(&mut window, 90), 5);
        assert_eq!(admitted(&mut window, 180), 10);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_forgets_at_once_nor_counts_for_ever() {
        let mut window = counted(&[61, 61]);
        assert_eq!(window.count(at_s(59)), 2, "a correction across an edge");
        window.record(at_s(59));
        assert_eq!(window.count(at_s(61)), 3);
        let mut window = counted(&[1_000_000, 1_000_000]);
        assert_eq!(window.count(at_s(0)), 0, "a wrong clock that was put right");
        assert!(window.admit(at_s(0), 1) && !window.admit(at_s(0), 1));
        assert_eq!(window.count(at_s(120)), 0);
    }

    #[test]
    fn any_time_can_be_asked() {
        let mut window = RateWindow::new(SPAN_MIN);
        for now_ms in [i64::MIN, -1, 0, i64::MAX] {
            window.record(now_ms);
            assert!(window.count(now_ms) >= 1, "{now_ms}");
        }
        assert_eq!(size_of::<RateWindow>(), 16);
    }
}
