//! One connection: its protocol, and the bounds on how long it may idle or dawdle over a head.
//!
//! hyper has one timer for "idle" and "slow head"; these are different things, a phone's open connection and an attack. So
//! the stream notes when bytes arrive, requests note when they begin and end, and one timer per connection compares.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body::Body as _;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::MissedTickBehavior;
use yunzhan_base::event::{ConnectionFailed, ConnectionFailureReason, Event};
use yunzhan_net::shutdown::Shutdown;

use crate::config::HEADERS_MAX_DEFAULT;
use crate::exchange::ConnectionFacts;
use crate::head_scan::{HeadScan, Lengths};
use crate::pipeline::Gateway;

/// Bounds of connections and bodies. A new connection takes those of its moment.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// From the first byte of a head to its last.
    pub(crate) head_timeout: Duration,
    /// From one request to the next.
    pub(crate) idle_timeout: Duration,
    /// For a held body as a whole, and for each wait of a streamed one.
    pub(crate) body_timeout: Duration,
    /// Bytes of a request's head, and the most that HTTP/1 buffers.
    pub(crate) head_bytes_max: usize,
    /// Headers of a request.
    pub(crate) headers_max: usize,
    /// Connections open at once on each listener.
    pub(crate) connections_max: usize,
}

/// How often a connection's bounds are checked; a bound may be overrun by so much.
const CHECK_PERIOD: Duration = Duration::from_secs(2);

/// Streams that one HTTP/2 connection may have open; a phone opens ten at most.
const STREAMS_MAX: u32 = 128;

/// What an HTTP/2 stream may buffer for sending.
const STREAM_SEND_BYTES_MAX: usize = 64 << 10;

/// When a connection last did something.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// Milliseconds after `opened` at which the present wait began.
    since_ms: AtomicU64,
    in_flight: AtomicU32,
    /// Whether bytes of a head have arrived and no request has begun yet.
    head_began: AtomicBool,
    /// Milliseconds after `opened`, and one, at which the client stopped taking bytes; 0 while it takes them.
    blocked_ms: AtomicU64,
    /// What the last head said of its body's length, packed; taken by the request that it begins.
    lengths: AtomicU8,
    /// Bytes that arrived since that head, and how many of them are the body that it declared.
    after_head_bytes: AtomicU64,
    body_bytes: AtomicU64,
    /// Whether a head began to arrive before the request before it ended: from then on heads are not seen whole.
    pipelined: AtomicBool,
}

/// A bound that a connection overran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overrun {
    /// It idled too long, which is no failure.
    Idle,
    /// A head never ends, or nobody takes an answer.
    Failed(ConnectionFailureReason),
}

/// Old clients end a body with an empty line that belongs to nothing (RFC 9112 section 2.2).
const STRAY_BYTES: u64 = 2;

// === impl Activity ===

impl Activity {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            since_ms: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            head_began: AtomicBool::new(false),
            blocked_ms: AtomicU64::new(0),
            lengths: AtomicU8::new(0),
            after_head_bytes: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            pipelined: AtomicBool::new(false),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn touch(&self) {
        self.since_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    /// Notes whether the client takes what is written to it.
    fn wrote<T>(&self, polled: &Poll<io::Result<T>>) {
        let is_blocked = self.blocked_ms.load(Ordering::Relaxed) != 0;
        if polled.is_pending() && !is_blocked {
            self.blocked_ms.store(self.elapsed_ms() + 1, Ordering::Relaxed);
        } else if polled.is_ready() && is_blocked {
            self.blocked_ms.store(0, Ordering::Relaxed);
            self.touch();
        }
    }

    /// Bytes that are still to come of the body that the last head declared. A request that was refused before its body was
    /// read has ended, and its body may come all the same.
    fn body_bytes_due(&self) -> u64 {
        let arrived = self.after_head_bytes.load(Ordering::Relaxed);
        self.body_bytes.load(Ordering::Relaxed).saturating_sub(arrived)
    }

    /// Notes bytes of an HTTP/1 connection, and looks at those that are a head.
    fn bytes_arrived(&self, bytes: &[u8], scan: &mut HeadScan) {
        let of_body = if self.is_between_requests() {
            bytes.len().min(usize::try_from(self.body_bytes_due()).unwrap_or(usize::MAX))
        } else {
            bytes.len()
        };
        self.after_head_bytes.fetch_add(of_body as u64, Ordering::Relaxed);
        let bytes = &bytes[of_body..];
        if bytes.is_empty() {
            return;
        }
        if !self.head_began.swap(true, Ordering::Relaxed) {
            self.touch();
            let body_bytes = self.body_bytes.load(Ordering::Relaxed);
            let surplus = self.after_head_bytes.load(Ordering::Relaxed).saturating_sub(body_bytes);
            if surplus > STRAY_BYTES {
                self.pipelined.store(true, Ordering::Relaxed);
            }
        }
        if let Some((lengths, rest)) = scan.feed(bytes) {
            self.after_head_bytes.store(rest as u64, Ordering::Relaxed);
            if !self.pipelined.load(Ordering::Relaxed) {
                self.lengths.store(lengths.pack(), Ordering::Relaxed);
            }
        }
    }

    /// Notes the beginning of a request with so many bytes of body, and gives what its head said of its length when the head
    /// was seen arriving.
    pub(crate) fn request_began(&self, body_bytes: u64) -> Option<Lengths> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_began.store(false, Ordering::Relaxed);
        self.body_bytes.store(body_bytes, Ordering::Relaxed);
        Lengths::unpack(self.lengths.swap(0, Ordering::Relaxed))
    }

    fn is_between_requests(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn request_ended(&self) {
        self.touch();
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Which bound is overrun, if one is. A request in flight has its own, but for a client that takes no bytes.
    fn overrun(&self, bounds: &Bounds, multiplexed: bool) -> Option<Overrun> {
        if let Some(blocked_ms) = self.blocked_ms.load(Ordering::Relaxed).checked_sub(1) {
            let blocked = Duration::from_millis(self.elapsed_ms().saturating_sub(blocked_ms));
            let failed = Overrun::Failed(ConnectionFailureReason::WriteTimeout);
            return (blocked > bounds.body_timeout).then_some(failed);
        }
        if !self.is_between_requests() {
            return None;
        }
        let waited = self
            .opened
            .elapsed()
            .saturating_sub(Duration::from_millis(self.since_ms.load(Ordering::Relaxed)));
        // HTTP/2 sends pings and settings between requests; only HTTP/1 bytes are always a head.
        let in_head = !multiplexed && self.head_began.load(Ordering::Relaxed);
        if in_head && waited > bounds.head_timeout {
            return Some(Overrun::Failed(ConnectionFailureReason::HeadTimeout));
        }
        (waited > bounds.idle_timeout).then_some(Overrun::Idle)
    }
}

/// A stream that notes arriving bytes, and what HTTP/1 heads among them say of their bodies.
struct Noted<S> {
    stream: S,
    facts: Arc<ConnectionFacts>,
    scan: Option<HeadScan>,
    /// What did not fit when a target was written anew.
    left: Vec<u8>,
}

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
    let stream = TokioIo::new(Noted {
        stream,
        facts: Arc::clone(&facts),
        scan: (!multiplexed).then(HeadScan::default),
        left: Vec::new(),
    });
    let service = {
        let (gateway, facts) = (Arc::clone(&gateway), Arc::clone(&facts));
        service_fn(move |request: http::Request<hyper::body::Incoming>| {
            // At once, and not when the future is first polled: what arrives from now on belongs to the body.
            let lengths = facts.activity.request_began(request.body().size_hint().lower());
            let answer = Arc::clone(&gateway).serve(request, lengths, Arc::clone(&facts));
            // hyper keeps room for one future as long as the connection lives; a pointer is all that an idle one needs.
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
        drive!(http2_builder(&bounds).serve_connection(stream, service))
    } else {
        drive!(http1_builder(&bounds).serve_connection(stream, service))
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

fn http2_builder(bounds: &Bounds) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
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

impl ConnectionFacts {
    pub(crate) fn new(remote: std::net::SocketAddr, tls: bool, protocol: &'static str) -> Self {
        Self { remote, tls, protocol, activity: Activity::new() }
    }
}

// === impl Noted ===

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.left.is_empty() {
            self.fill_from_left(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Self { facts, scan, left, .. } = &mut *self;
        let (Some(scan), arrived) = (scan, &buffer.filled()[before..]) else { return polled };
        if arrived.is_empty() {
            return polled;
        }
        // The bytes of a body have a length that was declared: not one of them may become three.
        let is_target = scan.is_in_first_line()
            && facts.activity.is_between_requests()
            && facts.activity.body_bytes_due() == 0;
        let escaped = if is_target { escaped_target(arrived) } else { None };
        facts.activity.bytes_arrived(arrived, scan);
        if let Some(escaped) = escaped {
            *left = escaped;
            buffer.set_filled(before);
            self.fill_from_left(buffer);
        }
        polled
    }
}

impl<S> Noted<S> {
    fn fill_from_left(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left[..count]);
        self.left.drain(..count);
    }
}

/// Bytes that have no place in a target (RFC 3986) and that old clients send all the same, written as every browser writes
/// them. Only the first line is looked at; nothing where there is nothing to do.
fn escaped_target(arrived: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memchr(b'\n', arrived).unwrap_or(arrived.len());
    memchr::memchr3(b'"', b'<', b'>', &arrived[..end])?;
    let mut escaped = Vec::with_capacity(arrived.len() + 64);
    for &byte in &arrived[..end] {
        match byte {
            b'"' => escaped.extend_from_slice(b"%22"),
            b'<' => escaped.extend_from_slice(b"%3C"),
            b'>' => escaped.extend_from_slice(b"%3E"),
            byte => escaped.push(byte),
        }
    }
    escaped.extend_from_slice(&arrived[end..]);
    Some(escaped)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.facts.activity.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.facts.activity.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        head_timeout: Duration::ZERO,
        idle_timeout: Duration::from_secs(3600),
        body_timeout: Duration::ZERO,
        head_bytes_max: 8192,
        headers_max: 100,
        connections_max: 1,
    };

    #[test]
    fn a_head_that_never_ends_is_told_from_an_idle_connection() {
        let activity = Activity::new();
        assert_eq!(activity.overrun(&BOUNDS, false), None);
        activity.bytes_arrived(b"GET", &mut HeadScan::default());
        while activity.opened.elapsed() < Duration::from_millis(2) {}
        assert_eq!(
            activity.overrun(&BOUNDS, false),
            Some(Overrun::Failed(ConnectionFailureReason::HeadTimeout))
        );
        assert_eq!(activity.overrun(&BOUNDS, true), None, "HTTP/2 bytes are not always a head");
        activity.request_began(0);
        assert_eq!(
            activity.overrun(&BOUNDS, false),
            None,
            "a request in flight has bounds of its own"
        );
        activity.request_ended();
        assert_eq!(activity.overrun(&BOUNDS, false), None);
    }

    /// What a connection reads of bytes that arrive at once, after a request that declared a body of so many bytes.
    async fn read_behind(body_bytes: u64, arriving: &str) -> (String, Option<Lengths>) {
        let remote = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let facts = Arc::new(ConnectionFacts::new(remote, false, "http/1.1"));
        let mut scan = HeadScan::default();
        facts.activity.bytes_arrived(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", &mut scan);
        facts.activity.request_began(body_bytes);
        facts.activity.request_ended();
        let (stream, left) = (arriving.as_bytes(), Vec::new());
        let mut noted = Noted { stream, facts: Arc::clone(&facts), scan: Some(scan), left };
        let mut read = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut noted, &mut read).await.unwrap();
        (String::from_utf8(read).unwrap(), facts.activity.request_began(0))
    }

    #[tokio::test]
    async fn a_body_that_nobody_waited_for_stays_as_long_as_it_is() {
        let next = "GET /a<b HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let (read, lengths) = read_behind(0, next).await;
        assert!(read.starts_with("GET /a%3Cb HTTP/1.1"), "{read}");
        assert_eq!(lengths.map(|it| it.content_length), Some(2));

        let body = "<\"\"\"> #\r\n\r\n";
        let (read, lengths) = read_behind(body.len() as u64, body).await;
        assert_eq!((read.as_str(), lengths), (body, None), "the body is no target and no head");

        let (read, lengths) = read_behind(body.len() as u64, &format!("{body}{next}")).await;
        assert_eq!(read, format!("{body}{next}"));
        assert_eq!(lengths.map(|it| (it.content_length, it.has_fragment)), Some((2, false)));
    }
}
