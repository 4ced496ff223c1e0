//! Background tasks: the one shape of work that lives outside requests.
//!
//! A [`Task`] is a name, a schedule, the nodes that run it, and the work. [`Tasks`] runs a list of them: a run that fails or
//! panics is told and the next one comes all the same; two runs of one task never overlap on a node; a task of one node runs
//! under a lease, and is stopped when its node can no longer count on that. Schedules go by the clock that was passed in.
//!
//! Read [`Task`] first, then [`entry`], which runs one of them.

mod entry;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use yunzhan_base::event::{Events, TaskOutcome};
use yunzhan_base::lease::{Claims, Fence};
use yunzhan_base::{Clock, Error, Kind, Result};

use self::entry::{Entry, Ran};
use crate::shutdown::Shutdown;

/// What the lease of a task is called: `task/` and the task's name.
pub const LEASE_PREFIX: &str = "task/";

/// Work that is done again and again.
#[derive(Clone)]
pub struct Task {
    /// `service.what`, such as `identity.tidy`: its name in control, logs and metrics.
    pub name: &'static str,
    /// When.
    pub schedule: Schedule,
    /// Where.
    pub on: On,
    work: Work,
}

/// When a task runs. (Times of day will be another variant.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// For the first time one period after the start. A run that lasts longer than the period skips what it missed.
    Every {
        /// From the beginning of one run to the beginning of the next.
        period: Duration,
        /// Each run begins up to this much later, at random, so that many nodes do not ask the database at once. At most
        /// the period.
        jitter: Duration,
    },
}

/// Which nodes run a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Each by itself.
    EveryNode,
    /// The one that holds the task's lease.
    OneNode,
}

/// What a run is given.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the writes of a task of one node show (`yunzhan_engine::lease::Leases::fenced`); none on every node.
    pub fence: Option<Fence>,
}

impl Run {
    /// The fence of a task of one node.
    ///
    /// # Errors
    /// `Internal` where the task runs on every node.
    pub fn fenced(self) -> Result<Fence> {
        self.fence.ok_or_else(|| Error::internal("only a task of one node has a fence"))
    }
}

type Work = Arc<dyn Fn(Run) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

/// What tasks are run with.
#[derive(Clone)]
pub struct Parts {
    /// What schedules go by.
    pub clock: Clock,
    /// Who hears of runs.
    pub events: Events,
    /// Who gives leases. Without it there may be no task of one node.
    pub claims: Option<Arc<dyn Claims>>,
}

/// The background tasks of a server. Clones share them.
#[derive(Clone)]
pub struct Tasks(Arc<[Arc<Entry>]>);

/// A task as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: &'static str,
    /// `every_node` or `one_node`.
    pub on: &'static str,
    /// Milliseconds from one run to the next.
    pub period_ms: u64,
    /// By how many milliseconds a run may begin later, at random.
    pub jitter_ms: u64,
    /// The node that runs it, where that is another one.
    pub elsewhere: Option<String>,
    /// When the run in progress began, in milliseconds since 1970.
    pub running_since_ms: Option<i64>,
    /// When the next run is due, in milliseconds since 1970; none when the server does not serve.
    pub next_ms: Option<i64>,
    /// The last run on this node.
    pub last: Option<LastRun>,
    /// Runs on this node since it started.
    pub runs: u64,
    /// Those of them that failed, panicked or were stopped.
    pub failures: u64,
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastRun {
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// `done`, `failed`, `panicked` or `lease_lost`.
    pub outcome: &'static str,
    /// Why, unless it is done; for operators.
    pub error: Option<String>,
}

// === impl Task ===

impl Task {
    /// Does `work` every `period`, on every node, without jitter.
    pub fn every<F>(
        name: &'static str,
        period: Duration,
        work: impl Fn(Run) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let work: Work = Arc::new(move |run| Box::pin(work(run)));
        let schedule = Schedule::Every { period, jitter: Duration::ZERO };
        Self { name, schedule, on: On::EveryNode, work }
    }

    /// The same with runs up to `jitter` later.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        let Schedule::Every { period, .. } = self.schedule;
        self.schedule = Schedule::Every { period, jitter };
        self
    }

    /// The same on one node.
    #[must_use]
    pub fn on_one_node(self) -> Self {
        Self { on: On::OneNode, ..self }
    }

    /// What its lease is called.
    fn lease(&self) -> String {
        format!("{LEASE_PREFIX}{}", self.name)
    }

    fn check(&self, has_claims: bool) -> Result<()> {
        let Schedule::Every { period, jitter } = self.schedule;
        let wrong = match () {
            () if self.name.is_empty() => "it has no name",
            () if period < PERIOD_MIN => "its period is under a millisecond",
            () if jitter > period => "its jitter is longer than its period",
            () if self.on == On::OneNode && !has_claims => "nobody gives leases",
            () => return Ok(()),
        };
        Err(Error::internal(format!("task {:?}: {wrong}", self.name)))
    }
}

/// Schedules count milliseconds.
const PERIOD_MIN: Duration = Duration::from_millis(1);

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Task({}, {:?}, {:?})", self.name, self.schedule, self.on)
    }
}

// === impl On ===

impl On {
    /// Its name in the control API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EveryNode => "every_node",
            Self::OneNode => "one_node",
        }
    }
}

// === impl Tasks ===

impl Tasks {
    /// These tasks, none of which runs yet. Names that occur twice and schedules that cannot be are faults of ours.
    pub fn new(parts: &Parts, tasks: Vec<Task>) -> Result<Self> {
        let mut entries: Vec<Arc<Entry>> = Vec::with_capacity(tasks.len());
        for task in tasks {
            task.check(parts.claims.is_some())?;
            if entries.iter().any(|entry| entry.name() == task.name) {
                return Err(Error::internal(format!("task {} is listed twice", task.name)));
            }
            entries.push(Arc::new(Entry::new(task, parts.clone())));
        }
        Ok(Self(entries.into()))
    }

    /// Begins to run them by their schedules, until the shutdown begins; runs in progress are finished first, and the
    /// shutdown waits for them.
    pub fn start(&self, shutdown: &Shutdown) {
        for entry in self.0.iter() {
            entry.start(shutdown.clone());
        }
    }

    /// Every task, in the order in which they were given.
    pub fn list(&self) -> Vec<Status> {
        self.0.iter().map(|entry| entry.status()).collect()
    }

    /// Brings the next run of a task forward to now, without waiting for it; while it runs, another run follows, which sees what
    /// this one may have missed. Nothing happens where there is no such task, or where nothing was started.
    pub fn poke(&self, name: &str) {
        if let Some(entry) = self.0.iter().find(|entry| entry.name() == name) {
            entry.poke();
        }
    }

    /// Runs a task now, whatever its schedule says, and waits for the end. The run goes on when the caller leaves. Also where
    /// nothing was started. Errors: `NotFound`; `Conflict` while it runs already, or when another node holds its lease.
    pub async fn run(&self, name: &str) -> Result<LastRun> {
        let entry = self.0.iter().find(|entry| entry.name() == name).ok_or_else(|| {
            let text = format!("there is no task {name}; see `yunzhan task list`");
            Error::new(Kind::NotFound, text)
        })?;
        match entry.run_by_hand().await? {
            Ran::Ended(run) => Ok(run),
            Ran::Elsewhere(node) => Err(Error::new(
                Kind::Conflict,
                format!("task {name} runs on node {node}; run it there"),
            )),
        }
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| entry.name())).finish()
    }
}

// === impl LastRun ===

impl LastRun {
    /// Whether it did what it should.
    pub fn is_done(&self) -> bool {
        self.outcome == TaskOutcome::Done.name()
    }
}
