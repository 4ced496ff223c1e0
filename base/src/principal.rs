//! Who asks, and how the auth stage learns it without knowing the service that tells.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use crate::access::Access;
use crate::error::Error;
use crate::ids::EnvId;

/// Who asks.
#[derive(Clone, Debug, Default)]
pub enum Principal {
    /// Nobody said.
    #[default]
    Nobody,
    /// A person in front of a mini-program or a page, verified by an access token.
    User(Arc<User>),
    /// A team's own server or cloud function, verified by a key of the environment.
    Server(Arc<ServerKey>),
    /// Whoever operates this server, known by the control socket or its token.
    Operator,
}

/// A person, as an access token tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The environment in which the person logged in; a token is worth nothing in another.
    pub env: EnvId,
    /// Our own id of the person, stable across logins.
    pub uid: String,
    /// WeChat's id of the person for this appid; what `_openid` holds. Anonymous visitors have none.
    pub openid: Option<String>,
    /// What the person may do beyond owning their own documents.
    pub roles: Vec<String>,
    /// The session that the token belongs to, so that one device can be signed out.
    pub session: String,
    /// Whether nobody knows who this is.
    pub anonymous: bool,
    /// When the token ends, in seconds since 1970.
    pub expires_s: i64,
}

/// A key of an environment that speaks the admin dialect. It bypasses document permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// The environment whose key it is.
    pub env: EnvId,
    /// The public half of the key.
    pub key_id: String,
}

impl Principal {
    /// The environment that the caller belongs to.
    pub fn env(&self) -> Option<&EnvId> {
        match self {
            Self::Nobody | Self::Operator => None,
            Self::User(user) => Some(&user.env),
            Self::Server(key) => Some(&key.env),
        }
    }

    /// The caller as one word that nobody else has: what stands in the audit.
    pub fn actor(&self) -> Cow<'static, str> {
        match self {
            Self::Nobody => Cow::Borrowed("nobody"),
            Self::Operator => Cow::Borrowed("operator"),
            Self::User(user) => Cow::Owned(format!("user:{}", user.uid)),
            Self::Server(key) => Cow::Owned(format!("key:{}", key.key_id)),
        }
    }

    /// The person, when the caller is one.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::User(user) => Some(user),
            _ => None,
        }
    }
}

/// What is known of a request when its caller must be named.
pub struct Claim<'a> {
    /// What the route asks for.
    pub access: Access,
    /// The request's method; a signature covers it.
    pub method: &'a Method,
    /// The request's target; a signature covers its path and query.
    pub uri: &'a Uri,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The raw body, once it was asked for by [`AuthVerdict::NeedsBody`].
    pub body: Option<&'a Bytes>,
    /// The environment that host, `?env` or `client_id` named.
    pub env: Option<&'a EnvId>,
}

/// The answer to a [`Claim`].
pub enum AuthVerdict {
    /// Named, or [`Principal::Nobody`] when nothing was claimed and the route allows that.
    Known(Principal),
    /// The claim is false, expired or in the wrong place.
    Refused(Error),
    /// The head is plausible, and the signature covers the body or the token is in it: ask again with it.
    NeedsBody,
    /// The answer needs a look-up.
    Wait(Pin<Box<dyn Future<Output = Result<Principal, Error>> + Send>>),
}

/// Names the caller of a request. Identity implements it, the auth stage calls it, the server introduces them.
pub trait Authenticate: Send + Sync {
    /// Decides from the head alone when it can; a token seen a moment ago costs one look-up and no allocation.
    fn authenticate(&self, claim: &Claim<'_>) -> AuthVerdict;
}
