//! What an operator may do with environments and server keys.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use yunzhan_base::audit::Record;
use yunzhan_base::env::Env;
use yunzhan_base::{Call, Endpoint, EnvId, ResponseFuture, Result, Secret};

use super::{EnvStore, NewEnv, NewKey};
use crate::dialect::{control::endpoint, json};

/// The control routes of environments.
pub const CONTROL: &[Endpoint<EnvStore>] = &[
    endpoint("envs.control.list", Method::GET, "/control/v1/envs", list),
    endpoint("envs.control.add", Method::POST, "/control/v1/envs", add),
    endpoint("envs.control.show", Method::GET, "/control/v1/envs/{env}", show),
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
            development_login: request.development_login,
        };
        let (env, key) = envs.add(new).await?;
        envs.record(&env.id, "env.add", env.id.as_str());
        Ok(json::answer(StatusCode::CREATED, &Added { shown: envs.shown(&env), key }))
    })
}

fn add_key(envs: Arc<EnvStore>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = env_id(&call)?;
        let key = envs.add_key(&env).await?;
        envs.record(&env, "key.add", &key.secret_id);
        Ok(json::answer(StatusCode::CREATED, &key))
    })
}

fn remove_key(envs: Arc<EnvStore>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let (env, key_id) = (env_id(&call)?, call.params.get("key_id")?);
        envs.remove_key(&env, key_id).await?;
        envs.record(&env, "key.remove", key_id);
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
            development_login: env.development_login,
            key_ids,
        }
    }

    fn record(&self, env: &EnvId, action: &'static str, subject: &str) {
        self.ledger.append(&Record {
            at_ms: self.clock.now_ms(),
            env: Some(env.clone()),
            actor: "operator".into(),
            action,
            subject: subject.to_owned(),
            succeeded: true,
        });
    }
}
