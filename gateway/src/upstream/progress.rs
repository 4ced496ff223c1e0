//! How far a streamed upload is, and whether whoever answers keeps it waiting.
//!
//! A large upload has no time-out on the whole. While whoever answers asks for bytes, the client's own bounds on waiting hold;
//! while it does not, or once the upload has ended, the route's time-out runs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use yunzhan_base::Body;
use yunzhan_base::body::BodyError;

use crate::turn::Turn;

/// The state of one upload.
#[derive(Debug)]
pub(crate) struct Progress {
    turn: Turn,
    is_dropped: Arc<AtomicBool>,
}

/// Follows a body.
pub(crate) fn follow(body: Body) -> (Body, Progress) {
    let (turn, is_dropped) = (Turn::ours(0), Arc::new(AtomicBool::new(false)));
    turn.give(0);
    let followed = Followed { body, turn: turn.clone(), is_dropped: Arc::clone(&is_dropped) };
    (Body::streaming(followed), Progress { turn, is_dropped })
}

// === impl Progress ===

impl Progress {
    /// Ends when whoever answers has done nothing for so long, although it was its turn.
    pub(crate) async fn stood_still(&self, wait_max: Duration) {
        self.turn.stood_still(wait_max).await;
    }

    /// Whether nobody will read more of the body.
    pub(crate) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }
}

struct Followed {
    body: Body,
    turn: Turn,
    is_dropped: Arc<AtomicBool>,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Ready(_) => self.turn.give(0),
            Poll::Pending => self.turn.took(),
        }
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
        self.turn.give(0);
        self.is_dropped.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

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
