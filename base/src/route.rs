//! What a service offers: a `const` list of endpoints, each a [`RouteSpec`] with the function that answers it.
//!
//! The gateway's table, the reference of routes and the stranger test are made from these lists, so a route that is not
//! in one does not exist. The shape of a service's list:
//!
//! ```text
//! pub const ROUTES: &[Endpoint<Identity>] = &[
//!     Endpoint { spec: RouteSpec { name: "identity.user_me", method: Method::GET, path: "/auth/v1/user/me", .. }, handle: api::user_me },
//! ];
//! ```

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};

use crate::body::Body;
use crate::call::{Answer, Call};
use crate::error::Error;
use crate::ids::RequestId;

/// Everything that the gateway must know of a route before the service sees a request.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// Stable name, `service.endpoint`: metric label, log field, key of the stranger test.
    pub name: &'static str,
    /// The one method; a second method is a second route.
    pub method: Method,
    /// Path with `{name}` segments; `{*name}` at the end takes the rest.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// How long it may take.
    pub tier: Tier,
    /// The largest body in bytes; a larger one is refused before it is read.
    pub body_bytes_max: usize,
    /// How this route's dialect says no.
    pub render_error: RenderError,
}

/// Turns a refusal into an answer of one dialect.
pub type RenderError = fn(&Error, RequestId) -> Response<Body>;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, also without a token; a token that is sent anyway is not looked at.
    Public,
    /// Whoever holds an access token, anonymous visitors included.
    User,
    /// As `User`, but the token travels in the body, as the member `access_token` of a JSON object. The head names nobody, so
    /// the body is read first, within the route's bound and the budget of all bodies.
    UserInBody,
    /// Whoever holds a key of the environment.
    Server,
    /// Whoever may operate this server: the control listener only.
    Operator,
}

/// How long a request may take (mission row A7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Core: P99 under 200 ms.
    Core,
    /// Ordinary: P99 under 800 ms.
    Ordinary,
    /// Background: cut off at 5 s.
    Background,
    /// What an operator waits for, such as rules that are compiled: cut off at 60 s. The control listener only.
    Chore,
}

impl Tier {
    /// When the gateway gives up on the request. Core and ordinary work gets the background bound too: their figures are
    /// goals for the 99th percentile, and cutting a slow read at its goal would turn a late answer into none.
    pub const fn deadline(self) -> Duration {
        match self {
            Self::Core | Self::Ordinary | Self::Background => Duration::from_secs(5),
            Self::Chore => Duration::from_secs(60),
        }
    }

    /// Label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Ordinary => "ordinary",
            Self::Background => "background",
            Self::Chore => "chore",
        }
    }
}

/// One row of a service's list: the specification and the function that answers.
pub struct Endpoint<S: 'static> {
    /// What the gateway enforces.
    pub spec: RouteSpec,
    /// What the service does.
    pub handle: fn(Arc<S>, Call) -> Answer,
}

/// A route whose service is bound: what the gateway calls.
#[derive(Clone)]
pub struct Route {
    /// What the gateway enforces.
    pub spec: &'static RouteSpec,
    handle: Arc<dyn Handle>,
}

trait Handle: Send + Sync {
    fn call(&self, call: Call) -> Answer;
}

struct Bound<S: 'static> {
    service: Arc<S>,
    handle: fn(Arc<S>, Call) -> Answer,
}

impl<S: Send + Sync + 'static> Handle for Bound<S> {
    fn call(&self, call: Call) -> Answer {
        (self.handle)(Arc::clone(&self.service), call)
    }
}

impl Route {
    /// Answers one call.
    pub fn call(&self, call: Call) -> Answer {
        self.handle.call(call)
    }
}

/// Binds a service to its list.
pub fn bind<S: Send + Sync + 'static>(
    service: &Arc<S>,
    endpoints: &'static [Endpoint<S>],
) -> Vec<Route> {
    let bind_one = |endpoint: &'static Endpoint<S>| Route {
        spec: &endpoint.spec,
        handle: Arc::new(Bound { service: Arc::clone(service), handle: endpoint.handle }),
    };
    endpoints.iter().map(bind_one).collect()
}
