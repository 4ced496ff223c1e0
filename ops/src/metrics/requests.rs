//! Requests by route, environment and class of status.
//!
//! Label sets are resolved once and kept in a table that requests read without a lock; only the first request of a new
//! route or environment writes the table anew. The table is also what bounds the labels: a scanner's paths have no route, and
//! environments and routes beyond the bounds share a series.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use yunzhan_base::event::RequestEnded;
use yunzhan_base::{EnvId, Live, RouteSpec};

use super::durations::{self, HistogramFamily};
use super::labels;

/// Environments of one route that have a label of their own; those beyond share the empty label.
pub(super) const ENVS_MAX: usize = 200;

/// Routes beyond this share `other`: remote routes can be renamed at every reload.
pub(super) const ROUTES_MAX: usize = 1000;

/// Pairs of a route and an environment, over all routes: each costs five series, and Prometheus reads all of them every few
/// seconds. Without this the product of the two bounds above would be a million series.
pub(super) const PAIRS_MAX: usize = 10_000;

/// `1xx` to `5xx`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The name of routes beyond the bound.
const OTHER: &str = "other";

/// Counts requests and their durations.
pub(super) struct Requests {
    counters: Family<labels::Request, Counter>,
    durations: HistogramFamily<labels::RequestDuration>,
    tiers: HashMap<&'static str, &'static str>,
    resolved: Live<Resolved>,
    /// Held while the table is written anew.
    resolving: Mutex<()>,
}

/// What requests find without a lock.
#[derive(Clone, Default)]
struct Resolved {
    routes: HashMap<&'static str, Arc<Route>>,
    /// Entries of all `by_env` together.
    pairs: usize,
}

#[derive(Clone)]
struct Route {
    duration: Histogram,
    /// Of requests in no environment, and in those beyond the bound.
    elsewhere: ByClass,
    by_env: HashMap<EnvId, ByClass>,
}

type ByClass = [Counter; CLASSES.len()];

// === impl Requests ===

impl Requests {
    /// Requests of these routes; others are met later.
    pub(super) fn new<'r>(routes: impl IntoIterator<Item = &'r RouteSpec>) -> Self {
        let tiers: HashMap<_, _> =
            routes.into_iter().map(|spec| (spec.name, spec.policy.goal.name())).collect();
        let requests = Self {
            counters: Family::default(),
            durations: durations::family(),
            tiers,
            resolved: Live::new(Resolved::default()),
            resolving: Mutex::default(),
        };
        let names: Vec<_> = requests.tiers.keys().copied().collect();
        for route in names.into_iter().chain(["none", "files", OTHER]) {
            requests.resolve(route, None);
        }
        requests
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests that ended, by route, environment and class of status",
            self.counters.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "From the parsed head to the last byte of the answer",
            self.durations.clone(),
        );
    }

    /// Counts a request that ended.
    pub(super) fn ended(&self, request: &RequestEnded<'_>) {
        if !self.count(request) {
            self.resolve(request.facts.route, request.facts.env);
            self.count(request);
        }
    }

    /// Counts a request whose route and environment were met before.
    fn count(&self, request: &RequestEnded<'_>) -> bool {
        let resolved = self.resolved.peek();
        let Some((duration, counters)) = resolved.find(request.facts.route, request.facts.env)
        else {
            return false;
        };
        counters[class_index(request.status)].inc();
        duration.observe(durations::seconds(request.duration_us));
        true
    }

    /// Writes the table anew, with this route and environment where the bounds leave room for them.
    fn resolve(&self, route: &'static str, env: Option<&EnvId>) {
        let _one_at_a_time = self.resolving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut resolved = Resolved::clone(&self.resolved.load());
        let has_room = resolved.routes.len() < ROUTES_MAX || resolved.routes.contains_key(route);
        let route = if has_room { route } else { OTHER };
        let tier = self.tiers.get(route).copied().unwrap_or("ordinary");
        let has_room = resolved.pairs < PAIRS_MAX;
        let row = resolved.routes.entry(route).or_insert_with(|| Arc::new(self.route(route, tier)));
        if let Some(env) = env.filter(|_| has_room && row.by_env.len() < ENVS_MAX) {
            let counters = self.by_class(route, env.as_str());
            // Copies this route's environments and no other's.
            let is_new = Arc::make_mut(row).by_env.insert(env.clone(), counters).is_none();
            resolved.pairs += usize::from(is_new);
        }
        self.resolved.store(resolved);
    }

    fn route(&self, route: &'static str, tier: &'static str) -> Route {
        let labels = labels::RequestDuration { route, tier };
        Route {
            duration: self.durations.get_or_create(&labels).clone(),
            elsewhere: self.by_class(route, ""),
            by_env: HashMap::new(),
        }
    }

    fn by_class(&self, route: &'static str, env: &str) -> ByClass {
        CLASSES.map(|class| {
            let labels = labels::Request { route, env: env.to_owned(), class };
            self.counters.get_or_create(&labels).clone()
        })
    }
}

// === impl Resolved ===

impl Resolved {
    /// What to count a request with; none when the table must be written anew first.
    fn find(&self, route: &str, env: Option<&EnvId>) -> Option<(&Histogram, &ByClass)> {
        let is_full = || self.routes.len() >= ROUTES_MAX;
        let known = self.routes.get(route).or_else(|| self.routes.get(OTHER).filter(|_| is_full()));
        let Route { duration, elsewhere, by_env } = &**known?;
        let counters = match env {
            None => elsewhere,
            Some(env) => match by_env.get(env) {
                Some(counters) => counters,
                None if by_env.len() >= ENVS_MAX || self.pairs >= PAIRS_MAX => elsewhere,
                None => return None,
            },
        };
        Some((duration, counters))
    }
}

fn class_index(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}
