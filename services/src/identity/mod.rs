//! Identity: who asks, and how they prove it.
//!
//! A person proves it to WeChat and gets a session: a short access token that any replica verifies by itself, and a refresh
//! token that rotates. A team's own server proves it with a key of the environment. Read `authenticate` for what happens on
//! every request, `sessions` for what happens at a login, `api` for the endpoints.

mod api;
mod authenticate;
mod config;
pub mod control;
mod keys;
mod logic;
mod memory;
mod provider_token;
mod refresh;
mod sessions;
mod store;
mod tc3;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;
mod token;
mod verbs;
mod wechat;

use std::sync::{Arc, Mutex};

use yunzhan_base::env::{Env, Envs};
use yunzhan_base::event::Events;
use yunzhan_base::{Call, Clock, EnvId, Error, Kind, Live, Result, Secret};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::{Scope, SharedSql};
use yunzhan_net::http::Client;

pub use api::ROUTES;
pub use config::Config;
pub use keys::{REFRESH_PERIOD, TIDY_PERIOD};
pub use store::MIGRATIONS;
pub(crate) use tc3::{canonical_name, form_field};

use crate::acts::Acts;
use crate::crypto::random;
use crate::dialect::action::ActionNames;
use crate::envs::{EnvStore, ServerKeys};
use crate::service::{Copied, Gauge, Opened, Opening, Owner, Section, Service, Table, Task};
use memory::Memory;
use refresh::{ROOT_KEY_BYTES, RefreshKeys};
use store::Store;
use token::KeyRing;
use yunzhan_net::task::On;

/// The service.
pub static SERVICE: Service<Identity> = Service {
    routes: &[ROUTES, api::not_offered::ROUTES],
    control: control::CONTROL,
    migrations: MIGRATIONS,
    tables: TABLES,
    tasks: &[
        Task {
            name: "identity.refresh",
            period: REFRESH_PERIOD,
            on: On::EveryNode,
            work: |identity, _run| Box::pin(async move { identity.refresh().await }),
        },
        Task {
            name: "identity.tidy",
            period: TIDY_PERIOD,
            on: On::OneNode,
            work: |identity, _run| Box::pin(async move { identity.tidy().await }),
        },
    ],
    gauges: &[
        Gauge {
            name: "identity_verified_tokens",
            help: "Access tokens whose signature need not be checked again",
            read: |identity| identity.memory.verified() as f64,
        },
        Gauge {
            name: "identity_ended_sessions",
            help: "Sessions that are over and whose access tokens have not run out",
            read: |identity| identity.memory.ended() as f64,
        },
    ],
    verbs: verbs::VERBS,
    section: Some(Section { name: "identity", read: |reader| Arc::new(Config::read(reader)) }),
    ..Service::new("identity", open)
};

const TABLES: &[Table] = &[
    own("signing_keys", &["kid"]),
    own("server_secrets", &["name"]),
    own("ended_sessions", &["session_id"]),
    of_people("users", &["env", "uid"], Copied::Along),
    of_people("sessions", &["env", "session_id"], Copied::Never),
    Table {
        name: "provider_tokens",
        scope: Scope::Env,
        key: &["env", "token_hash"],
        owner: Owner::Env,
        copied: Copied::Never,
    },
];

const fn own(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, scope: Scope::System, key, owner: Owner::Server, copied: Copied::Never }
}

const fn of_people(name: &'static str, key: &'static [&'static str], copied: Copied) -> Table {
    Table { name, scope: Scope::Env, key, owner: Owner::Person("uid"), copied }
}

/// What identity is made of.
pub struct Parts {
    /// The database.
    pub sql: SharedSql,
    /// Seals what is stored and must stay secret.
    pub master_key: MasterKey,
    /// What the operator set.
    pub config: Config,
    /// Tells the time.
    pub clock: Clock,
    /// The environments of this server.
    pub envs: Live<Envs>,
    /// The keys of the teams' own servers.
    pub server_keys: Live<ServerKeys>,
    /// What is to be known of the dialects' actions.
    pub actions: ActionNames,
    /// Calls WeChat.
    pub http: Client,
    /// Does what must end and stay on record.
    pub acts: Acts,
    /// Hears what an operator should know.
    pub events: Events,
}

/// The service.
pub struct Identity {
    store: Store,
    config: Config,
    clock: Clock,
    envs: Live<Envs>,
    server_keys: Live<ServerKeys>,
    actions: ActionNames,
    http: Client,
    acts: Acts,
    events: Events,
    keys: Live<KeyRing>,
    refresh: RefreshKeys,
    memory: Memory,
    /// Up to when endings were read from the store, in milliseconds since 1970.
    endings_read_ms: Mutex<i64>,
    /// One rotation or reading of the keys at a time.
    rotating: tokio::sync::Mutex<()>,
}

// === impl Identity ===

impl Identity {
    /// Reads the keys, making the first ones on a new server, and the sessions that ended a short while ago.
    pub async fn open(parts: Parts) -> Result<Arc<Self>> {
        let store = Store::new(parts.sql, parts.master_key);
        let fresh = Secret::new(random::<ROOT_KEY_BYTES>()?);
        let refresh_root = store.server_secret("refresh", &fresh).await?;
        let identity = Self {
            store,
            config: parts.config,
            clock: parts.clock,
            envs: parts.envs,
            server_keys: parts.server_keys,
            actions: parts.actions,
            http: parts.http,
            acts: parts.acts,
            events: parts.events,
            keys: Live::new(KeyRing::new(Vec::new())),
            refresh: RefreshKeys::new(&refresh_root),
            memory: Memory::default(),
            endings_read_ms: Mutex::new(0),
            rotating: tokio::sync::Mutex::default(),
        };
        identity.refresh().await?;
        Ok(Arc::new(identity))
    }

    /// The environment of a call: the one the gateway found, or else the one that the body's `client_id` names.
    fn env_of(&self, call: &Call, client_id: Option<&str>) -> Result<Arc<Env>> {
        let named = client_id.filter(|id| !id.is_empty()).map(str::parse::<EnvId>).transpose()?;
        match (&call.context.env, named) {
            (Some(env), Some(named)) if env.id != named => Err(Error::new(
                Kind::EnvNotFound,
                format!("the address names environment {}, the body names {named}", env.id),
            )),
            (None, Some(named)) => self.env(&named),
            _ => call.context.env().cloned(),
        }
    }

    fn env(&self, id: &EnvId) -> Result<Arc<Env>> {
        let env = self.envs.peek().get(id).cloned();
        env.ok_or_else(|| Error::new(Kind::EnvNotFound, format!("there is no environment {id}")))
    }
}

fn open(opening: &Opening) -> Opened<'_, Identity> {
    Box::pin(async move {
        let envs = opening.service::<EnvStore>()?;
        Identity::open(Parts {
            sql: Arc::clone(&opening.sql),
            master_key: opening.master_key.clone(),
            config: opening.section(),
            clock: opening.clock.clone(),
            envs: envs.envs(),
            server_keys: envs.server_keys(),
            actions: ActionNames::of(opening.services),
            http: opening.http.clone(),
            acts: opening.acts.clone(),
            events: opening.events.clone(),
        })
        .await
    })
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("config", &self.config).finish_non_exhaustive()
    }
}
