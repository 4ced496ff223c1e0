//! Every path below the data folder, named once. Pure: who opens, creates and locks them is the server.

use std::path::{Path, PathBuf};

use crate::ids::EnvId;

/// The version of the folder's layout that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// The data folder of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The data folder at this path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// One line: the version of the layout.
    pub fn format(&self) -> PathBuf {
        self.0.join("FORMAT")
    }

    /// Held by the one process that uses the folder; its text is that process's id.
    pub fn lock(&self) -> PathBuf {
        self.0.join("LOCK")
    }

    /// The configuration, when no other is named.
    pub fn config(&self) -> PathBuf {
        self.0.join("yunzhan.toml")
    }

    /// The key that seals every stored secret, unless the configuration names another place.
    pub fn master_key(&self) -> PathBuf {
        self.0.join("master.key")
    }

    /// One line that tells whether a key is the one that sealed the secrets, and from which it cannot be found.
    pub fn master_key_check(&self) -> PathBuf {
        self.0.join("master.key.check")
    }

    /// The database of the server itself.
    pub fn system_database(&self) -> PathBuf {
        self.0.join("system.db")
    }

    /// Everything of all environments.
    pub fn envs(&self) -> PathBuf {
        self.0.join("env")
    }

    /// Everything of one environment.
    pub fn env(&self, env: &EnvId) -> PathBuf {
        self.envs().join(env.as_str())
    }

    /// An environment's database.
    pub fn env_database(&self, env: &EnvId) -> PathBuf {
        self.env(env).join("sql").join("env.db")
    }

    /// An environment's files.
    pub fn env_blobs(&self, env: &EnvId) -> PathBuf {
        self.env(env).join("blob")
    }

    /// An environment's deployed functions.
    pub fn env_functions(&self, env: &EnvId) -> PathBuf {
        self.env(env).join("functions")
    }

    /// Queues of the embedded engine.
    pub fn queue(&self) -> PathBuf {
        self.0.join("queue")
    }

    /// The audit ledger.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    /// Certificates and keys made by this server.
    pub fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }

    /// Backups, also those that a migration makes of what it changes.
    pub fn backup(&self) -> PathBuf {
        self.0.join("backup")
    }

    /// Rules against attacks that were imported.
    pub fn waf(&self) -> PathBuf {
        self.0.join("waf")
    }

    /// One imported set of rules, by the hash over its files.
    pub fn waf_set(&self, hash: &str) -> PathBuf {
        self.waf().join(hash)
    }

    /// One line: which set is used.
    pub fn waf_active(&self) -> PathBuf {
        self.waf().join("active")
    }

    /// The operator's own settings of the Core Rule Set, read between its settings and its rules.
    pub fn waf_settings(&self) -> PathBuf {
        self.waf().join("settings.conf")
    }

    /// Logs.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// One line of JSON for each request.
    pub fn access_log(&self) -> PathBuf {
        self.log().join("access.log")
    }

    /// What exists only while a process serves.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The socket over which the command line talks to the serving process.
    pub fn control_socket(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// The operator's token for the control listener; another one at each start.
    pub fn control_token(&self) -> PathBuf {
        self.run().join("control.token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_below_the_root() {
        let data = DataDir::new("/data");
        let env: EnvId = "demo".parse().expect("an id");
        let paths = [
            data.format(),
            data.lock(),
            data.config(),
            data.master_key(),
            data.master_key_check(),
            data.system_database(),
            data.env_database(&env),
            data.env_blobs(&env),
            data.env_functions(&env),
            data.queue(),
            data.ledger(),
            data.tls(),
            data.backup(),
            data.waf_set("0"),
            data.waf_active(),
            data.waf_settings(),
            data.access_log(),
            data.control_socket(),
            data.control_token(),
        ];
        assert!(paths.iter().all(|path| path.starts_with(data.root())));
        assert_eq!(data.env_database(&env), Path::new("/data/env/demo/sql/env.db"));
    }
}
