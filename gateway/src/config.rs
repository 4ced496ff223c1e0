//! What can be configured between listener and upstream.

use std::time::Duration;

use yunzhan_base::{Access, Tier};
use yunzhan_net::http::Target;

use crate::connection::Bounds;

/// A phone on a bad network sends a head within seconds; an attacker takes all the time there is.
pub const HEAD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A little more than the 60 s after which load balancers in front give an idle connection up, so that they, not we, end it.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(75);
/// 1 MiB over a 1 Mbit/s uplink takes 8 s.
pub const BODY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
/// Tokens and cookies fit thrice; hyper needs 8 KiB at least.
pub const HEAD_BYTES_MAX_DEFAULT: usize = 32 << 10;
/// Browsers send about 20.
pub const HEADERS_MAX_DEFAULT: usize = 100;
/// Idle connections cost about 16 KiB each; so many fit into 320 MB.
pub const CONNECTIONS_MAX_DEFAULT: usize = 20_000;
/// Bodies to a remote upstream, which streams.
pub const REMOTE_BODY_BYTES_MAX_DEFAULT: usize = 16 << 20;
/// The same bound as for background jobs would cut off reports; a team's server gets half a minute.
pub const REMOTE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Bounds, time-outs and remote routes.
#[derive(Clone, Debug)]
pub struct Config {
    /// From the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// From one request of a connection to the next.
    pub idle_timeout: Duration,
    /// For a held body as a whole, and for each wait of a streamed one.
    pub body_timeout: Duration,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Connections open at once on each listener.
    pub connections_max: usize,
    /// Paths that servers elsewhere answer.
    pub routes: Vec<RemoteRoute>,
}

/// One path that a server elsewhere answers, with every method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRoute {
    /// Name in logs and metrics.
    pub name: String,
    /// Path with `{name}` segments; `{*rest}` at the end takes the rest.
    pub path: String,
    /// Where requests go.
    pub upstream: Target,
    /// Who may call.
    pub access: Access,
    /// Label of the response-time goal.
    pub tier: Tier,
    /// The largest request body in bytes.
    pub body_bytes_max: usize,
    /// How long the upstream may take until the head of its answer.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            head_timeout: HEAD_TIMEOUT_DEFAULT,
            idle_timeout: IDLE_TIMEOUT_DEFAULT,
            body_timeout: BODY_TIMEOUT_DEFAULT,
            head_bytes_max: HEAD_BYTES_MAX_DEFAULT,
            headers_max: HEADERS_MAX_DEFAULT,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            routes: Vec::new(),
        }
    }
}

impl Config {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            head_timeout: self.head_timeout,
            idle_timeout: self.idle_timeout,
            body_timeout: self.body_timeout,
            head_bytes_max: self.head_bytes_max,
            headers_max: self.headers_max,
            connections_max: self.connections_max,
        }
    }
}
