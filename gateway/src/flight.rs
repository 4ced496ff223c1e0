//! Runs one exchange through the stages, to whoever answers, and back. Exactly one event at its end.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, Response, response};
use yunzhan_base::event::{Event, Events, Outcome, RequestEnded};
use yunzhan_base::{Body, Error, Live, Result, Upgrade};
use yunzhan_net::http::Tunnel;

use crate::body;
use crate::body_prefix;
use crate::bounds::Bounds;
use crate::client_address::TrustedProxies;
use crate::exchange::{Answered, Exchange};
use crate::respond::{self, Tracked};
use crate::sockets::{SocketPermit, Sockets};
use crate::stage::{BodyPlan, Stage, Step};
use crate::websocket;

/// How long the beginning of an answer's body is waited for; then what has come is judged, and the rest passes.
const HOLD_TIME_MAX: Duration = Duration::from_secs(10);

/// What every flight of a gateway passes.
pub(crate) struct Course {
    /// In the order of execution.
    pub(crate) stages: Vec<Box<dyn Stage>>,
    /// Hear of its end.
    pub(crate) events: Events,
    /// What may stay open for hours.
    pub(crate) sockets: Sockets,
    /// Bounds of sockets.
    pub(crate) bounds: Live<Bounds>,
    /// Whose connections are not one client's.
    pub(crate) trusted_proxies: Live<TrustedProxies>,
}

/// An exchange from its head to its last byte. Dropping it, whenever that is, finishes it exactly once.
pub(crate) struct Flight(Box<Inner>);

pub(crate) struct Inner {
    course: Arc<Course>,
    exchange: Exchange,
    status: http::StatusCode,
    pub(crate) body_bytes_sent: u64,
    pub(crate) outcome: Outcome,
}

/// What leaves: an answer, and what becomes of the connection after it.
pub(crate) struct Departure {
    pub(crate) response: Response<Tracked>,
    pub(crate) upgraded: Option<Upgraded>,
    /// The place among open sockets of an answer that streams events.
    pub(crate) event_stream: Option<SocketPermit>,
}

/// Who takes the connection over once the client has the answer of status 101.
pub(crate) struct Upgraded {
    /// Its facts live until the socket ends.
    pub(crate) flight: Flight,
    /// Who speaks over it.
    pub(crate) by: UpgradedBy,
    /// Its place among the open sockets.
    pub(crate) permit: SocketPermit,
}

/// Who speaks over an upgraded connection.
pub(crate) enum UpgradedBy {
    /// A service, by messages.
    Service(Upgrade),
    /// A server elsewhere, by bytes.
    Tunnel(Tunnel),
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
    /// A flight that has not begun. It is finished like any other when the client leaves before it does.
    pub(crate) fn new(course: Arc<Course>, exchange: Exchange) -> Self {
        let gone = http::StatusCode::from_u16(499).expect("a status of three digits");
        let outcome = Outcome::ClientGone;
        Self(Box::new(Inner { course, exchange, status: gone, body_bytes_sent: 0, outcome }))
    }

    /// Passes every stage and completes the answer.
    pub(crate) async fn run(mut self) -> Departure {
        let (reached, answered) = self.pass().await;
        let (answer, by) = match answered.and_then(|answered| self.split(answered)) {
            Ok(answer) => answer,
            Err(error) => (respond::refuse(&mut self.exchange, error), None),
        };
        let (mut head, mut body) = answer.into_parts();
        for at in (0..reached).rev() {
            if let Err(error) = self.apply_response(at, &mut head, &mut body).await {
                (head, body) = respond::refuse(&mut self.exchange, error).into_parts();
            }
        }
        let by = by.filter(|_| head.status == http::StatusCode::SWITCHING_PROTOCOLS);
        let mut permit = None;
        if by.is_some() || is_event_stream(&head) {
            match self.open_socket() {
                Ok(open) => permit = Some(open),
                Err(error) => {
                    (head, body) = respond::refuse(&mut self.exchange, error).into_parts();
                }
            }
        }
        if self.exchange.head.method == Method::HEAD {
            body = without_body(&mut head, &body);
        }
        if self.exchange.body.is_unread() {
            self.exchange.connection.activity.leave_body_unread();
        }
        // The answer may stream for hours, and nothing of the request is sent again.
        self.exchange.body.let_go();
        respond::complete_head(&self.exchange, &mut head);
        self.status = head.status;
        let (by, permit) = match (by, permit) {
            (Some(by), Some(permit)) => (by, permit),
            (_, event_stream) => {
                if event_stream.is_some() {
                    self.lighten();
                }
                let response = Response::from_parts(head, Tracked::new(body, Some(self)));
                return Departure { response, upgraded: None, event_stream };
            }
        };
        self.lighten();
        let response = Response::from_parts(head, Tracked::new(Body::Empty, None));
        let upgraded = Some(Upgraded { flight: self, by, permit });
        Departure { response, upgraded, event_stream: None }
    }

    fn open_socket(&self) -> Result<SocketPermit> {
        let Course { sockets, bounds, trusted_proxies, .. } = &*self.course;
        sockets.open(&self.exchange, bounds.peek().sockets, trusted_proxies)
    }

    /// Drops what only the request's way needed: a socket may live for days.
    fn lighten(&mut self) {
        let Inner { course, exchange, .. } = &mut *self.0;
        for stage in &course.stages {
            stage.upgraded(exchange);
        }
        exchange.head.headers = http::HeaderMap::new();
        exchange.head.extensions = http::Extensions::new();
    }

    /// The head that travels, and who takes the connection over.
    fn split(&self, answered: Answered) -> Result<(Response<Body>, Option<UpgradedBy>)> {
        Ok(match answered {
            Answered::Response(response) => (response, None),
            Answered::Upgrade(upgrade) => {
                let response = websocket::accept(&self.exchange.head, &upgrade)?;
                (response, Some(UpgradedBy::Service(upgrade)))
            }
            Answered::Tunnel(response, tunnel) => (response, Some(UpgradedBy::Tunnel(tunnel))),
        })
    }

    /// Shows the answer to a stage, or says why it is not sent.
    async fn apply_response(
        &mut self,
        at: usize,
        head: &mut response::Parts,
        body: &mut Body,
    ) -> Result<()> {
        let Inner { course, exchange, .. } = &mut *self.0;
        let stage = &course.stages[at];
        match stage.response(exchange, head) {
            BodyPlan::Pass => Ok(()),
            BodyPlan::Refuse(error) => Err(error),
            BodyPlan::Observe(watch) => {
                *body = body::observed(std::mem::take(body), watch);
                Ok(())
            }
            BodyPlan::Replace(make) => {
                *body = make(std::mem::take(body));
                Ok(())
            }
            BodyPlan::Hold { bytes_max } => {
                let prefix =
                    body_prefix::read(std::mem::take(body), bytes_max, HOLD_TIME_MAX).await;
                let verdict = stage.response_body(exchange, prefix.begun());
                *body = prefix.into_body();
                verdict
            }
        }
    }

    /// Runs the stages in order, then whoever answers. Says how many stages saw the request.
    async fn pass(&mut self) -> (usize, Result<Answered>) {
        let Inner { course, exchange, .. } = &mut *self.0;
        for (index, stage) in course.stages.iter().enumerate() {
            match settle(stage.as_ref(), exchange).await {
                Ok(None) => {}
                Ok(Some(answer)) => return (index + 1, Ok(Answered::Response(answer))),
                Err(error) => {
                    for later in &course.stages[index + 1..] {
                        later.refused(exchange, error.kind());
                    }
                    return (index + 1, Err(error));
                }
            }
        }
        (course.stages.len(), forward(exchange).await)
    }
}

async fn forward(exchange: &mut Exchange) -> Result<Answered> {
    let Some(rule) = exchange.matched.as_ref().map(|matched| Arc::clone(&matched.rule)) else {
        return Err(Error::internal("a request passed the route stage without a route"));
    };
    rule.upstream.answer(exchange).await
}

fn is_event_stream(head: &response::Parts) -> bool {
    let media_type = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    media_type.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
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

/// The head that a GET would have had (RFC 9110 section 9.3.2): its length, where it is known, and nothing after it.
fn without_body(head: &mut response::Parts, body: &Body) -> Body {
    if let Some(length) = http_body::Body::size_hint(body).exact()
        && !head.headers.contains_key(header::CONTENT_LENGTH)
        && !head.headers.contains_key(header::TRANSFER_ENCODING)
        && !matches!(head.status.as_u16(), 100..=199 | 204 | 304)
        && length > 0
    {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Body::Empty
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Inner { course, exchange, status, body_bytes_sent, outcome } = &mut *self.0;
        exchange.connection.activity.request_ended();
        for stage in course.stages.iter().rev() {
            stage.finish(exchange, *outcome);
        }
        course.events.emit(&Event::RequestEnded(RequestEnded {
            facts: exchange.facts(),
            status: *status,
            body_bytes_sent: *body_bytes_sent,
            duration_us: u64::try_from(exchange.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            protocol: exchange.connection.protocol,
            tls: exchange.connection.tls,
            error: exchange.error.as_ref(),
            outcome: *outcome,
        }));
    }
}
