//! What an operator may ask of background tasks and nodes.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use yunzhan_base::{Call, Endpoint, ResponseFuture, RoutePolicy};

use super::Nodes;
use crate::dialect::{control::endpoint, json};

/// The control routes of nodes and their tasks.
pub const CONTROL: &[Endpoint<Nodes>] = &[
    endpoint("nodes.control.tasks", Method::GET, "/control/v1/tasks", tasks),
    endpoint("nodes.control.nodes", Method::GET, "/control/v1/nodes", nodes),
    awaited(endpoint("nodes.control.run", Method::POST, "/control/v1/tasks/{task}/run", run)),
];

/// The same for what an operator waits for. Nothing is taken from a body.
const fn awaited(mut endpoint: Endpoint<Nodes>) -> Endpoint<Nodes> {
    endpoint.spec.policy = RoutePolicy::OPERATOR.buffered(BODY_BYTES_MAX);
    endpoint
}

/// `{}`, as clients send that always send a body.
const BODY_BYTES_MAX: usize = 1 << 10;

/// Every background task of this node. `now_ms` is the time of its clock, so that an age can be told on another machine.
fn tasks(nodes: Arc<Nodes>, _: Call) -> ResponseFuture {
    Box::pin(async move {
        let now_ms = nodes.clock.now_ms();
        Ok(json::ok(&json!({ "now_ms": now_ms, "tasks": nodes.tasks.list() })))
    })
}

/// Every node of the cluster, dead ones for an hour, and who holds which lease. Times are the database's.
fn nodes(nodes: Arc<Nodes>, _: Call) -> ResponseFuture {
    Box::pin(async move {
        let (all, leases) = (nodes.leases.nodes().await?, nodes.leases.held().await?);
        let this = nodes.leases.session();
        Ok(json::ok(&json!({ "this": this.as_deref(), "nodes": all, "leases": leases })))
    })
}

/// Runs a task now and answers with its end; one of one node, on its owner. It goes on when the operator leaves. With
/// `?everywhere=true` the other nodes run it too, soon and unasked for their end.
fn run(nodes: Arc<Nodes>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let task = call.params.get("task")?;
        let everywhere = call.query("everywhere")?.is_some_and(|text| text == "true");
        let run = nodes.run(task, &call.context).await?;
        if everywhere {
            nodes.run_on_others(task);
        }
        Ok(json::ok(&run))
    })
}
