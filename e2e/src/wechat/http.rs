//! The stand-in's HTTP/1.1 front: requests become calls of the platform, and are remembered.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Shared, State};

/// The calls of this API are small; a larger body is a mistake of the caller.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// More connections than any test opens; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 1024;
/// Requests that are remembered; the oldest make room.
const RECEIVED_MAX: usize = 10_000;
const STAND_IN: &str = "/stand-in/";

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// In upper case.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded; of a name that was given twice, the last value.
    pub query: BTreeMap<String, String>,
    /// As text; bytes that are not UTF-8 are replaced.
    pub body: String,
}

#[derive(Debug, Default)]
pub(super) struct Record(VecDeque<Received>);

impl Record {
    pub(super) fn all(&self) -> Vec<Received> {
        self.0.iter().cloned().collect()
    }

    fn add(&mut self, received: Received) {
        if self.0.len() == RECEIVED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(received);
    }
}

/// Accepts until it is aborted; its connections end with it.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else { return };
        connections.spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    // A client that goes away in the middle is its own affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return reply(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({ "errmsg": "the body is too large or broken" }),
        );
    };
    let received = Received {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect(),
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    };
    let mut state = shared.lock();
    let (status, body) = route(&mut state, &received, shared.clock.now_ms());
    if !received.path.starts_with(STAND_IN) {
        state.received.add(received);
    }
    reply(status, &body)
}

fn route(state: &mut State, received: &Received, now_ms: i64) -> (StatusCode, Value) {
    let platform = &mut state.platform;
    let given = |name: &str| received.query.get(name).cloned().unwrap_or_default();
    let answer = match (received.method.as_str(), received.path.as_str()) {
        ("GET", "/sns/jscode2session") => platform.code_to_session(given, now_ms),
        ("POST", "/cgi-bin/stable_token") => {
            platform.stable_token(received.body.as_bytes(), now_ms)
        }
        ("GET", "/stand-in/login-code") => {
            match platform.login_code(&given("appid"), &given("user"), now_ms) {
                Some(code) => Ok(json!({ "code": code })),
                None => {
                    return (
                        StatusCode::NOT_FOUND,
                        json!({ "errmsg": "no app with this appid is registered" }),
                    );
                }
            }
        }
        _ => {
            return (
                StatusCode::NOT_FOUND,
                json!({ "errmsg": "the stand-in has no such endpoint" }),
            );
        }
    };
    (StatusCode::OK, answer.unwrap_or_else(super::refusal::Refusal::body))
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    // WeChat labels its JSON as text.
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
