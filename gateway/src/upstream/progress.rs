//! How far a streamed upload is, and whether whoever answers keeps it waiting.
//!
//! A large upload has no time-out on the whole. While whoever answers asks for bytes, the client's own bounds on waiting hold;
//! while it does not, or once the upload has ended, the route's time-out runs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use yunzhan_base::Body;
use yunzhan_base::body::BodyError;

/// The state of one upload.
#[derive(Debug)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// Milliseconds after `begun`, and one, since when whoever answers has had its turn; 0 while it waits for the client.
    turn_ms: AtomicU64,
    is_dropped: AtomicBool,
}

/// Follows a body.
pub(crate) fn follow(body: Body) -> (Body, Progress) {
    let shared = Arc::new(Shared {
        begun: Instant::now(),
        turn_ms: AtomicU64::new(1),
        is_dropped: AtomicBool::new(false),
    });
    let followed = Followed { body, shared: Arc::clone(&shared) };
    (Body::streaming(followed), Progress(shared))
}

// === impl Progress ===

impl Progress {
    /// Ends when whoever answers has done nothing for so long, although it was its turn.
    pub(crate) async fn stood_still(&self, wait_max: Duration) {
        loop {
            let now = self.0.begun.elapsed();
            let waited = match self.0.turn_ms.load(Ordering::Relaxed).checked_sub(1) {
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

    /// Whether nobody will read more of the body.
    pub(crate) fn is_dropped(&self) -> bool {
        self.0.is_dropped.load(Ordering::Acquire)
    }
}

impl Shared {
    fn is_their_turn(&self, is_theirs: bool) {
        let now_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.turn_ms.store(if is_theirs { now_ms + 1 } else { 0 }, Ordering::Relaxed);
    }
}

struct Followed {
    body: Body,
    shared: Arc<Shared>,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.shared.is_their_turn(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.shared.is_their_turn(true);
        self.shared.is_dropped.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that needs an hour for its only byte.
    struct Slow(Pin<Box<tokio::time::Sleep>>, bool);

    impl http_body::Body for Slow {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            std::task::ready!(self.0.as_mut().poll(context));
            let is_first = std::mem::replace(&mut self.1, true);
            Poll::Ready((!is_first).then(|| Ok(Frame::data(Bytes::from_static(b"1")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_no_slow_answer() {
        let hour = Duration::from_secs(3600);
        let begun = Instant::now();
        let (mut body, progress) =
            follow(Body::streaming(Slow(Box::pin(tokio::time::sleep(hour)), false)));
        let reading = tokio::spawn(async move {
            while body.next().await.is_some() {}
            body
        });
        progress.stood_still(Duration::from_secs(5)).await;
        let waited = begun.elapsed();
        assert!(waited >= hour + Duration::from_secs(5), "{waited:?}");
        assert!(waited < hour + Duration::from_secs(11), "{waited:?}");
        assert!(!progress.is_dropped());
        drop(reading.await);
        assert!(progress.is_dropped());
    }
}
