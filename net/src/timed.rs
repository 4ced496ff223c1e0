//! A body that may not stall: between two frames at most so much time, and on the whole no slower than a lowest rate.
//!
//! There is no bound on the whole: a large upload over a phone's network takes the time that it takes. What is bounded is
//! waiting. A sender that stands still for too long is cut off, and so is one that sends a byte now and then: it may wait for
//! `wait_max` in all, and for a second more with each `rate_min_bytes` that it delivers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use yunzhan_base::body::BodyError;
use yunzhan_base::{Error, Kind};

/// Wraps a body with bounds on its waits. No timer exists until the body really waits, so a body whose bytes are there
/// already costs nothing; time in which nobody asks for bytes does not count.
#[derive(Debug)]
pub struct Timed<B> {
    body: B,
    wait_max: Duration,
    /// Bytes a second; 0 bounds single waits alone.
    rate_min_bytes: u64,
    bytes: u64,
    waited: Duration,
    wait: Option<Wait>,
}

/// A wait that has begun.
#[derive(Debug)]
struct Wait {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<B> Timed<B> {
    /// Bounds every wait of `body`.
    pub fn new(body: B, wait_max: Duration) -> Self {
        Self { body, wait_max, rate_min_bytes: 0, bytes: 0, waited: Duration::ZERO, wait: None }
    }

    /// Bounds all waits together as well: by so many bytes a second.
    #[must_use]
    pub fn at_least(self, rate_min_bytes: u64) -> Self {
        Self { rate_min_bytes, ..self }
    }

    /// What the body may wait from now on.
    fn patience(&self) -> Duration {
        let Some(earned_s) = self.bytes.checked_div(self.rate_min_bytes) else {
            return self.wait_max;
        };
        let earned = self.wait_max.saturating_add(Duration::from_secs(earned_s));
        earned.saturating_sub(self.waited).min(self.wait_max)
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let patience = self.patience();
        let wait = self.wait.get_or_insert_with(|| Wait {
            since: Instant::now(),
            timer: Box::pin(tokio::time::sleep(patience)),
        });
        wait.timer.as_mut().poll(context)
    }

    fn arrived(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if let Some(wait) = self.wait.take() {
            self.waited += wait.since.elapsed();
        }
    }
}

impl<B> http_body::Body for Timed<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                self.arrived(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => self.poll_wait(context).map(|()| {
                let text = format!(
                    "the body stalled: {} bytes had arrived, and no more came in time",
                    self.bytes
                );
                Some(Err(Error::new(Kind::Timeout, text).into()))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use yunzhan_base::Body;

    use super::*;

    /// Sends so many bytes after every pause, for ever.
    struct Dripping {
        bytes: &'static [u8],
        pause: Duration,
        next: Pin<Box<Sleep>>,
    }

    impl http_body::Body for Dripping {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            std::task::ready!(self.next.as_mut().poll(context));
            self.next = Box::pin(tokio::time::sleep(self.pause));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.bytes)))))
        }
    }

    /// Bytes that arrive within an hour before the body is cut off.
    async fn bytes_of(bytes: &'static [u8], pause_s: u64, rate_min_bytes: u64) -> (usize, bool) {
        let pause = Duration::from_secs(pause_s);
        let dripping = Dripping { bytes, pause, next: Box::pin(tokio::time::sleep(pause)) };
        let timed = Timed::new(dripping, Duration::from_secs(15)).at_least(rate_min_bytes);
        let mut body = Body::streaming(timed);
        let until = Instant::now() + Duration::from_secs(3600);
        let mut arrived = 0;
        while Instant::now() < until {
            match body.frame().await {
                Some(Ok(frame)) => arrived += frame.data_ref().map_or(0, Bytes::len),
                _ => return (arrived, true),
            }
        }
        (arrived, false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_but_steady_body_has_all_the_time_it_needs() {
        assert_eq!(bytes_of(&[0; 4096], 2, 1024).await, (4096 * 1800, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_cut_off() {
        assert_eq!(bytes_of(&[0; 1 << 20], 16, 1024).await, (0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_no_body() {
        let (arrived, was_cut) = bytes_of(&[0; 1], 5, 1024).await;
        assert!(was_cut && arrived < 5, "{arrived}");
        assert_eq!(
            bytes_of(&[0; 1], 5, 0).await,
            (720, false),
            "without a rate, waits alone are bounded"
        );
    }
}
