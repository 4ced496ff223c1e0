//! All SQL of identity.
//!
//! What belongs to people lies in their environment's database: users, sessions, provider tokens. Rows of one person share a
//! slot, which their ids carry, so that a login is one unit also where tables are sharded. What every request may need
//! lies in the system database, read once at start: signing keys, and the sessions that were ended a short while ago.

mod keys;
mod sessions;
mod tables;
mod tidying;
mod users;

use yunzhan_base::{EnvId, Result};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::{
    Consistency, Database, Expect, Key, Logical, Merge, Row, ShardLocation, SharedSql, Statement,
    Value, WriteBatch, WriteStep,
};

pub(crate) use sessions::{EndingsSince, NewSession, Rotation};
pub use tables::MIGRATIONS;
pub(crate) use users::UserRow;

const SIGNING_KEYS: &[Logical] = &[Logical("signing_keys")];
const SERVER_SECRETS: &[Logical] = &[Logical("server_secrets")];
const ENDED_SESSIONS: &[Logical] = &[Logical("ended_sessions")];
const USERS: &[Logical] = &[Logical("users")];
const SESSIONS: &[Logical] = &[Logical("sessions")];
const PROVIDER_TOKENS: &[Logical] = &[Logical("provider_tokens")];

/// Identity's tables.
pub(crate) struct Store {
    sql: SharedSql,
    master_key: MasterKey,
}

// === impl Store ===

impl Store {
    pub(crate) fn new(sql: SharedSql, master_key: MasterKey) -> Self {
        Self { sql, master_key }
    }

    async fn read(
        &self,
        place: &ShardLocation,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let statement = Statement { sql, tables, params };
        Ok(self.sql.read(Consistency::Primary, place, statement).await?.0)
    }

    /// Writes that need no idempotency key: each is conditional on what it replaces, or changes nothing the second time.
    async fn write(&self, place: &ShardLocation, steps: Vec<WriteStep>) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        self.sql.write(place, WriteBatch { steps, idempotency: None }).await.map(drop)
    }
}

fn step(
    sql: &'static str,
    tables: &'static [Logical],
    params: Vec<Value>,
    expect: Expect,
) -> WriteStep {
    WriteStep::once(Statement { sql, tables, params }, expect)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

fn system() -> ShardLocation {
    ShardLocation { database: Database::System, key: Key::Slot(0) }
}

fn place(env: &EnvId, slot: u16) -> ShardLocation {
    ShardLocation { database: Database::Env(env.clone()), key: Key::Slot(slot) }
}

fn everywhere(env: &EnvId, merge: Merge) -> ShardLocation {
    ShardLocation { database: Database::Env(env.clone()), key: Key::All(merge) }
}
