//! Environments as the gateway and the services see them: a table that is swapped whole when it changes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::ids::EnvId;
use crate::secret::Secret;

/// One mini-program's world on this server.
#[derive(Clone, Debug)]
pub struct Env {
    /// Its name in URLs, rows and labels.
    pub id: EnvId,
    /// The mini-program's appid; without one only the development login works.
    pub appid: Option<String>,
    /// The mini-program's secret at WeChat.
    pub app_secret: Option<Secret>,
    /// Host names that mean this environment, in lower case, without a port.
    pub hosts: Vec<String>,
    /// Origins whose pages may call this environment from a browser (安全域名): `https://h5.example.com`, in lower case.
    pub origins: Vec<String>,
    /// Whether anybody may log in under any name. Only for an environment without an appid; every such login is marked.
    pub development_login: bool,
}

/// Every environment of this server, by id and by host.
#[derive(Default)]
pub struct Envs {
    by_id: HashMap<EnvId, Arc<Env>>,
    by_host: HashMap<String, EnvId>,
}

// === impl Env ===

impl Env {
    /// An environment that has nothing but its id, and lets nobody in. The fields are there to be filled.
    pub fn new(id: EnvId) -> Self {
        Self {
            id,
            appid: None,
            app_secret: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            development_login: false,
        }
    }

    /// Whether pages of this origin may call the environment from a browser. One with the development login also lets in
    /// pages that this machine serves.
    pub fn permits_origin(&self, origin: &str) -> bool {
        let is_local = || {
            let host = origin.strip_prefix("http://").and_then(|rest| rest.split(':').next());
            matches!(host, Some("localhost" | "127.0.0.1"))
        };
        let is_listed = self.origins.iter().any(|own| own.eq_ignore_ascii_case(origin));
        is_listed || (self.development_login && is_local())
    }
}

// === impl Envs ===

impl Envs {
    /// A table of these environments. Two that claim one host, or one id twice, are refused.
    pub fn new(envs: impl IntoIterator<Item = Env>) -> Result<Self> {
        let mut table = Self::default();
        for env in envs {
            table.insert(env)?;
        }
        Ok(table)
    }

    fn insert(&mut self, env: Env) -> Result<()> {
        for host in &env.hosts {
            if let Some(other) = self.by_host.insert(host.clone(), env.id.clone()) {
                return Err(Error::new(
                    Kind::AlreadyExists,
                    format!(
                        "host {host} belongs to environment {other} already; remove it there first"
                    ),
                ));
            }
        }
        match self.by_id.insert(env.id.clone(), Arc::new(env)) {
            None => Ok(()),
            Some(twice) => Err(Error::new(
                Kind::AlreadyExists,
                format!("environment {} exists already", twice.id),
            )),
        }
    }

    /// The environment with this id.
    pub fn get(&self, id: &EnvId) -> Option<&Arc<Env>> {
        self.by_id.get(id)
    }

    /// The environment that a host name means; `host` is in lower case, without a port.
    pub fn by_host(&self, host: &str) -> Option<&EnvId> {
        // Most servers name no hosts: the question is then free.
        if self.by_host.is_empty() { None } else { self.by_host.get(host) }
    }

    /// Whether any host means an environment.
    pub fn has_hosts(&self) -> bool {
        !self.by_host.is_empty()
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Env>> {
        let mut all: Vec<_> = self.by_id.values().collect();
        all.sort_by(|left, right| left.id.cmp(&right.id));
        all.into_iter()
    }
}

impl fmt::Debug for Envs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|env| &env.id)).finish()
    }
}
