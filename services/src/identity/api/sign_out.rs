//! `POST /auth/v1/user/signout`: ends the session of the access token in the head.

use std::sync::Arc;

use serde_json::json;
use yunzhan_base::{Call, Error, ResponseFuture};

use crate::dialect::json;
use crate::identity::Identity;

pub(super) fn handle(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let user = call
            .context
            .principal
            .user()
            .ok_or_else(|| Error::internal("a user route without a user"))?;
        identity.end(&user.env, &user.session).await?;
        Ok(json::ok(&json!({})))
    })
}
