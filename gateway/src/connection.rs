//! One connection: its protocol, its bounds, and the edge where hyper's bodies become ours.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::MissedTickBehavior;
use yunzhan_base::body::BodyError;
use yunzhan_base::event::{ConnectionFailed, ConnectionFailureReason, Event};
use yunzhan_base::{Body, Error, Kind};
use yunzhan_net::shutdown::Shutdown;
use yunzhan_net::timed::Timed;

use crate::activity::Overrun;
use crate::bounds::Bounds;
use crate::config::HEADERS_MAX_DEFAULT;
use crate::exchange::ConnectionFacts;
use crate::observed_stream::ObservedStream;
use crate::pipeline::Gateway;
use crate::respond::Tracked;
use crate::stream_executor::StreamExecutor;
use crate::websocket;

/// How often a connection's bounds are checked; a bound may be overrun by so much.
const CHECK_PERIOD: Duration = Duration::from_secs(2);

/// Streams that one HTTP/2 connection may have open; a phone opens ten at most.
const STREAMS_MAX: u32 = 128;

/// What an HTTP/2 stream may buffer for sending.
const STREAM_SEND_BYTES_MAX: usize = 64 << 10;

/// Serves one connection until it ends, overruns a bound, or the shutdown lets it finish its requests.
pub(crate) async fn serve<S>(
    gateway: Arc<Gateway>,
    stream: S,
    facts: ConnectionFacts,
    mut shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let facts = Arc::new(facts);
    let multiplexed = facts.protocol == "h2";
    let stream = TokioIo::new(ObservedStream::new(stream, Arc::clone(&facts), multiplexed));
    let service = {
        let (gateway, facts) = (Arc::clone(&gateway), Arc::clone(&facts));
        let shutdown = shutdown.clone();
        service_fn(move |request: Request<Incoming>| {
            // hyper keeps room for one future as long as the connection lives; a pointer is all that an idle one needs.
            let answer = answer(&gateway, request, &facts, &shutdown);
            Box::pin(async move { Ok::<_, std::convert::Infallible>(answer.await) })
        })
    };
    let bounds = gateway.bounds.load();
    let mut checks = tokio::time::interval(CHECK_PERIOD);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The two connection types share no trait; the macro keeps one loop for both.
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            let mut draining = false;
            loop {
                tokio::select! {
                    ended = connection.as_mut() => break ended.map_err(|error| (reason(&error), error.to_string())),
                    _ = checks.tick() => if let Some(bound) = facts.activity.overrun(&bounds, multiplexed) {
                        break match bound {
                            Overrun::Idle => Ok(()),
                            Overrun::Failed(reason) => Err((reason, reason.name().replace('_', " "))),
                        };
                    },
                    () = shutdown.triggered(), if !draining => {
                        draining = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }};
    }
    let ended = if multiplexed {
        drive!(http2_builder(&bounds, Arc::clone(&facts)).serve_connection(stream, service))
    } else {
        drive!(http1_builder(&bounds).serve_connection(stream, service).with_upgrades())
    };
    if let Err((reason, detail)) = ended {
        let (remote, tls) = (facts.remote, facts.tls);
        gateway.events.emit(&Event::ConnectionFailed(ConnectionFailed {
            remote,
            tls,
            reason,
            detail: &detail,
        }));
    }
}

/// Answers one request of hyper's: the one place that knows its bodies and its upgrades. What is noted here is noted at once,
/// and not when the future is first polled: what arrives from now on belongs to the body.
fn answer(
    gateway: &Arc<Gateway>,
    mut request: Request<Incoming>,
    facts: &Arc<ConnectionFacts>,
    shutdown: &Shutdown,
) -> impl Future<Output = Response<Tracked>> + Send + use<> {
    let lengths = facts.activity.request_began(request.body().size_hint().lower());
    let asks = request.headers().contains_key(header::UPGRADE);
    let upgrade = asks.then(|| (hyper::upgrade::on(&mut request), Arc::clone(gateway)));
    let shutdown = shutdown.clone();
    let (head, body) = request.into_parts();
    let body = arriving(body, &head.headers, &gateway.bounds.peek());
    let departing = gateway.serve(head, body, lengths, Arc::clone(facts));
    async move {
        let departure = departing.await;
        if let (Some(upgraded), Some((connection, gateway))) = (departure.upgraded, upgrade) {
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                // A client that leaves before it has the answer has no socket to be served.
                if let Ok(stream) = connection.await {
                    let bounds = gateway.bounds.load();
                    websocket::serve(TokioIo::new(stream), upgraded, &bounds, shutdown).await;
                }
            });
        }
        let mut response = departure.response;
        if let Some(permit) = departure.event_stream {
            response.body_mut().end_with(permit, shutdown);
        }
        response
    }
}

/// hyper's body as ours, with bounds on its waits.
fn arriving(body: Incoming, headers: &http::HeaderMap, bounds: &Bounds) -> Body {
    if body.is_end_stream() {
        return Body::Empty;
    }
    // A length of 0 is said by HTTP/2 clients whose stream stays open for a moment.
    if headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == HeaderValue::from(0)) {
        return Body::Empty;
    }
    let timed =
        Timed::new(Arriving(body), bounds.body_timeout).at_least(bounds.body_rate_min_bytes);
    Body::streaming(timed)
}

/// Says in our words how a body broke.
struct Arriving(Incoming);

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.0).poll_frame(context);
        polled.map(|frame| {
            frame.map(|frame| {
                frame.map_err(|error| {
                    let text = "the body ended before its declared length";
                    Error::new(Kind::Malformed, text).because(error).into()
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn http1_builder(bounds: &Bounds) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Our own timer watches heads and idling, so hyper needs none. A client that closes its half has gone.
    builder.max_buf_size(bounds.head_bytes_max).half_close(false);
    // Saying hyper's own bound again would cost a thousand instructions a request.
    if bounds.headers_max != HEADERS_MAX_DEFAULT {
        builder.max_headers(bounds.headers_max);
    }
    builder
}

fn http2_builder(bounds: &Bounds, facts: Arc<ConnectionFacts>) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(StreamExecutor {
        stall_max: bounds.body_timeout,
        rate_min_bytes: bounds.body_rate_min_bytes,
        shares: Arc::new(move || facts.activity.taken_by_requests()),
    });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(bounds.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buf_size(STREAM_SEND_BYTES_MAX)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Why hyper gave a connection up.
fn reason(error: &hyper::Error) -> ConnectionFailureReason {
    if error.is_parse() {
        ConnectionFailureReason::Malformed
    } else if error.is_timeout() {
        ConnectionFailureReason::Timeout
    } else if error.is_incomplete_message() || error.is_canceled() {
        ConnectionFailureReason::ClientGone
    } else {
        ConnectionFailureReason::Io
    }
}
