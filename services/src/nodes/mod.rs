//! The nodes of a cluster and what they do outside requests: background tasks, and who runs those of one node.

pub mod control;

use yunzhan_base::Clock;
use yunzhan_net::task::Tasks;

/// What an operator asks of nodes and their tasks.
#[derive(Debug)]
pub struct Nodes {
    /// This node's background tasks.
    pub tasks: Tasks,
    /// What their schedules go by.
    pub clock: Clock,
}
