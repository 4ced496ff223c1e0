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

use http::{Method, Response};

use crate::access::Access;
use crate::body::Body;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::ids::{EnvId, RequestId};
use crate::policy::RoutePolicy;
use crate::reply::ResponseFuture;

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
    /// What the gateway enforces before and while the service answers.
    pub policy: RoutePolicy,
    /// How this route's dialect says no.
    pub render_error: RenderError,
}

/// Turns a refusal into an answer of one dialect.
pub type RenderError = fn(&Error, RequestId) -> Response<Body>;

/// One row of a service's list: the specification and the function that answers.
pub struct Endpoint<S: 'static> {
    /// What the gateway enforces.
    pub spec: RouteSpec,
    /// What the service does.
    pub handle: fn(Arc<S>, Call) -> ResponseFuture,
}

/// A route whose service is bound: what the gateway calls.
#[derive(Clone)]
pub struct Route {
    /// What the gateway enforces.
    pub spec: &'static RouteSpec,
    /// Where it stands.
    pub scope: RouteScope,
    handle: Arc<dyn Handle>,
}

/// Where a route stands. A path of a host counts before the same path of an environment, and that before the one that stands
/// everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum RouteScope {
    /// For every request.
    #[default]
    Everywhere,
    /// For requests to this host, in lower case and without a port.
    Host(String),
    /// For requests in this environment, as host or query name it.
    Env(EnvId),
}

/// Takes the routes of a service while the server serves: HTTP functions, hosting, answers to certificate challenges.
pub trait PublishRoutes: Send + Sync {
    /// Puts these routes in the place of those that the same owner published before; none withdraws them. On an error nothing
    /// changed.
    fn publish(&self, owner: &'static str, routes: Vec<Route>) -> Result<()>;
}

trait Handle: Send + Sync {
    fn call(&self, call: Call) -> ResponseFuture;
}

struct Bound<S: 'static> {
    service: Arc<S>,
    handle: fn(Arc<S>, Call) -> ResponseFuture,
}

impl<S: Send + Sync + 'static> Handle for Bound<S> {
    fn call(&self, call: Call) -> ResponseFuture {
        (self.handle)(Arc::clone(&self.service), call)
    }
}

impl Route {
    /// The same route for one host or one environment alone.
    #[must_use]
    pub fn in_scope(self, scope: RouteScope) -> Self {
        Self { scope, ..self }
    }

    /// Answers one call.
    pub fn call(&self, call: Call) -> ResponseFuture {
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
        scope: RouteScope::Everywhere,
        handle: Arc::new(Bound { service: Arc::clone(service), handle: endpoint.handle }),
    };
    endpoints.iter().map(bind_one).collect()
}
