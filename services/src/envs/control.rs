//! What an operator may do with environments and server keys.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use yunzhan_base::env::Env;
use yunzhan_base::{Act, Call, Endpoint, EnvId, ResponseFuture, Result, Secret};

use super::{EnvStore, NewEnv, NewKey};
use crate::dialect::{control::endpoint, json};

/// The control routes of environments.
pub const CONTROL: &[Endpoint<EnvStore>] = &[
    endpoint("envs.control.list", Method::GET, "/control/v1/envs", list),
    endpoint("envs.control.add", Method::POST, "/control/v1/envs", add),
    endpoint("envs.control.show", Method::GET, "/control/v1/envs/{env}", show),
    endpoint(
        "envs.control.set_origins",
        Method::PUT,
        "/control/v1/envs/{env}/origins",
        set_origins,
    ),
    endpoint("envs.control.add_key", Method::POST, "/control/v1/envs/{env}/keys", add_key),
    endpoint(
        "envs.control.remove_key",
        Method::DELETE,
        "/control/v1/envs/{env}/keys/{key_id}",
        remove_key,
    ),
];

/// An environment as an operator sees it: without secrets.
#[derive(Serialize)]
struct Shown<'a> {
    env: &'a str,
    appid: Option<&'a str>,
    hosts: &'a [String],
    origins: &'a [String],
    development_login: bool,
    key_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    env: String,
    appid: Option<String>,
    app_secret: Option<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    development_login: bool,
}

#[derive(Serialize)]
struct Added<'a> {
    #[serde(flatten)]
    shown: Shown<'a>,
    /// Shown now and never again.
    key: NewKey,
}

fn list(envs: Arc<EnvStore>, _: Call) -> ResponseFuture {
    Box::pin(async move {
        let table = envs.envs.load();
        let shown: Vec<_> = table.iter().map(|env| envs.shown(env)).collect();
        Ok(json::ok(&json!({ "envs": shown })))
    })
}

fn show(envs: Arc<EnvStore>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = envs.get(&env_id(&call)?)?;
        Ok(json::ok(&envs.shown(&env)))
    })
}

fn add(envs: Arc<EnvStore>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let request: Add = json::read(&call)?;
        let new = NewEnv {
            id: request.env.parse()?,
            appid: request.appid,
            app_secret: request.app_secret.map(Secret::new),
            hosts: request.hosts,
            origins: request.origins,
            development_login: request.development_login,
        };
        let act = Act::new(&call.context, "env.add", new.id.as_str()).in_env(&new.id);
        let own = Arc::clone(&envs);
        let (env, key) = envs.acts.run(act, async move { own.add(new).await }).await?;
        Ok(json::answer(StatusCode::CREATED, &Added { shown: envs.shown(&env), key }))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetOrigins {
    origins: Vec<String>,
}

fn set_origins(envs: Arc<EnvStore>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = env_id(&call)?;
        let SetOrigins { origins } = json::read(&call)?;
        let act = Act::new(&call.context, "env.origins", env.as_str()).in_env(&env);
        let (own, id) = (Arc::clone(&envs), env.clone());
        envs.acts.run(act, async move { own.set_origins(&id, &origins).await }).await?;
        Ok(json::ok(&envs.shown(&*envs.get(&env)?)))
    })
}

fn add_key(envs: Arc<EnvStore>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = env_id(&call)?;
        // Its id is drawn before the act, so that the intent names it.
        let key = NewKey::generate()?;
        let act = Act::new(&call.context, "key.add", key.secret_id.as_str()).in_env(&env);
        let own = Arc::clone(&envs);
        let key = envs.acts.run(act, async move { own.add_key(&env, key).await }).await?;
        Ok(json::answer(StatusCode::CREATED, &key))
    })
}

fn remove_key(envs: Arc<EnvStore>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let (env, key_id) = (env_id(&call)?, call.params.get("key_id")?.to_owned());
        let act = Act::new(&call.context, "key.remove", key_id.as_str()).in_env(&env);
        let own = Arc::clone(&envs);
        envs.acts.run(act, async move { own.remove_key(&env, &key_id).await }).await?;
        Ok(json::ok(&json!({})))
    })
}

fn env_id(call: &Call) -> Result<EnvId> {
    call.params.get("env")?.parse()
}

impl EnvStore {
    fn shown<'a>(&self, env: &'a Env) -> Shown<'a> {
        let keys = self.server_keys.peek();
        let mut key_ids: Vec<_> =
            keys.of(&env.id).map(|key| key.principal.key_id.clone()).collect();
        key_ids.sort();
        Shown {
            env: env.id.as_str(),
            appid: env.appid.as_deref(),
            hosts: &env.hosts,
            origins: &env.origins,
            development_login: env.development_login,
            key_ids,
        }
    }
}
