//! WebSockets (RFC 6455): the handshake, and what becomes of a connection after it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version, request};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite};
use yunzhan_base::{Body, Error, Kind, Result, Upgrade};
use yunzhan_net::shutdown::Shutdown;

use crate::flight::{Upgraded, UpgradedBy};
use crate::pipeline::Gateway;

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

/// Serves an upgraded connection until it ends.
pub(crate) async fn serve<S>(stream: S, upgraded: Upgraded, gateway: &Gateway, _shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Upgraded { mut flight, by } = upgraded;
    match by {
        UpgradedBy::Tunnel(tunnel) => {
            let (_, sent) = tunnel.join(stream, gateway.bounds.peek().idle_timeout).await;
            flight.body_bytes_sent = sent;
            flight.outcome = yunzhan_base::event::Outcome::Complete;
        }
        UpgradedBy::Service(_) => {}
    }
}
