//! `GET /.well-known/jwks.json`: the public keys of our access tokens (RFC 7517), for a team's own servers.

use std::sync::Arc;

use http::{HeaderValue, header};
use yunzhan_base::{Call, ResponseFuture};

use crate::dialect::json;
use crate::identity::Identity;

/// Less than the time for which a new key is announced before it signs.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(super) fn handle(identity: Arc<Identity>, _: Call) -> ResponseFuture {
    Box::pin(async move {
        let mut answer = json::prepared(identity.keys.peek().key_set());
        answer.headers_mut().insert(header::CACHE_CONTROL, CACHE);
        Ok(answer.into())
    })
}
