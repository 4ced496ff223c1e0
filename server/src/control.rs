//! Control routes of the server itself: its state, its configuration, its rules against attacks and its health.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use serde_json::json;
use yunzhan_base::control::{answer, render_error};
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim};
use yunzhan_base::{
    Access, Body, Call, Endpoint, Error, Kind, Principal, ResponseFuture, Result, RoutePolicy,
    RouteSpec, Secret,
};
use yunzhan_engine::sql::{Health, StorageFault};
use yunzhan_gateway::Gateway;
use yunzhan_services::service::OpenService;
use yunzhan_ops::process;

use crate::reload::Reloader;
use crate::waf::{self, RuleSetManager};

/// Most routes take no body, or a name.
const BODY_BYTES_MAX: usize = 8 << 10;

/// A request that is explained with its body, which is twice as long where it is no text.
const EXPLAIN_BYTES_MAX: usize = 4 << 20;

/// Every route of the server itself. Health is open: who may reach the control listener may see it.
pub(crate) const CONTROL: &[Endpoint<Control>] = &[
    endpoint("server.status", Method::GET, "/control/v1/status", Access::Operator, status),
    slow(
        BODY_BYTES_MAX,
        endpoint("server.reload", Method::POST, "/control/v1/reload", Access::Operator, reload),
    ),
    endpoint("waf.control.show", Method::GET, "/control/v1/waf", Access::Operator, waf::show),
    slow(
        BODY_BYTES_MAX,
        endpoint(
            "waf.control.import",
            Method::POST,
            "/control/v1/waf/sets",
            Access::Operator,
            waf::import,
        ),
    ),
    slow(
        BODY_BYTES_MAX,
        endpoint(
            "waf.control.use",
            Method::PUT,
            "/control/v1/waf/active",
            Access::Operator,
            waf::choose,
        ),
    ),
    slow(
        EXPLAIN_BYTES_MAX,
        endpoint(
            "waf.control.test",
            Method::POST,
            "/control/v1/waf/test",
            Access::Operator,
            waf::explain,
        ),
    ),
    endpoint("server.healthz", Method::GET, "/healthz", Access::Public, healthz),
    endpoint("server.readyz", Method::GET, "/readyz", Access::Public, readyz),
];

const fn endpoint(
    name: &'static str,
    method: Method,
    path: &'static str,
    access: Access,
    handle: fn(Arc<Control>, Call) -> ResponseFuture,
) -> Endpoint<Control> {
    let spec = RouteSpec {
        name,
        method,
        path,
        access,
        policy: RoutePolicy::CONTROL.buffered(BODY_BYTES_MAX),
        render_error,
    };
    Endpoint { spec, handle }
}

/// The same for what compiles rules, with a bound on its body.
const fn slow(body_bytes_max: usize, mut endpoint: Endpoint<Control>) -> Endpoint<Control> {
    endpoint.spec.policy = RoutePolicy::OPERATOR.buffered(body_bytes_max);
    endpoint
}

/// What the routes of the server itself know.
pub(crate) struct Control {
    /// Takes a new configuration over.
    pub(crate) reloader: Arc<Reloader>,
    /// Starting, ready or draining.
    pub(crate) phase: Arc<Phase>,
    /// Asked whether they can serve.
    pub(crate) services: Arc<[OpenService]>,
    /// Whether it takes writes.
    pub(crate) health: Arc<Health>,
    /// The data folder, as the operator may find it.
    pub(crate) data: PathBuf,
    /// When the process began.
    pub(crate) started: Instant,
    /// The clients' gateway, whose routes say what rules may do.
    pub(crate) gateway: Arc<Gateway>,
    /// The rules against attacks.
    pub(crate) rule_sets: Arc<RuleSetManager>,
}

/// Where the server is in its life.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

const READY_NAME: &str = "ready";

// === impl Phase ===

impl Phase {
    /// Every listener is open.
    pub(crate) fn ready(&self) {
        self.0.store(READY, Ordering::Release);
    }

    /// No new connection is taken; load balancers should look elsewhere.
    pub(crate) fn draining(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    fn name(&self) -> &'static str {
        match self.0.load(Ordering::Acquire) {
            STARTING => "starting",
            READY => READY_NAME,
            _ => "draining",
        }
    }
}

// === Handlers ===

fn status(control: Arc<Control>, _call: Call) -> ResponseFuture {
    Box::pin(async move {
        Ok(answer(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "phase": control.phase.name(),
            "process": std::process::id(),
            "uptime_s": control.started.elapsed().as_secs(),
            "memory_bytes": process::resident_bytes(),
            "data": control.data.display().to_string(),
        })))
    })
}

fn reload(control: Arc<Control>, _call: Call) -> ResponseFuture {
    Box::pin(async move {
        let reloaded = tokio::task::spawn_blocking(move || control.reloader.reload()).await;
        let reloaded = reloaded.map_err(|error| Error::internal("reloading").because(error))??;
        Ok(answer(&json!({ "changed": reloaded.live, "needs_restart": reloaded.restart })))
    })
}

fn healthz(_control: Arc<Control>, _call: Call) -> ResponseFuture {
    Box::pin(async { Ok(text_answer("ok\n".into()).into()) })
}

/// Ready means that a request would be answered: the doors are open, and the database answers and takes writes. What is
/// wrong in one environment alone is told, and takes the server from nobody else.
fn readyz(control: Arc<Control>, _call: Call) -> ResponseFuture {
    Box::pin(async move {
        let (status, text) = match control.phase.name() {
            READY_NAME => database(&control).await,
            phase => (StatusCode::SERVICE_UNAVAILABLE, format!("{phase}\n")),
        };
        let mut answer = text_answer(text);
        *answer.status_mut() = status;
        Ok(answer.into())
    })
}

async fn database(control: &Control) -> (StatusCode, String) {
    let unavailable = |text: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n"));
    for service in &*control.services {
        let Err(error) = service.ready().await else { continue };
        // Whoever may reach `/readyz` need not operate the server.
        return unavailable(match StorageFault::of(&error) {
            Some(fault) => format!("database ({}): {fault}", control.health.engine()),
            None => format!("{} not ready: {}", service.name, error.kind().entry().en),
        });
    }
    match control.health.check().await {
        None => (StatusCode::OK, format!("{READY_NAME}\n")),
        Some(refused) if refused.only.is_some() => {
            (StatusCode::OK, format!("{READY_NAME}\n{refused}\n"))
        }
        Some(refused) => unavailable(refused.to_string()),
    }
}

fn text_answer(text: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

// === Who may call ===

/// Names the caller of the control listener.
pub(crate) enum ControlAuth {
    /// Whoever can open the socket is its owner: the folder lets nobody else in.
    Socket,
    /// Whoever shows the token of `run/control.token`.
    Token(Secret),
}

impl ControlAuth {
    fn decide(&self, claim: &Claim<'_>) -> Result<Principal> {
        match self {
            Self::Socket => Ok(Principal::Operator),
            Self::Token(token) => {
                let shown = claim.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
                match shown.and_then(|shown| shown.strip_prefix(b"Bearer ")) {
                    Some(shown) if equal(shown, token.expose()) => Ok(Principal::Operator),
                    Some(_) => Err(Error::new(
                        Kind::Unauthenticated,
                        "the operator token is wrong; it changes at every start, read run/control.token again",
                    )),
                    None => Err(Error::new(
                        Kind::Unauthenticated,
                        "send the text of run/control.token as a bearer token",
                    )),
                }
            }
        }
    }
}

impl Authenticate for ControlAuth {
    fn authenticate(&self, claim: &Claim<'_>) -> AuthVerdict {
        self.decide(claim).map_or_else(AuthVerdict::Refused, AuthVerdict::Known)
    }
}

/// Compares in a time that does not tell where two texts differ; their length is no secret.
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right))
            == 0
}
