//! A built-in service: reached by a function call, without a hop.

use std::time::Instant;

use yunzhan_base::{Accepts, Body, Call, Context, Error, Kind, Reply, Result, Route};

use crate::body::{Budget, StreamEnd};
use crate::exchange::{Answered, Exchange, Upstream, UpstreamFuture};

/// One route of a service.
pub(crate) struct Local {
    route: Route,
    budget: Budget,
}

impl Local {
    pub(crate) fn new(route: Route, budget: Budget) -> Self {
        Self { route, budget }
    }

    /// The body as the route accepts it. The time that a slow phone needs for it does not count against the service.
    async fn body(&self, exchange: &mut Exchange) -> Result<Body> {
        match self.route.policy.accepts {
            Accepts::Nothing => {
                exchange.body.hold(0, &self.budget).await?;
                Ok(Body::Empty)
            }
            Accepts::Buffered { bytes_max } => {
                exchange.body.hold(bytes_max, &self.budget).await.map(Body::from)
            }
            Accepts::Streaming { bytes_max } => exchange.body.stream(bytes_max),
        }
    }

    async fn call(&self, exchange: &mut Exchange) -> Result<Answered> {
        let body = self.body(exchange).await?;
        let policy = &self.route.policy;
        let is_streaming = matches!(body, Body::Streaming(_));
        let deadline = Instant::now() + policy.timeout;
        let Some(matched) = &mut exchange.matched else {
            return Err(Error::internal("a local upstream without a route"));
        };
        let call = Call {
            method: exchange.head.method.clone(),
            uri: exchange.head.uri.clone(),
            // Nobody behind the service reads them; the event needs method and path only. An upgrade's are read once more.
            headers: if is_upgrade(&exchange.head.headers) {
                exchange.head.headers.clone()
            } else {
                std::mem::take(&mut exchange.head.headers)
            },
            body,
            params: std::mem::take(&mut matched.params),
            context: Context {
                request_id: exchange.request_id,
                trace: exchange.trace,
                principal: exchange.principal.clone(),
                env: exchange.env.clone(),
                variant: None,
                deadline,
                priority: policy.priority,
                remote: exchange.client,
            },
        };
        if is_streaming {
            return self.call_streaming(call, exchange.body.stream_end()).await;
        }
        match tokio::time::timeout_at(deadline.into(), self.route.call(call)).await {
            Ok(reply) => reply.map(answered),
            Err(_) => Err(late()),
        }
    }

    /// The service's time begins with the end of the body, and each wait of the body is bounded by itself.
    async fn call_streaming(&self, mut call: Call, end: StreamEnd) -> Result<Answered> {
        let (body, progress) = super::progress::follow(call.body);
        call.body = body;
        let reply = tokio::select! {
            reply = self.route.call(call) => reply?,
            () = progress.stood_still(self.route.policy.timeout) => return Err(late()),
        };
        let is_refusal = match &reply {
            Reply::Response(response) => response.status().as_u16() >= 400,
            Reply::Upgrade(_) => false,
        };
        if !is_refusal && (end.is_broken() || (progress.is_dropped() && !end.is_whole())) {
            return Err(Error::internal(format!(
                "{} answered before it had read the whole body",
                self.route.spec.name
            )));
        }
        Ok(answered(reply))
    }
}

impl Upstream for Local {
    fn answer<'x>(&'x self, exchange: &'x mut Exchange) -> UpstreamFuture<'x> {
        Box::pin(self.call(exchange))
    }
}

fn answered(reply: Reply) -> Answered {
    match reply {
        Reply::Response(response) => Answered::Response(response),
        Reply::Upgrade(upgrade) => Answered::Upgrade(upgrade),
    }
}

fn is_upgrade(headers: &http::HeaderMap) -> bool {
    headers.contains_key(http::header::UPGRADE)
}

fn late() -> Error {
    Error::new(Kind::Timeout, "the service did not answer in time; try again")
}
