//! The one outbound HTTP client: HTTP/1.1 over TCP or TLS, pooled per target, every step bounded in time.
//!
//! Read [`Client::send`] first; [`pool`] says why a dead connection is never handed out.

pub mod pool;
mod stream;
mod target;
mod tunnel;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use yunzhan_base::fault::Faults;
use yunzhan_base::{Body, Error, Kind, Result};

pub use pool::Pool;
pub use target::Target;
pub use tunnel::Tunnel;

/// Targets that one client remembers; they come from configuration, never from a request.
const TARGETS_MAX: usize = 1024;

/// Bounds of outbound traffic.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a TCP connection and its TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long a body may stand still between two pieces.
    pub body_wait_max: Duration,
    /// How long an idle connection is kept; shorter than the 60 to 75 s after which common servers close theirs.
    pub idle_timeout: Duration,
    /// Idle connections kept per target.
    pub idle_max: usize,
    /// The hosts that may be called; `None` allows all.
    pub egress: Option<Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            body_wait_max: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(50),
            idle_max: 256,
            egress: None,
        }
    }
}

/// The client. Clones share their pools.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    faults: Option<Faults>,
    tls: Arc<rustls::ClientConfig>,
    pools: Mutex<HashMap<Target, Arc<Pool>>>,
}

// === impl Client ===

impl Client {
    /// A client that trusts the public certificate authorities.
    pub fn new(config: Config) -> Self {
        Self::made_of(config, None)
    }

    /// The same, in which faults on purpose strike at `Point::Upstream`.
    pub fn with_faults(config: Config, faults: Faults) -> Self {
        Self::made_of(config, Some(faults))
    }

    fn made_of(config: Config, faults: Option<Faults>) -> Self {
        let tls = stream::public_roots();
        Self(Arc::new(Inner { config, faults, tls, pools: Mutex::default() }))
    }

    /// A client that trusts, and shows, what this configuration says.
    pub(crate) fn with_tls(config: Config, tls: Arc<rustls::ClientConfig>) -> Self {
        Self(Arc::new(Inner { config, tls, faults: None, pools: Mutex::default() }))
    }

    /// The pool of one target, for whoever sends often. Refuses hosts that the egress list does not name.
    pub fn pool(&self, target: &Target) -> Result<Arc<Pool>> {
        self.check_egress(target)?;
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(target) {
            return Ok(Arc::clone(pool));
        }
        if pools.len() >= TARGETS_MAX {
            // Configuration was reloaded many times; pools in use live on with their users.
            pools.clear();
        }
        let Inner { config, faults, tls, .. } = &*self.0;
        let pool = Pool::new(target.clone(), config.clone(), faults.clone(), Arc::clone(tls));
        let pool = Arc::new(pool);
        pools.insert(target.clone(), Arc::clone(&pool));
        Ok(pool)
    }

    fn check_egress(&self, target: &Target) -> Result<()> {
        match &self.0.config.egress {
            Some(allowed) if !allowed.iter().any(|host| host == target.host()) => Err(Error::new(
                Kind::PermissionDenied,
                format!("host {} is not among those that may be called", target.host()),
            )),
            _ => Ok(()),
        }
    }

    /// Sends one request, waits for the head of the answer until `deadline`, and streams its body.
    pub async fn send(
        &self,
        target: &Target,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Body>> {
        self.pool(target)?.send(request, deadline).await
    }

    /// Gets a small answer whole.
    pub async fn get_bytes(
        &self,
        target: &Target,
        path_and_query: &str,
        body_bytes_max: usize,
        deadline: Instant,
    ) -> Result<(StatusCode, Bytes)> {
        let request = Request::get(path_and_query).body(Body::Empty);
        let request =
            request.map_err(|error| Error::internal("an outbound address").because(error))?;
        self.exchange(target, request, body_bytes_max, deadline).await
    }

    /// Posts JSON and gets a small answer whole.
    pub async fn post_json(
        &self,
        target: &Target,
        path_and_query: &str,
        json: Vec<u8>,
        body_bytes_max: usize,
        deadline: Instant,
    ) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder().method(Method::POST).uri(path_and_query);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(json.into());
        let request =
            request.map_err(|error| Error::internal("an outbound address").because(error))?;
        self.exchange(target, request, body_bytes_max, deadline).await
    }

    async fn exchange(
        &self,
        target: &Target,
        request: Request<Body>,
        body_bytes_max: usize,
        deadline: Instant,
    ) -> Result<(StatusCode, Bytes)> {
        let (head, body) = self.send(target, request, deadline).await?.into_parts();
        let collected =
            tokio::time::timeout_at(deadline.into(), Limited::new(body, body_bytes_max).collect());
        let bytes = match collected.await {
            Err(_) => {
                return Err(Error::new(
                    Kind::Timeout,
                    format!("{target} did not finish its answer in time"),
                ));
            }
            Ok(Err(error)) => {
                return Err(Error::new(
                    Kind::BadUpstream,
                    format!("the answer of {target} broke off"),
                )
                .because(error));
            }
            Ok(Ok(body)) => body.to_bytes(),
        };
        Ok((head.status, bytes))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.0.config).finish_non_exhaustive()
    }
}
