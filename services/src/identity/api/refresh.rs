//! `POST /auth/v1/token`: new tokens for a refresh token (RFC 6749, 6).

use std::sync::Arc;

use serde::Deserialize;
use yunzhan_base::{Call, Error, Kind, ResponseFuture};

use crate::dialect::json;
use crate::identity::Identity;

/// The one grant of this endpoint.
const REFRESH_TOKEN: &str = "refresh_token";

#[derive(Deserialize)]
struct Request {
    grant_type: String,
    refresh_token: String,
    client_id: Option<String>,
}

pub(super) fn handle(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let request: Request = json::read(&call)?;
        if request.grant_type != REFRESH_TOKEN {
            let message = "this server knows the grant_type refresh_token only";
            return Err(Error::new(Kind::NotImplemented, message));
        }
        let env = identity.env_of(&call, request.client_id.as_deref())?;
        Ok(json::ok(&identity.renew(&env.id, &request.refresh_token).await?))
    })
}
