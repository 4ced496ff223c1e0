//! Counters and histograms for Prometheus. [`requests`] is the table that bounds their labels; [`labels`] lists every label.

mod durations;
mod gauges;
mod labels;
mod requests;
#[cfg(test)]
mod tests;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use yunzhan_base::RouteSpec;
use yunzhan_base::event::{AttackKind, AttackSuspected, Event, Observe, SqlEnded, TaskEnded};

use durations::HistogramFamily;
use gauges::Gauges;
use requests::Requests;

use crate::process;

/// Takes events, gives the text that Prometheus reads.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Requests,
    connections_failed: Family<labels::ConnectionFailure, Counter>,
    attacks: Family<labels::Attack, Counter>,
    sql_durations: HistogramFamily<labels::SqlDuration>,
    sql_failures: Family<labels::SqlFailure, Counter>,
    storage_refuses: Family<labels::Storage, Gauge>,
    task_runs: Family<labels::TaskRun, Counter>,
    task_durations: HistogramFamily<labels::TaskDuration>,
    process: process::Gauges,
    services: Gauges,
}

// === impl Metrics ===

impl Metrics {
    /// Metrics of these routes; others are met later.
    pub(crate) fn new<'r>(routes: impl IntoIterator<Item = &'r RouteSpec>) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("yunzhan"),
            requests: Requests::new(routes),
            connections_failed: Family::default(),
            attacks: Family::default(),
            sql_durations: durations::family(),
            sql_failures: Family::default(),
            storage_refuses: Family::default(),
            task_runs: Family::default(),
            task_durations: durations::family(),
            process: process::Gauges::default(),
            services: Gauges::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        self.requests.register(registry);
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
            "storage_refuses_writes",
            "1 while a database refuses writes, by engine and reason",
            self.storage_refuses.clone(),
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
        let build: Family<labels::Build, Gauge> = Family::default();
        build.get_or_create(&labels::Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "The version that runs", build);
        self.process.register(registry);
        registry.register_collector(Box::new(self.services.clone()));
    }

    /// Shows the services' own numbers from now on.
    pub(crate) fn show(&self, gauges: Vec<yunzhan_base::gauge::Gauge>) {
        self.services.show(gauges);
    }

    /// The present values in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        self.process.refresh();
        let mut text = String::with_capacity(16 << 10);
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }

    /// A request counts once for each kind of attack that rules saw in it.
    fn attack_suspected(&self, attack: &AttackSuspected<'_>) {
        let refused = if attack.is_refused { "true" } else { "false" };
        for kind in AttackKind::ALL {
            if attack.matches.iter().any(|matched| matched.attack == kind) {
                let labels = labels::Attack { kind: kind.name(), refused };
                self.attacks.get_or_create(&labels).inc();
            }
        }
    }

    fn task_ended(&self, ended: &TaskEnded<'_>) {
        let (task, outcome) = (ended.name, ended.outcome.name());
        self.task_runs.get_or_create(&labels::TaskRun { task, outcome }).inc();
        let labels = labels::TaskDuration { task };
        self.task_durations.get_or_create(&labels).observe(durations::seconds(ended.duration_us));
    }

    fn sql_ended(&self, sql: SqlEnded) {
        let operation = sql.operation.name();
        self.sql_durations
            .get_or_create(&labels::SqlDuration { operation })
            .observe(durations::seconds(sql.duration_us));
        if let Some(kind) = sql.failed {
            let labels = labels::SqlFailure { operation, error: kind.name() };
            self.sql_failures.get_or_create(&labels).inc();
        }
    }
}

impl Observe for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::RequestEnded(request) => self.requests.ended(request),
            Event::AttackSuspected(attack) => self.attack_suspected(attack),
            Event::ConnectionFailed(failed) => {
                let labels = labels::ConnectionFailure { reason: failed.reason.name() };
                self.connections_failed.get_or_create(&labels).inc();
            }
            Event::SqlEnded(sql) => self.sql_ended(*sql),
            Event::StorageChanged(changed) => {
                let labels = labels::Storage { engine: changed.engine, reason: changed.fault };
                self.storage_refuses.get_or_create(&labels).set(changed.refuses.into());
            }
            Event::TaskEnded(ended) => self.task_ended(ended),
            Event::AccessEnded(_) | Event::Notice(_) => {}
        }
    }
}
