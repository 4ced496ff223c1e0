//! A team's own server behind the gateway: what is passed on, what is added, what is held back.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri, Version};
use yunzhan_base::{Body, Error, Kind, Result};
use yunzhan_net::http::{Client, Pool};

use crate::config::RemoteRoute;
use crate::exchange::Exchange;
use crate::respond::REQUEST_ID;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const CALLER_OPENID: HeaderName = HeaderName::from_static("x-wx-openid");
const CALLER_APPID: HeaderName = HeaderName::from_static("x-wx-appid");
const CALLER_ENV: HeaderName = HeaderName::from_static("x-wx-env");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What a streamed upload may take beside the upstream's own time: 16 MiB at 0.25 Mbit/s.
const UPLOAD_MAX: Duration = Duration::from_secs(600);

/// Headers that begin so tell an upstream who calls and from where. A team's server believes them, so no client may send
/// one, nor its twin with underscores, which CGI, WSGI and Rack cannot tell from it. `Forwarded` (RFC 7239) says the same in
/// other words.
const OURS_PREFIXES: [&str; 4] = ["x-wx-", "x-forwarded-", "x-real-ip", "x-request-id"];

/// Headers that belong to one connection and never travel on (RFC 9110 section 7.6.1), and those that only we may set.
const HELD_BACK: [HeaderName; 10] = [
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
#[derive(Debug)]
pub(crate) struct Remote {
    pool: Arc<Pool>,
    prefix: String,
    timeout: Duration,
}

impl Remote {
    pub(crate) fn new(route: &RemoteRoute, client: &Client) -> Result<Self> {
        let pool = client.pool(&route.upstream)?;
        Ok(Self {
            prefix: route.upstream.path_prefix().to_owned(),
            pool,
            timeout: route.policy.timeout,
        })
    }

    /// Sends the request on and streams the answer back. A request that may have been seen is sent again only when that is
    /// safe: its method changes nothing and its body is here.
    pub(crate) async fn answer(
        &self,
        exchange: &mut Exchange,
        body_bytes_max: usize,
        body_wait_max: Duration,
    ) -> Result<Response<Body>> {
        // A streamed upload takes as long as the phone's network needs; its waits are bounded one by one.
        let upload = if exchange.body.can_replay() { Duration::ZERO } else { UPLOAD_MAX };
        let deadline = std::time::Instant::now() + self.timeout + upload;
        let safe = matches!(exchange.head.method, Method::GET | Method::HEAD | Method::OPTIONS)
            && exchange.body.can_replay();
        let request = self.request(exchange, body_wait_max, body_bytes_max)?;
        let answer = match self.pool.send(request, deadline).await {
            Err(error) if safe && error.kind() == Kind::BadUpstream => {
                let again = self.request(exchange, body_wait_max, body_bytes_max)?;
                self.pool.send(again, deadline).await
            }
            answer => answer,
        };
        let mut answer = answer?;
        hold_back(answer.headers_mut());
        *answer.version_mut() = Version::HTTP_11;
        Ok(answer)
    }

    fn request(
        &self,
        exchange: &mut Exchange,
        body_wait_max: Duration,
        body_bytes_max: usize,
    ) -> Result<Request<Body>> {
        let body = exchange.body.forward(body_wait_max, body_bytes_max)?;
        let mut request = Request::new(body);
        *request.method_mut() = exchange.head.method.clone();
        *request.uri_mut() = self.target(&exchange.head.uri)?;
        *request.headers_mut() = outgoing_headers(exchange);
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

/// The client's headers without what belongs to its connection, and with what only the gateway knows.
fn outgoing_headers(exchange: &Exchange) -> HeaderMap {
    let mut headers = exchange.head.headers.clone();
    // Taken first: a `Connection` header could name it, and an upstream needs it to know which site is meant.
    let named_host = headers.remove(header::HOST);
    hold_back(&mut headers);
    let connection = &exchange.connection;
    let address = connection.remote.ip().to_string();
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
        HeaderValue::from_static(if connection.tls { "https" } else { "http" }),
    );
    // Whatever a client claims here is replaced: an upstream must be able to believe it.
    headers.insert(FORWARDED_FOR, address.clone());
    headers.insert(REAL_IP, address);
    name_caller(exchange, &mut headers);
    let id = exchange.request_id.hex();
    headers.insert(REQUEST_ID, HeaderValue::from_bytes(&id).expect("hexadecimal digits"));
    if !headers.contains_key(TRACEPARENT) {
        headers.insert(TRACEPARENT, traceparent(&id));
    }
    headers
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

/// A trace that begins here (W3C Trace Context): our id as the trace, its second half as the span, sampled.
fn traceparent(id: &[u8; 32]) -> HeaderValue {
    let mut text = [0; 55];
    text[..3].copy_from_slice(b"00-");
    text[3..35].copy_from_slice(id);
    text[35] = b'-';
    text[36..52].copy_from_slice(&id[16..]);
    text[52..].copy_from_slice(b"-01");
    HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes")
}

/// Removes what belongs to one connection, also what its `Connection` header names.
fn hold_back(headers: &mut HeaderMap) {
    // Most heads have one such header or none: looking at the names is cheaper than asking the map for each of ours.
    let present: Vec<HeaderName> =
        headers.keys().filter(|name| is_held_back(name)).cloned().collect();
    if present.contains(&header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    for name in present {
        headers.remove(name);
    }
}

fn is_held_back(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    let same = |(ours, theirs): (u8, &u8)| ours == *theirs || (ours == b'-' && *theirs == b'_');
    let is_ours =
        |prefix: &&'static str| text.len() >= prefix.len() && prefix.bytes().zip(text).all(same);
    HELD_BACK.contains(name) || (text.first() == Some(&b'x') && OURS_PREFIXES.iter().any(is_ours))
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
            ("accept", "*/*"),
        ] {
            headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        hold_back(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn a_trace_begins_with_the_request_id() {
        let value = traceparent(b"0123456789abcdef0123456789abcdef");
        assert_eq!(
            value.to_str().unwrap(),
            "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
        );
    }
}
