//! The link between the nodes of one cluster: calls of bytes over mutual TLS, where both sides show a certificate of the
//! cluster's authority. Nobody else gets past the handshake.
//!
//! A call is an HTTP/1.1 request over the pooled client of [`crate::http`], so that bounds, deadlines and dead connections are
//! dealt with in one place. Read [`Peers`] (calling), then [`server`] (answering), [`identity`] (who is trusted) and [`wire`].

mod identity;
mod server;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;
mod wire;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use yunzhan_base::{Body, Error, Kind, Principal, RequestId, Result};

pub use self::identity::{Authority, Identity, SEED_BYTES};
pub use self::server::serve;
use crate::http::{Client, Config, Target};

/// Bytes of a call at most: what passes between nodes is a wish or a client's request, of which the largest have 8 MiB and a
/// head.
pub const CALL_BYTES_MAX: usize = 9 << 20;
/// Bytes of an answer at most: a page of documents as a client gets it.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long a connection and its handshake may take: nodes stand in one network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// One call of one node by another.
#[derive(Clone, Debug)]
pub struct PeerCall {
    /// What is called.
    pub name: String,
    /// On whose behalf.
    pub principal: Principal,
    /// The request that it is a part of.
    pub request_id: RequestId,
    /// When nobody waits for the answer any more. It travels as a span, for clocks differ.
    pub deadline: Instant,
    /// What is said.
    pub bytes: Bytes,
}

/// What a node answers, once it is known.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Result<Bytes>> + Send + 'a>>;

/// Answers the calls of other nodes.
pub trait Answer: Send + Sync {
    /// Answers one call. The deadline is kept by whoever asks here.
    fn answer(&self, call: PeerCall) -> AnswerFuture<'_>;
}

/// Calls other nodes. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Peers(Client);

// === impl Peers ===

impl Peers {
    /// Calls nodes of the cluster to which this identity belongs.
    pub fn new(identity: &Arc<Identity>) -> Result<Self> {
        let config = Config { connect_timeout: CONNECT_TIMEOUT, ..Config::default() };
        Ok(Self(Client::with_tls(config, identity.client_config()?)))
    }

    /// Calls the node at `host:port` and waits for its answer until the call's deadline. The node's refusal comes back as it
    /// was given. Errors besides: `Unavailable` when the node was not reached and nothing was sent; `BadUpstream` when it may
    /// have seen the call; `Timeout`; `TooLarge`.
    pub async fn call(&self, address: &str, call: PeerCall) -> Result<Bytes> {
        if call.bytes.len() > CALL_BYTES_MAX {
            return Err(too_large(CALL_BYTES_MAX));
        }
        let target = Target::parse(&format!("https://{address}"))?;
        let deadline = call.deadline;
        let request = Request::builder().method(Method::POST).uri(wire::PATH);
        let request = request.body(Body::from(wire::write(&call)));
        let request =
            request.map_err(|error| Error::internal("a peer's address").because(error))?;
        let (head, body) = self.0.send(&target, request, deadline).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let body = tokio::time::timeout_at(deadline.into(), body).await;
        let body =
            body.map_err(|_| Error::new(Kind::Timeout, "the other node did not answer in time"))?;
        let body = body.map_err(|error| {
            Error::new(Kind::BadUpstream, "the answer of the other node broke off").because(error)
        })?;
        match head.status.is_success() {
            true => Ok(body.to_bytes()),
            false => Err(wire::read_refusal(&body.to_bytes())),
        }
    }
}

fn too_large(bytes_max: usize) -> Error {
    let mib = bytes_max >> 20;
    Error::new(Kind::TooLarge, format!("what passes between nodes at once has at most {mib} MiB"))
}
