//! Paths of CloudBase's HTTP API whose services this server does not have: refused by name and with status 501, as a missing
//! page is a success to `callFunction` of `@cloudbase/js-sdk`, whose result it becomes.
//!
//! A service that brings one of these paths takes its row away here.

use std::sync::Arc;

use http::Method;
use yunzhan_base::{Access, Call, Endpoint, Error, Kind, ResponseFuture, RoutePolicy, RouteSpec};

use super::render_error;
use crate::dialect::action::Actions;

/// Largest body: what CloudBase takes for a function. Nobody reads it; a client that may send it reads the refusal.
const BODY_BYTES_MAX: u64 = 6 << 20;

macro_rules! not_offered {
    ($($name:literal $root:literal $below:literal;)*) => {
        /// Every path, with the methods that the SDKs and PostgREST's clients use.
        pub const ROUTES: &[Endpoint<Actions>] = &[$(
            route($name, Method::POST, $root), route($name, Method::POST, $below),
            route($name, Method::GET, $root), route($name, Method::GET, $below),
            route($name, Method::PUT, $root), route($name, Method::PUT, $below),
            route($name, Method::PATCH, $root), route($name, Method::PATCH, $below),
            route($name, Method::DELETE, $root), route($name, Method::DELETE, $below),
        )*];
    };
}

not_offered! {
    "gateway.functions" "/v1/functions" "/v1/functions/{*below}";
    "gateway.cloudrun" "/v1/cloudrun" "/v1/cloudrun/{*below}";
    "gateway.storages" "/v1/storages" "/v1/storages/{*below}";
    "gateway.model" "/v1/model" "/v1/model/{*below}";
    "gateway.rdb" "/v1/rdb" "/v1/rdb/{*below}";
    "gateway.sql" "/v1/sql" "/v1/sql/{*below}";
    "gateway.ai" "/v1/ai" "/v1/ai/{*below}";
    "gateway.apis" "/v1/apis" "/v1/apis/{*below}";
}

const fn route(name: &'static str, method: Method, path: &'static str) -> Endpoint<Actions> {
    let spec = RouteSpec {
        name,
        method,
        path,
        // What is not there is no secret, and a refusal that asks for a login first would send a client to log in for nothing.
        access: Access::Public,
        policy: RoutePolicy::ORDINARY.streaming(BODY_BYTES_MAX),
        render_error,
    };
    Endpoint { spec, handle }
}

fn handle(_: Arc<Actions>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let path = call.uri.path();
        let root = path.match_indices('/').nth(2).map_or(path, |(end, _)| &path[..end]);
        Err(Error::new(Kind::NotImplemented, format!("{root} is not offered by this server")))
    })
}
