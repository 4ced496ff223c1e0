//! A built-in service: reached by a function call, without a hop.

use std::time::{Duration, Instant};

use yunzhan_base::context::Trace;
use yunzhan_base::policy::Priority;
use yunzhan_base::{Call, Context, Error, Kind, Reply, Result, Route};

use crate::exchange::Exchange;
use crate::held::Budget;

/// Holds the body and calls the service, until the deadline. The time that a slow phone needs for its body does not count
/// against the service.
pub(crate) async fn answer(
    route: &Route,
    exchange: &mut Exchange,
    body_bytes_max: usize,
    body_timeout: Duration,
    budget: &Budget,
) -> Result<Reply> {
    let body = exchange.body.hold(body_bytes_max, body_timeout, budget).await?;
    let deadline = exchange.deadline.max(Instant::now() + route.spec.policy.timeout);
    let Some(matched) = &mut exchange.matched else {
        return Err(Error::internal("a local upstream without a rule"));
    };
    let call = Call {
        method: exchange.head.method.clone(),
        uri: exchange.head.uri.clone(),
        // Nobody behind the service reads them; the event needs method and path only.
        headers: std::mem::take(&mut exchange.head.headers),
        body: body.into(),
        params: std::mem::take(&mut matched.params),
        context: Context {
            request_id: exchange.request_id,
            trace: Trace::begin(exchange.request_id),
            principal: exchange.principal.clone(),
            env: exchange.env.clone(),
            variant: None,
            deadline,
            priority: Priority::Normal,
            remote: exchange.connection.remote,
        },
    };
    match tokio::time::timeout_at(deadline.into(), route.call(call)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(Kind::Timeout, "the service did not answer in time; try again")),
    }
}
