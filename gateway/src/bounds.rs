//! Bounds of connections and bodies, as the configuration says.

use std::time::Duration;

use crate::sockets::SocketBounds;

/// Bounds of connections and bodies. A new connection takes those of its moment.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// From the first byte of a head to its last.
    pub(crate) head_timeout: Duration,
    /// From one request to the next.
    pub(crate) idle_timeout: Duration,
    /// For each wait of a body in either direction.
    pub(crate) body_timeout: Duration,
    /// Bytes a second that a request's body must arrive with, and a client take of an answer, beside one `body_timeout`.
    pub(crate) body_rate_min_bytes: u64,
    /// For each wait of an answer that is a stream of events.
    pub(crate) event_stream_timeout: Duration,
    /// How long a socket may be silent; a client that answers pings is not.
    pub(crate) socket_idle_timeout: Duration,
    /// Of open sockets.
    pub(crate) sockets: SocketBounds,
    /// Bytes of a request's head, and the most that HTTP/1 buffers.
    pub(crate) head_bytes_max: usize,
    /// Headers of a request.
    pub(crate) headers_max: usize,
    /// Connections open at once on each listener.
    pub(crate) connections_max: usize,
}
