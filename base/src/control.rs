//! The control dialect: JSON both ways, and `{code, message, request_id}` with an HTTP status for a refusal. Its clients are
//! the command line and the console; every crate that has control routes speaks it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;

use crate::access::Access;
use crate::body::Body;
use crate::call::Call;
use crate::error::Error;
use crate::ids::RequestId;
use crate::policy::RoutePolicy;
use crate::reply::{Reply, ResponseFuture};
use crate::route::{Endpoint, RouteSpec};

/// Bodies of control requests describe one environment, one key, one collection, one plan.
pub const BODY_BYTES_MAX: usize = 16 << 10;

/// Files that operators send: more than a disk of today holds.
const FILE_BYTES_MAX: u64 = 1 << 50;

/// How long a file may take once all of it has arrived, and a bound on what waits before: far beyond any.
const FILE_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A control route for operators: all of them are alike but for name, method, path and function.
pub const fn endpoint<S>(
    name: &'static str,
    method: Method,
    path: &'static str,
    handle: fn(Arc<S>, Call) -> ResponseFuture,
) -> Endpoint<S> {
    let spec = RouteSpec {
        name,
        method,
        path,
        access: Access::Operator,
        policy: RoutePolicy::CONTROL.buffered(BODY_BYTES_MAX),
        render_error,
    };
    Endpoint { spec, handle }
}

/// A control route that takes a file of any size as it arrives, and may take as long as that needs.
pub const fn streaming_endpoint<S>(
    name: &'static str,
    method: Method,
    path: &'static str,
    handle: fn(Arc<S>, Call) -> ResponseFuture,
) -> Endpoint<S> {
    let mut endpoint = endpoint(name, method, path, handle);
    endpoint.spec.policy = RoutePolicy::OPERATOR.streaming(FILE_BYTES_MAX).timeout(FILE_TIMEOUT);
    endpoint
}

/// A control route that is open to whoever reaches the control listener, such as health and metrics.
pub const fn open_endpoint<S>(
    name: &'static str,
    path: &'static str,
    handle: fn(Arc<S>, Call) -> ResponseFuture,
) -> Endpoint<S> {
    let mut endpoint = endpoint(name, Method::GET, path, handle);
    endpoint.spec.access = Access::Public;
    endpoint
}

#[derive(Serialize)]
struct Refusal<'a> {
    code: &'static str,
    message: &'a str,
    request_id: String,
}

/// Renders a refusal; `code` is the stable name of its kind.
pub fn render_error(error: &Error, request_id: RequestId) -> Response<Body> {
    let kind = error.kind();
    let refusal =
        Refusal { code: kind.name(), message: error.message(), request_id: request_id.to_string() };
    json(kind.entry().status, &refusal)
}

/// The usual reply: plain data as JSON.
pub fn answer(data: &impl Serialize) -> Reply {
    json(StatusCode::OK, data).into()
}

/// A reply may hold keys or addresses, so nobody may keep it.
fn json(status: StatusCode, data: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(data).expect("answers are plain data");
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_refusal_names_its_kind() {
        let response = render_error(&Error::new(Kind::EnvNotFound, "no such"), RequestId::NONE);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let text = String::from_utf8_lossy(response.body().held()).into_owned();
        expect_test::expect![[r#"{"code":"env_not_found","message":"no such","request_id":"00000000000000000000000000000000"}"#]].assert_eq(&text);
    }
}
