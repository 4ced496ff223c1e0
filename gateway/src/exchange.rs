//! The typed facts of one request. Each stage fills its own; later stages read them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, request};
use yunzhan_base::env::Env;
use yunzhan_base::event::RequestFacts;
use yunzhan_base::route::RenderError;
use yunzhan_base::{Error, Principal, RequestId};
use yunzhan_waf::Transaction;

use crate::connection::Activity;
use crate::head_scan::Lengths;
use crate::held::RequestBody;
use crate::table::Matched;

/// What is true of a whole connection.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// The client's address.
    pub remote: SocketAddr,
    /// Whether it is encrypted.
    pub tls: bool,
    /// `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// When it last did something, for its bounds.
    pub(crate) activity: Activity,
}

/// One request on its way.
pub struct Exchange {
    /// Names the request in answers, logs and events.
    pub request_id: RequestId,
    /// When its head was parsed.
    pub started: Instant,
    /// What is true of its connection.
    pub connection: Arc<ConnectionFacts>,
    /// Method, target and headers as sent.
    pub head: request::Parts,
    /// What the head said of its body's length, before hyper repaired it.
    pub(crate) lengths: Option<Lengths>,
    /// The body: unread, held, or gone to the upstream.
    pub(crate) body: RequestBody,
    /// How a refusal is rendered: plainly, until `route` knows the dialect of the path.
    pub(crate) render_error: RenderError,
    /// Filled by `route`: which rule, with which parameters.
    pub(crate) matched: Option<Matched>,
    /// Filled by `route` from host and query, or by `auth` from the token.
    pub env: Option<Arc<Env>>,
    /// Filled by `auth`.
    pub principal: Principal,
    /// When the gateway stops waiting for whoever answers; set by `route` from the tier.
    pub deadline: Instant,
    /// The methods that the path knows, when it does not know this one.
    pub(crate) allow: Option<HeaderValue>,
    /// Why it was refused, when it was.
    pub error: Option<Error>,
    /// Whether the connection must not carry another request: its framing cannot be trusted.
    pub close: bool,
    /// Filled by `waf`: what rules saw so far.
    pub(crate) waf: Option<Box<Transaction>>,
}

impl Exchange {
    /// The route's name, `none` before one matched.
    pub fn route_name(&self) -> &'static str {
        self.matched.as_ref().map_or("none", |matched| matched.rule.name)
    }

    /// What every event of this request says of it.
    pub fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            request_id: self.request_id,
            route: self.route_name(),
            env: self.env.as_ref().map(|env| &env.id),
            user: self.principal.user().map(|user| user.uid.as_str()),
            method: &self.head.method,
            path: self.head.uri.path(),
            remote: self.connection.remote,
        }
    }
}
