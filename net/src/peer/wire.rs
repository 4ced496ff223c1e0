//! What a call looks like: one line of JSON, then the bytes.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use yunzhan_base::error::CATALOGUE;
use yunzhan_base::principal::{ServerKey, User};
use yunzhan_base::{Error, Kind, Principal, Result};

use super::PeerCall;

/// The one path there is.
pub(super) const PATH: &str = "/peer/v1/call";
/// Nobody waits longer for another node.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

#[derive(Serialize, Deserialize)]
struct Head {
    call: String,
    timeout_ms: u64,
    request_id: String,
    principal: Who,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Who {
    Nobody,
    Operator,
    Server {
        env: String,
        key_id: String,
    },
    User {
        env: String,
        uid: String,
        openid: Option<String>,
        roles: Vec<String>,
        session: String,
        anonymous: bool,
        expires_s: i64,
    },
}

#[derive(Serialize, Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

pub(super) fn write(call: &PeerCall) -> Bytes {
    let left = call.deadline.saturating_duration_since(Instant::now());
    let head = Head {
        call: call.name.clone(),
        timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        request_id: call.request_id.to_string(),
        principal: Who::of(&call.principal),
    };
    let mut text = BytesMut::new();
    text.put_slice(&serde_json::to_vec(&head).expect("plain data"));
    text.put_u8(b'\n');
    text.put_slice(&call.bytes);
    text.freeze()
}

pub(super) fn read(body: &Bytes) -> Result<PeerCall> {
    let malformed = || Error::new(Kind::Malformed, "a call between nodes is malformed");
    let end = body.iter().position(|byte| *byte == b'\n').ok_or_else(malformed)?;
    let head: Head =
        serde_json::from_slice(&body[..end]).map_err(|error| malformed().because(error))?;
    let timeout = Duration::from_millis(head.timeout_ms).min(TIMEOUT_MAX);
    Ok(PeerCall {
        name: head.call,
        principal: head.principal.principal()?,
        request_id: head.request_id.parse()?,
        deadline: Instant::now() + timeout,
        bytes: body.slice(end + 1..),
    })
}

pub(super) fn write_refusal(error: &Error) -> Bytes {
    let code = error.kind().name().to_owned();
    let refusal = Refusal { code, message: error.message().to_owned() };
    serde_json::to_vec(&refusal).expect("plain data").into()
}

pub(super) fn read_refusal(body: &[u8]) -> Error {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        return Error::new(Kind::BadUpstream, "the other node refused without a reason");
    };
    let known = CATALOGUE.iter().find(|entry| entry.name == refusal.code);
    Error::new(known.map_or(Kind::Internal, |entry| entry.kind), refusal.message)
}

// === impl Who ===

impl Who {
    fn of(principal: &Principal) -> Self {
        match principal {
            Principal::Nobody => Self::Nobody,
            Principal::Operator => Self::Operator,
            Principal::Server(key) => {
                Self::Server { env: key.env.to_string(), key_id: key.key_id.clone() }
            }
            Principal::User(user) => Self::User {
                env: user.env.to_string(),
                uid: user.uid.clone(),
                openid: user.openid.clone(),
                roles: user.roles.clone(),
                session: user.session.clone(),
                anonymous: user.anonymous,
                expires_s: user.expires_s,
            },
        }
    }

    fn principal(self) -> Result<Principal> {
        Ok(match self {
            Self::Nobody => Principal::Nobody,
            Self::Operator => Principal::Operator,
            Self::Server { env, key_id } => {
                Principal::Server(Arc::new(ServerKey { env: env.parse()?, key_id }))
            }
            Self::User { env, uid, openid, roles, session, anonymous, expires_s } => {
                let env = env.parse()?;
                let user = User { env, uid, openid, roles, session, anonymous, expires_s };
                Principal::User(Arc::new(user))
            }
        })
    }
}
