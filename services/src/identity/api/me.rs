//! `GET /auth/v1/user/me`: who the access token says the caller is.

use std::sync::Arc;

use serde::Serialize;
use yunzhan_base::{Call, Error, ResponseFuture};

use crate::dialect::json;
use crate::identity::Identity;
use crate::identity::logic::DEVELOPMENT_PREFIX;

#[derive(Serialize)]
struct Reply<'a> {
    sub: &'a str,
    name: &'a str,
    /// The SDK takes the entry whose id is the mini-program's appid for the openid.
    providers: Vec<Provider<'a>>,
    groups: &'a [String],
}

#[derive(Serialize)]
struct Provider<'a> {
    id: &'a str,
    provider_user_id: &'a str,
}

pub(super) fn handle(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let user = call
            .context
            .principal
            .user()
            .ok_or_else(|| Error::internal("a user route without a user"))?;
        let env = identity.env(&user.env)?;
        let provider = env.appid.as_deref().unwrap_or("development");
        let openid = user.openid.as_deref();
        let name = match openid {
            None => "anonymous",
            Some(openid) => openid.strip_prefix(DEVELOPMENT_PREFIX).unwrap_or_default(),
        };
        let providers = openid.map(|openid| Provider { id: provider, provider_user_id: openid });
        let providers = providers.into_iter().collect();
        Ok(json::ok(&Reply { sub: &user.uid, name, providers, groups: &user.roles }))
    })
}
