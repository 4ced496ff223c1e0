//! The authentication dialect of `@cloudbase/js-sdk`: `{error, error_code, error_description}` with an HTTP status.

use http::Response;
use serde::Serialize;
use yunzhan_base::{Body, Error, RequestId};

use super::json;

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'static str,
    error_code: u16,
    error_description: &'a str,
    request_id: String,
}

/// Renders a refusal. The SDK forgets its tokens on `unauthenticated` and on `invalid_grant`, so the words are the catalogue's.
pub fn render_error(error: &Error, request_id: RequestId) -> Response<Body> {
    let entry = error.kind().entry();
    let (word, number) = entry.auth;
    let refusal = Refusal {
        error: word,
        error_code: number,
        error_description: error.message(),
        request_id: request_id.to_string(),
    };
    json::response(entry.status, &refusal)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use yunzhan_base::Kind;

    use super::*;

    #[test]
    fn a_refusal_has_the_words_that_the_sdk_reads() {
        let error = Error::new(Kind::InvalidGrant, "log in again").with_detail("for the log only");
        let response = render_error(&error, RequestId::NONE);
        let Body::Held(bytes) = response.body() else { unreachable!("a held body") };
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        expect_test::expect![[r#"{"error":"invalid_grant","error_code":3,"error_description":"log in again","request_id":"00000000000000000000000000000000"}"#]].assert_eq(&String::from_utf8_lossy(bytes));
    }
}
