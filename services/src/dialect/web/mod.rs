//! The web dialect: what `@cloudbase/js-sdk` speaks when it does not use the gateway dialect. One address, `action` in the body.
//!
//! A caller is a person, whose access token is the body's `access_token`, and gets what the collection's permission gives.
//! Outside transactions everything is plain JSON with `{"$date":ms}`; inside, documents travel as Extended JSON in strings.
//! [`ACTIONS`] is the whole list.

mod api;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::sync::Arc;

use http::Method;
use yunzhan_base::{Access, Call, Endpoint, ResponseFuture, RoutePolicy, RouteSpec};
use yunzhan_query::ejson::{Mode, write};

use super::action::{self, Action, Dialect, not_offered, offered, render_error};
use crate::documents::Documents;

/// Largest body: a document of the largest size, whose JSON is longer than its BSON, and a token beside it. It is read before
/// anybody knows who sends it, so it is no larger than that.
const BODY_BYTES_MAX: usize = 6 << 20;

/// The one route of this dialect.
pub const ROUTES: &[Endpoint<Documents>] = &[Endpoint {
    spec: RouteSpec {
        name: "web.call",
        method: Method::POST,
        path: "/web",
        access: Access::UserInBody,
        policy: RoutePolicy::CORE.buffered(BODY_BYTES_MAX),
        render_error,
    },
    handle: call,
}];

static DIALECT: Dialect = Dialect {
    actions: ACTIONS,
    env_member: "env",
    credential: "token",
    write_id: |id| write(id, Mode::Client),
    // `where().update()` reads the first name, `doc().set()` the second.
    upserted_members: &["upsert_id", "upserted_id"],
};

/// Every action that the SDK sends with a token.
pub const ACTIONS: &[Action] = &[
    offered("database.queryDocument", api::query_document::handle),
    offered("database.countDocument", action::count::handle),
    offered("database.addDocument", api::add_document::handle),
    offered("database.updateDocument", action::update::handle),
    offered("database.deleteDocument", action::remove::handle),
    offered("database.addCollection", action::add_collection::handle),
    offered("database.aggregate", api::aggregate::handle),
    offered("database.startTransaction", action::transactions::start),
    offered("database.getInTransaction", api::get_in_transaction::handle),
    offered("database.insertDocInTransaction", api::insert_in_transaction::handle),
    offered("database.updateDocInTransaction", api::update_in_transaction::handle),
    offered("database.deleteDocInTransaction", api::delete_in_transaction::handle),
    offered("database.commitTransaction", action::transactions::commit),
    offered("database.abortTransaction", action::transactions::abort),
    not_offered("database.runCommands"),
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

fn call(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    action::call(&DIALECT, documents, call)
}
