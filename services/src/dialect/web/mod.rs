//! The web dialect: what `@cloudbase/js-sdk` speaks when it does not use the gateway dialect. One address, `action` in the body.
//!
//! A caller is a person, whose access token is the body's `access_token`, and gets what the collection's permission gives.
//! Every answer is of status 200, a refusal with a `code`: the SDK reports any other status as a broken network. Outside
//! transactions everything is plain JSON with `{"$date":ms}`; inside, documents travel as Extended JSON in strings.
//! [`ACTIONS`] is the whole list; who adds an action adds a row and a function in `api/`.

mod api;
mod request;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::pin::Pin;
use std::sync::Arc;

use http::{Method, Response};
use yunzhan_base::{
    Access, Answer, Body, Call, Endpoint, Error, Kind, RequestId, Result, RouteSpec, Tier,
};

use self::request::Request;
use super::reply::{self, Object};
use crate::aside::{self, LONG_BYTES};
use crate::documents::Documents;

/// Largest body: a document of the largest size, whose JSON is longer than its BSON, and a token beside it. It is read before
/// anybody knows who sends it, so it is no larger than that.
const BODY_BYTES_MAX: usize = 6 << 20;

/// The one route of this dialect.
pub const ROUTES: &[Endpoint<Web>] = &[Endpoint {
    spec: RouteSpec {
        name: "web.call",
        method: Method::POST,
        path: "/web",
        access: Access::UserInBody,
        tier: Tier::Core,
        body_bytes_max: BODY_BYTES_MAX,
        render_error,
    },
    handle: call,
}];

/// The services behind the actions.
pub struct Web {
    documents: Arc<Documents>,
}

/// One action.
pub struct Action {
    /// The value of `action`.
    pub name: &'static str,
    /// What answers it; none when the SDK knows the action and this server does not offer it.
    handle: Option<Handle>,
}

type Handle = for<'c> fn(&'c Web, Request<'c>) -> Reply<'c>;

/// What an action answers: it writes its fields into an object that names the request already.
type Reply<'c> = Pin<Box<dyn Future<Output = Result<Object>> + Send + 'c>>;

/// Every action that the SDK sends with a token.
pub const ACTIONS: &[Action] = &[
    offered("database.queryDocument", api::query_document::handle),
    offered("database.countDocument", api::count_document::handle),
    offered("database.addDocument", api::add_document::handle),
    offered("database.updateDocument", api::update_document::handle),
    offered("database.deleteDocument", api::delete_document::handle),
    offered("database.addCollection", api::add_collection::handle),
    offered("database.aggregate", api::aggregate::handle),
    offered("database.startTransaction", api::transactions::start),
    offered("database.getInTransaction", api::get_in_transaction::handle),
    offered("database.insertDocInTransaction", api::insert_in_transaction::handle),
    offered("database.updateDocInTransaction", api::update_in_transaction::handle),
    offered("database.deleteDocInTransaction", api::delete_in_transaction::handle),
    offered("database.commitTransaction", api::transactions::commit),
    offered("database.abortTransaction", api::transactions::abort),
    not_offered("functions.invokeFunction"),
    not_offered("storage.getUploadMetadata"),
    not_offered("storage.batchGetDownloadUrl"),
    not_offered("storage.batchDeleteFile"),
    not_offered("storage.batchCopyFile"),
    not_offered("storage.getFileAuthority"),
    not_offered("auth.getJwt"),
    not_offered("auth.logout"),
    not_offered("auth.wsWebSign"),
];

const fn offered(name: &'static str, handle: Handle) -> Action {
    Action { name, handle: Some(handle) }
}

const fn not_offered(name: &'static str) -> Action {
    Action { name, handle: None }
}

// === impl Action ===

impl Action {
    /// Whether this server answers it.
    pub const fn is_offered(&self) -> bool {
        self.handle.is_some()
    }
}

// === impl Web ===

impl Web {
    /// The dialect in front of these services.
    pub fn new(documents: Arc<Documents>) -> Self {
        Self { documents }
    }
}

/// A refusal of this dialect, always of status 200.
pub fn render_error(error: &Error, request_id: RequestId) -> Response<Body> {
    reply::refusal(error, request_id)
}

fn call(web: Arc<Web>, call: Call) -> Answer {
    let is_long = call.body.len() >= LONG_BYTES;
    Box::pin(aside::run(is_long, async move {
        let request = Request::read(&call, web.documents.now_ms())?;
        let object = find(&request.action)?(&web, request).await?;
        Ok(reply::json(object.close()))
    }))
}

fn find(name: &str) -> Result<Handle> {
    let action = ACTIONS.iter().find(|action| action.name == name);
    let handle = action.and_then(|action| action.handle);
    handle.ok_or_else(|| match action {
        Some(action) => {
            let message = format!("{} is not offered by this server", action.name);
            Error::new(Kind::NotImplemented, message)
        }
        None => Error::new(Kind::InvalidParameter, "action names nothing that this dialect knows"),
    })
}
