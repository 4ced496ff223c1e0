//! The web dialect: what `@cloudbase/js-sdk` speaks when it does not use the gateway dialect. One address, `action` in the body.
//!
//! A caller is a person, whose access token is the body's `access_token`, and gets what the collection's permission gives.
//! Outside transactions everything is plain JSON with `{"$date":ms}`; inside, documents travel as Extended JSON in strings.
//! Its actions are those of the services; see [`super::action`].

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::sync::Arc;

use http::Method;
use yunzhan_base::{Access, Call, Endpoint, ResponseFuture, RoutePolicy, RouteSpec};
use yunzhan_query::ejson::{Mode, write};

use super::action::{self, Actions, Dialect, DialectName, render_error};

/// Largest body: a document of the largest size, whose JSON is longer than its BSON, and a token beside it. It is read before
/// anybody knows who sends it, so it is no larger than that.
const BODY_BYTES_MAX: usize = 6 << 20;

/// The one route of this dialect.
pub const ROUTES: &[Endpoint<Actions>] = &[Endpoint {
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

pub(super) static DIALECT: Dialect = Dialect {
    name: DialectName::Web,
    env_member: "env",
    credential: "token",
    write_id: |id| write(id, Mode::Client),
    // `where().update()` reads the first name, `doc().set()` the second.
    upserted_members: &["upsert_id", "upserted_id"],
};

fn call(actions: Arc<Actions>, call: Call) -> ResponseFuture {
    action::call(&DIALECT, ROUTES[0].spec.name, actions, call)
}
