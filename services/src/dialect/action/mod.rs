//! The frame of the dialects that have one address and name the action in the body, and the actions in which they agree.
//!
//! [`admin`](super::admin) and [`web`](super::web) are two [`Dialect`]s. A business error is an answer of status 200 with a
//! `code`: the SDKs report any other status as a generic failure. Who adds an action adds a row to the dialect's `ACTIONS` and
//! a file to its `api/`, or here when both answer it alike.

pub(super) mod add_collection;
pub(super) mod count;
pub(super) mod remove;
mod request;
pub(super) mod transactions;
pub(super) mod update;

use std::pin::Pin;
use std::sync::Arc;

use http::Response;
use yunzhan_base::{Body, Call, Error, Kind, RequestId, ResponseFuture, Result};
use yunzhan_query::Bson;

pub(super) use self::request::Request;
use super::reply::{self, Object};
use crate::documents::Documents;
use crate::offload::{self, LONG_BYTES};

/// In what one of these dialects differs from the other.
pub(super) struct Dialect {
    /// Every action that its SDKs know.
    pub(super) actions: &'static [Action],
    /// The member that names the environment.
    pub(super) env_member: &'static str,
    /// What the environment is taken from, in a word.
    pub(super) credential: &'static str,
    /// How an id is written.
    pub(super) write_id: fn(&Bson) -> String,
    /// The members of an answer that name the document which an update added.
    pub(super) upserted_members: &'static [&'static str],
}

/// One action.
pub struct Action {
    /// The value of `action`.
    pub name: &'static str,
    /// What answers it; none when the SDKs know the action and this server does not offer it.
    handle: Option<Handle>,
}

type Handle = for<'c> fn(Request<'c>) -> Reply<'c>;

/// What an action answers: it writes its fields into an object that names the request already.
pub(super) type Reply<'c> = Pin<Box<dyn Future<Output = Result<Object>> + Send + 'c>>;

pub(super) const fn offered(name: &'static str, handle: Handle) -> Action {
    Action { name, handle: Some(handle) }
}

pub(super) const fn not_offered(name: &'static str) -> Action {
    Action { name, handle: None }
}

/// Answers a call in this dialect.
pub(super) fn call(
    dialect: &'static Dialect,
    documents: Arc<Documents>,
    call: Call,
) -> ResponseFuture {
    let is_long = call.bytes().len() >= LONG_BYTES;
    Box::pin(offload::run(is_long, async move {
        let (action, request) = Request::read(dialect, &documents, &call)?;
        let object = dialect.find(&action)?(request).await?;
        Ok(reply::json(object.close()))
    }))
}

/// A refusal of these dialects, always of status 200.
pub(super) fn render_error(error: &Error, request_id: RequestId) -> Response<Body> {
    reply::refusal(error, request_id)
}

// === impl Action ===

impl Action {
    /// Whether this server answers it.
    pub const fn is_offered(&self) -> bool {
        self.handle.is_some()
    }
}

// === impl Dialect ===

impl Dialect {
    fn find(&self, name: &str) -> Result<Handle> {
        let action = self.actions.iter().find(|action| action.name == name);
        let handle = action.and_then(|action| action.handle);
        handle.ok_or_else(|| match action {
            Some(action) => {
                let message = format!("{} is not offered by this server", action.name);
                Error::new(Kind::NotImplemented, message)
            }
            None => {
                Error::new(Kind::InvalidParameter, "action names nothing that this dialect knows")
            }
        })
    }
}
