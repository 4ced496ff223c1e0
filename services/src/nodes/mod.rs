//! The nodes of a cluster and what they do outside requests: background tasks, and who runs those of one node.
//!
//! A node's row, its session and its leases are kept by [`yunzhan_engine::lease`], tasks are run by [`yunzhan_net::task`], and
//! bytes travel by [`yunzhan_net::peer`]; here stands how they belong together ([`cluster`]), and what an operator sees
//! ([`control`]).

pub mod cluster;
pub mod control;
pub mod forward;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use yunzhan_base::{Clock, Context, Error, Kind, Principal, Result};
use yunzhan_engine::lease::{DEAD_SHOWN, Leases};
use yunzhan_net::peer::{Authority, Identity, PeerCall};
use yunzhan_net::shutdown::Shutdown;
use yunzhan_net::task::{LEASE_PREFIX, Task, Tasks};

use self::cluster::Cluster;

/// How often nodes that died long ago are forgotten.
const TIDY_PERIOD: Duration = Duration::from_secs(60);
/// How often a node signs itself another certificate; each is good for a day.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(6 * 3600);
/// The call that asks the owner of a task to run it.
const RUN: &str = "nodes.run_task";

/// This node, its tasks, and the others.
#[derive(Debug)]
pub struct Nodes {
    /// This node's background tasks.
    pub tasks: Tasks,
    /// This node's session and leases.
    pub leases: Arc<Leases>,
    /// The other nodes.
    pub cluster: Arc<Cluster>,
    /// What schedules go by.
    pub clock: Clock,
}

/// What a node shows to the others, and how it makes another.
#[derive(Clone, Debug)]
pub struct Link {
    /// What signs certificates.
    pub authority: Arc<Authority>,
    /// The certificate.
    pub identity: Arc<Identity>,
    /// The name or address under which others reach this node.
    pub host: String,
}

/// The tasks of this service.
pub fn tasks(leases: &Arc<Leases>, link: Option<&Link>, clock: &Clock) -> Vec<Task> {
    let leases = Arc::clone(leases);
    let tidy = Task::every("nodes.tidy", TIDY_PERIOD, move |run| {
        let leases = Arc::clone(&leases);
        async move { leases.forget_dead(&run.fenced()?, DEAD_SHOWN).await }
    });
    let certificate = link.cloned().map(|link| {
        let clock = clock.clone();
        Task::every("nodes.certificate", CERTIFICATE_PERIOD, move |_| {
            let renewed = link.authority.renew(&link.identity, &link.host, clock.now_ms());
            async { renewed }
        })
    });
    std::iter::once(tidy.on_one_node()).chain(certificate).collect()
}

// === impl Nodes ===

impl Nodes {
    /// Introduces them: a call runs a task here, and a wake-up by a task's name brings its next run forward.
    pub fn start(&self, mut shutdown: Shutdown) {
        let (tasks, name) = (self.tasks.clone(), self.leases.name().to_owned());
        self.cluster.register(
            RUN,
            Arc::new(move |call| Box::pin(answer_run(tasks.clone(), name.clone(), call))),
        );
        let (tasks, mut wakes) = (self.tasks.clone(), self.cluster.listen());
        tokio::spawn(async move {
            loop {
                let wake = tokio::select! {
                    () = shutdown.triggered() => return,
                    wake = wakes.recv() => wake,
                };
                match wake {
                    Ok(wake) => {
                        if let Some(task) = wake.topic.strip_prefix(LEASE_PREFIX) {
                            tasks.poke(task);
                        }
                    }
                    // The tasks' own periods make up for what was missed.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    /// Runs a task for whoever `context` names, on the node that holds its lease where it is one of one node.
    pub async fn run(&self, task: &str, context: &Context) -> Result<Value> {
        match self.tasks.run(task).await {
            Ok(run) => Ok(shown(&run, self.leases.name())),
            Err(error) if error.kind() == Kind::Conflict && self.is_elsewhere(task) => {
                let lease = format!("{LEASE_PREFIX}{task}");
                let bytes = Bytes::copy_from_slice(task.as_bytes());
                let answer = self.cluster.call_owner(&lease, RUN, context, bytes).await?;
                serde_json::from_slice(&answer).map_err(|error| {
                    Error::new(Kind::BadUpstream, "the other node's answer is not JSON")
                        .because(error)
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Brings the next run of a task forward on every other node.
    pub fn run_on_others(&self, task: &str) {
        self.cluster.wake(format!("{LEASE_PREFIX}{task}"), Bytes::new());
    }

    fn is_elsewhere(&self, task: &str) -> bool {
        let tasks = self.tasks.list();
        tasks.iter().any(|status| status.name == task && status.elsewhere.is_some())
    }
}

async fn answer_run(tasks: Tasks, node: String, call: PeerCall) -> Result<Bytes> {
    if !matches!(call.principal, Principal::Operator) {
        return Err(Error::new(Kind::PermissionDenied, "operators alone run tasks by hand"));
    }
    let task = std::str::from_utf8(&call.bytes)
        .map_err(|_| Error::new(Kind::Malformed, "a task's name is text"))?;
    let run = tasks.run(task).await?;
    Ok(shown(&run, &node).to_string().into())
}

/// A run and the node that it ran on.
fn shown(run: &yunzhan_net::task::LastRun, node: &str) -> Value {
    let mut shown = json!(run);
    shown["node"] = node.into();
    shown
}
