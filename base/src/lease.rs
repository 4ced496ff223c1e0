//! Who may do what only one node of a cluster does: leases, and the fence that a write can demand.
//!
//! A lease is a row in the database that all nodes share; `yunzhan_engine::lease` keeps it. The words stand here, so that
//! whoever runs work under a lease need not know where leases are kept.

use std::pin::Pin;

use crate::error::Result;

/// What a holder shows with each write that only the holder may make. A token is larger than every earlier one of the same
/// lease, so that what was begun under an earlier one can be told apart and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub lease: String,
    /// The session of the node that holds it; each start of a node is a session of its own.
    pub session: String,
    /// Counts the holders of this lease, from 1.
    pub token: i64,
}

/// The answer to whoever asks for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This node holds it now.
    Held(Fence),
    /// Another node holds it and is alive.
    Elsewhere {
        /// That node's name.
        node: String,
    },
}

/// A future of [`Claims`].
pub type ClaimFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Gives leases to this node.
pub trait Claims: Send + Sync {
    /// Takes the lease, or keeps it. Fails when the database does not answer, or when this node has no session.
    fn claim<'a>(&'a self, lease: &'a str) -> ClaimFuture<'a, Result<Claim>>;

    /// Ends when the node can no longer count on holding it; always before another node can hold it, as long as this process
    /// runs at all. A process that was stopped meanwhile learns it late: only a write that shows the fence is safe then.
    fn lost<'a>(&'a self, fence: &'a Fence) -> ClaimFuture<'a, ()>;
}
