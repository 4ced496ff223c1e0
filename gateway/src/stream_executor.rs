//! Runs the streams of an HTTP/2 connection, and ends those whose client takes no byte, or one now and then.
//!
//! A client may close a stream's window and go on answering pings: the connection is alive, and the stream would keep its
//! buffers and its upstream connection for ever. hyper asks an answer's body for a piece only when the window took something
//! of the one before, so an answer that nobody asks is one that nobody takes. Ending the stream's task resets the stream.

use std::sync::Arc;
use std::time::Duration;

use crate::turn::{Shares, Turn};

tokio::task_local! {
    static STREAM: Turn;
}

/// The executor of one connection.
#[derive(Clone)]
pub(crate) struct StreamExecutor {
    /// How long a client may take no byte of a stream.
    pub(crate) stall_max: Duration,
    /// Bytes a second that it takes of one at least.
    pub(crate) rate_min_bytes: u64,
    /// What it takes of all its streams.
    pub(crate) shares: Shares,
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // Until there is an answer, it is ours.
        let turn = Turn::of_several(self.rate_min_bytes, Arc::clone(&self.shares));
        let stall_max = self.stall_max;
        tokio::spawn(STREAM.scope(turn.clone(), async move {
            tokio::select! {
                () = stream => {}
                () = turn.stood_still(stall_max) => {}
            }
        }));
    }
}

/// The turn of the stream whose task this is.
pub(crate) fn turn() -> Option<Turn> {
    STREAM.try_with(Clone::clone).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::BodyExt;
    use hyper::rt::Executor;
    use tokio::sync::{mpsc, oneshot};
    use yunzhan_base::Body;

    use super::*;
    use crate::respond::Tracked;

    /// Pieces of one byte, as many as are asked for.
    struct Bits;

    impl http_body::Body for Bits {
        type Data = Bytes;
        type Error = yunzhan_base::body::BodyError;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"1")))))
        }
    }

    /// How many bytes of an answer were asked for by a client that takes a piece every ten seconds, and whether it got all.
    async fn taken(body: Body) -> (usize, bool) {
        let executor = StreamExecutor {
            stall_max: Duration::from_secs(15),
            rate_min_bytes: 500,
            shares: Arc::new(|| (0, 1)),
        };
        let (report, mut reports) = mpsc::channel(1);
        let (whole, is_whole) = oneshot::channel();
        executor.execute(async move {
            let mut answer = Tracked::new(body, None);
            while let Some(piece) = answer.frame().await {
                report.send(piece.unwrap().into_data().unwrap().len()).await.unwrap();
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            whole.send(()).unwrap();
        });
        let mut bytes = 0;
        while let Some(more) = reports.recv().await {
            bytes += more;
        }
        (bytes, is_whole.await.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_ended_whose_client_takes_a_byte_now_and_then() {
        assert_eq!(taken(Body::streaming(Bits)).await, (2, false));
        let whole = Body::from(vec![0; 100_000]);
        assert_eq!(taken(whole).await, (100_000, true), "slow, and fast enough");
    }
}
