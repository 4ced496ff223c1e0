//! The beginning of an answer's body, read ahead until somebody has looked at it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};
use yunzhan_base::Body;
use yunzhan_base::body::BodyError;

/// What was read ahead, and what still comes.
pub(crate) struct Prefix {
    begun: Bytes,
    rest: Rest,
}

enum Rest {
    /// All of it is here.
    Nothing,
    /// A frame of trailers, or the error with which it broke, and then the stream.
    Stream(Option<Result<Frame<Bytes>, BodyError>>, Body),
}

/// Reads so many bytes, or all if there are fewer, or what comes in so much time: an answer that tells of what goes on, bit
/// by bit, reaches its reader all the same.
pub(crate) async fn read(mut body: Body, bytes_max: usize, wait_max: Duration) -> Prefix {
    if let Body::Held(begun) = body {
        return Prefix { begun, rest: Rest::Nothing };
    }
    let until = Instant::now() + wait_max;
    let mut begun = BytesMut::new();
    while begun.len() < bytes_max {
        let Ok(frame) = timeout_at(until, body.frame()).await else { break };
        let Some(frame) = frame else {
            return Prefix { begun: begun.freeze(), rest: Rest::Nothing };
        };
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => begun.extend_from_slice(&data),
            Ok(Err(other)) => {
                return Prefix { begun: begun.freeze(), rest: Rest::Stream(Some(Ok(other)), body) };
            }
            Err(error) => {
                return Prefix {
                    begun: begun.freeze(),
                    rest: Rest::Stream(Some(Err(error)), body),
                };
            }
        }
    }
    Prefix { begun: begun.freeze(), rest: Rest::Stream(None, body) }
}

impl Prefix {
    /// What was read.
    pub(crate) fn begun(&self) -> &Bytes {
        &self.begun
    }

    /// The body as it was.
    pub(crate) fn into_body(self) -> Body {
        match self.rest {
            Rest::Nothing => self.begun.into(),
            Rest::Stream(next, body) => {
                Body::streaming(Continued { begun: self.begun, next, body })
            }
        }
    }
}

/// What was read ahead, then the rest.
struct Continued {
    begun: Bytes,
    next: Option<Result<Frame<Bytes>, BodyError>>,
    body: Body,
}

impl http_body::Body for Continued {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.begun.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.begun)))));
        }
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.next.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let begun = self.begun.len() as u64;
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(begun));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(begun)) {
            hint.set_upper(upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of which one piece has come.
    struct Begun(Option<Bytes>);

    impl http_body::Body for Begun {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            match self.0.take() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_not_held_for_ever() {
        let body = Body::streaming(Begun(Some(Bytes::from_static(b"10 %"))));
        let prefix = read(body, 100, Duration::from_millis(1)).await;
        assert_eq!(prefix.begun(), "10 %");
        let mut body = prefix.into_body();
        let frame = body.frame().await.and_then(Result::ok).and_then(|it| it.into_data().ok());
        assert_eq!(frame, Some(Bytes::from_static(b"10 %")));
    }
}
