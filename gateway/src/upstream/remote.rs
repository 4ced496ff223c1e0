//! A team's own server behind the gateway: what is passed on, what is added, what is held back.

use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use yunzhan_base::{Body, Error, Kind, Live, Result, RoutePolicy};
use yunzhan_net::http::{Client, Pool};

use super::progress;
use crate::bounds::Bounds;
use crate::client_address::{self, TrustedProxies};
use crate::config::RemoteRoute;
use crate::exchange::{Answered, Exchange, TRACEPARENT, Upstream, UpstreamFuture};
use crate::respond::REQUEST_ID;
use crate::websocket;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const CALLER_OPENID: HeaderName = HeaderName::from_static("x-wx-openid");
const CALLER_APPID: HeaderName = HeaderName::from_static("x-wx-appid");
const CALLER_ENV: HeaderName = HeaderName::from_static("x-wx-env");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers that begin so tell an upstream who calls and from where. A team's server believes them, so no client may send
/// one, nor a name that CGI, WSGI, Rack or PHP cannot tell from it: `X_Wx_Openid`, `X.Wx.Openid`. `Forwarded` (RFC 7239) says the same in
/// other words.
const OURS_PREFIXES: [&str; 4] = ["x-wx-", "x-forwarded-", "x-real-ip", "x-request-id"];

/// Headers that belong to one connection and never travel on (RFC 9110 section 7.6.1), and those that only we may set.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::FORWARDED,
];

/// One remote server.
pub(crate) struct Remote {
    pool: Arc<Pool>,
    prefix: String,
    policy: RoutePolicy,
    bounds: Live<Bounds>,
    trusted_proxies: Live<TrustedProxies>,
}

impl Remote {
    pub(crate) fn new(
        route: &RemoteRoute,
        client: &Client,
        bounds: Live<Bounds>,
        trusted_proxies: Live<TrustedProxies>,
    ) -> Result<Self> {
        let pool = client.pool(&route.upstream)?;
        let prefix = route.upstream.path_prefix().to_owned();
        Ok(Self { pool, prefix, policy: route.policy, bounds, trusted_proxies })
    }

    /// Sends the request on and streams the answer back. A request that may have been seen is sent again only when that is
    /// safe: its method changes nothing and its body is here.
    async fn forward(&self, exchange: &mut Exchange) -> Result<Answered> {
        if websocket::is_asked_for(&exchange.head) {
            return self.upgrade(exchange).await;
        }
        let is_safe = matches!(exchange.head.method, Method::GET | Method::HEAD | Method::OPTIONS)
            && exchange.body.is_held();
        let answer = match self.send(exchange).await {
            Err(error) if is_safe && error.kind() == Kind::BadUpstream => self.send(exchange).await,
            answer => answer,
        };
        let mut answer = answer?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::new(Kind::BadUpstream, "the upstream switched protocols unasked"));
        }
        strip_hop_by_hop(&mut answer);
        Ok(Answered::Response(answer))
    }

    /// One attempt. The upstream's time begins with the end of the upload, and runs while it does not take what is there.
    async fn send(&self, exchange: &mut Exchange) -> Result<Response<Body>> {
        let mut request = self.request(exchange)?;
        let event_wait_max = self.bounds.peek().event_stream_timeout;
        if !matches!(request.body(), Body::Streaming(_)) {
            let deadline = Instant::now() + self.policy.timeout;
            return self.pool.send_for_events(request, deadline, event_wait_max).await;
        }
        let (body, progress) = progress::follow(std::mem::take(request.body_mut()));
        // Whoever sends a GET takes a body for none unless it is told.
        if http_body::Body::size_hint(&body).exact().is_none() {
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(header::TRANSFER_ENCODING, chunked);
        }
        *request.body_mut() = body;
        tokio::select! {
            answer = self.pool.send_streaming(request, event_wait_max) => answer,
            () = progress.stood_still(self.policy.timeout) => {
                Err(Error::new(Kind::Timeout, "the upstream did not answer in time"))
            }
        }
    }

    /// Passes a request for another protocol on, with the headers that ask for it.
    async fn upgrade(&self, exchange: &mut Exchange) -> Result<Answered> {
        let mut request = self.request(exchange)?;
        for name in websocket::HANDSHAKE {
            if let Some(value) = exchange.head.headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let deadline = Instant::now() + self.policy.timeout;
        let (mut answer, tunnel) = self.pool.upgrade(request, deadline).await?;
        strip_hop_by_hop(&mut answer);
        let Some(tunnel) = tunnel else { return Ok(Answered::Response(answer)) };
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        Ok(Answered::Tunnel(answer, tunnel))
    }

    fn request(&self, exchange: &mut Exchange) -> Result<Request<Body>> {
        let body = exchange.body.stream(self.policy.accepts.bytes_max())?;
        let mut request = Request::new(body);
        *request.method_mut() = exchange.head.method.clone();
        *request.uri_mut() = self.target(&exchange.head.uri)?;
        *request.headers_mut() = outgoing_headers(exchange, &self.trusted_proxies.peek());
        Ok(request)
    }

    fn target(&self, uri: &Uri) -> Result<Uri> {
        let sent = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        if self.prefix.is_empty() && uri.authority().is_none() {
            return Ok(uri.clone());
        }
        let text = format!("{}{sent}", self.prefix);
        text.parse().map_err(|error| {
            Error::new(Kind::Malformed, "the target cannot be passed on").because(error)
        })
    }
}

impl Upstream for Remote {
    fn answer<'x>(&'x self, exchange: &'x mut Exchange) -> UpstreamFuture<'x> {
        Box::pin(self.forward(exchange))
    }
}

/// What belonged to the upstream's connection stays behind. A length beside chunks would be a second opinion of where the
/// answer ends (RFC 9112 section 6.3): hyper read the chunks.
fn strip_hop_by_hop(answer: &mut Response<Body>) {
    if answer.headers().contains_key(header::TRANSFER_ENCODING) {
        answer.headers_mut().remove(header::CONTENT_LENGTH);
    }
    remove_hop_by_hop(answer.headers_mut());
    *answer.version_mut() = Version::HTTP_11;
}

/// The client's headers without what belongs to its connection, and with what only the gateway knows.
fn outgoing_headers(exchange: &Exchange, trusted: &TrustedProxies) -> HeaderMap {
    let mut headers = exchange.head.headers.clone();
    // A preflight comes without a caller, and says nothing but what it asks.
    if exchange.is_preflight {
        headers = headers.into_iter().filter_map(of_preflight).collect();
    }
    // Taken first: a `Connection` header could name it, and an upstream needs it to know which site is meant.
    let named_host = headers.remove(header::HOST);
    remove_hop_by_hop(&mut headers);
    join_cookies(&mut headers);
    let address = exchange.client.ip().to_string();
    let address = HeaderValue::from_str(&address).expect("an address is visible ASCII");
    let host = match exchange.head.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => named_host,
    };
    if let Some(host) = host {
        headers.insert(header::HOST, host.clone());
        headers.insert(FORWARDED_HOST, host);
    }
    headers.insert(
        FORWARDED_PROTO,
        HeaderValue::from_static(if exchange.is_https { "https" } else { "http" }),
    );
    // Whatever a client claims here is replaced, and what a trusted proxy says is continued: an upstream must be able to
    // believe it.
    let sent = &exchange.head.headers;
    let peer = exchange.connection.remote;
    headers.insert(FORWARDED_FOR, client_address::forwarded_for(sent, peer, trusted));
    if let Some(forwarded) = client_address::forwarded(sent, peer, trusted) {
        headers.insert(header::FORWARDED, forwarded);
    }
    headers.insert(REAL_IP, address);
    name_caller(exchange, &mut headers);
    let id = exchange.request_id.hex();
    headers.insert(REQUEST_ID, HeaderValue::from_bytes(&id).expect("hexadecimal digits"));
    headers.insert(TRACEPARENT, exchange.trace.header());
    headers
}

fn of_preflight(
    (name, value): (Option<HeaderName>, HeaderValue),
) -> Option<(HeaderName, HeaderValue)> {
    let name = name?;
    let kept = [
        header::HOST,
        header::ORIGIN,
        header::USER_AGENT,
        header::ACCESS_CONTROL_REQUEST_METHOD,
        header::ACCESS_CONTROL_REQUEST_HEADERS,
    ];
    kept.contains(&name).then_some((name, value))
}

/// HTTP/2 may send cookies one by one; whoever speaks HTTP/1.1 expects them in one line (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let values: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&values.join(&b"; "[..]));
    headers.insert(header::COOKIE, joined.expect("values of headers and what may stand in one"));
}

/// Tells the upstream whom the access token named, in the headers that WeChat's own cloud hosting uses.
fn name_caller(exchange: &Exchange, headers: &mut HeaderMap) {
    let Some(user) = exchange.principal.user() else { return };
    let mut tell = |name: HeaderName, text: &str| {
        // Development logins may have names that no header can carry; they are sent as their UTF-8 bytes.
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            headers.insert(name, value);
        }
    };
    tell(CALLER_OPENID, user.openid.as_deref().unwrap_or(&user.uid));
    tell(CALLER_ENV, user.env.as_str());
    if let Some(appid) = exchange.env.as_ref().and_then(|env| env.appid.as_deref()) {
        tell(CALLER_APPID, appid);
    }
}

/// Removes what belongs to one connection, also what its `Connection` header names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most heads have one such header or none: looking at the names is cheaper than asking the map for each of ours.
    let present: Vec<HeaderName> =
        headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    if present.contains(&header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    for name in present {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    // CGI, WSGI, Rack and PHP make one name of every byte that is neither letter nor digit.
    let same = |(ours, theirs): (u8, &u8)| {
        ours == *theirs || (ours == b'-' && !theirs.is_ascii_alphanumeric())
    };
    let is_ours =
        |prefix: &&'static str| text.len() >= prefix.len() && prefix.bytes().zip(text).all(same);
    HOP_BY_HOP.contains(name) || (text.first() == Some(&b'x') && OURS_PREFIXES.iter().any(is_ours))
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    names.filter_map(|name| name.trim().parse().ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("x-wx-openid", "somebody else"),
            ("x_wx_openid", "somebody else"),
            ("x_forwarded-for", "6.6.6.6"),
            ("x.wx.openid", "somebody else"),
            ("x-wx.openid", "somebody else"),
            ("x!real~ip", "6.6.6.6"),
            ("accept", "*/*"),
        ] {
            headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn an_upstream_of_http_1_sees_one_line_of_cookies() {
        let mut headers = HeaderMap::new();
        for value in ["a=1", "b=2; c=3"] {
            headers.append(header::COOKIE, HeaderValue::from_static(value));
        }
        join_cookies(&mut headers);
        let all: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(all, ["a=1; b=2; c=3"]);
    }
}
