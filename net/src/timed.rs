//! A body that may not stall: between two frames at most so much time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use yunzhan_base::body::BodyError;
use yunzhan_base::{Error, Kind};

/// Wraps a body with a bound on every wait. No timer exists until the body really waits, so a body whose bytes are there
/// already costs nothing.
#[derive(Debug)]
pub struct Timed<B> {
    body: B,
    wait_max: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Timed<B> {
    /// Bounds every wait of `body`.
    pub fn new(body: B, wait_max: Duration) -> Self {
        Self { body, wait_max, timer: None }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let wait_max = self.wait_max;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait_max)));
        timer.as_mut().poll(context)
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
                self.timer = None;
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => self.poll_timer(context).map(|()| {
                let text = format!("the body stalled for {} ms", self.wait_max.as_millis());
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
