//! The admin dialect: what `wx-server-sdk` and `@cloudbase/node-sdk` speak. One address, `action` in the body.
//!
//! A caller is a team's own server with a key of the environment. What stands in `query`, `data`, `order` and `projection` is
//! canonical Extended JSON in strings, and so are the documents of an answer. [`ACTIONS`] is the whole list.

mod api;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::sync::Arc;

use http::Method;
use http::header::CONTENT_TYPE;
use yunzhan_base::{
    Access, Call, Endpoint, Error, Kind, ResponseFuture, Result, RoutePolicy, RouteSpec,
};
use yunzhan_query::Bson;
use yunzhan_query::ejson::{Mode, write};

use super::action::{self, Action, Dialect, not_offered, offered, render_error};
use crate::documents::Documents;

/// Largest body: a document of the largest size, whose Extended JSON in a string is longer than its BSON.
const BODY_BYTES_MAX: usize = 8 << 20;

/// The one route of this dialect.
pub const ROUTES: &[Endpoint<Documents>] = &[Endpoint {
    spec: RouteSpec {
        name: "admin.call",
        method: Method::POST,
        path: "/admin",
        access: Access::Server,
        policy: RoutePolicy::CORE.buffered(BODY_BYTES_MAX),
        render_error,
    },
    handle: call,
}];

static DIALECT: Dialect = Dialect {
    actions: ACTIONS,
    env_member: "envName",
    credential: "key",
    write_id,
    upserted_members: &["upsert_id"],
};

/// Every action that the SDKs know.
pub const ACTIONS: &[Action] = &[
    offered("database.getDocument", api::get_document::handle),
    offered("database.calculateDocument", action::count::handle),
    offered("database.insertDocument", api::insert_document::handle),
    offered("database.modifyDocument", action::update::handle),
    offered("database.modifyAndReturnDoc", action::update::and_return),
    offered("database.removeDocument", action::remove::handle),
    offered("database.addCollection", action::add_collection::handle),
    offered("database.aggregateDocuments", api::aggregate_documents::handle),
    offered("database.startTransaction", action::transactions::start),
    offered("database.commitTransaction", action::transactions::commit),
    offered("database.abortTransaction", action::transactions::abort),
    not_offered("database.getInTransaction"),
    not_offered("database.insertDocInTransaction"),
    not_offered("database.updateDocInTransaction"),
    not_offered("database.deleteDocInTransaction"),
    not_offered("database.runCommands"),
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

fn call(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    match refuse_multipart(&call) {
        Ok(()) => action::call(&DIALECT, documents, call),
        Err(error) => Box::pin(async { Err(error) }),
    }
}

/// `wx.*` actions come as forms, which nothing here answers.
fn refuse_multipart(call: &Call) -> Result<()> {
    let kind = call.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if kind.len() >= 9 && kind[..9].eq_ignore_ascii_case(b"multipart") {
        let message =
            "calls as multipart/form-data, such as wx.openApi, are not offered by this server";
        return Err(Error::new(Kind::NotImplemented, message));
    }
    Ok(())
}

/// An id as the SDKs hand it to their callers: a plain number, or text, which an ObjectId becomes.
fn write_id(id: &Bson) -> String {
    match id {
        Bson::ObjectId(_) => write(id, Mode::Server),
        other => write(other, Mode::Client),
    }
}
