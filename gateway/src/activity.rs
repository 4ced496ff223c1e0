//! When a connection last did something, and which of its bounds is overrun.
//!
//! hyper has one timer for "idle" and "slow head"; these are different things, a phone's open connection and an attack. So
//! the stream notes when bytes arrive, requests note when they begin and end, and one timer per connection compares.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use yunzhan_base::event::ConnectionFailureReason;

use crate::bounds::Bounds;
use crate::head_scan::{HeadScan, Lengths};
use crate::turn;

/// When a connection last did something.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// Milliseconds after `opened` at which the present wait began.
    since_ms: AtomicU64,
    in_flight: AtomicU32,
    /// Whether bytes of a head have arrived and no request has begun yet.
    head_began: AtomicBool,
    /// Milliseconds after `opened`, and one, at which the client stopped taking bytes; 0 while it takes them.
    blocked_ms: AtomicU64,
    /// Milliseconds in which it took none, and bytes that it took, since the bounds were last checked.
    waited_ms: AtomicU64,
    taken_bytes: AtomicU64,
    /// What it owed by the lowest rate then.
    owed_ms: AtomicU64,
    /// What the last head said of its body's length, packed; taken by the request that it begins.
    lengths: AtomicU8,
    /// Bytes that arrived since that head, and how many of them are the body that it declared.
    after_head_bytes: AtomicU64,
    body_bytes: AtomicU64,
    /// Whether a head began to arrive before the request before it ended: from then on heads are not seen whole.
    pipelined: AtomicBool,
    /// Bytes that the client took in all.
    taken_in_all_bytes: AtomicU64,
    /// Whether a request was answered before its body was read.
    unread_body: AtomicBool,
}

/// A bound that a connection overran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overrun {
    /// It idled too long, which is no failure.
    Idle,
    /// A head never ends, or nobody takes an answer.
    Failed(ConnectionFailureReason),
}

/// Old clients end a body with an empty line that belongs to nothing (RFC 9112 section 2.2).
const STRAY_BYTES: u64 = 2;

// === impl Activity ===

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            since_ms: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            head_began: AtomicBool::new(false),
            blocked_ms: AtomicU64::new(0),
            waited_ms: AtomicU64::new(0),
            taken_bytes: AtomicU64::new(0),
            owed_ms: AtomicU64::new(0),
            lengths: AtomicU8::new(0),
            after_head_bytes: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            pipelined: AtomicBool::new(false),
            taken_in_all_bytes: AtomicU64::new(0),
            unread_body: AtomicBool::new(false),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn touch(&self) {
        self.since_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    /// Notes whether the client takes what is written to it, and how much of it.
    pub(crate) fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        let blocked_ms = self.blocked_ms.load(Ordering::Relaxed);
        match polled {
            Poll::Pending if blocked_ms == 0 => {
                self.blocked_ms.store(self.elapsed_ms() + 1, Ordering::Relaxed);
            }
            Poll::Pending => {}
            Poll::Ready(written) => {
                if let Some(since_ms) = blocked_ms.checked_sub(1) {
                    self.blocked_ms.store(0, Ordering::Relaxed);
                    let waited_ms = self.elapsed_ms().saturating_sub(since_ms);
                    self.waited_ms.fetch_add(waited_ms, Ordering::Relaxed);
                    self.touch();
                }
                let written = written.as_ref().map_or(0, |written| *written as u64);
                self.taken_bytes.fetch_add(written, Ordering::Relaxed);
                self.taken_in_all_bytes.fetch_add(written, Ordering::Relaxed);
            }
        }
    }

    /// Bytes that the client took since it came, and how many requests it waits for.
    pub(crate) fn taken_by_requests(&self) -> (u64, u64) {
        let taken_bytes = self.taken_in_all_bytes.load(Ordering::Relaxed);
        (taken_bytes, u64::from(self.in_flight.load(Ordering::Relaxed)))
    }

    /// Bytes that are still to come of the body that the last head declared. A request that was refused before its body was
    /// read has ended, and its body may come all the same.
    pub(crate) fn body_bytes_due(&self) -> u64 {
        let arrived = self.after_head_bytes.load(Ordering::Relaxed);
        self.body_bytes.load(Ordering::Relaxed).saturating_sub(arrived)
    }

    /// Notes bytes of an HTTP/1 connection, and looks at those that are a head.
    pub(crate) fn bytes_arrived(&self, bytes: &[u8], scan: &mut HeadScan) {
        let of_body = if self.is_between_requests() {
            bytes.len().min(usize::try_from(self.body_bytes_due()).unwrap_or(usize::MAX))
        } else {
            bytes.len()
        };
        self.after_head_bytes.fetch_add(of_body as u64, Ordering::Relaxed);
        let bytes = &bytes[of_body..];
        if bytes.is_empty() {
            return;
        }
        if !self.head_began.swap(true, Ordering::Relaxed) {
            self.touch();
            let body_bytes = self.body_bytes.load(Ordering::Relaxed);
            let surplus = self.after_head_bytes.load(Ordering::Relaxed).saturating_sub(body_bytes);
            if surplus > STRAY_BYTES {
                self.pipelined.store(true, Ordering::Relaxed);
            }
        }
        if let Some((lengths, rest)) = scan.feed(bytes) {
            self.after_head_bytes.store(rest as u64, Ordering::Relaxed);
            if !self.pipelined.load(Ordering::Relaxed) {
                self.lengths.store(lengths.pack(), Ordering::Relaxed);
            }
        }
    }

    /// Notes the beginning of a request with so many bytes of body, and gives what its head said of its length when the head
    /// was seen arriving.
    pub(crate) fn request_began(&self, body_bytes: u64) -> Option<Lengths> {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            // Each answer by itself: the client took what came before.
            self.owed_ms.store(0, Ordering::Relaxed);
            self.waited_ms.store(0, Ordering::Relaxed);
        }
        self.head_began.store(false, Ordering::Relaxed);
        self.unread_body.store(false, Ordering::Relaxed);
        self.body_bytes.store(body_bytes, Ordering::Relaxed);
        Lengths::unpack(self.lengths.swap(0, Ordering::Relaxed))
    }

    /// Notes that the request in flight is answered before its body was read.
    pub(crate) fn leave_body_unread(&self) {
        self.unread_body.store(true, Ordering::Relaxed);
    }

    /// Whether the last request was answered before its body was read.
    pub(crate) fn has_unread_body(&self) -> bool {
        self.unread_body.load(Ordering::Relaxed)
    }

    pub(crate) fn is_between_requests(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn request_ended(&self) {
        self.touch();
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Which bound is overrun, if one is. A request in flight has its own, but for a client that takes no bytes.
    pub(crate) fn overrun(&self, bounds: &Bounds, multiplexed: bool) -> Option<Overrun> {
        let owed_ms = self.owed_ms(bounds.body_rate_min_bytes);
        if let Some(blocked_ms) = self.blocked_ms.load(Ordering::Relaxed).checked_sub(1) {
            let blocked_ms = self.elapsed_ms().saturating_sub(blocked_ms);
            let waited = Duration::from_millis(blocked_ms.saturating_add(owed_ms));
            let failed = Overrun::Failed(ConnectionFailureReason::WriteTimeout);
            return (waited > bounds.body_timeout).then_some(failed);
        }
        if !self.is_between_requests() {
            return None;
        }
        let waited = self
            .opened
            .elapsed()
            .saturating_sub(Duration::from_millis(self.since_ms.load(Ordering::Relaxed)));
        // HTTP/2 sends pings and settings between requests; only HTTP/1 bytes are always a head.
        let in_head = !multiplexed && self.head_began.load(Ordering::Relaxed);
        if in_head && waited > bounds.head_timeout {
            return Some(Overrun::Failed(ConnectionFailureReason::HeadTimeout));
        }
        (waited > bounds.idle_timeout).then_some(Overrun::Idle)
    }

    /// What the client owes by the lowest rate, without the wait that has not ended.
    fn owed_ms(&self, rate_min_bytes: u64) -> u64 {
        let waited_ms = self.waited_ms.swap(0, Ordering::Relaxed);
        let taken_bytes = self.taken_bytes.swap(0, Ordering::Relaxed);
        let owed_ms = turn::owed_ms(
            self.owed_ms.load(Ordering::Relaxed),
            waited_ms,
            taken_bytes,
            rate_min_bytes,
        );
        self.owed_ms.store(owed_ms, Ordering::Relaxed);
        owed_ms
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        head_timeout: Duration::ZERO,
        idle_timeout: Duration::from_secs(3600),
        body_timeout: Duration::ZERO,
        body_rate_min_bytes: 1,
        event_stream_timeout: Duration::ZERO,
        socket_idle_timeout: Duration::ZERO,
        sockets: crate::sockets::SocketBounds {
            sockets_max: 1,
            per_env_max: 1,
            per_address_max: 1,
        },
        head_bytes_max: 8192,
        headers_max: 100,
        connections_max: 1,
    };

    #[test]
    fn a_head_that_never_ends_is_told_from_an_idle_connection() {
        let activity = Activity::new();
        assert_eq!(activity.overrun(&BOUNDS, false), None);
        activity.bytes_arrived(b"GET", &mut HeadScan::default());
        while activity.opened.elapsed() < Duration::from_millis(2) {}
        assert_eq!(
            activity.overrun(&BOUNDS, false),
            Some(Overrun::Failed(ConnectionFailureReason::HeadTimeout))
        );
        assert_eq!(activity.overrun(&BOUNDS, true), None, "HTTP/2 bytes are not always a head");
        activity.request_began(0);
        assert_eq!(
            activity.overrun(&BOUNDS, false),
            None,
            "a request in flight has bounds of its own"
        );
        activity.request_ended();
        assert_eq!(activity.overrun(&BOUNDS, false), None);
    }

    /// After how many seconds a client is found too slow that takes so many bytes after every pause; none within an hour.
    async fn cut_after_s(bytes: usize, pause_s: u64, idle_s: u64) -> Option<u64> {
        let bounds =
            Bounds { body_timeout: Duration::from_secs(15), body_rate_min_bytes: 500, ..BOUNDS };
        let activity = Activity::new();
        activity.request_began(0);
        for second in 0..3600 {
            // It takes no byte while it pauses, and there is nothing to take while we are idle.
            match second % (pause_s + idle_s) {
                0 => activity.wrote(&Poll::Pending),
                at if at == pause_s => activity.wrote(&Poll::Ready(Ok(bytes))),
                _ => {}
            }
            if let Some(overrun) = activity.overrun(&bounds, false) {
                assert_eq!(overrun, Overrun::Failed(ConnectionFailureReason::WriteTimeout));
                return Some(second);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_is_cut_off() {
        assert_eq!(cut_after_s(1, 10, 1).await, Some(17), "10 s, 1 s of ours, and 5 s more");
        assert_eq!(cut_after_s(1, 1, 59).await, Some(960), "silence of ours is not counted");
        assert_eq!(cut_after_s(5_000, 10, 1).await, None, "the lowest rate");
        assert_eq!(cut_after_s(1 << 20, 20, 1).await, Some(16), "a standstill");
    }
}
