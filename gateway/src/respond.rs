//! The one place that turns an error into an answer, and that finishes every answer's head and body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, response};
use http_body::{Frame, SizeHint};
use yunzhan_base::body::BodyError;
use yunzhan_base::event::Outcome;
use yunzhan_base::{Body, Error, Kind, RequestId};
use yunzhan_net::shutdown::Shutdown;

use crate::exchange::Exchange;
use crate::flight::Flight;
use crate::sockets::SocketPermit;
use crate::stream_executor;
use crate::turn::Turn;

/// Names the request to the client; people quote it when they ask for help.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Renders a refusal in the dialect of the route, or plainly where no route matched.
pub(crate) fn refuse(exchange: &mut Exchange, error: Error) -> Response<Body> {
    let answer = (exchange.render_error)(&error, exchange.request_id);
    // What was not read of the body cannot be told from a next request; HTTP/1 then closes.
    exchange.close |=
        matches!(error.kind(), Kind::TooLarge | Kind::Timeout) && !exchange.body.is_held();
    exchange.error = Some(error);
    answer
}

/// A refusal where no dialect is known.
pub(crate) fn plain(error: &Error, request_id: RequestId) -> Response<Body> {
    let code = error.code();
    let message = serde_json::Value::from(error.message());
    let text = format!(r#"{{"code":"{code}","message":{message},"requestId":"{request_id}"}}"#);
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = error.kind().entry().status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    answer
}

/// What every answer carries.
pub(crate) fn complete_head(exchange: &Exchange, head: &mut response::Parts) {
    let id = HeaderValue::from_bytes(&exchange.request_id.hex()).expect("hexadecimal digits");
    head.headers.insert(REQUEST_ID, id);
    if let Some(allow) = &exchange.allow {
        head.headers.insert(header::ALLOW, allow.clone());
    }
    if let Some(seconds) = exchange.error.as_ref().and_then(Error::retry_after_s) {
        head.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if exchange.close && exchange.connection.protocol != "h2" {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The answer's body on its way out. It owns the exchange, so the end of the one is the end of the other.
pub(crate) struct Tracked {
    body: Body,
    /// None where the flight goes on after the answer: the connection was upgraded.
    flight: Option<Flight>,
    /// Of a stream of events: what it lives by, and when that has ended.
    ends: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Of an HTTP/2 stream: whether the client takes the bytes.
    turn: Option<Turn>,
}

impl Tracked {
    pub(crate) fn new(body: Body, mut flight: Option<Flight>) -> Self {
        if let Some(flight) = &mut flight
            && http_body::Body::is_end_stream(&body)
        {
            flight.outcome = Outcome::Complete;
        }
        let turn = stream_executor::turn();
        if let Some(turn) = &turn {
            turn.set(true);
        }
        Self { body, flight, ends: None, turn }
    }

    /// Ends the body, cleanly, when the shutdown begins or what it lives by has ended: it has no end of its own.
    pub(crate) fn end_with(&mut self, mut permit: SocketPermit, mut shutdown: Shutdown) {
        self.ends = Some(Box::pin(async move {
            tokio::select! {
                _ = permit.ended() => {}
                () = shutdown.triggered() => {}
            }
        }));
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, flight, ends, turn } = &mut *self;
        if let Some(end) = ends
            && end.as_mut().poll(context).is_ready()
        {
            *ends = None;
            *body = Body::Empty;
        }
        let polled = Pin::new(&mut *body).poll_frame(context);
        if let Some(turn) = turn {
            turn.set(polled.is_ready());
        }
        let Some(flight) = flight else { return polled };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                flight.body_bytes_sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                if http_body::Body::is_end_stream(body) {
                    flight.outcome = Outcome::Complete;
                }
            }
            Poll::Ready(Some(Err(_))) => flight.outcome = Outcome::BodyBroke,
            Poll::Ready(None) => flight.outcome = Outcome::Complete,
            Poll::Pending => {}
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
