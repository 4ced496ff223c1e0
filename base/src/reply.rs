//! What a service answers: a response, or an upgrade of the connection to a WebSocket.

use std::pin::Pin;

use http::Response;

use crate::body::Body;
use crate::error::Result;
use crate::socket::Socket;

/// What a service answers, once it is known.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// What a service answers.
#[derive(Debug)]
pub enum Reply {
    /// A response.
    Response(Response<Body>),
    /// The connection becomes a WebSocket, if the client asked for one.
    Upgrade(Upgrade),
}

/// What becomes of a connection that is upgraded: who serves the socket, and what it may cost.
pub struct Upgrade {
    /// The subprotocol that was chosen from those that the client offered (RFC 6455 section 1.9).
    pub subprotocol: Option<&'static str>,
    /// Bytes of one message at most, either way.
    pub message_bytes_max: usize,
    /// Serves the socket; the connection closes when it returns.
    pub serve: ServeSocket,
}

/// Serves one socket until it ends.
pub type ServeSocket = Box<dyn FnOnce(Socket) -> SocketFuture + Send>;

/// The serving of one socket.
pub type SocketFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Messages of services are JSON; larger ones are uploads and have a route of their own.
pub const MESSAGE_BYTES_MAX_DEFAULT: usize = 64 << 10;

// === impl Reply ===

impl Reply {
    /// The response of a reply that is one; for tests and for callers inside, to whom an upgrade is no use.
    pub fn into_response(self) -> Option<Response<Body>> {
        match self {
            Self::Response(response) => Some(response),
            Self::Upgrade(_) => None,
        }
    }
}

impl From<Response<Body>> for Reply {
    fn from(response: Response<Body>) -> Self {
        Self::Response(response)
    }
}

impl From<Upgrade> for Reply {
    fn from(upgrade: Upgrade) -> Self {
        Self::Upgrade(upgrade)
    }
}

// === impl Upgrade ===

impl Upgrade {
    /// An upgrade that this function serves.
    pub fn to<F>(serve: impl FnOnce(Socket) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            subprotocol: None,
            message_bytes_max: MESSAGE_BYTES_MAX_DEFAULT,
            serve: Box::new(|socket| Box::pin(serve(socket))),
        }
    }
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upgrade({:?})", self.subprotocol)
    }
}
