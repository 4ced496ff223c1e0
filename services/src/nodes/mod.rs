//! The nodes of a cluster and what they do outside requests: background tasks, and who runs those of one node.
//!
//! A node's row, its session and its leases are kept by [`yunzhan_engine::lease`], and tasks are run by [`yunzhan_net::task`];
//! here stands what an operator sees of them.

pub mod control;

use std::sync::Arc;
use std::time::Duration;

use yunzhan_base::{Clock, Error};
use yunzhan_engine::lease::{DEAD_SHOWN, Leases};
use yunzhan_net::task::{Task, Tasks};

/// How often nodes that died long ago are forgotten.
const TIDY_PERIOD: Duration = Duration::from_secs(60);

/// What an operator asks of nodes and their tasks.
#[derive(Debug)]
pub struct Nodes {
    /// This node's background tasks.
    pub tasks: Tasks,
    /// This node's session and leases.
    pub leases: Arc<Leases>,
    /// What schedules go by.
    pub clock: Clock,
}

/// The tasks of this service.
pub fn tasks(leases: &Arc<Leases>) -> Vec<Task> {
    let leases = Arc::clone(leases);
    let tidy = Task::every("nodes.tidy", TIDY_PERIOD, move |run| {
        let leases = Arc::clone(&leases);
        async move {
            let fence =
                run.fence.ok_or_else(|| Error::internal("a task of one node has a fence"))?;
            leases.forget_dead(&fence, DEAD_SHOWN).await
        }
    });
    vec![tidy.on_one_node()]
}
