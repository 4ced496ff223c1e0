//! Every statement of the service, and the tables they stand on.
//!
//! Each slot group has a counter (`logic/position.rs`). A write batch that writes documents raises those of its groups first,
//! and what it writes gets the new number as `version`: the optimistic lock of a document, and its place in the change log.
//! Because the raised row stays locked until the commit, that order is the order in which write batches became visible.
//! Embedded, write batches are serial anyway; on MySQL only those of one group queue.
//!
//! A collection's row carries the *schema epoch* by which writers keep indexes up. Who makes or drops an index bumps it, and a
//! write batch of a writer that knows an older one is refused, so no document is written past an index. Writers look at the row
//! as they take their numbers, which locks it against whoever bumps it, and not against other writers.

mod batch;
mod changes;
mod claims;
mod collections;
mod imports;
mod migrations;
mod table;

use std::sync::Arc;

use yunzhan_base::{EnvId, Result};
use yunzhan_engine::sql::{
    Consistency, Database, Expect, Key, Logical, Merge, Row, ShardLocation, SharedSql, Statement,
    Value, WriteBatch, WriteStep, Written,
};

use super::changes::Signals;
use super::memory::Memory;

pub(super) use self::batch::Batch;
pub(super) use self::claims::release_claims;
pub(super) use self::collections::COLLECTIONS_MAX;
pub use self::collections::Collection;
pub use self::migrations::MIGRATIONS;
pub(super) use self::table::{BareEntry, DOCUMENTS_OF_KEYS_MAX, PageRow, Side, Stored, Table};

/// The tables of this service. Clones are the same.
#[derive(Clone)]
pub(super) struct Store {
    sql: SharedSql,
    /// What calls hold of what they read and write.
    pub(super) memory: Arc<Memory>,
    /// Who waits for what is written.
    pub(super) signals: Arc<Signals>,
}

impl Store {
    pub(super) fn new(sql: SharedSql) -> Self {
        Self { sql, memory: Arc::default(), signals: Arc::default() }
    }

    async fn select(
        &self,
        env: &EnvId,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        self.read(env, everywhere(&[], None), sql, tables, params).await
    }

    async fn read(
        &self,
        env: &EnvId,
        key: Key,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let place = ShardLocation { database: Database::Env(env.clone()), key };
        let statement = Statement { sql, tables, params };
        Ok(self.sql.read(Consistency::Primary, &place, statement).await?.0)
    }

    /// Commits steps as one write batch.
    pub(super) async fn write(
        &self,
        env: &EnvId,
        key: Key,
        steps: Vec<WriteStep>,
        idempotency: Option<String>,
    ) -> Result<Written> {
        let place = ShardLocation { database: Database::Env(env.clone()), key };
        self.sql.write(&place, WriteBatch { steps, idempotency }).await
    }
}

/// All slots, their rows merged by these columns (descending when said) and cut at the limit.
pub(super) fn everywhere(by: &[(usize, bool)], limit: Option<usize>) -> Key {
    Key::All(Merge { by: by.to_vec(), limit: limit.map(|limit| limit as u64) })
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

fn count(count: usize) -> Value {
    Value::Integer(i64::try_from(count).expect("a bound of ours"))
}
