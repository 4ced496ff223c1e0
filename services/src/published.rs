//! Routes that a service adds and removes while the server serves: HTTP functions, hosting, answers to challenges.
//!
//! ```text
//! static HELLO: Endpoint<Function> = Endpoint { spec: RouteSpec { name: "functions.http", path: "/{*rest}", .. }, handle };
//!
//! let route = Route::new(&function, &HELLO).below("/hello")?.with_policy(policy);
//! self.routes.publish(&RouteScope::Env(env), vec![route])?;
//! ```
//!
//! The specification stands in [`Service::published`](crate::service::Service::published), so that metrics and tests know it
//! before anything is published; what is chosen at run time is the prefix, the scope and the policy.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use yunzhan_base::route::{PublishRoutes, RouteScope};
use yunzhan_base::{Error, Kind, Result, Route, RouteSpec};

/// What one service may publish. Clones publish for the same service.
#[derive(Clone, Default)]
pub struct PublishedRoutes {
    owner: &'static str,
    specs: &'static [&'static RouteSpec],
    gateway: Introduction,
}

/// The gateway, once it is known: services are open before it. Clones know the same one.
#[derive(Clone, Default)]
pub struct Introduction(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Weak, for the gateway holds the routes, and those the services.
    gateway: Option<Weak<dyn PublishRoutes>>,
    /// What was published before, by owner and scope.
    waiting: HashMap<(&'static str, RouteScope), Vec<Route>>,
}

/// What was published too early to be refused, and could not stand.
#[derive(Debug)]
pub struct Refused {
    /// Whose it is.
    pub owner: &'static str,
    /// Where it was to stand.
    pub scope: RouteScope,
    /// Why it cannot.
    pub error: Error,
}

// === impl PublishedRoutes ===

impl PublishedRoutes {
    /// What the service of this name may publish: routes of these specifications.
    pub(crate) fn new(
        owner: &'static str,
        specs: &'static [&'static RouteSpec],
        gateway: &Introduction,
    ) -> Self {
        Self { owner, specs, gateway: gateway.clone() }
    }

    /// Puts these routes in the place of all that this service published in the scope before; none withdraws them. What is
    /// published while the server starts is there before the first request. It costs as much as the scope has routes, so
    /// that many are published together.
    ///
    /// # Errors
    /// Those of [`PublishRoutes::publish`], by which nothing changes. A route whose specification the service does not
    /// declare is a fault of ours.
    pub fn publish(&self, scope: &RouteScope, routes: Vec<Route>) -> Result<()> {
        let is_declared =
            |route: &Route| self.specs.iter().any(|spec| spec.name == route.spec.name);
        if let Some(route) = routes.iter().find(|route| !is_declared(route)) {
            let name = route.spec.name;
            return Err(Error::internal(format!("{} does not declare {name}", self.owner)));
        }
        self.gateway.publish(self.owner, scope, routes)
    }
}

impl fmt::Debug for PublishedRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublishedRoutes({})", self.owner)
    }
}

// === impl Introduction ===

impl Introduction {
    /// Introduces the services to the gateway, and publishes what waited. Gives what could not stand: one environment's path
    /// is no reason not to serve the others.
    pub fn begin(&self, gateway: &Arc<dyn PublishRoutes>) -> Vec<Refused> {
        let mut state = self.lock();
        // In an order of its own, so that of two that cannot stand side by side the same one loses at every start.
        let mut waiting: Vec<_> = state.waiting.drain().collect();
        waiting.sort_by_key(|((owner, scope), _)| (*owner, format!("{scope:?}")));
        let refused = waiting.into_iter().filter_map(|((owner, scope), routes)| {
            let error = gateway.publish(owner, &scope, routes).err()?;
            Some(Refused { owner, scope, error })
        });
        let refused = refused.collect();
        state.gateway = Some(Arc::downgrade(gateway));
        refused
    }

    fn publish(&self, owner: &'static str, scope: &RouteScope, routes: Vec<Route>) -> Result<()> {
        // Held meanwhile, so that nothing overtakes what waited.
        let mut state = self.lock();
        let Some(gateway) = &state.gateway else {
            state.waiting.insert((owner, scope.clone()), routes);
            return Ok(());
        };
        let gateway = gateway.upgrade();
        let ended = || Error::new(Kind::Unavailable, "the server is ending");
        gateway.ok_or_else(ended)?.publish(owner, scope, routes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Introduction({} waiting)", self.lock().waiting.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use http::{Method, Response};
    use yunzhan_base::{Access, Body, Endpoint, RoutePolicy};

    use super::*;

    struct Nothing;

    static DECLARED: Endpoint<Nothing> = named("test.declared");
    static OTHER: Endpoint<Nothing> = named("test.other");
    static SPECS: &[&RouteSpec] = &[&DECLARED.spec];

    const fn named(name: &'static str) -> Endpoint<Nothing> {
        Endpoint {
            spec: RouteSpec {
                name,
                method: Method::GET,
                path: "/",
                access: Access::Public,
                policy: RoutePolicy::ORDINARY,
                render_error: |_, _| Response::new(Body::Empty),
            },
            handle: |_, _| Box::pin(async { Ok(Response::new(Body::Empty).into()) }),
        }
    }

    /// Writes down what is published, and takes no path with `bad` in it.
    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl PublishRoutes for Seen {
        fn publish(
            &self,
            owner: &'static str,
            scope: &RouteScope,
            routes: Vec<Route>,
        ) -> Result<()> {
            let paths: Vec<_> = routes.iter().map(|route| route.path().into_owned()).collect();
            if paths.iter().any(|path| path.contains("bad")) {
                return Err(Error::new(Kind::AlreadyExists, "taken"));
            }
            self.0.lock().unwrap().push(format!("{owner} {scope:?} {}", paths.join(" ")));
            Ok(())
        }
    }

    fn at(path: &str) -> Vec<Route> {
        vec![Route::new(&Arc::new(Nothing), &DECLARED).below(path).unwrap()]
    }

    #[test]
    fn what_is_published_before_the_gateway_is_known_waits_for_it() {
        let introduction = Introduction::default();
        let own = PublishedRoutes::new("functions", SPECS, &introduction);
        let others = PublishedRoutes::new("hosting", SPECS, &introduction);
        let everywhere = RouteScope::Everywhere;
        own.publish(&everywhere, at("/replaced")).unwrap();
        own.publish(&everywhere, at("/first")).unwrap();
        others.publish(&everywhere, at("/bad")).unwrap();
        let seen = Arc::new(Seen::default());
        let gateway: Arc<dyn PublishRoutes> = Arc::clone(&seen) as _;
        let refused = introduction.begin(&gateway);
        let refused: Vec<_> = refused.iter().map(|it| (it.owner, it.error.kind())).collect();
        assert_eq!(refused, [("hosting", Kind::AlreadyExists)]);
        others.publish(&everywhere, at("/page")).unwrap();
        assert_eq!(
            others.publish(&everywhere, at("/bad")).unwrap_err().kind(),
            Kind::AlreadyExists
        );
        assert_eq!(
            *seen.0.lock().unwrap(),
            ["functions Everywhere /first", "hosting Everywhere /page"]
        );
        drop((seen, gateway));
        let ended = own.publish(&everywhere, Vec::new()).unwrap_err();
        assert_eq!(ended.kind(), Kind::Unavailable);
    }

    #[test]
    fn a_service_publishes_what_it_declares_alone() {
        let own = PublishedRoutes::new("functions", SPECS, &Introduction::default());
        let other = vec![Route::new(&Arc::new(Nothing), &OTHER)];
        let error = own.publish(&RouteScope::Everywhere, other).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.log_text().contains("functions does not declare test.other"));
    }
}
