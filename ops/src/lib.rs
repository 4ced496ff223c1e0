//! What operators see of the server, and what they may break on purpose: the access log, metrics, attempts, notices on the
//! standard error, the audit's ledger, plans of faults.
//!
//! Everything here but the ledger is made of events: a crate emits one struct of `yunzhan_base::event`, and the observers of
//! [`Ops::events`] make a log line, a counter and a row of it. [`control`] lists the routes.

mod access_log;
mod attempts;
mod config;
pub mod control;
mod fault;
mod ledger;
mod line;
mod metrics;
mod notices;
pub mod process;
mod table;
mod timestamp;

use std::path::PathBuf;
use std::sync::Arc;

use yunzhan_base::event::{Events, Observe};
use yunzhan_base::fault::Faults;
use yunzhan_base::gauge::Gauge;
use yunzhan_base::{Clock, Error, Kind, Result, RouteSpec};

use access_log::AccessLog;
pub use access_log::Keep;
use attempts::Attempts;
pub use config::Config;
pub use ledger::FileLedger;
use metrics::Metrics;
pub use notices::Notices;

/// What the observers are opened with.
pub struct Parts<R> {
    /// Which of them there are.
    pub config: Config,
    /// The file of the access log.
    pub access_log: PathBuf,
    /// Whether notices are JSON.
    pub json: bool,
    /// Dates lines, and ends what is counted by time.
    pub clock: Clock,
    /// The faults that control may set.
    pub faults: Faults,
    /// The routes that metrics know from the start.
    pub routes: R,
    /// Whoever else observes: what acts on events, such as the gateway's open sockets.
    pub others: Vec<Arc<dyn Observe>>,
}

/// Everyone who observes, and what they know.
pub struct Ops {
    clock: Clock,
    events: Events,
    metrics: Arc<Metrics>,
    attempts: Arc<Attempts>,
    access_log: Option<Arc<AccessLog>>,
    faults: Faults,
}

// === impl Ops ===

impl Ops {
    /// Opens the access log and begins to count.
    pub fn open<'r>(parts: Parts<impl IntoIterator<Item = &'r RouteSpec>>) -> Result<Arc<Self>> {
        let Parts { config, access_log, json, clock, faults, routes, others } = parts;
        let notices: Arc<dyn Observe> = Arc::new(Notices::new(json, clock.clone()));
        let access_log = match config.access_log {
            None => None,
            Some(keep) => {
                let told = Events::to(vec![Arc::clone(&notices)]);
                let opened = AccessLog::open(&access_log, keep, clock.clone(), told);
                Some(Arc::new(opened.map_err(|error| {
                    let message = format!("cannot open {}: {error}", access_log.display());
                    Error::new(Kind::Unavailable, message).because(error)
                })?))
            }
        };
        let metrics = Arc::new(Metrics::new(routes));
        let attempts = Arc::new(Attempts::new(clock.clone()));
        let observers: [Option<Arc<dyn Observe>>; 4] = [
            Some(notices),
            Some(Arc::clone(&metrics) as _),
            Some(Arc::clone(&attempts) as _),
            access_log.as_ref().map(|log| Arc::clone(log) as _),
        ];
        let events = Events::to(observers.into_iter().flatten().chain(others).collect());
        Ok(Arc::new(Self { clock, events, metrics, attempts, access_log, faults }))
    }

    /// Where every crate emits its events.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// Shows these in the metrics from now on: the services are opened after whoever observes them.
    pub fn show(&self, gauges: Vec<Gauge>) {
        self.metrics.show(gauges);
    }

    /// Writes what waits for the access log; lines of events that come later are lost. Connections that outlive the server's
    /// drain hold the log, and its lines must not wait for them.
    pub fn end(&self) {
        if let Some(access_log) = &self.access_log {
            access_log.end();
        }
    }
}
