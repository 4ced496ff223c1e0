//! The typed facts of one request. Each stage fills its own; later stages read them.
//!
//! An exchange is plain data: a test makes one by hand ([`Exchange::new`]) and shows it to a stage.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::{HeaderName, HeaderValue, Response, request};
use tokio::sync::OwnedSemaphorePermit;
use yunzhan_base::call::Params;
use yunzhan_base::context::Trace;
use yunzhan_base::env::Env;
use yunzhan_base::event::RequestFacts;
use yunzhan_base::policy::RoutePolicy;
use yunzhan_base::route::RenderError;
use yunzhan_base::{Access, Body, Error, Principal, RequestId, Result, Upgrade};
use yunzhan_net::http::Tunnel;
use yunzhan_waf::Transaction;

use crate::activity::Activity;
use crate::body::RequestBody;
use crate::connection_counts::AddressPermit;
use crate::head_scan::Lengths;

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
    _places: Places,
}

/// What a connection takes up. It is given back with the facts, which an upgraded connection keeps until its socket ends.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) _of_listener: Option<OwnedSemaphorePermit>,
    pub(crate) _of_address: Option<AddressPermit>,
}

/// One request on its way.
pub struct Exchange {
    /// Names the request in answers, logs and events.
    pub request_id: RequestId,
    /// When its head was parsed.
    pub started: Instant,
    /// What is true of its connection.
    pub connection: Arc<ConnectionFacts>,
    /// The client's address, behind trusted proxies: what limits, bans, logs and rules go by.
    pub client: SocketAddr,
    /// Whether the client speaks HTTPS, to us or to a trusted proxy.
    pub is_https: bool,
    /// The distributed trace that the request belongs to.
    pub trace: Trace,
    /// Method, target and headers as sent.
    pub head: request::Parts,
    /// What the head said of its body's length, before hyper repaired it.
    pub(crate) lengths: Option<Lengths>,
    /// The body: unread, held, or gone to whoever answers.
    pub(crate) body: RequestBody,
    /// How a refusal is rendered: plainly, until `route` knows the dialect of the path.
    pub(crate) render_error: RenderError,
    /// Filled by `route`: which route, with which parameters.
    pub(crate) matched: Option<Matched>,
    /// Filled by `route` from host and query, or by `auth` from the token.
    pub env: Option<Arc<Env>>,
    /// Filled by `auth`.
    pub principal: Principal,
    /// Filled by `cors`: a browser asks whether it may ask. Nobody is logged in yet.
    pub is_preflight: bool,
    /// The methods that the path knows, when it does not know this one.
    pub(crate) allow: Option<HeaderValue>,
    /// Why it was refused, when it was.
    pub error: Option<Error>,
    /// Whether the connection must not carry another request: its framing cannot be trusted.
    pub close: bool,
    /// Filled by `waf`: what rules saw so far.
    pub(crate) rules: Option<RuleState>,
}

/// The rules' view of a request. While a body streams, the stream feeds it; then the lock tells who may.
pub(crate) enum RuleState {
    /// Nobody else looks.
    Own(Box<Transaction>),
    /// A streaming body feeds it.
    Shared(Arc<Mutex<Box<Transaction>>>),
}

/// One row of the routing table: what the gateway does with the requests of one route, and who answers them.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) access: Access,
    pub(crate) policy: RoutePolicy,
    pub(crate) render_error: RenderError,
    /// Whether `env` and `client_id` in a query name an environment: they are words of our dialects, and mean what a team
    /// wants in its own API.
    pub(crate) env_in_query: bool,
    pub(crate) parameter_names: Vec<&'static str>,
    pub(crate) upstream: Arc<dyn Upstream>,
}

/// The rule that a request matched, with its parameters.
pub(crate) struct Matched {
    pub(crate) rule: Arc<Rule>,
    pub(crate) params: Params,
}

/// Whoever answers: a service of this process, a server elsewhere, a folder.
pub(crate) trait Upstream: Send + Sync {
    /// Answers. Called once for an exchange, after every stage let it pass.
    fn answer<'x>(&'x self, exchange: &'x mut Exchange) -> UpstreamFuture<'x>;

    /// Why a request whose method the path does not know is refused, where that hangs on what is at the path.
    fn refusal<'x>(
        &'x self,
        _path: &'x str,
    ) -> Option<Pin<Box<dyn Future<Output = Error> + Send + 'x>>> {
        None
    }
}

/// An answer, once it is known.
pub(crate) type UpstreamFuture<'x> = Pin<Box<dyn Future<Output = Result<Answered>> + Send + 'x>>;

/// What came of it.
pub(crate) enum Answered {
    /// A response.
    Response(Response<Body>),
    /// A service takes the connection over as a WebSocket.
    Upgrade(Upgrade),
    /// An upstream switched protocols, with this head; bytes travel both ways from now on.
    Tunnel(Response<Body>, Tunnel),
}

/// W3C Trace Context, section 3.2.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl Exchange {
    /// An exchange that no stage has seen.
    pub(crate) fn new(
        request_id: RequestId,
        head: request::Parts,
        body: Body,
        connection: Arc<ConnectionFacts>,
        render_error: RenderError,
    ) -> Self {
        let sent = head.headers.get(&TRACEPARENT).and_then(|sent| Trace::parse(sent.as_bytes()));
        Self {
            request_id,
            started: Instant::now(),
            client: connection.remote,
            is_https: connection.tls,
            connection,
            trace: sent.unwrap_or_else(|| Trace::begin(request_id)),
            head,
            lengths: None,
            body: RequestBody::new(body),
            render_error,
            matched: None,
            env: None,
            principal: Principal::Nobody,
            is_preflight: false,
            allow: None,
            error: None,
            close: false,
            rules: None,
        }
    }

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
            remote: self.client,
        }
    }

    /// The route's policy, once one matched.
    pub fn policy(&self) -> Option<&RoutePolicy> {
        self.matched.as_ref().map(|matched| &matched.rule.policy)
    }
}

// === impl RuleState ===

impl RuleState {
    /// Looks at the transaction, or feeds it.
    pub(crate) fn with<T>(&mut self, look: impl FnOnce(&mut Transaction) -> T) -> T {
        match self {
            Self::Own(transaction) => look(transaction),
            Self::Shared(shared) => {
                look(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    /// Shares it with a body that streams.
    pub(crate) fn share(self) -> (Self, Arc<Mutex<Box<Transaction>>>) {
        let shared = match self {
            Self::Own(transaction) => Arc::new(Mutex::new(transaction)),
            Self::Shared(shared) => shared,
        };
        (Self::Shared(Arc::clone(&shared)), shared)
    }
}

impl ConnectionFacts {
    pub(crate) fn new(remote: SocketAddr, tls: bool, protocol: &'static str) -> Self {
        Self { remote, tls, protocol, activity: Activity::new(), _places: Places::default() }
    }

    /// The same with what the connection takes up.
    pub(crate) fn holding(self, places: Places) -> Self {
        Self { _places: places, ..self }
    }
}
