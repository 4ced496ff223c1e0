//! Runs the streams of an HTTP/2 connection, and ends those whose client takes no byte.
//!
//! A client may close a stream's window and go on answering pings: the connection is alive, and the stream would keep its
//! buffers and its upstream connection for ever. hyper asks an answer's body for bytes only while the window is open, so an
//! answer that nobody asks is one that nobody takes. Ending the stream's task resets the stream.

use std::time::Duration;

use crate::turn::Turn;

tokio::task_local! {
    static STREAM: Turn;
}

/// The executor of one connection.
#[derive(Clone, Debug)]
pub(crate) struct StreamExecutor {
    /// How long a client may take no byte of a stream.
    pub(crate) stall_max: Duration,
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (turn, stall_max) = (Turn::theirs(), self.stall_max);
        // Until there is an answer, it is ours.
        turn.set(false);
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
