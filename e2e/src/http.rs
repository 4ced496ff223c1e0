//! The plainest HTTP/1.1 client there is: one connection for one request, nothing repaired, nothing retried.

mod raw;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Far above every time-out of the server, so that a test hears the server's own refusal.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// A server's door.
#[derive(Clone)]
pub struct Http {
    address: SocketAddr,
    /// What stands in `Host`.
    host: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// One request, while it is put together.
#[must_use = "a request is nothing until it is sent"]
pub struct Request<'h> {
    http: &'h Http,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

/// What came back.
#[derive(Clone)]
pub struct Answer {
    /// The request in one line, for messages.
    asked: String,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

// === impl Http ===

impl Http {
    /// The door at a URL such as `http://127.0.0.1:8080`.
    ///
    /// # Panics
    /// When the URL is not of this form.
    pub fn at(url: &str) -> Self {
        let host = url.strip_prefix("http://").expect("a URL that begins with http://");
        let address = host.parse().expect("an address and a port");
        Self { address, host: host.to_owned(), tls: None }
    }

    /// The same door under the name `localhost` and by TLS, trusting what `config` trusts.
    ///
    /// # Panics
    /// When the URL has no port.
    pub fn over_tls(url: &str, config: rustls::ClientConfig) -> Self {
        let (_, port) = url.rsplit_once(':').expect("a URL with a port");
        let port: u16 = port.parse().expect("a port");
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            host: format!("localhost:{port}"),
            tls: Some(Arc::new(config)),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stands in `Host`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Begins a request. The target is sent as it is.
    pub fn request(&self, method: Method, target: impl Into<String>) -> Request<'_> {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Request { http: self, method, target: target.into(), headers, body }
    }

    /// Begins a GET.
    pub fn get(&self, target: impl Into<String>) -> Request<'_> {
        self.request(Method::GET, target)
    }

    /// Begins a POST with a JSON body.
    pub fn post(&self, target: impl Into<String>, body: &Value) -> Request<'_> {
        self.request(Method::POST, target).json(body)
    }

    /// Sends these bytes while it reads, and gives the one answer that comes.
    ///
    /// # Errors
    /// When none comes within a minute, or it is broken off.
    pub async fn raw(&self, bytes: &[u8]) -> Result<Answer> {
        let (mut read, mut write) = tokio::io::split(self.connect().await?);
        // A server that refuses early closes; what was not sent by then does not matter.
        let sent = async {
            let _ = write.write_all(bytes).await;
            std::future::pending::<()>().await;
        };
        let answered = tokio::time::timeout(ANSWER_WAIT_MAX, raw::read_answer(&mut read));
        tokio::select! {
            answer = answered => answer.context("no answer came").flatten(),
            () = sent => unreachable!("it waits for ever"),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from("localhost")?;
        Ok(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http({})", self.host)
    }
}

// === impl Request ===

impl Request<'_> {
    /// Adds a header.
    ///
    /// # Panics
    /// When HTTP allows no such header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().expect("a header's value"));
        self
    }

    /// Shows a token.
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// Gives it this body, as JSON.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Gives it this body, under this media type.
    pub fn body(mut self, media_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, media_type.parse().expect("a media type"));
        self.body = body.into();
        self
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Errors
    /// When the connection fails, or no answer comes within a minute.
    pub async fn try_send(self) -> Result<Answer> {
        let asked = format!("{} {}", self.method, self.target);
        let answered = tokio::time::timeout(ANSWER_WAIT_MAX, self.exchange(&asked)).await;
        answered.context("no answer came").flatten().with_context(|| asked)
    }

    async fn exchange(self, asked: &str) -> Result<Answer> {
        let stream = self.http.connect().await.context("no connection")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The connection ends with the answer, for the request asks for that.
        let connection = tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(self.method).uri(&self.target);
        let headers = request.headers_mut().context("a request target that HTTP allows")?;
        headers.insert(HOST, self.http.host.parse()?);
        headers.insert(CONNECTION, "close".parse()?);
        headers.extend(self.headers);
        let answer = sender.send_request(request.body(Full::new(self.body))?).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Answer { asked: asked.to_owned(), status: head.status, headers: head.headers, body })
    }
}

// === impl Answer ===

impl Answer {
    /// This answer, which has to have this status.
    ///
    /// # Panics
    /// When it has another; the message shows request and answer.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The JSON of a successful answer.
    ///
    /// # Panics
    /// When it is a refusal or no JSON.
    pub fn value(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }

    /// The body as JSON, whatever the status.
    ///
    /// # Panics
    /// When it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The refusal's code as its dialect spells it: `code`, or `error` of the authentication dialect.
    pub fn code(&self) -> String {
        let body = self.json();
        let code = body["code"].as_str().or(body["error"].as_str());
        code.unwrap_or_default().to_owned()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was answered {}: {}", self.asked, self.status, self.text())
    }
}

/// Percent-encodes everything that is not unreserved (RFC 3986, 2.3).
pub fn encode(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}
