//! A client of the control API over the unix socket of a serving process.

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use yunzhan_base::error::CATALOGUE;
use yunzhan_base::{Body, DataDir, Error, Kind, Result};

use crate::data::socket::SocketPath;

/// The largest answer of a control route.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// An open connection.
pub(crate) struct Connection {
    sender: SendRequest<Body>,
}

/// Connects to the process that serves this folder; none when nobody does.
pub(crate) async fn connect(dir: &DataDir) -> Option<Connection> {
    let path = SocketPath::of(&dir.control_socket()).ok()?;
    let stream = UnixStream::connect(path.path()).await.ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // A connection that breaks fails the request that waits on it.
    tokio::spawn(connection);
    Some(Connection { sender })
}

impl Connection {
    /// One request and its JSON answer. A refusal comes back as the error that it was on the other side.
    pub(crate) async fn call<A: DeserializeOwned>(
        self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<A> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(method, path, "application/json", bytes.into()).await
    }

    /// The same with a body of another kind.
    pub(crate) async fn send<A: DeserializeOwned>(
        mut self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Body,
    ) -> Result<A> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "control")
            .header(header::CONTENT_TYPE, content_type)
            .body(body)
            .map_err(|error| Error::internal("a control request").because(error))?;
        let broken = |error: hyper::Error| {
            Error::new(Kind::Unavailable, "the serving process broke the connection; try again")
                .because(error)
        };
        let answer = self.sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| {
            Error::new(Kind::BadUpstream, "the serving process broke off its answer").because(error)
        })?;
        read_answer(status, &body.to_bytes())
    }
}

fn read_answer<A: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<A> {
    let body = if body.is_empty() { b"null" } else { body };
    let unread = |error| {
        Error::new(Kind::BadUpstream, "the answer of the serving process is not the JSON expected")
            .because(error)
    };
    match status.is_success() {
        true => serde_json::from_slice(body).map_err(unread),
        false => Err(refusal(&serde_json::from_slice(body).map_err(unread)?)),
    }
}

fn refusal(value: &Value) -> Error {
    let text = |key| value.get(key).and_then(Value::as_str);
    let known = CATALOGUE.iter().find(|entry| Some(entry.name) == text("code"));
    let kind = known.map_or(Kind::Internal, |entry| entry.kind);
    Error::new(kind, text("message").unwrap_or("refused without a reason").to_owned())
}
