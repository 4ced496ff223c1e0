//! Environments as an operator makes them, through the control API.

use hyper::Method;
use serde_json::{Value, json};

use crate::key::Key;
use crate::server::Server;

/// An environment with its first key.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its id.
    pub id: String,
    /// Signs calls of the admin dialect.
    pub key: Key,
    /// The bearer key, for clients that do not sign.
    pub access_key: String,
}

/// What people may do with a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everybody reads, owners write.
    ReadOnly,
    /// Owners only.
    Private,
    /// Everybody reads, servers write.
    AdminWrite,
    /// Servers only.
    AdminOnly,
}

impl Permission {
    fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "READONLY",
            Self::Private => "PRIVATE",
            Self::AdminWrite => "ADMINWRITE",
            Self::AdminOnly => "ADMINONLY",
        }
    }
}

impl Server {
    /// Adds an environment in which anybody may log in under any name.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn add_environment(&self, id: &str) -> Environment {
        self.add(&json!({ "env": id, "development_login": true })).await
    }

    /// Adds the environment of a mini-program.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn add_mini_program(&self, id: &str, appid: &str, secret: &str) -> Environment {
        self.add(&json!({ "env": id, "appid": appid, "app_secret": secret })).await
    }

    async fn add(&self, new: &Value) -> Environment {
        let added = self.control(Method::POST, "/control/v1/envs", new).await.value();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let key = &added["key"];
        Environment {
            id: text(&new["env"]),
            key: Key { id: text(&key["secret_id"]), secret: text(&key["secret_key"]) },
            access_key: text(&key["access_key"]),
        }
    }

    /// Adds a key to an environment that is there already, such as `demo`.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn add_key(&self, env: &str) -> Environment {
        let path = format!("/control/v1/envs/{env}/keys");
        let key = self.control(Method::POST, &path, &json!({})).await.value();
        let text = |name: &str| key[name].as_str().expect("a text").to_owned();
        Environment {
            id: env.to_owned(),
            key: Key { id: text("secret_id"), secret: text("secret_key") },
            access_key: text("access_key"),
        }
    }

    /// Adds a collection to an environment.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn add_collection(&self, env: &str, name: &str, permission: Permission) {
        let path = format!("/control/v1/envs/{env}/collections");
        let body = json!({ "name": name, "permission": permission.name() });
        let _ = self.control(Method::POST, &path, &body).await.value();
    }
}
