//! Counters and histograms for Prometheus.
//!
//! Label sets are resolved once and kept in a table that requests read without a lock; only the first request of a new
//! route or environment writes the table anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use yunzhan_base::event::{Event, Observe, RequestEnded, SqlEnded};
use yunzhan_base::{EnvId, Live, RouteSpec};

use super::super::process;

/// Environments that have a label of their own; those beyond share the empty label, so that labels stay bounded.
const ENVS_MAX: usize = 200;

/// Routes beyond this share `other`: remote routes can be renamed at every reload.
const ROUTES_MAX: usize = 1000;

/// Seconds. 200 ms, 800 ms and 5 s are the goals of the response tiers (mission row A7).
const DURATION_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.8, 2.0, 5.0];

/// `1xx` to `5xx`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The name of routes beyond the bound.
const OTHER: &str = "other";

type HistogramFamily<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    env: String,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    route: &'static str,
    tier: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    operation: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// Takes events, gives the text that Prometheus reads.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: HistogramFamily<DurationLabels>,
    connections_failed: Family<ReasonLabels, Counter>,
    sql_durations: HistogramFamily<OperationLabels>,
    sql_failures: Family<FailureLabels, Counter>,
    process: process::Gauges,
    tiers: HashMap<&'static str, &'static str>,
    resolved: Live<Resolved>,
    /// Held while the table is written anew.
    resolving: Mutex<()>,
}

/// What requests find without a lock.
#[derive(Clone, Default)]
struct Resolved {
    routes: HashMap<&'static str, Route>,
}

#[derive(Clone)]
struct Route {
    duration: Histogram,
    by_env: HashMap<Option<EnvId>, [Counter; 5]>,
}

fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

// === impl Metrics ===

impl Metrics {
    /// Metrics of these routes; others are met later.
    pub(crate) fn new<'r>(routes: impl IntoIterator<Item = &'r RouteSpec>) -> Self {
        let tiers: HashMap<_, _> =
            routes.into_iter().map(|spec| (spec.name, spec.tier.name())).collect();
        let mut metrics = Self {
            registry: Registry::with_prefix("yunzhan"),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            connections_failed: Family::default(),
            sql_durations: Family::new_with_constructor(durations),
            sql_failures: Family::default(),
            process: process::Gauges::default(),
            tiers,
            resolved: Live::new(Resolved::default()),
            resolving: Mutex::default(),
        };
        metrics.register();
        let names: Vec<_> = metrics.tiers.keys().copied().collect();
        for route in names.into_iter().chain(["none", "files"]) {
            metrics.resolve(route, None);
        }
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "requests",
            "Requests that ended, by route, environment and class of status",
            self.requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "From the parsed head to the last byte of the answer",
            self.durations.clone(),
        );
        registry.register(
            "connections_failed",
            "Connections that broke or were refused, by reason",
            self.connections_failed.clone(),
        );
        registry.register(
            "sql_duration_seconds",
            "How long callers waited for the SQL engine",
            self.sql_durations.clone(),
        );
        registry.register(
            "sql_failures",
            "Statements and units that failed, by error",
            self.sql_failures.clone(),
        );
        let build: Family<BuildLabels, Gauge> = Family::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "The version that runs", build);
        self.process.register(registry);
    }

    /// The present values in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        self.process.refresh();
        let mut text = String::with_capacity(16 << 10);
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }

    fn request_ended(&self, request: &RequestEnded<'_>) {
        let class = class_index(request.status);
        let count = |resolved: &Resolved, route: &str, env: Option<&EnvId>| {
            let Some(route) = resolved.routes.get(route) else { return false };
            // The key is an Option, so that looking one up costs a clone of an Arc and nothing more.
            let Some(counters) = route.by_env.get(&env.cloned()) else { return false };
            counters[class].inc();
            #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
            route.duration.observe(request.duration_us as f64 / 1e6);
            true
        };
        if !count(&self.resolved.peek(), request.route, request.env) {
            let (route, env) = self.resolve(request.route, request.env);
            count(&self.resolved.peek(), route, env.as_ref());
        }
    }

    /// Writes the table anew with this route and environment, or with what stands for them beyond a bound.
    fn resolve(&self, route: &'static str, env: Option<&EnvId>) -> (&'static str, Option<EnvId>) {
        let _one_at_a_time = self.resolving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut resolved = Resolved::clone(&self.resolved.load());
        let route = if resolved.routes.len() < ROUTES_MAX || resolved.routes.contains_key(route) {
            route
        } else {
            OTHER
        };
        let tier = self.tiers.get(route).copied().unwrap_or("ordinary");
        let row = resolved.routes.entry(route).or_insert_with(|| Route {
            duration: self.durations.get_or_create(&DurationLabels { route, tier }).clone(),
            by_env: HashMap::new(),
        });
        let env = env.filter(|_| row.by_env.len() < ENVS_MAX);
        let label = env.map_or("", EnvId::as_str).to_owned();
        let counters = CLASSES.map(|class| {
            self.requests.get_or_create(&RequestLabels { route, env: label.clone(), class }).clone()
        });
        row.by_env.insert(env.cloned(), counters);
        self.resolved.store(resolved);
        (route, env.cloned())
    }

    fn sql_ended(&self, sql: SqlEnded) {
        let operation = sql.operation;
        #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
        let seconds = sql.duration_us as f64 / 1e6;
        self.sql_durations.get_or_create(&OperationLabels { operation }).observe(seconds);
        if let Some(kind) = sql.failed {
            let labels = FailureLabels { operation, error: kind.name() };
            self.sql_failures.get_or_create(&labels).inc();
        }
    }
}

impl Observe for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::RequestEnded(request) => self.request_ended(request),
            Event::ConnectionFailed(failed) => {
                self.connections_failed
                    .get_or_create(&ReasonLabels { reason: failed.reason })
                    .inc();
            }
            Event::SqlEnded(sql) => self.sql_ended(*sql),
            Event::Notice(_) => {}
        }
    }
}

fn class_index(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}
