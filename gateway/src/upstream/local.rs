//! A built-in service: reached by a function call, without a hop.

use std::time::{Duration, Instant};

use http::Response;
use yunzhan_base::{Body, Call, Error, Kind, Result, Route};

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
) -> Result<Response<Body>> {
    let body = exchange.body.hold(body_bytes_max, body_timeout, budget).await?;
    let deadline = exchange.deadline.max(Instant::now() + route.spec.tier.deadline());
    let Some(matched) = &mut exchange.matched else {
        return Err(Error::internal("a local upstream without a rule"));
    };
    let call = Call {
        method: exchange.head.method.clone(),
        uri: exchange.head.uri.clone(),
        // Nobody behind the service reads them; the event needs method and path only.
        headers: std::mem::take(&mut exchange.head.headers),
        body,
        params: std::mem::take(&mut matched.params),
        principal: exchange.principal.clone(),
        env: exchange.env.clone(),
        request_id: exchange.request_id,
        deadline,
        remote: exchange.connection.remote,
    };
    match tokio::time::timeout_at(deadline.into(), route.call(call)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(Kind::Timeout, "the service did not answer in time; try again")),
    }
}
