//! `POST /auth/v1/signin/with/provider`: a provider token for a session, the second half of a login.

use std::sync::Arc;

use serde::Deserialize;
use yunzhan_base::{Call, ResponseFuture};

use crate::dialect::json;
use crate::identity::Identity;
use crate::identity::provider_token::ProviderToken;
use crate::identity::sessions::{Person, provider_token_spent};

#[derive(Deserialize)]
struct Request {
    provider_token: String,
    client_id: Option<String>,
}

pub(super) fn handle(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let request: Request = json::read(&call)?;
        let env = identity.env_of(&call, request.client_id.as_deref())?;
        let token = ProviderToken::read(&identity.refresh, &env.id, &request.provider_token);
        let token = token.ok_or_else(provider_token_spent)?;
        let now_ms = identity.clock.now_ms();
        let openid = identity.store.provider_token(&env.id, &token, now_ms).await?;
        let person = Person::known(&env.id, openid.ok_or_else(provider_token_spent)?);
        Ok(json::ok(&identity.begin(&env.id, person, Some(token.hash())).await?))
    })
}
