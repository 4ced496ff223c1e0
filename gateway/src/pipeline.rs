//! The ordered stages, and the one function that runs them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, response};
use hyper::body::Incoming;
use yunzhan_base::config::{Follow, Prepared};
use yunzhan_base::env::Envs;
use yunzhan_base::event::{Event, Events, Outcome, RequestEnded};
use yunzhan_base::ids::RequestIds;
use yunzhan_base::principal::Authenticate;
use yunzhan_base::{Body, Error, Kind, Live, Principal, Result, Route, WafMode};
use yunzhan_net::http::Client;

use crate::config::Config;
use crate::connection::Bounds;
use crate::exchange::{ConnectionFacts, Exchange};
use crate::head_scan::Lengths;
use crate::held::{Budget, RequestBody};
use crate::hold_back;
use crate::respond::{self, Tracked};
use crate::stages::waf::{Waf, WafStage};
use crate::stages::{auth, framing, route};
use crate::table::Table;
use crate::upstream;
use crate::upstream::files::Files;

/// One step that a request passes. A stage is a plain object; what it learns it writes into the exchange.
pub trait Stage: Send + Sync {
    /// Decides at once, without an allocation, or names the future that must be awaited first.
    fn request<'x>(&'x self, exchange: &'x mut Exchange) -> Step<'x>;

    /// A stage before this one refused the request, for this reason. Nothing is decided any more.
    fn refused(&self, _exchange: &mut Exchange, _kind: Kind) {}

    /// Sees the head of the answer, in reverse order. Whatever it adds, every later reader sees.
    fn response(&self, _exchange: &mut Exchange, _head: &mut response::Parts) -> BodyPlan {
        BodyPlan::Pass
    }

    /// Sees the beginning of the body that it asked for in [`Stage::response`], before a byte of the answer leaves.
    fn response_body(&self, _exchange: &mut Exchange, _body: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Exactly once, also when the client went away: permits, counters, records.
    fn finish(&self, _exchange: &mut Exchange, _outcome: Outcome) {}
}

/// What a stage decides.
pub enum Step<'x> {
    /// Go on.
    Next,
    /// ResponseFuture this, and let no later stage see the request.
    Reply(Box<Response<Body>>),
    /// Say no, in the dialect of the route.
    Refuse(Error),
    /// Ask again when this is done; it yields `Next`, `Reply` or `Refuse`.
    Wait(Pin<Box<dyn Future<Output = Step<'x>> + Send + 'x>>),
}

/// What becomes of an answer's body.
pub enum BodyPlan {
    /// It streams.
    Pass,
    /// So many bytes of it, or all if it is shorter, are held back and shown to the stage first.
    Hold {
        /// Bytes at most.
        bytes_max: usize,
    },
    /// The answer is not sent; this is.
    Refuse(Error),
}

/// What a gateway is made of.
pub struct Dependencies {
    /// Bounds, remote routes, time-outs.
    pub config: Config,
    /// The services' routes.
    pub routes: Vec<Route>,
    /// What is served where no route matches: a page.
    pub files: Option<Files>,
    /// Who names callers.
    pub authenticate: Arc<dyn Authenticate>,
    /// The environments, for hosts and ids.
    pub envs: Live<Envs>,
    /// The client of remote upstreams.
    pub client: Client,
    /// The rules that requests pass.
    pub waf: Waf,
    /// Who is told.
    pub events: Events,
    /// 16 random bytes from which request ids are made.
    pub seed: [u8; 16],
}

/// Everything alive between a listener and the services.
pub struct Gateway {
    stages: Vec<Box<dyn Stage>>,
    table: Live<Table>,
    local: Vec<Route>,
    files: Option<Arc<Files>>,
    client: Client,
    ids: RequestIds,
    pub(crate) events: Events,
    pub(crate) bounds: Live<Bounds>,
    budget: Budget,
}

impl Gateway {
    /// Builds the table and the stages. Refuses two routes that claim one method and path.
    pub fn new(parts: Dependencies) -> Result<Arc<Self>> {
        let files = parts.files.map(Arc::new);
        let table = Live::new(Table::build(
            &parts.routes,
            files.as_ref(),
            &parts.config.routes,
            &parts.client,
        )?);
        let bounds = Live::new(parts.config.bounds());
        let budget = Budget::new(parts.config.held_bytes_max);
        // In the order of execution. Room is kept, in this order, for: guard, limit (before auth), quota,
        // experiment, cache, shape, fault (before forward, which is the last and is not a stage: it always answers).
        let stages: Vec<Box<dyn Stage>> = vec![
            // Framing that two readers could read differently ends here, before anyone interprets a path.
            Box::new(framing::Framing),
            // A table look-up; from here on every refusal speaks the route's dialect.
            Box::new(route::RouteStage::new(table.clone(), parts.envs.clone())),
            // Strangers leave before their bodies are read.
            Box::new(auth::AuthStage::new(
                parts.authenticate,
                parts.envs,
                bounds.clone(),
                budget.clone(),
            )),
            // Before business code parses anything, and once it is known who asks and which route's rules hold.
            Box::new(WafStage::new(
                parts.waf,
                bounds.clone(),
                budget.clone(),
                parts.events.clone(),
            )),
        ];
        Ok(Arc::new(Self {
            stages,
            table,
            local: parts.routes,
            files,
            client: parts.client,
            ids: RequestIds::new(parts.seed),
            events: parts.events,
            bounds,
            budget,
        }))
    }

    /// The name of the route that would answer, and what rules against attacks may do there, where that differs from
    /// everywhere; `none` where no route does.
    pub fn route_of(&self, method: &http::Method, path: &str) -> (&'static str, Option<WafMode>) {
        let found = self.table.peek().find(method, path);
        found.map_or(("none", None), |matched| (matched.rule.name, matched.rule.policy.waf))
    }

    /// Answers one request. The exchange exists before the future is first polled, so that a client who leaves at once is
    /// finished like any other.
    pub(crate) fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        lengths: Option<Lengths>,
        connection: Arc<ConnectionFacts>,
    ) -> impl Future<Output = Response<Tracked>> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let exchange = Exchange {
            request_id: self.ids.next(),
            started,
            connection,
            head,
            lengths,
            body: RequestBody::new(body),
            render_error: respond::plain,
            matched: None,
            env: None,
            principal: Principal::Nobody,
            deadline: started,
            allow: None,
            error: None,
            close: false,
            waf: None,
        };
        Flight::new(self, exchange).land()
    }
}

/// What [`Gateway`] takes over while it serves; open connections keep the bounds they began with.
pub const FOLLOWED_KEYS: &[&str] = &[
    "gateway.head_timeout",
    "gateway.idle_timeout",
    "gateway.body_timeout",
    "gateway.head_bytes_max",
    "gateway.headers_max",
    "gateway.route[].path",
    "gateway.route[].upstream",
    "gateway.route[].access",
    "gateway.route[].body_bytes_max",
    "gateway.route[].timeout",
    "gateway.route[].name",
    "gateway.route[].waf",
];

impl Follow<Config> for Gateway {
    fn keys(&self) -> &'static [&'static str] {
        FOLLOWED_KEYS
    }

    fn prepare<'f>(&'f self, config: &Config) -> Result<Prepared<'f>> {
        let table = Table::build(&self.local, self.files.as_ref(), &config.routes, &self.client)?;
        // How many connections there may be is decided when a listener opens.
        let connections_max = self.bounds.peek().connections_max;
        let bounds = Bounds { connections_max, ..config.bounds() };
        Ok(Prepared::new(move || {
            self.table.store(table);
            self.bounds.store(bounds);
        }))
    }
}

/// How long the beginning of an answer's body is waited for; then what has come is judged, and the rest passes.
const HOLD_TIME_MAX: Duration = Duration::from_secs(10);

/// An exchange from its head to its last byte. Dropping it, whenever that is, finishes it exactly once.
pub(crate) struct Flight(Box<Inner>);

pub(crate) struct Inner {
    gateway: Arc<Gateway>,
    exchange: Exchange,
    status: http::StatusCode,
    pub(crate) body_bytes_sent: u64,
    pub(crate) outcome: Outcome,
}

impl std::ops::Deref for Flight {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl std::ops::DerefMut for Flight {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.0
    }
}

impl Flight {
    fn new(gateway: Arc<Gateway>, exchange: Exchange) -> Self {
        let gone = http::StatusCode::from_u16(499).expect("a status of three digits");
        let outcome = Outcome::ClientGone;
        Self(Box::new(Inner { gateway, exchange, status: gone, body_bytes_sent: 0, outcome }))
    }

    /// Passes every stage and completes the answer.
    async fn land(mut self) -> Response<Tracked> {
        let (reached, answer) = self.pass().await;
        let (mut head, body) = match answer {
            Ok(answer) => answer.into_parts(),
            Err(error) => respond::refuse(&mut self.exchange, error).into_parts(),
        };
        let mut body = body;
        for at in (0..reached).rev() {
            if let Err(error) = self.shown(at, &mut head, &mut body).await {
                (head, body) = respond::refuse(&mut self.exchange, error).into_parts();
            }
        }
        respond::complete_head(&self.exchange, &mut head);
        self.status = head.status;
        Response::from_parts(head, Tracked::new(body, self))
    }

    /// Shows the answer to a stage, or says why it is not sent.
    async fn shown(
        &mut self,
        at: usize,
        head: &mut response::Parts,
        body: &mut Body,
    ) -> Result<()> {
        let Inner { gateway, exchange, .. } = &mut *self.0;
        let stage = &gateway.stages[at];
        match stage.response(exchange, head) {
            BodyPlan::Pass => Ok(()),
            BodyPlan::Refuse(error) => Err(error),
            BodyPlan::Hold { bytes_max } => {
                let held = hold_back::hold(std::mem::take(body), bytes_max, HOLD_TIME_MAX).await;
                let verdict = stage.response_body(exchange, held.begun());
                *body = held.into_body();
                verdict
            }
        }
    }

    /// Whether the client asked for the head alone.
    pub(crate) fn is_head(&self) -> bool {
        self.exchange.head.method == http::Method::HEAD
    }

    /// Runs the stages in order, then forward. Says how many stages saw the request.
    async fn pass(&mut self) -> (usize, Result<Response<Body>>) {
        let Inner { gateway, exchange, .. } = &mut *self.0;
        for (index, stage) in gateway.stages.iter().enumerate() {
            match settle(stage.as_ref(), exchange).await {
                Ok(None) => {}
                Ok(Some(answer)) => return (index + 1, Ok(answer)),
                Err(error) => {
                    for later in &gateway.stages[index + 1..] {
                        later.refused(exchange, error.kind());
                    }
                    return (index + 1, Err(error));
                }
            }
        }
        (
            gateway.stages.len(),
            upstream::forward(exchange, &gateway.bounds, &gateway.budget)
                .await
                .map(|reply| reply.into_response().expect("no route upgrades yet")),
        )
    }
}

/// Asks a stage until it has decided: to go on, to answer, or to refuse.
async fn settle(stage: &dyn Stage, exchange: &mut Exchange) -> Result<Option<Response<Body>>> {
    let mut step = stage.request(exchange);
    while let Step::Wait(future) = step {
        step = future.await;
    }
    match step {
        Step::Next | Step::Wait(_) => Ok(None),
        Step::Reply(answer) => Ok(Some(*answer)),
        Step::Refuse(error) => Err(error),
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Inner { gateway, exchange, status, body_bytes_sent, outcome } = &mut *self.0;
        exchange.connection.activity.request_ended();
        for stage in gateway.stages.iter().rev() {
            stage.finish(exchange, *outcome);
        }
        gateway.events.emit(&Event::RequestEnded(RequestEnded {
            request_id: exchange.request_id,
            route: exchange.route_name(),
            env: exchange.env.as_ref().map(|env| &env.id),
            user: exchange.principal.user().map(|user| user.uid.as_str()),
            method: &exchange.head.method,
            path: exchange.head.uri.path(),
            status: *status,
            body_bytes_sent: *body_bytes_sent,
            duration_us: u64::try_from(exchange.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            remote: exchange.connection.remote,
            protocol: exchange.connection.protocol,
            tls: exchange.connection.tls,
            error: exchange.error.as_ref(),
            outcome: *outcome,
        }));
    }
}
