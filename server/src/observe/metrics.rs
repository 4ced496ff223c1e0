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
use yunzhan_base::event::{
    AttackKind, AttackSuspected, Event, Observe, RequestEnded, SqlEnded, TaskEnded,
};
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
struct AttackLabels {
    kind: &'static str,
    refused: &'static str,
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
struct TaskLabels {
    task: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskDurationLabels {
    task: &'static str,
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
    attacks: Family<AttackLabels, Counter>,
    sql_durations: HistogramFamily<OperationLabels>,
    sql_failures: Family<FailureLabels, Counter>,
    task_runs: Family<TaskLabels, Counter>,
    task_durations: HistogramFamily<TaskDurationLabels>,
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
    /// Of requests in no environment, and in those beyond the bound.
    elsewhere: ByClass,
    by_env: HashMap<EnvId, ByClass>,
}

type ByClass = [Counter; 5];

// === impl Resolved ===

impl Resolved {
    /// What to count a request with; none when the table must be written anew first.
    fn find(&self, route: &str, env: Option<&EnvId>) -> Option<(&Histogram, &ByClass)> {
        let is_full = || self.routes.len() >= ROUTES_MAX;
        let known = self.routes.get(route).or_else(|| self.routes.get(OTHER).filter(|_| is_full()));
        let Route { duration, elsewhere, by_env } = known?;
        let counters = match env {
            None => elsewhere,
            Some(env) => match by_env.get(env) {
                Some(counters) => counters,
                None if by_env.len() >= ENVS_MAX => elsewhere,
                None => return None,
            },
        };
        Some((duration, counters))
    }
}

fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

// === impl Metrics ===

impl Metrics {
    /// Metrics of these routes; others are met later.
    pub(crate) fn new<'r>(routes: impl IntoIterator<Item = &'r RouteSpec>) -> Self {
        let tiers: HashMap<_, _> =
            routes.into_iter().map(|spec| (spec.name, spec.policy.goal.name())).collect();
        let mut metrics = Self {
            registry: Registry::with_prefix("yunzhan"),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            connections_failed: Family::default(),
            attacks: Family::default(),
            sql_durations: Family::new_with_constructor(durations),
            sql_failures: Family::default(),
            task_runs: Family::default(),
            task_durations: Family::new_with_constructor(durations),
            process: process::Gauges::default(),
            tiers,
            resolved: Live::new(Resolved::default()),
            resolving: Mutex::default(),
        };
        metrics.register();
        let names: Vec<_> = metrics.tiers.keys().copied().collect();
        for route in names.into_iter().chain(["none", "files", OTHER]) {
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
            "attacks",
            "Requests in which rules saw what looks like an attack, by each kind that they saw",
            self.attacks.clone(),
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
        registry.register(
            "task_runs",
            "Runs of background tasks that ended, by outcome",
            self.task_runs.clone(),
        );
        registry.register(
            "task_duration_seconds",
            "How long runs of background tasks took",
            self.task_durations.clone(),
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
        if !self.count(request) {
            self.resolve(request.route, request.env);
            self.count(request);
        }
    }

    /// Counts a request whose route and environment were met before.
    fn count(&self, request: &RequestEnded<'_>) -> bool {
        let resolved = self.resolved.peek();
        let Some((duration, counters)) = resolved.find(request.route, request.env) else {
            return false;
        };
        counters[class_index(request.status)].inc();
        duration.observe(seconds(request.duration_us));
        true
    }

    /// Writes the table anew, with this route and environment where the bounds leave room for them.
    fn resolve(&self, route: &'static str, env: Option<&EnvId>) {
        let _one_at_a_time = self.resolving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut resolved = Resolved::clone(&self.resolved.load());
        let has_room = resolved.routes.len() < ROUTES_MAX || resolved.routes.contains_key(route);
        let route = if has_room { route } else { OTHER };
        let tier = self.tiers.get(route).copied().unwrap_or("ordinary");
        let row = resolved.routes.entry(route).or_insert_with(|| Route {
            duration: self.durations.get_or_create(&DurationLabels { route, tier }).clone(),
            elsewhere: self.by_class(route, ""),
            by_env: HashMap::new(),
        });
        if let Some(env) = env.filter(|_| row.by_env.len() < ENVS_MAX) {
            row.by_env.insert(env.clone(), self.by_class(route, env.as_str()));
        }
        self.resolved.store(resolved);
    }

    fn by_class(&self, route: &'static str, env: &str) -> ByClass {
        CLASSES.map(|class| {
            let labels = RequestLabels { route, env: env.to_owned(), class };
            self.requests.get_or_create(&labels).clone()
        })
    }

    /// A request counts once for each kind of attack that rules saw in it.
    fn attack_suspected(&self, attack: &AttackSuspected<'_>) {
        let refused = if attack.is_refused { "true" } else { "false" };
        for kind in AttackKind::ALL {
            if attack.matches.iter().any(|matched| matched.attack == kind) {
                let labels = AttackLabels { kind: kind.name(), refused };
                self.attacks.get_or_create(&labels).inc();
            }
        }
    }

    fn sql_ended(&self, sql: SqlEnded) {
        let operation = sql.operation;
        let labels = OperationLabels { operation };
        self.sql_durations.get_or_create(&labels).observe(seconds(sql.duration_us));
        if let Some(kind) = sql.failed {
            let labels = FailureLabels { operation, error: kind.name() };
            self.sql_failures.get_or_create(&labels).inc();
        }
    }

    fn task_ended(&self, ended: &TaskEnded<'_>) {
        let (task, outcome) = (ended.name, ended.outcome.name());
        self.task_runs.get_or_create(&TaskLabels { task, outcome }).inc();
        let labels = TaskDurationLabels { task };
        self.task_durations.get_or_create(&labels).observe(seconds(ended.duration_us));
    }
}

impl Observe for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::RequestEnded(request) => self.request_ended(request),
            Event::AttackSuspected(attack) => self.attack_suspected(attack),
            Event::ConnectionFailed(failed) => {
                self.connections_failed
                    .get_or_create(&ReasonLabels { reason: failed.reason })
                    .inc();
            }
            Event::SqlEnded(sql) => self.sql_ended(*sql),
            Event::TaskEnded(ended) => self.task_ended(ended),
            Event::Notice(_) => {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

fn class_index(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use http::Method;
    use yunzhan_base::RequestId;
    use yunzhan_base::event::Outcome;

    use super::*;

    fn request(metrics: &Metrics, route: &'static str, env: &str, status: StatusCode) {
        metrics.observe(&Event::RequestEnded(RequestEnded {
            request_id: RequestId::NONE,
            route,
            env: env.parse().ok().as_ref(),
            user: None,
            method: &Method::GET,
            path: "/",
            status,
            body_bytes_sent: 0,
            duration_us: 1500,
            remote: ([127, 0, 0, 1], 1).into(),
            protocol: "h2",
            tls: false,
            error: None,
            outcome: Outcome::Complete,
        }));
    }

    fn counted(metrics: &Metrics, labels: &str) -> Option<u64> {
        let line = format!("yunzhan_requests_total{{{labels}}} ");
        let text = metrics.render();
        text.lines()
            .find_map(|found| found.strip_prefix(&line))
            .and_then(|count| count.parse().ok())
    }

    #[test]
    fn requests_count_by_route_environment_and_class() {
        let metrics = Metrics::new([]);
        for status in [StatusCode::OK, StatusCode::CREATED, StatusCode::NOT_FOUND] {
            request(&metrics, "shop.list", "demo", status);
        }
        request(&metrics, "none", "", StatusCode::NOT_FOUND);
        assert_eq!(counted(&metrics, r#"route="shop.list",env="demo",class="2xx""#), Some(2));
        assert_eq!(counted(&metrics, r#"route="shop.list",env="demo",class="4xx""#), Some(1));
        assert_eq!(counted(&metrics, r#"route="none",env="",class="4xx""#), Some(1));
        let text = metrics.render();
        assert!(
            text.contains(r#"bucket{le="0.002",route="shop.list",tier="ordinary"} 3"#),
            "{text}"
        );
    }

    #[test]
    fn labels_are_bounded() {
        let metrics = Metrics::new([]);
        for number in 0..ENVS_MAX + 5 {
            request(&metrics, "shop.list", &format!("e{number}"), StatusCode::OK);
        }
        assert_eq!(counted(&metrics, r#"route="shop.list",env="",class="2xx""#), Some(5));
        for number in 0..ROUTES_MAX + 5 {
            let name: &'static str = Box::leak(format!("r{number}").into());
            request(&metrics, name, "", StatusCode::OK);
        }
        let others = counted(&metrics, r#"route="other",env="",class="2xx""#).unwrap();
        assert!((5..=10).contains(&others), "{others}");
    }
}
