//! The admin dialect: what `wx-server-sdk` and `@cloudbase/node-sdk` speak. One address, `action` in the body.
//!
//! A caller is a team's own server with a key of the environment. What stands in `query`, `data`, `order` and `projection` is
//! canonical Extended JSON in strings, and so are the documents of an answer. Its actions are those of the services; see
//! [`super::action`].

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

use super::action::{self, Actions, Dialect, DialectName, render_error};
use crate::identity;

/// Largest body: a document of the largest size, whose Extended JSON in a string is longer than its BSON.
const BODY_BYTES_MAX: usize = 8 << 20;

/// The one route of this dialect.
pub const ROUTES: &[Endpoint<Actions>] = &[Endpoint {
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

pub(super) static DIALECT: Dialect = Dialect {
    name: DialectName::Admin,
    env_member: "envName",
    credential: "key",
    write_id,
    upserted_members: &["upsert_id"],
};

fn call(actions: Arc<Actions>, call: Call) -> ResponseFuture {
    match refuse_form(&actions, &call) {
        Ok(()) => action::call(&DIALECT, ROUTES[0].spec.name, actions, call),
        Err(error) => Box::pin(async { Err(error) }),
    }
}

/// `wx.*` actions come as forms, which nothing here answers yet.
fn refuse_form(actions: &Actions, call: &Call) -> Result<()> {
    let kind = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(kind) = kind.filter(|kind| is_form(kind)) else { return Ok(()) };
    let named = identity::form_field(kind, call.bytes(), "action");
    let named = named.and_then(|name| actions.refusal(DialectName::Admin, name));
    Err(named.unwrap_or_else(|| {
        let message = "calls as multipart/form-data are not offered by this server";
        Error::new(Kind::NotImplemented, message)
    }))
}

fn is_form(content_type: &str) -> bool {
    content_type.as_bytes().get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart"))
}

/// An id as the SDKs hand it to their callers: a plain number, or text, which an ObjectId becomes.
fn write_id(id: &Bson) -> String {
    match id {
        Bson::ObjectId(_) => write(id, Mode::Server),
        other => write(other, Mode::Client),
    }
}
