//! JSON bodies, read and written the same way by every dialect of this folder.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use yunzhan_base::{Body, Call, Error, Kind, Reply, Result};

/// Reads a body. An empty one counts as `{}`; members that nobody asks for are passed over, since SDKs send some.
pub(crate) fn read<T: DeserializeOwned>(call: &Call) -> Result<T> {
    parse(if call.bytes().is_empty() { b"{}" } else { call.bytes() })
}

/// As [`read`], from bytes, of which there must be some.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::new(Kind::Malformed, "the body is a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let kind = if error.is_data() { Kind::InvalidParameter } else { Kind::Malformed };
        Error::new(kind, format!("the body is not what this address takes: {}", words(&error)))
    })
}

/// serde's words, but not where they repeat a value: a secret in the wrong member may not come back in a message.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let names_members_only = ["missing field", "unknown field", "duplicate field"];
    if !error.is_data() || names_members_only.iter().any(|start| text.starts_with(start)) {
        return text;
    }
    let (line, column) = (error.line(), error.column());
    format!("a value is not of the kind that its member takes, at line {line} column {column}")
}

/// A reply that may hold tokens or keys, so nobody may keep it.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Reply {
    response(status, body).into()
}

/// As [`answer`], for refusals.
pub(crate) fn response(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let json = serde_json::to_vec(body).expect("answers are plain data");
    let mut response = prepared(json.into());
    *response.status_mut() = status;
    response
}

/// A response whose JSON was written before.
pub(crate) fn prepared(json: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The usual reply.
pub(crate) fn ok(body: &impl Serialize) -> Reply {
    answer(StatusCode::OK, body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Roles {
        #[expect(dead_code, reason = "only reading it matters")]
        roles: Vec<Role>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Role {
        Editor,
    }

    #[test]
    fn a_refusal_names_members_and_places_but_no_value() {
        let refusal = |body: &str| {
            let message = parse::<Roles>(body.as_bytes()).unwrap_err().to_string();
            message.split_once("takes: ").unwrap().1.to_owned()
        };
        let place = "a value is not of the kind that its member takes, at line 1 column";
        assert_eq!(refusal(r#"{"roles":"yzr1_secret"}"#), format!("{place} 22"));
        assert_eq!(refusal(r#"{"roles":["yzr1_secret"]}"#), format!("{place} 23"));
        assert_eq!(refusal("{}"), "missing field `roles` at line 1 column 2");
        assert_eq!(
            refusal(r#"{"role":1}"#),
            "unknown field `role`, expected `roles` at line 1 column 7"
        );
        assert_eq!(refusal("{"), "EOF while parsing an object at line 1 column 1");
        assert!(parse::<Roles>(br#"{"roles":["editor"]}"#).is_ok());
    }
}
