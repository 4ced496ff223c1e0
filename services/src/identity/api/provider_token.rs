//! `POST /auth/v1/provider/token`: a login code of WeChat's for a provider token, the first half of a login.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use yunzhan_base::env::Env;
use yunzhan_base::{Call, Error, Kind, ResponseFuture, Result};

use crate::dialect::json;
use crate::identity::logic::{self, PROVIDER_TOKEN_LIFETIME, millis};
use crate::identity::provider_token::ProviderToken;
use crate::identity::{Identity, wechat};

/// The provider of the development login.
const DEVELOPMENT: &str = "development";

/// How the SDKs name a login by `wx.login`; the other type is a phone number.
const OPEN_ID: &str = "open_id";

#[derive(Deserialize)]
struct Request {
    provider_id: String,
    provider_code: String,
    #[serde(default)]
    provider_params: Params,
    client_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct Params {
    provider_code_type: Option<String>,
    appid: Option<String>,
}

#[derive(Serialize)]
struct Reply {
    provider_token: String,
    /// Seconds.
    expires_in: u64,
}

pub(super) fn handle(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let request: Request = json::read(&call)?;
        let env = identity.env_of(&call, request.client_id.as_deref())?;
        let openid = openid(&identity, &env, &request, &call).await?;
        let slot = logic::slot(&logic::uid(&env.id, &openid));
        let token = ProviderToken::new(&identity.refresh, &env.id, slot)?;
        let expires_ms = identity.clock.now_ms() + millis(PROVIDER_TOKEN_LIFETIME);
        identity.store.add_provider_token(&env.id, &token, &openid, expires_ms).await?;
        let expires_in = PROVIDER_TOKEN_LIFETIME.as_secs();
        Ok(json::ok(&Reply { provider_token: token.text(), expires_in }))
    })
}

async fn openid(identity: &Identity, env: &Env, request: &Request, call: &Call) -> Result<String> {
    if request.provider_params.provider_code_type.as_deref().is_some_and(|kind| kind != OPEN_ID) {
        let message =
            "this server knows the provider_code_type open_id only; log in with signInWithOpenId";
        return Err(Error::new(Kind::NotImplemented, message));
    }
    match (&env.appid, &env.app_secret) {
        (Some(appid), Some(secret)) => {
            check_appid(env, appid, request)?;
            let app = (appid.as_str(), secret);
            let wechat = &identity.config.wechat;
            wechat::openid_of_code(
                &identity.http,
                wechat,
                app,
                &request.provider_code,
                call.context.deadline,
            )
            .await
        }
        _ => development_openid(env, request),
    }
}

fn check_appid(env: &Env, appid: &str, request: &Request) -> Result<()> {
    let named = [Some(request.provider_id.as_str()), request.provider_params.appid.as_deref()];
    if named.contains(&Some(appid)) {
        return Ok(());
    }
    Err(Error::new(
        Kind::InvalidParameter,
        format!(
            "environment {} belongs to another mini-program; send its appid as provider_id",
            env.id
        ),
    ))
}

fn development_openid(env: &Env, request: &Request) -> Result<String> {
    if env.development_login && request.provider_id == DEVELOPMENT {
        return logic::development_openid(&request.provider_code);
    }
    let next = if env.development_login {
        "; log in with provider_id \"development\" and a name"
    } else {
        ""
    };
    Err(Error::new(
        Kind::InvalidParameter,
        format!("environment {} has no appid{next}, or add it with its appid and secret", env.id),
    ))
}
