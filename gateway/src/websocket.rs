//! WebSockets (RFC 6455): the handshake, and what becomes of a connection after it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt, StreamExt};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version, request};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use yunzhan_base::event::Outcome;
use yunzhan_base::socket::{CloseReason, Message, Socket, SocketInbox, SocketOutbox};
use yunzhan_base::{Body, Error, Kind, Result, Upgrade};
use yunzhan_net::shutdown::Shutdown;

use crate::bounds::Bounds;
use crate::flight::{Upgraded, UpgradedBy};
use crate::frames::CLOSE_MAX;
use crate::sockets::SocketPermit;
use crate::tunnel;

/// How often a client is asked whether it is there. Phones' networks forget a silent connection after a minute or two.
const PING_PERIOD: Duration = Duration::from_secs(30);

/// How long a service may take to end once its socket has.
const SERVICE_END_MAX: Duration = Duration::from_secs(5);

/// What a socket reads at once. Idle sockets keep so much; messages are short.
const READ_BUFFER_BYTES: usize = 1 << 10;

/// What is read at once of what is passed over.
const LINGER_BUFFER_BYTES: usize = 16 << 10;

/// The headers of a handshake that an upstream must see, beside `Connection` and `Upgrade`.
pub(crate) const HANDSHAKE: [HeaderName; 4] = [
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// What the server adds to the client's key before it hashes it (RFC 6455 section 1.3).
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether the client asks for a WebSocket, over HTTP/1.1.
pub(crate) fn is_asked_for(head: &request::Parts) -> bool {
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && has_token(&head.headers, &header::CONNECTION, "upgrade")
        && has_token(&head.headers, &header::UPGRADE, "websocket")
}

/// The answer of status 101, or why the client cannot have a WebSocket.
pub(crate) fn accept(head: &request::Parts, upgrade: &Upgrade) -> Result<Response<Body>> {
    let refuse = |why| Err(Error::new(Kind::Malformed, why));
    if !is_asked_for(head) {
        return refuse("this address is a WebSocket; connect with wss:// over HTTP/1.1");
    }
    if head.headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return refuse("the WebSocket version is not 13");
    }
    let key = head.headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| BASE64.decode(key).is_ok_and(|key| key.len() == 16)) else {
        return refuse("sec-websocket-key is not 16 bytes in base64");
    };
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let hash = Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize();
    let accepted = HeaderValue::from_str(&BASE64.encode(hash)).expect("base64");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    if let Some(protocol) = upgrade.subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(answer)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// Serves an upgraded connection until it ends. The flight, and with it the request's one event, ends then too.
pub(crate) async fn serve<S>(stream: S, upgraded: Upgraded, bounds: &Bounds, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Upgraded { mut flight, by, mut permit } = upgraded;
    match by {
        UpgradedBy::Tunnel(upstream) => {
            let end = async {
                tokio::select! {
                    () = shutdown.triggered() => CloseReason::GoingAway,
                    reason = permit.ended() => reason,
                }
            };
            flight.body_bytes_sent =
                tunnel::pass(stream, upstream, bounds.socket_idle_timeout, end).await;
            flight.outcome = Outcome::Complete;
        }
        UpgradedBy::Service(upgrade) => {
            let Upgrade { message_bytes_max, serve, .. } = upgrade;
            let (socket, inbox, outbox) = Socket::open();
            let service = tokio::spawn(serve(socket));
            let stream = WebSocketStream::from_raw_socket(
                stream,
                Role::Server,
                Some(framing(message_bytes_max)),
            );
            let stream = stream.await;
            let served =
                Served { stream, inbox: Some(inbox), service, bounds, sent: 0, is_over: false };
            let (sent, is_clean) = served.run(outbox, &mut permit, &mut shutdown).await;
            flight.body_bytes_sent = sent;
            flight.outcome = if is_clean { Outcome::Complete } else { Outcome::ClientGone };
        }
    }
}

/// Bounds of the framing. Its buffers are small: most sockets are idle most of the time.
fn framing(message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(message_bytes_max.saturating_mul(2).max(READ_BUFFER_BYTES))
}

/// A socket that a service speaks over.
struct Served<'b, S> {
    stream: WebSocketStream<S>,
    /// Dropped when the socket ends, which the service hears of.
    inbox: Option<SocketInbox>,
    service: JoinHandle<()>,
    bounds: &'b Bounds,
    sent: u64,
    /// Whether the service's end was seen.
    is_over: bool,
}

/// Why a socket's loop ended.
enum Ended {
    /// We close it, for this reason.
    ByUs(CloseReason),
    /// The client closed it, or is gone.
    ByClient {
        /// Whether it said so.
        is_clean: bool,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Served<'_, S> {
    /// Passes messages both ways until one side ends. Gives the bytes of messages sent, and whether the end was clean.
    async fn run(
        mut self,
        mut outbox: SocketOutbox,
        permit: &mut SocketPermit,
        shutdown: &mut Shutdown,
    ) -> (u64, bool) {
        let ended = self.pass(&mut outbox, permit, shutdown).await;
        // The service hears of the end whether it waits for a message or for room to send one.
        self.inbox = None;
        drop(outbox);
        let is_clean = match ended {
            Ended::ByUs(reason) => self.close(reason).await,
            Ended::ByClient { is_clean } => {
                // The answer to its farewell is written when the stream is asked once more.
                let rest = async { while let Some(Ok(_)) = self.stream.next().await {} };
                let is_answered = tokio::time::timeout(CLOSE_MAX, rest).await.is_ok();
                is_clean && is_answered
            }
        };
        // The service heard that the socket is over; it has a moment to put things in order.
        let is_over = self.is_over || self.service.is_finished();
        if !is_over && tokio::time::timeout(SERVICE_END_MAX, &mut self.service).await.is_err() {
            self.service.abort();
        }
        (self.sent, is_clean)
    }

    async fn pass(
        &mut self,
        outbox: &mut SocketOutbox,
        permit: &mut SocketPermit,
        shutdown: &mut Shutdown,
    ) -> Ended {
        let mut last_heard = Instant::now();
        let mut pings = tokio::time::interval_at(last_heard + PING_PERIOD, PING_PERIOD);
        loop {
            tokio::select! {
                arrived = receive(&mut self.stream, &mut self.inbox) => {
                    last_heard = Instant::now();
                    if let Some(ended) = self.arrived(arrived) {
                        return ended;
                    }
                }
                message = outbox.next() => match message {
                    Some(message) => if !self.send(message).await {
                        return Ended::ByClient { is_clean: false };
                    },
                    None => return Ended::ByUs(self.service_ended().await),
                },
                _ = pings.tick() => {
                    if last_heard.elapsed() > self.bounds.socket_idle_timeout {
                        return Ended::ByUs(CloseReason::Policy);
                    }
                    let ping = self.stream.send(Frame::Ping(bytes::Bytes::new()));
                    if !matches!(tokio::time::timeout(self.bounds.body_timeout, ping).await, Ok(Ok(()))) {
                        return Ended::ByClient { is_clean: false };
                    }
                }
                reason = permit.ended() => return Ended::ByUs(reason),
                () = shutdown.triggered() => return Ended::ByUs(CloseReason::GoingAway),
            }
        }
    }

    /// Hands a frame of the client's over. Says why the socket ends, if it does.
    fn arrived(&mut self, arrived: Option<Result<Frame, tungstenite::Error>>) -> Option<Ended> {
        let message = match arrived {
            Some(Ok(Frame::Text(text))) => Message::Text(text.as_str().to_owned()),
            Some(Ok(Frame::Binary(bytes))) => Message::Binary(bytes),
            Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => return None,
            Some(Ok(Frame::Close(_))) | None => return Some(Ended::ByClient { is_clean: true }),
            Some(Err(tungstenite::Error::Capacity(_))) => {
                return Some(Ended::ByUs(CloseReason::TooLarge));
            }
            Some(Err(tungstenite::Error::Utf8(_))) => {
                return Some(Ended::ByUs(CloseReason::NotUtf8));
            }
            Some(Err(tungstenite::Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake,
            ))) => {
                return Some(Ended::ByClient { is_clean: false });
            }
            Some(Err(tungstenite::Error::Protocol(_))) => {
                return Some(Ended::ByUs(CloseReason::Protocol));
            }
            Some(Err(_)) => return Some(Ended::ByClient { is_clean: false }),
        };
        // A service that is gone is noticed by its outbox.
        let _ = self.inbox.as_mut()?.deliver(message);
        None
    }

    /// Sends a message; a client that takes no bytes for too long is gone.
    async fn send(&mut self, message: Message) -> bool {
        let (bytes, frame) = match message {
            Message::Text(text) => (text.len(), Frame::text(text)),
            Message::Binary(bytes) => (bytes.len(), Frame::binary(bytes)),
        };
        let sent = tokio::time::timeout(self.bounds.body_timeout, self.stream.send(frame)).await;
        self.sent += bytes as u64;
        matches!(sent, Ok(Ok(())))
    }

    /// The reason by which the service ended: it was done, or it failed.
    async fn service_ended(&mut self) -> CloseReason {
        match tokio::time::timeout(SERVICE_END_MAX, &mut self.service).await {
            Ok(ended) => {
                self.is_over = true;
                // A service that panicked is a fault of ours.
                ended.map_or(CloseReason::Internal, |()| CloseReason::Normal)
            }
            Err(_) => CloseReason::Normal,
        }
    }

    /// Says that the socket is over and waits a moment for the client to say so too.
    async fn close(&mut self, reason: CloseReason) -> bool {
        let frame =
            CloseFrame { code: CloseCode::from(reason.code()), reason: reason.text().into() };
        let closing = async {
            self.stream.close(Some(frame)).await.ok()?;
            if is_of_framing(reason) {
                // What comes now cannot be told apart any more.
                linger(self.stream.get_mut()).await;
            } else {
                // Whatever the client still sends is passed over.
                while let Some(Ok(_)) = self.stream.next().await {}
            }
            Some(())
        };
        matches!(tokio::time::timeout(CLOSE_MAX, closing).await, Ok(Some(())))
    }
}

/// Whether the socket ends because of the client's frames.
const fn is_of_framing(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::Protocol | CloseReason::NotUtf8 | CloseReason::TooLarge)
}

/// Says that nothing more comes, and passes over what the client still sends until it closes too. A connection that is
/// dropped with bytes unread is reset, and a client that is in the middle of a message would not hear the code.
async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    if stream.shutdown().await.is_err() {
        return;
    }
    // On the heap: every socket's task would have its size.
    let mut passed_over = vec![0; LINGER_BUFFER_BYTES];
    while stream.read(&mut passed_over).await.is_ok_and(|bytes| bytes > 0) {}
}

/// The client's next frame, once the service has room for one: a service that is slow makes its client slow, and nothing
/// else.
async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<S>,
    inbox: &mut Option<SocketInbox>,
) -> Option<Result<Frame, tungstenite::Error>> {
    let has_room = match inbox {
        Some(inbox) => inbox.ready().await.is_ok(),
        None => false,
    };
    // A service that is gone is noticed by its outbox.
    if has_room { stream.next().await } else { std::future::pending().await }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::testing;

    fn asked(headers: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::builder().uri("/socket");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        testing::exchange_of(request, Body::Empty).head
    }

    #[test]
    fn a_handshake_is_answered_as_the_rfc_says() {
        let upgrade = Upgrade::to(|_| async {});
        let whole = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let answer = accept(&asked(&whole), &upgrade).unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        // RFC 6455 section 1.3 has this pair.
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for missing in 0..whole.len() {
            let mut rest = whole.to_vec();
            rest.remove(missing);
            assert!(accept(&asked(&rest), &upgrade).is_err(), "{:?}", whole[missing]);
        }
        for (at, value) in [(2, "8"), (3, "dGhlIHNhbXBsZQ=="), (3, "!"), (1, "h2c")] {
            let mut other = whole.to_vec();
            other[at].1 = value;
            assert!(accept(&asked(&other), &upgrade).is_err(), "{value}");
        }
    }
}
