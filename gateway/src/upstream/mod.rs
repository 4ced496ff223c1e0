//! Forward: the end of the pipeline. A service of this process, a server elsewhere, or a folder answers.

pub(crate) mod files;
pub(crate) mod local;
pub(crate) mod remote;

use yunzhan_base::{Error, Live, Reply, Result};

use crate::connection::Bounds;
use crate::exchange::Exchange;
use crate::held::Budget;
use crate::table::Destination;

/// Lets the rule's destination answer.
pub(crate) async fn forward(
    exchange: &mut Exchange,
    bounds: &Live<Bounds>,
    budget: &Budget,
) -> Result<Reply> {
    let Some(rule) = exchange.matched.as_ref().map(|matched| std::sync::Arc::clone(&matched.rule))
    else {
        return Err(Error::internal("a request passed the route stage without a rule"));
    };
    let body_timeout = bounds.peek().body_timeout;
    match &rule.destination {
        Destination::Local(local) => {
            local::answer(&local.0, exchange, rule.body_bytes_max(), body_timeout, budget).await
        }
        // On the heap: a request for a built-in service does not carry the room that these two need.
        Destination::Remote(remote) => {
            Box::pin(remote.answer(exchange, rule.body_bytes_max(), body_timeout))
                .await
                .map(Reply::from)
        }
        Destination::Files(files) => Box::pin(files.answer(&exchange.head)).await.map(Reply::from),
    }
}
