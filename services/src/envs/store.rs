//! All SQL of environments and server keys. Everything here lives in the system database.

use yunzhan_base::env::Env;
use yunzhan_base::{EnvId, Error, Kind, Result, Secret};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::migrate::{Migration, Scope};
use yunzhan_engine::sql::{
    Consistency, Database, Expect, Key, Logical, ShardLocation, SharedSql, Statement, Value,
    WriteBatch, WriteStep,
};

use super::server_keys::StoredKey;
use crate::columns::Columns;

/// The tables of environments and their keys.
pub const MIGRATIONS: &[Migration] = &[ENVS_AND_KEYS, ORIGINS];

const ORIGINS: Migration = Migration {
    version: 2,
    name: "origins of pages",
    database: Scope::System,
    statements: &["ALTER TABLE {envs} ADD COLUMN origins {text}"],
};

const ENVS_AND_KEYS: Migration = Migration {
    version: 1,
    name: "environments and server keys",
    database: Scope::System,
    statements: &[
        "CREATE TABLE IF NOT EXISTS {envs} (
             env {env} NOT NULL PRIMARY KEY,
             appid {name:64},
             app_secret {blob},
             hosts {text} NOT NULL,
             development_login BIGINT NOT NULL,
             created_ms BIGINT NOT NULL
         )",
        "CREATE TABLE IF NOT EXISTS {server_keys} (
             key_id {name:64} NOT NULL PRIMARY KEY,
             env {env} NOT NULL,
             secret {blob} NOT NULL,
             access_hash {key:32} NOT NULL,
             created_ms BIGINT NOT NULL
         )",
    ],
};

const ENVS: &[Logical] = &[Logical("envs")];
const SERVER_KEYS: &[Logical] = &[Logical("server_keys")];

/// Environments and keys in the system database.
pub(super) struct Store {
    sql: SharedSql,
    master_key: MasterKey,
    place: ShardLocation,
}

// === impl Store ===

impl Store {
    pub(super) fn new(sql: SharedSql, master_key: MasterKey) -> Self {
        Self {
            sql,
            master_key,
            place: ShardLocation { database: Database::System, key: Key::Slot(0) },
        }
    }

    /// Every environment.
    pub(super) async fn envs(&self) -> Result<Vec<Env>> {
        let sql = "SELECT env, appid, app_secret, hosts, development_login, origins FROM {envs} ORDER BY env";
        let statement = Statement { sql, tables: ENVS, params: Vec::new() };
        let rows = self.sql.read(Consistency::Primary, &self.place, statement).await?;
        rows.0.into_iter().map(|row| self.env(row.into())).collect()
    }

    fn env(&self, mut columns: Columns) -> Result<Env> {
        let id: EnvId = columns.text()?.parse()?;
        let appid = columns.optional_text()?;
        let sealed = columns.optional_bytes()?;
        let context = app_secret_context(&id);
        let app_secret =
            sealed.map(|sealed| self.master_key.open(&context, &sealed)).transpose()?;
        let list = |what: &str, text: &str| {
            serde_json::from_str(text).map_err(|error| {
                Error::internal(format!("the {what} of an environment are not a list"))
                    .because(error)
            })
        };
        let hosts = list("hosts", &columns.text()?)?;
        let development_login = columns.integer()? != 0;
        let origins = columns.optional_text()?;
        let origins = origins.map_or(Ok(Vec::new()), |text| list("origins", &text))?;
        Ok(Env { id, appid, app_secret, hosts, origins, development_login })
    }

    /// Every server key.
    pub(super) async fn keys(&self) -> Result<Vec<StoredKey>> {
        let sql = "SELECT key_id, env, secret, access_hash FROM {server_keys}";
        let statement = Statement { sql, tables: SERVER_KEYS, params: Vec::new() };
        let rows = self.sql.read(Consistency::Primary, &self.place, statement).await?;
        rows.0.into_iter().map(|row| self.key(row.into())).collect()
    }

    fn key(&self, mut columns: Columns) -> Result<StoredKey> {
        let (key_id, env) = (columns.text()?, columns.text()?.parse()?);
        let secret = self.master_key.open(&key_context(&key_id), &columns.bytes()?)?;
        let access_hash = columns.bytes()?.try_into();
        let access_hash =
            access_hash.map_err(|_| Error::internal("a key's hash has not 32 bytes"))?;
        Ok(StoredKey::new(env, key_id, secret, access_hash))
    }

    /// Adds an environment, with its first key when one is given.
    pub(super) async fn add_env(&self, env: &Env, key: &StoredKey, now_ms: i64) -> Result<()> {
        let list = |list: &[String]| serde_json::to_string(list).expect("a list of text");
        let seal = |secret: &Secret| {
            Value::Blob(self.master_key.seal(&app_secret_context(&env.id), secret.expose()))
        };
        let insert = step(
            "{insert_or_ignore} INTO {envs} (env, appid, app_secret, hosts, development_login, created_ms, origins)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            ENVS,
            vec![
                Value::Text(env.id.to_string()),
                env.appid.clone().map_or(Value::Null, Value::Text),
                env.app_secret.as_ref().map_or(Value::Null, seal),
                Value::Text(list(&env.hosts)),
                Value::Integer(env.development_login.into()),
                Value::Integer(now_ms),
                Value::Text(list(&env.origins)),
            ],
        );
        let unit =
            WriteBatch { steps: vec![insert, self.insert_key(key, now_ms)], idempotency: None };
        self.sql.write(&self.place, unit).await.map(drop).map_err(|error| match error.kind() {
            Kind::Conflict => Error::new(
                Kind::AlreadyExists,
                format!("environment {} exists already; choose another id", env.id),
            ),
            _ => error,
        })
    }

    /// Replaces the origins whose pages may call an environment.
    pub(super) async fn set_origins(&self, env: &EnvId, origins: &[String]) -> Result<()> {
        let origins = serde_json::to_string(origins).expect("a list of text");
        let statement = Statement {
            sql: "UPDATE {envs} SET origins = ? WHERE env = ?",
            tables: ENVS,
            params: vec![Value::Text(origins), Value::Text(env.to_string())],
        };
        // MySQL counts no row where nothing changed.
        let steps = vec![WriteStep::once(statement, Expect::Any)];
        let unit = WriteBatch { steps, idempotency: None };
        self.sql.write(&self.place, unit).await.map(drop)
    }

    /// Adds a key.
    pub(super) async fn add_key(&self, key: &StoredKey, now_ms: i64) -> Result<()> {
        let unit = WriteBatch { steps: vec![self.insert_key(key, now_ms)], idempotency: None };
        self.sql.write(&self.place, unit).await.map(drop)
    }

    /// Removes a key.
    pub(super) async fn remove_key(&self, env: &EnvId, key_id: &str) -> Result<()> {
        let delete = step(
            "DELETE FROM {server_keys} WHERE env = ? AND key_id = ?",
            SERVER_KEYS,
            vec![Value::Text(env.to_string()), Value::Text(key_id.to_owned())],
        );
        let unit = WriteBatch { steps: vec![delete], idempotency: None };
        self.sql.write(&self.place, unit).await.map(drop).map_err(|error| match error.kind() {
            Kind::Conflict => {
                Error::new(Kind::NotFound, format!("environment {env} has no such key"))
            }
            _ => error,
        })
    }

    fn insert_key(&self, key: &StoredKey, now_ms: i64) -> WriteStep {
        let key_id = &key.principal.key_id;
        let sealed = self.master_key.seal(&key_context(key_id), key.secret.expose());
        step(
            "INSERT INTO {server_keys} (key_id, env, secret, access_hash, created_ms) VALUES (?, ?, ?, ?, ?)",
            SERVER_KEYS,
            vec![
                Value::Text(key_id.clone()),
                Value::Text(key.principal.env.to_string()),
                Value::Blob(sealed),
                Value::Blob(key.access_hash.to_vec()),
                Value::Integer(now_ms),
            ],
        )
    }
}

/// A step that must change one row.
fn step(sql: &'static str, tables: &'static [Logical], params: Vec<Value>) -> WriteStep {
    WriteStep::once(Statement { sql, tables, params }, Expect::Rows(1))
}

/// Binds a sealed value to its row: moved into another row it does not open.
fn app_secret_context(env: &EnvId) -> String {
    format!("envs/app_secret/{env}")
}

fn key_context(key_id: &str) -> String {
    format!("server_keys/secret/{key_id}")
}
