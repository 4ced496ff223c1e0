//! The control dialect: `{code, message, request_id}` with an HTTP status. Its clients are the CLI and the console.

use std::sync::Arc;

use http::{Method, Response};
use serde::Serialize;
use yunzhan_base::{
    Access, Body, Call, Endpoint, Error, RequestId, ResponseFuture, RoutePolicy, RouteSpec,
};

use super::json;

/// Bodies of control requests describe one environment, one key, one collection.
const BODY_BYTES_MAX: usize = 16 << 10;

/// A control route of a service: all of them are alike but for name, method, path and function.
pub(crate) const fn endpoint<S>(
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
    json::response(kind.entry().status, &refusal)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use yunzhan_base::Kind;

    use super::*;

    #[test]
    fn a_refusal_names_its_kind() {
        let response = render_error(&Error::new(Kind::EnvNotFound, "no such"), RequestId::NONE);
        let Body::Held(bytes) = response.body() else { unreachable!("a held body") };
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        expect_test::expect![[r#"{"code":"env_not_found","message":"no such","request_id":"00000000000000000000000000000000"}"#]].assert_eq(&String::from_utf8_lossy(bytes));
    }
}
