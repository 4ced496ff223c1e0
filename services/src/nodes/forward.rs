//! Requests that another node answers, because what they are about lives in its memory: the requests of a transaction.
//!
//! Such a thing has an id that ends with the session of its node ([`Cluster::named_here`]). A request that names one of another
//! node is sent there whole, as it came, with the caller that this node has made sure of; the route of the same name answers
//! it there. What it answers is given back as it is, refusals too.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use yunzhan_base::call::Params;
use yunzhan_base::context::Trace;
use yunzhan_base::env::Envs;
use yunzhan_base::policy::Priority;
use yunzhan_base::{Body, Call, Context, EnvId, Error, Kind, Live, Result, Route, RouteSpec};
use yunzhan_net::peer::PeerCall;

use super::cluster::{Cluster, Handler};

/// The name of the call between nodes.
pub const FORWARD: &str = "nodes.forward";

/// What separates an id from the session of its node.
const SESSION_MARK: char = '-';

/// Digits of a session.
const SESSION_BYTES: usize = 32;

/// Headers that stay here: who calls is known, and connections are each node's own.
const KEPT: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::CONNECTION, header::TRANSFER_ENCODING];

/// The head of a request between nodes; its body follows.
#[derive(Debug, Serialize, Deserialize)]
struct Forwarded {
    /// The node that is meant: one that began anew has nothing to do with what was there before.
    session: String,
    route: String,
    env: String,
    method: String,
    uri: String,
    params: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    trace: String,
    remote: SocketAddr,
}

/// The head of an answer.
#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
}

// === impl Cluster ===

impl Cluster {
    /// An id that says which node to ask about it.
    pub fn named_here(&self, id: &str) -> String {
        match self.session() {
            Some(session) => format!("{id}{SESSION_MARK}{session}"),
            None => id.to_owned(),
        }
    }

    /// The session of the node that an id names, if it is another one.
    pub fn elsewhere<'i>(&self, id: &'i str) -> Option<&'i str> {
        let (_, session) = id.split_once(SESSION_MARK)?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if session.len() != SESSION_BYTES || !session.bytes().all(is_hex) {
            return None;
        }
        self.session().is_none_or(|own| *own != *session).then_some(session)
    }

    /// Whether the node that an id names is dead, as far as this one knows.
    pub async fn is_gone(&self, id: &str) -> bool {
        let Some(session) = self.elsewhere(id) else { return false };
        self.lives(session).await.is_ok_and(|lives| !lives)
    }

    /// Has the node of this session answer a call of a route.
    ///
    /// # Errors
    /// Those of the route; `Unavailable` when the node is gone or was not reached, and nothing was done; `BadUpstream` and
    /// `Timeout` when it may have been.
    pub async fn forward(&self, session: &str, route: &str, call: &Call) -> Result<Response<Body>> {
        let bytes = written(session, route, call)?;
        read_answer(&self.call_node(session, FORWARD, &call.context, bytes).await?)
    }
}

/// Answers what other nodes forward, by these routes.
pub fn handler(
    cluster: &Arc<Cluster>,
    routes: impl IntoIterator<Item = Route>,
    envs: Live<Envs>,
) -> Handler {
    let routes: HashMap<_, _> = routes.into_iter().map(|route| (route.spec.name, route)).collect();
    let routes = Arc::new(routes);
    let cluster = Arc::downgrade(cluster);
    Arc::new(move |peer| {
        let (routes, cluster, envs) = (Arc::clone(&routes), cluster.clone(), envs.clone());
        Box::pin(async move {
            let own = cluster.upgrade().and_then(|cluster| cluster.session());
            let (forwarded, body) = read(&peer)?;
            if own.is_none_or(|own| *own != *forwarded.session) {
                let message = "the node that is meant is gone; nothing was done";
                return Err(Error::new(Kind::Unavailable, message));
            }
            let unknown = || {
                Error::new(Kind::NotImplemented, "this node runs another version: no such route")
            };
            let route = routes.get(forwarded.route.as_str()).ok_or_else(unknown)?;
            let call = call_of(&forwarded, body, &peer, route.spec, &envs)?;
            // A refusal is an answer, too: only what keeps the call from its route is an error between nodes.
            let response = match route.call(call).await {
                Ok(reply) => reply.into_response().ok_or_else(not_held)?,
                Err(error) => (route.spec.render_error)(&error, peer.request_id),
            };
            written_answer(&response)
        })
    })
}

fn call_of(
    forwarded: &Forwarded,
    body: Bytes,
    peer: &PeerCall,
    spec: &'static RouteSpec,
    envs: &Live<Envs>,
) -> Result<Call> {
    let broken = || Error::new(Kind::Malformed, "a forwarded request that is none");
    let id: EnvId = forwarded.env.parse()?;
    let env = envs.peek().get(&id).cloned();
    let gone = || Error::new(Kind::EnvNotFound, format!("there is no environment {id}"));
    let context = Context {
        principal: peer.principal.clone(),
        deadline: peer.deadline,
        priority: Priority::Normal,
        trace: Trace::parse(forwarded.trace.as_bytes()).ok_or_else(broken)?,
        remote: forwarded.remote,
        ..Context::internal(
            peer.request_id,
            Some(env.ok_or_else(gone)?),
            peer.deadline.saturating_duration_since(Instant::now()),
        )
    };
    let mut params = Params::default();
    for (name, value) in &forwarded.params {
        params.push(param_name(spec, name).ok_or_else(broken)?, value.clone());
    }
    Ok(Call {
        method: forwarded.method.parse().map_err(|_| broken())?,
        uri: forwarded.uri.parse().map_err(|_| broken())?,
        headers: headers_of(&forwarded.headers).ok_or_else(broken)?,
        body: body.into(),
        params,
        context,
    })
}

/// The name of a parameter as the route's path spells it.
fn param_name(spec: &'static RouteSpec, name: &str) -> Option<&'static str> {
    let names = spec.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| name.trim_start_matches('*')).find(|known| *known == name)
}

fn written(session: &str, route: &str, call: &Call) -> Result<Bytes> {
    let forwarded = Forwarded {
        session: session.to_owned(),
        route: route.to_owned(),
        env: call.context.env()?.id.to_string(),
        method: call.method.to_string(),
        uri: call.uri.to_string(),
        params: call
            .params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        headers: listed(&call.headers),
        trace: call.context.trace.as_str().to_owned(),
        remote: call.context.remote,
    };
    framed(&forwarded, call.bytes())
}

fn read(peer: &PeerCall) -> Result<(Forwarded, Bytes)> {
    unframed(&peer.bytes)
}

fn not_held() -> Error {
    Error::internal("what is forwarded is answered by a body that is held")
}

fn written_answer(response: &Response<Body>) -> Result<Bytes> {
    if !matches!(response.body(), Body::Held(_) | Body::Empty) {
        return Err(not_held());
    }
    let headers = listed(response.headers());
    framed(&Answered { status: response.status().as_u16(), headers }, response.body().held())
}

fn read_answer(bytes: &Bytes) -> Result<Response<Body>> {
    let broken = || Error::new(Kind::BadUpstream, "the answer of the other node is none");
    let (answered, body): (Answered, Bytes) = unframed(bytes)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answered.status).map_err(|_| broken())?;
    *response.headers_mut() = headers_of(&answered.headers).ok_or_else(broken)?;
    Ok(response)
}

/// Headers that are text; services read no others.
fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = value.to_str().ok()?;
        (!KEPT.contains(name)).then(|| (name.as_str().to_owned(), value.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

fn headers_of(listed: &[(String, String)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in listed {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some(headers)
}

/// The length of the head in four bytes, the head as JSON, and the body.
fn framed(head: &impl Serialize, body: &Bytes) -> Result<Bytes> {
    let head = serde_json::to_vec(head)
        .map_err(|error| Error::internal("a head between nodes").because(error))?;
    let length = u32::try_from(head.len())
        .map_err(|_| Error::new(Kind::TooLarge, "the head of the request is too large"))?;
    let mut bytes = BytesMut::with_capacity(4 + head.len() + body.len());
    bytes.put_u32(length);
    bytes.put_slice(&head);
    bytes.put_slice(body);
    Ok(bytes.freeze())
}

fn unframed<T: for<'d> Deserialize<'d>>(bytes: &Bytes) -> Result<(T, Bytes)> {
    let broken = || Error::new(Kind::Malformed, "the other node runs another version");
    let length: [u8; 4] =
        bytes.get(..4).and_then(|length| length.try_into().ok()).ok_or_else(broken)?;
    let end = 4 + u32::from_be_bytes(length) as usize;
    let head = bytes.get(4..end).ok_or_else(broken)?;
    let head = serde_json::from_slice(head).map_err(|error| broken().because(error))?;
    Ok((head, bytes.slice(end..)))
}
