//! Environments: the mini-programs that live on this server, and the keys by which their own servers speak to it.
//!
//! The table is small and read on every request, so the process holds all of it ([`Live`]) and the store only keeps it.
//! Whoever adds an environment on another replica is noticed at the next [`EnvStore::refresh`].

pub mod control;
mod server_keys;
mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;
mod verbs;

use std::sync::Arc;
use std::time::Duration;

use yunzhan_base::env::{Env, Envs};
use yunzhan_base::{Clock, EnvId, Error, Kind, Live, Result, Secret};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::{Scope, SharedSql};

use crate::acts::Acts;
use crate::service::{
    Copied, EnvChange, Gauge, Lifecycle, Opened, Opening, Owner, Service, Table, Task,
};
pub use server_keys::{NewKey, ServerKeys, StoredKey};
pub use store::MIGRATIONS;
use yunzhan_net::task::On;

use store::Store;

/// The service.
pub static SERVICE: Service<EnvStore> = Service {
    control: control::CONTROL,
    migrations: MIGRATIONS,
    tables: &[
        Table {
            name: "envs",
            scope: Scope::System,
            key: &["env"],
            owner: Owner::Env,
            copied: Copied::Along,
        },
        Table {
            name: "server_keys",
            scope: Scope::System,
            key: &["key_id"],
            owner: Owner::Env,
            copied: Copied::Along,
        },
    ],
    tasks: &[Task {
        name: "envs.refresh",
        period: REFRESH_PERIOD,
        on: On::EveryNode,
        work: |envs, _run| Box::pin(async move { envs.refresh().await }),
    }],
    gauges: &[Gauge {
        name: "envs_known",
        help: "Environments of this server",
        read: |envs| envs.envs.peek().iter().count() as f64,
    }],
    verbs: verbs::VERBS,
    ready: Some(|envs| Box::pin(async move { envs.refresh().await })),
    ..Service::new("envs", open)
};

/// How often [`EnvStore::refresh`] is due. An environment that was added on one replica is known on the others after so long.
const REFRESH_PERIOD: Duration = Duration::from_secs(5);

/// Environments of one server: each costs a few kilobytes of memory and, on SQLite, a file.
pub const ENVS_MAX: usize = 1000;

/// Keys of one environment: a handful of servers, twice, so that keys can be changed one after the other.
pub const SERVER_KEYS_MAX: usize = 32;

/// Host names of one environment.
pub const HOSTS_MAX: usize = 16;

/// Origins of one environment: its pages, its console, and those of the people who build them.
pub const ORIGINS_MAX: usize = 32;

/// The longest appid in bytes; WeChat's have 18.
const APPID_BYTES_MAX: usize = 64;

/// What a new environment is made of.
#[derive(Clone, Debug)]
pub struct NewEnv {
    /// Its id.
    pub id: EnvId,
    /// The mini-program's appid.
    pub appid: Option<String>,
    /// The mini-program's secret at WeChat.
    pub app_secret: Option<Secret>,
    /// Host names that mean this environment.
    pub hosts: Vec<String>,
    /// Origins whose pages may call it from a browser.
    pub origins: Vec<String>,
    /// Whether anybody may log in under any name.
    pub development_login: bool,
}

/// What the service is made of.
pub struct Parts {
    /// The database.
    pub sql: SharedSql,
    /// Seals what is stored and must stay secret.
    pub master_key: MasterKey,
    /// Tells the time.
    pub clock: Clock,
    /// Puts on record who adds what.
    pub acts: Acts,
    /// Tells other services of environments that come and go.
    pub lifecycle: Lifecycle,
}

/// The environments of this server, in the store and in memory.
pub struct EnvStore {
    store: Store,
    clock: Clock,
    acts: Acts,
    lifecycle: Lifecycle,
    envs: Live<Envs>,
    server_keys: Live<ServerKeys>,
    /// One writer at a time, so that checks against the table in memory hold until it is replaced.
    writing: tokio::sync::Mutex<()>,
}

// === impl EnvStore ===

impl EnvStore {
    /// Reads every environment and key.
    pub async fn open(parts: Parts) -> Result<Arc<Self>> {
        let Parts { sql, master_key, clock, acts, lifecycle } = parts;
        let opened = Self {
            store: Store::new(sql, master_key),
            clock,
            acts,
            lifecycle,
            envs: Live::new(Envs::default()),
            server_keys: Live::new(ServerKeys::default()),
            writing: tokio::sync::Mutex::default(),
        };
        opened.refresh().await?;
        Ok(Arc::new(opened))
    }

    /// The environments, for the gateway and the services.
    pub fn envs(&self) -> Live<Envs> {
        self.envs.clone()
    }

    /// The server keys, for whoever verifies them.
    pub fn server_keys(&self) -> Live<ServerKeys> {
        self.server_keys.clone()
    }

    /// Reads the store again, so that what another replica added is seen.
    pub async fn refresh(&self) -> Result<()> {
        let _writing = self.writing.lock().await;
        self.reload().await
    }

    /// One environment.
    pub fn get(&self, id: &EnvId) -> Result<Arc<Env>> {
        self.envs.peek().get(id).cloned().ok_or_else(|| {
            Error::new(
                Kind::EnvNotFound,
                format!("there is no environment {id}; see `yunzhan env list`"),
            )
        })
    }

    /// Adds an environment with its first key, which is shown now and never again.
    /// Errors: `InvalidParameter`, `AlreadyExists` for its id or a host, `LimitExceeded`.
    pub async fn add(&self, new: NewEnv) -> Result<(Arc<Env>, NewKey)> {
        let env = checked(new)?;
        let key = NewKey::generate()?;
        let _writing = self.writing.lock().await;
        self.check_fits(&env)?;
        self.store.add_env(&env, &key.stored(&env.id), self.clock.now_ms()).await?;
        self.reload().await?;
        self.lifecycle.tell(&EnvChange::Created(env.id.clone())).await?;
        Ok((self.get(&env.id)?, key))
    }

    /// Adds a key to an environment. Errors: `EnvNotFound`, `LimitExceeded`.
    pub async fn add_key(&self, env: &EnvId, key: NewKey) -> Result<NewKey> {
        let _writing = self.writing.lock().await;
        self.get(env)?;
        if self.server_keys.peek().of(env).count() >= SERVER_KEYS_MAX {
            let message = format!("environment {env} has {SERVER_KEYS_MAX} keys; remove one first");
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        self.store.add_key(&key.stored(env), self.clock.now_ms()).await?;
        self.reload().await?;
        Ok(key)
    }

    /// Replaces the origins whose pages may call an environment from a browser. Errors: `InvalidParameter`, `EnvNotFound`.
    pub async fn set_origins(&self, env: &EnvId, origins: &[String]) -> Result<()> {
        let origins = checked_origins(origins)?;
        let _writing = self.writing.lock().await;
        self.get(env)?;
        self.store.set_origins(env, &origins).await?;
        self.reload().await
    }

    /// Removes a key; what it signed is refused from now on. Errors: `NotFound`.
    pub async fn remove_key(&self, env: &EnvId, key_id: &str) -> Result<()> {
        let _writing = self.writing.lock().await;
        self.store.remove_key(env, key_id).await?;
        self.reload().await
    }

    async fn reload(&self) -> Result<()> {
        let (envs, keys) = (self.store.envs().await?, self.store.keys().await?);
        self.envs.store(Envs::new(envs)?);
        self.server_keys.store(ServerKeys::new(keys));
        Ok(())
    }

    fn check_fits(&self, env: &Env) -> Result<()> {
        let table = self.envs.peek();
        if table.iter().count() >= ENVS_MAX {
            let message = format!("this server has {ENVS_MAX} environments, which is the most");
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        let all = table.iter().map(|known| Env::clone(known)).chain([env.clone()]);
        Envs::new(all).map(drop)
    }
}

fn open(opening: &Opening) -> Opened<'_, EnvStore> {
    Box::pin(EnvStore::open(Parts {
        sql: Arc::clone(&opening.sql),
        master_key: opening.master_key.clone(),
        clock: opening.clock.clone(),
        acts: opening.acts.clone(),
        lifecycle: opening.lifecycle.clone(),
    }))
}

impl std::fmt::Debug for EnvStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EnvStore({:?})", self.envs.peek())
    }
}

fn checked(new: NewEnv) -> Result<Env> {
    let refuse = |message: &'static str| Err(Error::new(Kind::InvalidParameter, message));
    let NewEnv { id, appid, app_secret, hosts, origins, development_login } = new;
    if appid.as_deref().is_some_and(|appid| !is_plain(appid, APPID_BYTES_MAX)) {
        return refuse("an appid has letters and digits only; copy it from mp.weixin.qq.com");
    }
    if appid.is_some() != app_secret.is_some() {
        return refuse("an appid and its secret belong together; give both or neither");
    }
    if appid.is_some() && development_login {
        return refuse(
            "the development login lets anybody in; it is not for an environment with an appid",
        );
    }
    if hosts.len() > HOSTS_MAX || !hosts.iter().all(|host| is_host(host)) {
        return refuse("hosts are at most 16 names such as api.example.com, without a port");
    }
    let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    let origins = checked_origins(&origins)?;
    Ok(Env { id, appid, app_secret, hosts, origins, development_login })
}

fn checked_origins(origins: &[String]) -> Result<Vec<String>> {
    if origins.len() > ORIGINS_MAX || !origins.iter().all(|origin| is_origin(origin)) {
        return Err(Error::new(
            Kind::InvalidParameter,
            "origins are at most 32, such as https://h5.example.com, without a path",
        ));
    }
    Ok(origins.iter().map(|origin| origin.to_ascii_lowercase()).collect())
}

/// Scheme, host and perhaps a port (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| match rest.split_once(':') {
        Some((host, port)) => is_host(host) && port.parse::<u16>().is_ok(),
        None => is_host(rest),
    })
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Labels of letters, digits and `-` with dots between (RFC 1123).
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
