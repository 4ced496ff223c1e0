//! JSON bodies, read and written the same way by every dialect of this folder.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use yunzhan_base::{Body, Call, Error, Kind, Result};

/// Reads a body. An empty one counts as `{}`; members that nobody asks for are passed over, since SDKs send some.
pub(crate) fn read<T: DeserializeOwned>(call: &Call) -> Result<T> {
    let body: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::new(Kind::Malformed, "the body is a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let kind = if error.is_data() { Kind::InvalidParameter } else { Kind::Malformed };
        Error::new(kind, format!("the body is not what this address takes: {error}"))
    })
}

/// An answer that may hold tokens or keys, so nobody may keep it.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let json = serde_json::to_vec(body).expect("answers are plain data");
    let mut response = prepared(json.into());
    *response.status_mut() = status;
    response
}

/// An answer whose JSON was written before.
pub(crate) fn prepared(json: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The usual answer.
pub(crate) fn ok(body: &impl Serialize) -> Response<Body> {
    answer(StatusCode::OK, body)
}
