//! What a stage is: one step that every request passes on its way to whoever answers, and its answer on the way back.

use bytes::Bytes;
use http::{Response, response};
use yunzhan_base::body::Watch;
use yunzhan_base::event::Outcome;
use yunzhan_base::{Body, Error, Kind, Result};

use crate::exchange::Exchange;

/// One step that a request passes. A stage is a plain object; what it learns it writes into the exchange.
pub trait Stage: Send + Sync {
    /// Decides at once, without an allocation, or names the future that must be awaited first.
    fn request<'x>(&'x self, exchange: &'x mut Exchange) -> Step<'x>;

    /// A stage before this one refused the request, for this reason. Nothing is decided any more.
    fn refused(&self, _exchange: &mut Exchange, _kind: Kind) {}

    /// Sees the head of the answer, in reverse order. Whatever it adds, every later reader sees.
    fn response(&self, _exchange: &mut Exchange, _head: &mut response::Parts) -> BodyPlan {
        BodyPlan::Pass
    }

    /// Sees the beginning of the body that it asked for in [`Stage::response`], before a byte of the answer leaves.
    fn response_body(&self, _exchange: &mut Exchange, _body: &Bytes) -> Result<()> {
        Ok(())
    }

    /// The connection is about to be a WebSocket, and nothing more of the request will be looked at: what was kept to judge it
    /// goes; permits stay until [`Stage::finish`].
    fn upgraded(&self, _exchange: &mut Exchange) {}

    /// Exactly once, also when the client went away: permits, counters, records.
    fn finish(&self, _exchange: &mut Exchange, _outcome: Outcome) {}
}

/// What a stage decides of a request.
pub enum Step<'x> {
    /// Go on.
    Next,
    /// Answer this, and let no later stage see the request.
    Reply(Box<Response<Body>>),
    /// Say no, in the dialect of the route.
    Refuse(Error),
    /// Ask again when this is done; it yields `Next`, `Reply` or `Refuse`.
    Wait(std::pin::Pin<Box<dyn Future<Output = Step<'x>> + Send + 'x>>),
}

/// What becomes of an answer's body.
pub enum BodyPlan {
    /// It streams.
    Pass,
    /// So many bytes of it, or all if it is shorter, are held back and shown to the stage first.
    Hold {
        /// Bytes at most.
        bytes_max: usize,
    },
    /// It streams, and this sees every piece of it, and its end.
    Observe(Box<dyn Watch>),
    /// Another body takes its place, made from it: an encoding, an envelope. The stage sets the headers that go with it.
    Replace(Box<dyn FnOnce(Body) -> Body + Send>),
    /// The answer is not sent; this is.
    Refuse(Error),
}
