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

use std::borrow::Cow;
use std::sync::Arc;

use http::{Method, Response};

use crate::access::Access;
use crate::body::Body;
use crate::call::{self, Call};
use crate::error::{Error, Kind, Result};
use crate::ids::{EnvId, RequestId};
use crate::policy::RoutePolicy;
use crate::reply::ResponseFuture;

/// Everything that the gateway must know of a route before the service sees a request.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// Stable name, `service.endpoint`: metric label, log field, key of the stranger test.
    pub name: &'static str,
    /// The one method; a second method is a second route. Whoever answers `GET` answers `HEAD` too (RFC 9110 section 9.3.2): the
    /// gateway leaves the body out.
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
    /// The specification's policy, or one of its own.
    pub policy: RoutePolicy,
    /// What stands before the specification's path.
    prefix: Option<Arc<str>>,
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
    /// For requests in this environment. A configured route counts where host or query name it; what a service publishes,
    /// where the host means it: a link must not put one environment's page in the place of another's.
    Env(EnvId),
}

/// Takes the routes of a service while the server serves: HTTP functions, hosting, answers to certificate challenges.
pub trait PublishRoutes: Send + Sync {
    /// Puts these routes in the place of those that the same owner published in this scope before; none withdraws them.
    /// Requests that are under way end with the routes that they began with.
    ///
    /// # Errors
    /// `InvalidParameter` for a path that belongs to a service, or that cannot stand beside another; `AlreadyExists` for one
    /// that somebody else has; `LimitExceeded`. On an error nothing changed.
    fn publish(&self, owner: &'static str, scope: &RouteScope, routes: Vec<Route>) -> Result<()>;
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

/// The longest prefix of a route in bytes.
const PREFIX_BYTES_MAX: usize = 1024;

// === impl Route ===

impl Route {
    /// One endpoint of a service that is alive.
    pub fn new<S: Send + Sync + 'static>(service: &Arc<S>, endpoint: &'static Endpoint<S>) -> Self {
        Self {
            spec: &endpoint.spec,
            scope: RouteScope::Everywhere,
            policy: endpoint.spec.policy,
            prefix: None,
            handle: Arc::new(Bound { service: Arc::clone(service), handle: endpoint.handle }),
        }
    }

    /// The same route for one host or one environment alone.
    #[must_use]
    pub fn in_scope(self, scope: RouteScope) -> Self {
        Self { scope, ..self }
    }

    /// The same route with a policy of its own.
    #[must_use]
    pub fn with_policy(self, policy: RoutePolicy) -> Self {
        Self { policy, ..self }
    }

    /// The same route below a prefix that was chosen at run time, such as `/hello`; the specification's `/` is then the
    /// prefix itself, and its `/{*rest}` what is below. A prefix is compared as clients send it, so that what is not ASCII
    /// stands in it percent-encoded.
    ///
    /// # Errors
    /// `InvalidParameter` for a prefix that no request could have.
    pub fn below(self, prefix: &str) -> Result<Self> {
        if !is_prefix(prefix) {
            let message = format!(
                "a path is `/` with segments between, without `{{`, `}}`, `?`, `#` and dots alone, at most {PREFIX_BYTES_MAX} bytes"
            );
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        Ok(Self { prefix: Some(prefix.into()), ..self })
    }

    /// Its path with the prefix, in the form of [`RouteSpec::path`].
    pub fn path(&self) -> Cow<'static, str> {
        match (&self.prefix, self.spec.path) {
            (None, path) => path.into(),
            (Some(prefix), "/") => prefix.to_string().into(),
            (Some(prefix), path) => format!("{prefix}{path}").into(),
        }
    }

    /// Answers one call.
    pub fn call(&self, call: Call) -> ResponseFuture {
        self.handle.call(call)
    }
}

/// Whether a text is the literal beginning of paths that clients may send (RFC 3986 section 3.3), in the one spelling that the
/// gateway lets pass: only what is not ASCII is escaped, in upper case.
fn is_prefix(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
    let is_escape = |escaped: &str| {
        let digits = escaped.as_bytes().get(..2);
        digits.is_some_and(|digits| {
            let is_high = matches!(digits[0], b'8' | b'9' | b'A'..=b'F');
            is_high && matches!(digits[1], b'0'..=b'9' | b'A'..=b'F')
        })
    };
    let is_segment =
        |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(is_plain);
    text.len() <= PREFIX_BYTES_MAX
        && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment))
        && text.split('%').skip(1).all(is_escape)
        && call::decode(text, false).is_ok()
}

/// Binds a service to its list.
pub fn bind<S: Send + Sync + 'static>(
    service: &Arc<S>,
    endpoints: &'static [Endpoint<S>],
) -> Vec<Route> {
    endpoints.iter().map(|endpoint| Route::new(service, endpoint)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::access::Access;

    struct Nothing;

    const ENDPOINTS: &[Endpoint<Nothing>] = &[at("/"), at("/{*rest}")];

    const fn at(path: &'static str) -> Endpoint<Nothing> {
        Endpoint {
            spec: RouteSpec {
                name: "test.nothing",
                method: Method::GET,
                path,
                access: Access::Public,
                policy: RoutePolicy::ORDINARY,
                render_error: |_, _| Response::new(Body::Empty),
            },
            handle: |_, _| Box::pin(async { Ok(Response::new(Body::Empty).into()) }),
        }
    }

    #[test]
    fn a_prefix_that_is_chosen_at_run_time_stands_before_the_path() {
        let routes = bind(&Arc::new(Nothing), ENDPOINTS);
        let paths = |prefix: &str| {
            let below = routes.iter().map(|route| route.clone().below(prefix));
            below.map(|route| route.map(|route| route.path())).collect::<Result<Vec<_>>>()
        };
        assert_eq!(paths("/hello").unwrap(), ["/hello", "/hello/{*rest}"]);
        assert_eq!(paths("/a/%E4%BA%91").unwrap(), ["/a/%E4%BA%91", "/a/%E4%BA%91/{*rest}"]);
        let long = format!("/{}", "a".repeat(PREFIX_BYTES_MAX));
        for bad in [
            "", "hello", "/", "/a/", "//a", "/a/../b", "/.", "/{a}", "/a?b", "/云", "/%4", "/%61",
            "/a%2Fb", "/%e4", &long,
        ] {
            assert_eq!(paths(bad).unwrap_err().kind(), Kind::InvalidParameter, "{bad}");
        }
    }
}
