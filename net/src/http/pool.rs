//! Connections to one target, kept for the next request.
//!
//! **A dead connection is never handed out.** An idle one is taken only when hyper has not seen it close, when it is younger
//! than the idle bound, and when a look at its socket shows that nothing arrived. A request that hyper could not write at all
//! comes back unharmed and goes out on another connection; one that may have been written is never repeated here, because
//! only the caller knows whether repeating it is safe ([`Pool::send`] says so in its error).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use yunzhan_base::body::BodyError;
use yunzhan_base::fault::{Effect, Faults, Point};
use yunzhan_base::{Body, Error, Kind, Result};

use super::stream::{self, Probe};
use super::{Config, Target, Tunnel};
use crate::timed::Timed;

/// The largest head of an answer: status line and headers.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long a connection whose answer ended may take to become ready. One that takes longer answered before it had read the
/// whole request, and is of no more use.
const READY_WAIT_MAX: Duration = Duration::from_millis(20);

/// How often a request that was never written may change the connection.
const ATTEMPTS_MAX: usize = 4;

/// The pool of one target.
pub struct Pool {
    target: Target,
    authority: http::HeaderValue,
    config: Config,
    faults: Option<Faults>,
    tls: Arc<rustls::ClientConfig>,
    idle: Mutex<Vec<Idle>>,
}

struct Connection {
    sender: SendRequest<Body>,
    probe: Probe,
    driver: AbortHandle,
    /// Whether it carried a request before: its loss then says nothing about the target.
    reused: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(
        target: Target,
        config: Config,
        faults: Option<Faults>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        let authority = target.authority();
        Self { authority, target, config, faults, tls, idle: Mutex::default() }
    }

    /// Sends a request in origin form and waits for the head of the answer until `deadline`. Fills in `Host` when it is
    /// missing. Errors: `Unavailable` when the target was not reached and nothing was sent; `BadUpstream` when the request
    /// may have been seen (retry only what is idempotent); `Timeout`.
    pub async fn send(
        self: &Arc<Self>,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Body>> {
        self.send_for_events(request, deadline, self.config.body_wait_max).await
    }

    /// As [`Pool::send`], where a stream of events may be silent for `event_wait_max`.
    pub async fn send_for_events(
        self: &Arc<Self>,
        request: Request<Body>,
        deadline: Instant,
        event_wait_max: Duration,
    ) -> Result<Response<Body>> {
        let sent = self.send_streaming(request, event_wait_max);
        match tokio::time::timeout_at(deadline.into(), sent).await {
            Ok(answer) => answer,
            Err(_) => Err(self.late()),
        }
    }

    /// As [`Pool::send_for_events`], for a request whose body may take any time: whoever sends it bounds its waits, and
    /// stops waiting by dropping the future.
    pub async fn send_streaming(
        self: &Arc<Self>,
        mut request: Request<Body>,
        event_wait_max: Duration,
    ) -> Result<Response<Body>> {
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, self.authority.clone());
        }
        self.attempt(request, event_wait_max).await
    }

    /// Sends a request that asks for another protocol, on a connection of its own. An answer of status 101 comes with the
    /// connection's bytes in both directions; any other answer is an answer. Errors as [`Pool::send`].
    pub async fn upgrade(
        self: &Arc<Self>,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<(Response<Body>, Option<Tunnel>)> {
        match tokio::time::timeout_at(deadline.into(), self.try_upgrade(request)).await {
            Ok(upgraded) => upgraded,
            Err(_) => Err(self.late()),
        }
    }

    async fn try_upgrade(
        self: &Arc<Self>,
        request: Request<Body>,
    ) -> Result<(Response<Body>, Option<Tunnel>)> {
        let mut connection = self.connect().await?;
        let answer = connection.sender.send_request(request).await;
        let mut answer = answer.map_err(|error| self.broken(error, false))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let wait_max = self.config.body_wait_max;
            let lease = self.lease(connection, None);
            return Ok((answer.map(|body| lease.hold(body, wait_max)), None));
        }
        let upgraded = hyper::upgrade::on(&mut answer).await;
        let upgraded = upgraded.map_err(|error| self.broken(error, false))?;
        Ok((answer.map(|_| Body::Empty), Some(Tunnel(Box::new(TokioIo::new(upgraded))))))
    }

    fn late(&self) -> Error {
        Error::new(Kind::Timeout, "the upstream did not answer in time")
            .with_detail(self.target.to_string())
    }

    /// Lets a fault on purpose strike before the target is reached.
    async fn strike(&self) -> Result<()> {
        match self.faults.as_ref().and_then(|faults| faults.at(Point::Upstream)) {
            None => Ok(()),
            Some(Effect::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Some(Effect::Fail) => Err(Error::new(Kind::Unavailable, "the upstream is not reached")
                .with_detail(format!("{}, a fault on purpose", self.target))),
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        mut request: Request<Body>,
        event_wait_max: Duration,
    ) -> Result<Response<Body>> {
        self.strike().await?;
        let upload = matches!(request.body(), Body::Streaming(_)).then(|| Arc::new(()));
        if let Some(upload) = &upload {
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = Body::streaming(Uploading { body, _upload: Arc::clone(upload) });
        }
        for _ in 0..ATTEMPTS_MAX {
            let mut connection = self.connection().await?;
            match connection.sender.try_send_request(request).await {
                Ok(answer) => {
                    let wait_max = match is_event_stream(answer.headers()) {
                        true => event_wait_max,
                        false => self.config.body_wait_max,
                    };
                    let lease = self.lease(connection, upload);
                    return Ok(answer.map(|body| lease.hold(body, wait_max)));
                }
                Err(mut failure) => match failure.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(failure.into_error(), connection.reused)),
                },
            }
        }
        Err(Error::new(Kind::Unavailable, "the upstream closes every connection")
            .with_detail(self.target.to_string()))
    }

    fn broken(&self, error: hyper::Error, reused: bool) -> Error {
        if let Some(own) = body_failure(&error) {
            return own.because(error);
        }
        let what = if error.is_parse() {
            "the upstream's answer is malformed"
        } else {
            "the upstream broke off"
        };
        let age = if reused { "on a reused connection" } else { "on a new connection" };
        Error::new(Kind::BadUpstream, what)
            .with_detail(format!("{} {age}", self.target))
            .because(error)
    }

    async fn connection(&self) -> Result<Connection> {
        while let Some(mut idle) = self.take_idle() {
            // hyper's own task may still be finishing the answer before; it is ready in a moment or never.
            let ready = tokio::time::timeout(READY_WAIT_MAX, idle.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) && idle.probe.is_quiet() {
                return Ok(idle);
            }
            idle.cut();
        }
        match tokio::time::timeout(self.config.connect_timeout, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::new(
                Kind::Unavailable,
                "the upstream does not accept connections in time",
            )
            .with_detail(self.target.to_string())),
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let (stream, probe) = stream::connect(&self.target, &self.tls).await?;
        let mut builder = http1::Builder::new();
        let shaken = builder.max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (sender, driver) = shaken.map_err(|error| {
            Error::new(Kind::Unavailable, "the upstream hung up").because(error)
        })?;
        let driver = tokio::spawn(async move {
            // How a connection ends is told to whoever is using it; an idle one may end as it likes.
            let _ = driver.with_upgrades().await;
        });
        Ok(Connection { sender, probe, driver: driver.abort_handle(), reused: false })
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(candidate) = idle.pop() {
            if !candidate.connection.sender.is_closed()
                && candidate.since.elapsed() < self.config.idle_timeout
            {
                return Some(candidate.connection);
            }
        }
        None
    }

    fn put_idle(&self, mut connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        connection.reused = true;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.config.idle_max {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    fn lease(self: &Arc<Self>, connection: Connection, upload: Option<Arc<()>>) -> Lease {
        Lease { pool: Arc::clone(self), connection: Some(connection), upload }
    }
}

// === impl Connection ===

impl Connection {
    /// Ends it now, whatever it is still sending: nobody waits for what comes of it.
    fn cut(self) {
        self.driver.abort();
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    media_type.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// What was wrong with the request's own body, when that, and not the target, ended the exchange.
fn body_failure(error: &hyper::Error) -> Option<Error> {
    let cause = std::error::Error::source(error).filter(|_| error.is_user())?;
    if let Some(own) = cause.downcast_ref::<Error>() {
        return Some(Error::new(own.kind(), own.message().to_owned()));
    }
    Some(if cause.is::<http_body_util::LengthLimitError>() {
        Error::new(Kind::TooLarge, "the body is larger than this route takes")
    } else {
        Error::new(Kind::Malformed, "the body ended before its declared length")
    })
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.target)
    }
}

/// A request's body while it is sent: whoever sends it drops it at its end.
struct Uploading {
    body: Body,
    _upload: Arc<()>,
}

impl http_body::Body for Uploading {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection while its answer is read. Dropped before the answer's end, it closes the connection.
struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    /// Shared with the request's body while that is sent.
    upload: Option<Arc<()>>,
}

// === impl Lease ===

impl Lease {
    /// The answer's body, which ends the lease at its end.
    fn hold(self, body: Incoming, wait_max: Duration) -> Body {
        if http_body::Body::is_end_stream(&body) {
            self.end();
            return Body::Empty;
        }
        Body::streaming(Leased { body: Timed::new(body, wait_max), lease: Some(self) })
    }

    /// Gives the connection back. An answer that is whole before its request is says that nobody reads the rest: its
    /// connection is of no more use, and must not live on for a body that may take for ever.
    fn end(mut self) {
        let is_uploading = self.upload.as_ref().is_some_and(|upload| Arc::strong_count(upload) > 1);
        if !is_uploading && let Some(connection) = self.connection.take() {
            self.pool.put_idle(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.cut();
        }
    }
}

struct Leased {
    body: Timed<Incoming>,
    lease: Option<Lease>,
}

impl http_body::Body for Leased {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let failed = matches!(polled, Poll::Ready(Some(Err(_))));
        let ended =
            matches!(polled, Poll::Ready(None)) || (polled.is_ready() && self.body.is_end_stream());
        if (ended || failed)
            && let Some(lease) = self.lease.take()
            && !failed
        {
            lease.end();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use yunzhan_base::Clock;
    use yunzhan_base::fault::{Plan, Rule};

    use super::super::Client;
    use super::*;

    /// What a request to a port at which nobody listens is told under this fault.
    async fn told(effect: Effect) -> String {
        let faults = Faults::none(Clock::manual(0), 1);
        let rule = Rule { point: Point::Upstream, per_mille: 1000, effect };
        faults.set(Plan { rules: vec![rule], until_ms: 1 });
        let client = Client::with_faults(Config::default(), faults);
        let target = Target::parse("http://127.0.0.1:1").unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        client.send(&target, Request::new(Body::Empty), deadline).await.unwrap_err().log_text()
    }

    #[tokio::test]
    async fn a_fault_on_purpose_strikes_at_the_upstream() {
        let failed = told(Effect::Fail).await;
        assert!(failed.contains("a fault on purpose"), "{failed}");
        let slow = told(Effect::Delay(Duration::from_secs(3600))).await;
        assert!(slow.contains("did not answer in time"), "the deadline holds: {slow}");
    }
}
