//! The admin dialect: what `wx-server-sdk` and `@cloudbase/node-sdk` speak. One address, `action` in the body.
//!
//! A business error is an answer of status 200 with a `code`: the SDKs report any other status as a generic failure. What
//! stands in `query`, `data`, `order` and `projection` is canonical Extended JSON in strings, and so are the documents of
//! an answer. [`ACTIONS`] is the whole list; who adds an action adds a row and a file in `api/`.

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

/// Largest body: a document of the largest size, whose Extended JSON in a string is longer than its BSON.
const BODY_BYTES_MAX: usize = 8 << 20;

/// The one route of this dialect.
pub const ROUTES: &[Endpoint<Admin>] = &[Endpoint {
    spec: RouteSpec {
        name: "admin.call",
        method: Method::POST,
        path: "/admin",
        access: Access::Server,
        tier: Tier::Core,
        body_bytes_max: BODY_BYTES_MAX,
        render_error,
    },
    handle: call,
}];

/// The services behind the actions.
pub struct Admin {
    documents: Arc<Documents>,
}

/// One action.
pub struct Action {
    /// The value of `action`.
    pub name: &'static str,
    /// What answers it; none when the SDKs know the action and this server does not offer it.
    handle: Option<Handle>,
}

type Handle = for<'c> fn(&'c Admin, Request<'c>) -> Reply<'c>;

/// What an action answers: it writes its fields into an object that names the request already.
type Reply<'c> = Pin<Box<dyn Future<Output = Result<Object>> + Send + 'c>>;

/// Every action that the SDKs know.
pub const ACTIONS: &[Action] = &[
    offered("database.getDocument", api::get_document::handle),
    offered("database.calculateDocument", api::calculate_document::handle),
    offered("database.insertDocument", api::insert_document::handle),
    offered("database.modifyDocument", api::modify_document::handle),
    offered("database.modifyAndReturnDoc", api::modify_and_return_doc::handle),
    offered("database.removeDocument", api::remove_document::handle),
    offered("database.addCollection", api::add_collection::handle),
    offered("database.aggregateDocuments", api::aggregate_documents::handle),
    offered("database.startTransaction", api::start_transaction::handle),
    offered("database.commitTransaction", api::end_transaction::commit),
    offered("database.abortTransaction", api::end_transaction::abort),
    not_offered("database.getInTransaction"),
    not_offered("database.insertDocInTransaction"),
    not_offered("database.updateDocInTransaction"),
    not_offered("database.deleteDocInTransaction"),
    not_offered("functions.invokeFunction"),
    not_offered("storage.getUploadMetadata"),
    not_offered("storage.batchGetDownloadUrl"),
    not_offered("storage.batchDeleteFile"),
    not_offered("storage.batchCopyFile"),
    not_offered("storage.getFileAuthority"),
    not_offered("auth.getUserInfoForAdmin"),
    not_offered("auth.wsWebSign"),
    not_offered("wx.api"),
    not_offered("wx.openApi"),
    not_offered("wx.wxPayApi"),
    not_offered("wx.wxCallContainerApi"),
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

// === impl Admin ===

impl Admin {
    /// The dialect in front of these services.
    pub fn new(documents: Arc<Documents>) -> Self {
        Self { documents }
    }
}

/// A refusal of this dialect, always of status 200.
pub fn render_error(error: &Error, request_id: RequestId) -> Response<Body> {
    reply::refusal(error, request_id)
}

fn call(admin: Arc<Admin>, call: Call) -> Answer {
    let is_long = call.body.len() >= LONG_BYTES;
    Box::pin(aside::run(is_long, async move {
        let request = Request::read(&call, admin.documents.now_ms())?;
        let object = find(&request.action)?(&admin, request).await?;
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
