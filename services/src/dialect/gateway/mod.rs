//! The gateway dialect's database: what `@cloudbase/js-sdk` speaks, REST under `/v1/database`.
//!
//! A caller is a person with an access token, and gets what the collection's permission gives. Documents go out as plain
//! JSON with `{"$date":ms}`; a refusal is `{"code":…,"message":…,"requestId":…}` with the status of the error's kind.

mod api;
pub mod not_offered;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use http::{Method, Response};
use yunzhan_base::{
    Access, Body, Call, Endpoint, Error, Kind, RequestId, ResponseFuture, Result, RoutePolicy,
    RouteSpec,
};

use super::{idempotency_key, reply, transactions};
use crate::documents::{Caller, Documents, Idempotency};

/// Largest body of a write: a document of the largest size, whose JSON is longer than its BSON.
const BODY_BYTES_MAX: usize = 6 << 20;

/// Largest body of a removal: a query.
const QUERY_BYTES_MAX: usize = 256 << 10;

/// The only instance and the only database that an environment has.
const DEFAULT: &str = "(default)";

/// A route on which a call may be of a transaction: where another node holds it, that one answers.
macro_rules! in_transactions {
    ($name:literal, $method:expr, $path:expr, $body_bytes_max:expr, $handle:expr) => {
        Endpoint {
            spec: route($name, $method, $path, $body_bytes_max),
            handle: |documents, call| where_it_lives(documents, call, $name, $handle),
        }
    };
}

/// Every route of the dialect's database.
pub const ROUTES: &[Endpoint<Documents>] = &[
    in_transactions!("gateway.query", Method::GET, DOCUMENTS, 0, api::query::handle),
    in_transactions!("gateway.get", Method::GET, DOCUMENT, 0, api::get::handle),
    in_transactions!(
        "gateway.insert",
        Method::POST,
        DOCUMENTS,
        BODY_BYTES_MAX,
        api::insert::handle
    ),
    in_transactions!(
        "gateway.update",
        Method::PATCH,
        DOCUMENTS,
        BODY_BYTES_MAX,
        api::update::handle
    ),
    in_transactions!("gateway.remove", Method::POST, REMOVE, QUERY_BYTES_MAX, api::remove::handle),
    Endpoint {
        spec: route("gateway.create_collection", Method::POST, COLLECTIONS, QUERY_BYTES_MAX),
        handle: api::create_collection::handle,
    },
    Endpoint {
        spec: route("gateway.aggregate", Method::POST, AGGREGATIONS, QUERY_BYTES_MAX),
        handle: api::aggregate::handle,
    },
    Endpoint {
        spec: route("gateway.start_transaction", Method::POST, TRANSACTIONS, QUERY_BYTES_MAX),
        handle: api::transactions::start,
    },
    in_transactions!(
        "gateway.commit_transaction",
        Method::POST,
        COMMIT,
        QUERY_BYTES_MAX,
        api::transactions::commit
    ),
    in_transactions!(
        "gateway.roll_back_transaction",
        Method::POST,
        ROLL_BACK,
        QUERY_BYTES_MAX,
        api::transactions::roll_back
    ),
    Endpoint {
        spec: route("gateway.run_commands", Method::POST, COMMANDS, QUERY_BYTES_MAX),
        handle: not_offered,
    },
];

const COLLECTIONS: &str = "/v1/database/instances/{instance}/databases/{database}/collections";
const DOCUMENTS: &str =
    "/v1/database/instances/{instance}/databases/{database}/collections/{collection}/documents";
const DOCUMENT: &str = "/v1/database/instances/{instance}/databases/{database}/collections/{collection}/documents/{id}";
const REMOVE: &str = "/v1/database/instances/{instance}/databases/{database}/collections/{collection}/documents/remove";
const AGGREGATIONS: &str = "/v1/database/instances/{instance}/databases/{database}/collections/{collection}/documents/aggregations";
const TRANSACTIONS: &str = "/v1/database/instances/{instance}/databases/{database}/transactions";
const COMMIT: &str =
    "/v1/database/instances/{instance}/databases/{database}/transactions/{transaction}/commit";
const ROLL_BACK: &str =
    "/v1/database/instances/{instance}/databases/{database}/transactions/{transaction}/rollback";
const COMMANDS: &str = "/v1/database/instances/{instance}/databases/{database}/commands";

const fn route(
    name: &'static str,
    method: Method,
    path: &'static str,
    body_bytes_max: usize,
) -> RouteSpec {
    RouteSpec {
        name,
        method,
        path,
        access: Access::User,
        policy: RoutePolicy::CORE.buffered(body_bytes_max),
        render_error,
    }
}

/// A refusal of this dialect, with the status of its kind.
pub fn render_error(error: &Error, request_id: RequestId) -> Response<Body> {
    let mut response = reply::refusal(error, request_id);
    *response.status_mut() = error.kind().entry().status;
    response
}

/// Handles a call, or has the node do it that holds its transaction.
fn where_it_lives(
    documents: Arc<Documents>,
    call: Call,
    route: &'static str,
    handle: fn(Arc<Documents>, Call) -> ResponseFuture,
) -> ResponseFuture {
    let Some(cluster) = documents.cluster().filter(|cluster| cluster.has_peers()).cloned() else {
        return handle(documents, call);
    };
    Box::pin(async move {
        match transactions::answer_elsewhere(
            &cluster,
            route,
            &call,
            transactions::named(&call, route),
        )
        .await?
        {
            Some(reply) => Ok(reply),
            None => handle(documents, call).await,
        }
    })
}

/// Who calls, once the path names the database that there is.
fn caller(call: &Call) -> Result<Caller<'_>> {
    if call.params.get("instance")? != DEFAULT || call.params.get("database")? != DEFAULT {
        let message = "an environment has one instance and one database, both named (default)";
        return Err(Error::new(Kind::NotFound, message));
    }
    Ok(Caller { env: &call.context.env()?.id, principal: &call.context.principal })
}

/// The key under which the call happens once. The body is what it asks for, and not what was read from it: that differs when
/// the client leaves dates to the server.
fn idempotency(call: &Call) -> Result<Option<Idempotency<'_>>> {
    let request = Cow::Borrowed(&call.bytes()[..]);
    let key = idempotency_key(&call.headers)?;
    Ok(key.map(|key| Idempotency { key, request, keeps_document: false }))
}

fn not_offered(_: Arc<Documents>, _: Call) -> ResponseFuture {
    Box::pin(async {
        let message = "commands are not offered by this server";
        Err(Error::new(Kind::NotImplemented, message))
    })
}
