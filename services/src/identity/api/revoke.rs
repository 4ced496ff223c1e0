//! `POST /auth/v1/revoke`: ends the session of a token (RFC 7009). This is what `signOut()` of `@cloudbase/js-sdk` calls, with
//! the access token in the body and nothing in the head.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use yunzhan_base::{Call, EnvId, ResponseFuture};

use crate::dialect::json;
use crate::identity::Identity;

#[derive(Deserialize)]
struct Request {
    token: String,
    client_id: Option<String>,
}

pub(super) fn handle(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let request: Request = json::read(&call)?;
        let env = identity.env_of(&call, request.client_id.as_deref())?;
        // A token that is not, or no longer, one of ours is as good as revoked: the client wanted it gone (RFC 7009, 2.2).
        if let Some(session) = session(&identity, &env.id, &request.token) {
            identity.end(&env.id, &session).await?;
        }
        Ok(json::ok(&json!({})))
    })
}

/// The session of an access token, run out or not, or of a refresh token.
fn session(identity: &Identity, env: &EnvId, token: &str) -> Option<String> {
    if let Some(refresh) = identity.refresh.read(env, token) {
        return Some(refresh.session());
    }
    let claims = identity.keys.peek().read_signed(token).ok()?;
    (claims.aud == env.as_str() && claims.iss == identity.config.issuer).then_some(claims.sid)
}
