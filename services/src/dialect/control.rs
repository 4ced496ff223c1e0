//! The control dialect: `{code, message, request_id}` with an HTTP status. Its clients are the CLI and the console.

use http::Response;
use serde::Serialize;
use yunzhan_base::{Body, Error, RequestId};

use super::json;

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
    json::answer(kind.entry().status, &refusal)
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
