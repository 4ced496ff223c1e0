//! All SQL of identity.
//!
//! What belongs to people lies in their environment's database: users, sessions, provider tokens. Rows of one person share a
//! slot, which their ids carry, so that a login is one unit also where tables are sharded. What every request may need
//! lies in the system database, read once at start: signing keys, and the sessions that were ended a short while ago.

use serde::Serialize;
use yunzhan_base::{EnvId, Error, Kind, Result, Secret};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::migrate::{Migration, Scope};
use yunzhan_engine::sql::{
    Consistency, Database, Expect, Key, Logical, Merge, Place, Row, SharedSql, Statement, Step,
    Unit, Value,
};

use super::logic::Session;
use super::memory::Ending;
use super::provider_token::ProviderToken;
use super::token::{KEY_BYTES, SigningKey};
use crate::columns::Columns;

/// The tables of identity.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "signing keys and ended sessions",
        database: Scope::System,
        statements: &[
            "CREATE TABLE IF NOT EXISTS {signing_keys} (
                 kid {name:64} NOT NULL PRIMARY KEY,
                 public_key {key:32} NOT NULL,
                 seed {blob} NOT NULL,
                 signs_from_ms BIGINT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS {server_secrets} (
                 name {name:64} NOT NULL PRIMARY KEY,
                 secret {blob} NOT NULL)",
            "CREATE TABLE IF NOT EXISTS {ended_sessions} (
                 session_id {name:32} NOT NULL PRIMARY KEY,
                 issued_s_max BIGINT NOT NULL,
                 ended_ms BIGINT NOT NULL,
                 until_s BIGINT NOT NULL)",
            "CREATE INDEX ended_sessions_age ON {ended_sessions} (ended_ms)",
        ],
    },
    Migration {
        version: 1,
        name: "users, sessions and provider tokens",
        database: Scope::Env,
        statements: &[
            "CREATE TABLE IF NOT EXISTS {users} (
                 env {env} NOT NULL,
                 uid {name:32} NOT NULL,
                 openid {name:128} NOT NULL,
                 roles {text} NOT NULL,
                 created_ms BIGINT NOT NULL,
                 seen_ms BIGINT NOT NULL,
                 PRIMARY KEY (env, uid)) {clustered}",
            "CREATE TABLE IF NOT EXISTS {sessions} (
                 env {env} NOT NULL,
                 session_id {name:32} NOT NULL,
                 uid {name:32} NOT NULL,
                 openid {name:128},
                 current_hash {key:32} NOT NULL,
                 previous_hash {key:32} NOT NULL,
                 salt {key:16} NOT NULL,
                 rotated_ms BIGINT NOT NULL,
                 idle_until_ms BIGINT NOT NULL,
                 ends_ms BIGINT NOT NULL,
                 revoked_ms BIGINT NOT NULL,
                 PRIMARY KEY (env, session_id)) {clustered}",
            "CREATE INDEX sessions_idle ON {sessions} (env, idle_until_ms)",
            "CREATE INDEX sessions_uid ON {sessions} (env, uid)",
            "CREATE TABLE IF NOT EXISTS {provider_tokens} (
                 env {env} NOT NULL,
                 token_hash {key:32} NOT NULL,
                 openid {name:128} NOT NULL,
                 expires_ms BIGINT NOT NULL,
                 PRIMARY KEY (env, token_hash)) {clustered}",
            "CREATE INDEX provider_tokens_age ON {provider_tokens} (env, expires_ms)",
        ],
    },
];

const SIGNING_KEYS: &[Logical] = &[Logical("signing_keys")];
const SERVER_SECRETS: &[Logical] = &[Logical("server_secrets")];
const ENDED_SESSIONS: &[Logical] = &[Logical("ended_sessions")];
const USERS: &[Logical] = &[Logical("users")];
const SESSIONS: &[Logical] = &[Logical("sessions")];
const PROVIDER_TOKENS: &[Logical] = &[Logical("provider_tokens")];

/// Rows that one round of tidying removes from one table: short enough that nobody waits for it.
const TIDY_ROWS_MAX: i64 = 500;

/// Endings read at once: one more than the memory holds, which makes it refuse every older token rather than forget one.
const ENDED_READ_MAX: i64 = (1 << 18) + 1;

/// A person as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UserRow {
    pub(crate) uid: String,
    pub(crate) openid: String,
    pub(crate) roles: Vec<String>,
    pub(crate) created_ms: i64,
    pub(crate) seen_ms: i64,
}

/// A session that begins.
pub(crate) struct NewSession<'a> {
    pub(crate) env: &'a EnvId,
    pub(crate) slot: u16,
    pub(crate) session_id: String,
    pub(crate) uid: &'a str,
    pub(crate) openid: Option<&'a str>,
    pub(crate) refresh_hash: [u8; 32],
    pub(crate) now_ms: i64,
    pub(crate) idle_until_ms: i64,
    pub(crate) ends_ms: i64,
    /// The hash of the provider token that this session uses up.
    pub(crate) provider_token: Option<[u8; 32]>,
}

/// A refresh token takes the place of another.
pub(crate) struct Rotation<'a> {
    pub(crate) env: &'a EnvId,
    pub(crate) slot: u16,
    pub(crate) session_id: &'a str,
    pub(crate) from: [u8; 32],
    pub(crate) to: [u8; 32],
    pub(crate) salt: &'a [u8],
    pub(crate) now_ms: i64,
    pub(crate) idle_until_ms: i64,
}

/// Identity's tables.
pub(crate) struct Store {
    sql: SharedSql,
    master_key: MasterKey,
}

// === impl Store: keys ===

impl Store {
    pub(crate) fn new(sql: SharedSql, master_key: MasterKey) -> Self {
        Self { sql, master_key }
    }

    /// Every signing key. Those that sign no more are read without their private half.
    pub(crate) async fn signing_keys(&self, now_ms: i64) -> Result<Vec<SigningKey>> {
        let sql = "SELECT kid, public_key, seed, signs_from_ms FROM {signing_keys} ORDER BY signs_from_ms DESC";
        let rows = self.read(&system(), sql, SIGNING_KEYS, Vec::new()).await?;
        let mut keys = Vec::new();
        let mut has_signer = false;
        for row in rows {
            let key = self.signing_key(row.into(), !has_signer)?;
            has_signer |= key.signs_from_ms <= now_ms;
            keys.push(key);
        }
        Ok(keys)
    }

    fn signing_key(&self, mut columns: Columns, signs: bool) -> Result<SigningKey> {
        let (kid, public) = (columns.text()?, columns.bytes()?);
        let (sealed, signs_from_ms) = (columns.bytes()?, columns.integer()?);
        let key = if signs {
            let seed = self.master_key.open(&signing_key_context(&kid), &sealed)?;
            SigningKey::from_seed(&seed, signs_from_ms)?
        } else {
            let public: [u8; KEY_BYTES] =
                public.try_into().map_err(|_| Error::internal("a public key has not 32 bytes"))?;
            SigningKey::from_public(public, signs_from_ms)?
        };
        if key.kid == kid {
            Ok(key)
        } else {
            Err(Error::internal("a signing key is not the one its id names"))
        }
    }

    /// Adds a signing key, and removes those that are named.
    pub(crate) async fn replace_signing_keys(
        &self,
        added: Option<(&SigningKey, &Secret)>,
        removed: &[String],
    ) -> Result<()> {
        let mut steps = Vec::new();
        if let Some((key, seed)) = added {
            let sealed = self.master_key.seal(&signing_key_context(&key.kid), seed.expose());
            steps.push(step(
                "INSERT INTO {signing_keys} (kid, public_key, seed, signs_from_ms) VALUES (?, ?, ?, ?)",
                SIGNING_KEYS,
                vec![text(&key.kid), blob(&key.public), Value::Blob(sealed), Value::Integer(key.signs_from_ms)],
                Expect::Rows(1),
            ));
        }
        for kid in removed {
            steps.push(step(
                "DELETE FROM {signing_keys} WHERE kid = ?",
                SIGNING_KEYS,
                vec![text(kid)],
                Expect::Any,
            ));
        }
        self.write(&system(), steps).await
    }

    /// A secret of this server, made of `fresh` when there is none; two replicas that start at once agree on one.
    pub(crate) async fn server_secret(&self, name: &str, fresh: &Secret) -> Result<Secret> {
        let context = format!("server_secrets/{name}");
        let sealed = self.master_key.seal(&context, fresh.expose());
        let insert = step(
            "{insert_or_ignore} INTO {server_secrets} (name, secret) VALUES (?, ?)",
            SERVER_SECRETS,
            vec![text(name), Value::Blob(sealed)],
            Expect::Any,
        );
        self.write(&system(), vec![insert]).await?;
        let sql = "SELECT secret FROM {server_secrets} WHERE name = ?";
        let rows = self.read(&system(), sql, SERVER_SECRETS, vec![text(name)]).await?;
        let row =
            rows.into_iter().next().ok_or_else(|| Error::internal("a server secret is gone"))?;
        self.master_key.open(&context, &Columns::from(row).bytes()?)
    }
}

// === impl Store: logins ===

impl Store {
    /// Keeps a provider token until it is used or has run out.
    pub(crate) async fn add_provider_token(
        &self,
        env: &EnvId,
        token: &ProviderToken,
        openid: &str,
        expires_ms: i64,
    ) -> Result<()> {
        let insert = step(
            "INSERT INTO {provider_tokens} (env, token_hash, openid, expires_ms) VALUES (?, ?, ?, ?)",
            PROVIDER_TOKENS,
            vec![text(env.as_str()), blob(&token.hash()), text(openid), Value::Integer(expires_ms)],
            Expect::Rows(1),
        );
        self.write(&place(env, token.slot()), vec![insert]).await
    }

    /// The openid of a provider token that is still good.
    pub(crate) async fn provider_token(
        &self,
        env: &EnvId,
        token: &ProviderToken,
        now_ms: i64,
    ) -> Result<Option<String>> {
        let sql = "SELECT openid FROM {provider_tokens} WHERE env = ? AND token_hash = ? AND expires_ms > ?";
        let params = vec![text(env.as_str()), blob(&token.hash()), Value::Integer(now_ms)];
        let rows = self.read(&place(env, token.slot()), sql, PROVIDER_TOKENS, params).await?;
        rows.into_iter().next().map(|row| Columns::from(row).text()).transpose()
    }

    /// Begins a session, all in one unit: the provider token is used up, the person known from now on.
    /// `Conflict` when somebody used the provider token first.
    pub(crate) async fn begin_session(&self, new: &NewSession<'_>) -> Result<()> {
        let env = new.env.as_str();
        let mut steps = Vec::new();
        if let Some(hash) = &new.provider_token {
            steps.push(step(
                "DELETE FROM {provider_tokens} WHERE env = ? AND token_hash = ?",
                PROVIDER_TOKENS,
                vec![text(env), blob(hash)],
                Expect::Rows(1),
            ));
        }
        if let Some(openid) = new.openid {
            let now = Value::Integer(new.now_ms);
            steps.push(step(
                "INSERT INTO {users} (env, uid, openid, roles, created_ms, seen_ms) VALUES (?, ?, ?, ?, ?, ?)
                 {on_conflict:env, uid} SET seen_ms = {new:seen_ms}",
                USERS,
                vec![text(env), text(new.uid), text(openid), text("[]"), now.clone(), now],
                Expect::Any,
            ));
        }
        steps.push(insert_session(new));
        self.write(&place(new.env, new.slot), steps).await
    }

    /// A session, ended or not.
    pub(crate) async fn session(
        &self,
        env: &EnvId,
        slot: u16,
        session_id: &str,
    ) -> Result<Option<Session>> {
        let sql = "SELECT uid, openid, current_hash, previous_hash, salt, rotated_ms, idle_until_ms, ends_ms, revoked_ms
                   FROM {sessions} WHERE env = ? AND session_id = ?";
        let params = vec![text(env.as_str()), text(session_id)];
        let rows = self.read(&place(env, slot), sql, SESSIONS, params).await?;
        rows.into_iter().next().map(session).transpose()
    }

    /// Puts a refresh token in the place of another. `Conflict` when the other is no longer the present one.
    pub(crate) async fn rotate(&self, rotation: &Rotation<'_>) -> Result<()> {
        let update = step(
            "UPDATE {sessions} SET current_hash = ?, previous_hash = ?, salt = ?, rotated_ms = ?, idle_until_ms = ?
             WHERE env = ? AND session_id = ? AND current_hash = ? AND revoked_ms = 0",
            SESSIONS,
            vec![
                blob(&rotation.to),
                blob(&rotation.from),
                blob(rotation.salt),
                Value::Integer(rotation.now_ms),
                Value::Integer(rotation.idle_until_ms),
                text(rotation.env.as_str()),
                text(rotation.session_id),
                blob(&rotation.from),
            ],
            Expect::Rows(1),
        );
        self.write(&place(rotation.env, rotation.slot), vec![update]).await
    }

    /// Ends a session's refresh tokens. Doing it twice is doing it once.
    pub(crate) async fn revoke(
        &self,
        env: &EnvId,
        slot: u16,
        session_id: &str,
        now_ms: i64,
    ) -> Result<()> {
        let revoke = step(
            "UPDATE {sessions} SET revoked_ms = ? WHERE env = ? AND session_id = ? AND revoked_ms = 0",
            SESSIONS,
            vec![Value::Integer(now_ms), text(env.as_str()), text(session_id)],
            Expect::Any,
        );
        self.write(&place(env, slot), vec![revoke]).await
    }

    /// Ends access tokens on every replica. An ended session stays ended, in whatever order the news arrive.
    pub(crate) async fn add_endings(&self, endings: &[Ending], now_ms: i64) -> Result<()> {
        let add = |ending: &Ending| {
            step(
                "INSERT INTO {ended_sessions} (session_id, issued_s_max, ended_ms, until_s) VALUES (?, ?, ?, ?)
                 {on_conflict:session_id} SET
                     issued_s_max = CASE WHEN issued_s_max > {new:issued_s_max} THEN issued_s_max
                                    ELSE {new:issued_s_max} END,
                     ended_ms = {new:ended_ms}, until_s = {new:until_s}",
                ENDED_SESSIONS,
                vec![
                    text(&ending.session),
                    Value::Integer(ending.issued_s_max),
                    Value::Integer(now_ms),
                    Value::Integer(ending.until_s),
                ],
                Expect::Any,
            )
        };
        self.write(&system(), endings.iter().map(add).collect()).await
    }

    /// The endings since then.
    pub(crate) async fn endings_since(&self, since_ms: i64) -> Result<Vec<Ending>> {
        let sql = "SELECT session_id, issued_s_max, until_s FROM {ended_sessions}
                   WHERE ended_ms >= ? ORDER BY ended_ms LIMIT ?";
        let params = vec![Value::Integer(since_ms), Value::Integer(ENDED_READ_MAX)];
        let rows = self.read(&system(), sql, ENDED_SESSIONS, params).await?;
        let ending = |row: Row| {
            let mut columns = Columns::from(row);
            Ok(Ending {
                session: columns.text()?,
                issued_s_max: columns.integer()?,
                until_s: columns.integer()?,
            })
        };
        rows.into_iter().map(ending).collect()
    }
}

// === impl Store: users ===

impl Store {
    /// One person.
    pub(crate) async fn user(&self, env: &EnvId, slot: u16, uid: &str) -> Result<Option<UserRow>> {
        let sql =
            "SELECT uid, openid, roles, created_ms, seen_ms FROM {users} WHERE env = ? AND uid = ?";
        let params = vec![text(env.as_str()), text(uid)];
        let rows = self.read(&place(env, slot), sql, USERS, params).await?;
        rows.into_iter().next().map(user).transpose()
    }

    /// People after this uid, in the order of their uids.
    pub(crate) async fn users(&self, env: &EnvId, after: &str, limit: i64) -> Result<Vec<UserRow>> {
        let sql = "SELECT uid, openid, roles, created_ms, seen_ms FROM {users}
                   WHERE env = ? AND uid > ? ORDER BY uid LIMIT ?";
        let params = vec![text(env.as_str()), text(after), Value::Integer(limit)];
        let merge = Merge { by: vec![(0, false)], limit: u64::try_from(limit).ok() };
        let rows = self.read(&everywhere(env, merge), sql, USERS, params).await?;
        rows.into_iter().map(user).collect()
    }

    /// Sets a person's roles. `NotFound` when there is no such person.
    pub(crate) async fn set_roles(
        &self,
        env: &EnvId,
        slot: u16,
        uid: &str,
        roles: &[String],
    ) -> Result<()> {
        let roles = serde_json::to_string(roles).expect("a list of text");
        if self.user(env, slot, uid).await?.is_none() {
            return Err(Error::new(Kind::NotFound, format!("environment {env} has no user {uid}")));
        }
        let update = step(
            "UPDATE {users} SET roles = ? WHERE env = ? AND uid = ?",
            USERS,
            vec![Value::Text(roles), text(env.as_str()), text(uid)],
            Expect::Any,
        );
        self.write(&place(env, slot), vec![update]).await
    }

    /// The live sessions of a person.
    pub(crate) async fn sessions_of(
        &self,
        env: &EnvId,
        slot: u16,
        uid: &str,
    ) -> Result<Vec<String>> {
        let sql = "SELECT session_id FROM {sessions} WHERE env = ? AND uid = ? AND revoked_ms = 0";
        let params = vec![text(env.as_str()), text(uid)];
        let rows = self.read(&place(env, slot), sql, SESSIONS, params).await?;
        rows.into_iter().map(|row| Columns::from(row).text()).collect()
    }
}

// === impl Store: tidying ===

impl Store {
    /// Removes ended sessions that no longer matter; says whether there may be more.
    pub(crate) async fn tidy_system(&self, ended_before_ms: i64) -> Result<bool> {
        let sql = "SELECT session_id FROM {ended_sessions} WHERE ended_ms < ? LIMIT ?";
        let params = vec![Value::Integer(ended_before_ms), Value::Integer(TIDY_ROWS_MAX)];
        let rows = self.read(&system(), sql, ENDED_SESSIONS, params).await?;
        let delete = "DELETE FROM {ended_sessions} WHERE session_id = ?";
        self.delete_each(&system(), delete, ENDED_SESSIONS, rows, Vec::new()).await
    }

    /// Removes sessions and provider tokens that have run out; says whether there may be more.
    pub(crate) async fn tidy_env(&self, env: &EnvId, now_ms: i64) -> Result<bool> {
        let limit = Merge { by: Vec::new(), limit: u64::try_from(TIDY_ROWS_MAX).ok() };
        let all = everywhere(env, limit);
        let params =
            || vec![text(env.as_str()), Value::Integer(now_ms), Value::Integer(TIDY_ROWS_MAX)];
        let sql = "SELECT session_id FROM {sessions} WHERE env = ? AND idle_until_ms < ? LIMIT ?";
        let rows = self.read(&all, sql, SESSIONS, params()).await?;
        let delete = "DELETE FROM {sessions} WHERE session_id = ? AND env = ?";
        let first =
            self.delete_each(&all, delete, SESSIONS, rows, vec![text(env.as_str())]).await?;
        let sql =
            "SELECT token_hash FROM {provider_tokens} WHERE env = ? AND expires_ms < ? LIMIT ?";
        let rows = self.read(&all, sql, PROVIDER_TOKENS, params()).await?;
        let delete = "DELETE FROM {provider_tokens} WHERE token_hash = ? AND env = ?";
        let second =
            self.delete_each(&all, delete, PROVIDER_TOKENS, rows, vec![text(env.as_str())]).await?;
        Ok(first || second)
    }

    async fn delete_each(
        &self,
        place: &Place,
        delete: &'static str,
        tables: &'static [Logical],
        rows: Vec<Row>,
        more: Vec<Value>,
    ) -> Result<bool> {
        if rows.is_empty() {
            return Ok(false);
        }
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= TIDY_ROWS_MAX);
        let delete_row = |row: Row| {
            let params = row.0.into_iter().chain(more.iter().cloned()).collect();
            step(delete, tables, params, Expect::Any)
        };
        self.write(place, rows.into_iter().map(delete_row).collect()).await?;
        Ok(is_full)
    }

    async fn read(
        &self,
        place: &Place,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let statement = Statement { sql, tables, params };
        Ok(self.sql.read(Consistency::Primary, place, statement).await?.0)
    }

    /// Writes that need no idempotency key: each is conditional on what it replaces, or changes nothing the second time.
    async fn write(&self, place: &Place, steps: Vec<Step>) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        self.sql.write(place, Unit { steps, idempotency: None }).await.map(drop)
    }
}

fn insert_session(new: &NewSession<'_>) -> Step {
    step(
        "INSERT INTO {sessions} (env, session_id, uid, openid, current_hash, previous_hash, salt, rotated_ms,
             idle_until_ms, ends_ms, revoked_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        SESSIONS,
        vec![
            text(new.env.as_str()),
            text(&new.session_id),
            text(new.uid),
            new.openid.map_or(Value::Null, text),
            blob(&new.refresh_hash),
            Value::Blob(Vec::new()),
            Value::Blob(Vec::new()),
            Value::Integer(new.now_ms),
            Value::Integer(new.idle_until_ms),
            Value::Integer(new.ends_ms),
        ],
        Expect::Rows(1),
    )
}

fn session(row: Row) -> Result<Session> {
    let mut columns = Columns::from(row);
    Ok(Session {
        uid: columns.text()?,
        openid: columns.optional_text()?,
        current: columns.bytes()?,
        previous: columns.bytes()?,
        salt: columns.bytes()?,
        rotated_ms: columns.integer()?,
        idle_until_ms: columns.integer()?,
        ends_ms: columns.integer()?,
        revoked_ms: columns.integer()?,
    })
}

fn user(row: Row) -> Result<UserRow> {
    let mut columns = Columns::from(row);
    Ok(UserRow {
        uid: columns.text()?,
        openid: columns.text()?,
        roles: serde_json::from_str(&columns.text()?)
            .map_err(|error| Error::internal("a person's roles are not a list").because(error))?,
        created_ms: columns.integer()?,
        seen_ms: columns.integer()?,
    })
}

fn step(sql: &'static str, tables: &'static [Logical], params: Vec<Value>, expect: Expect) -> Step {
    Step { statement: Statement { sql, tables, params }, expect }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

fn system() -> Place {
    Place { database: Database::System, key: Key::Slot(0) }
}

fn place(env: &EnvId, slot: u16) -> Place {
    Place { database: Database::Env(env.clone()), key: Key::Slot(slot) }
}

fn everywhere(env: &EnvId, merge: Merge) -> Place {
    Place { database: Database::Env(env.clone()), key: Key::All(merge) }
}

/// Binds a sealed seed to its row: moved into another row it does not open.
fn signing_key_context(kid: &str) -> String {
    format!("signing_keys/seed/{kid}")
}
