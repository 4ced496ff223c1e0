//! All SQL of nodes and leases. Every time in it is the database's: the clocks of nodes differ.

use std::time::Duration;

use yunzhan_base::lease::Fence;
use yunzhan_base::{Error, Result};

use super::{Held, Node};
use crate::sql::migrate::{Migration, Scope};
use crate::sql::{
    Consistency, Database, Expect, Key, Logical, Row, Rows, ShardLocation, SharedSql, Statement,
    Value, WriteBatch, WriteStep, Written,
};

/// The tables of nodes and leases.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "nodes and leases",
    database: Scope::System,
    statements: &[
        // A row is the session of one process; `id` is drawn at its start.
        "CREATE TABLE IF NOT EXISTS {nodes} (
             id {name:32} NOT NULL PRIMARY KEY,
             name {name:255} NOT NULL,
             address {name:255} NOT NULL,
             version {name:64} NOT NULL,
             started_ms BIGINT NOT NULL,
             heartbeat_ms BIGINT NOT NULL,
             expires_ms BIGINT NOT NULL
         )",
        // A lease whose holder has no living session is free. Rows stay, so that tokens only grow.
        "CREATE TABLE IF NOT EXISTS {leases} (
             name {name:200} NOT NULL PRIMARY KEY,
             holder {name:32} NOT NULL,
             token BIGINT NOT NULL,
             acquired_ms BIGINT NOT NULL
         )",
    ],
}];

/// The longest name of a lease, in characters: a column of both dialects.
pub const NAME_CHARS_MAX: usize = 200;

/// Sessions that one unit forgets at the most; the next one goes on.
pub(super) const FORGOTTEN_MAX: usize = 100;

const NODES: &[Logical] = &[Logical("nodes")];
const LEASES: &[Logical] = &[Logical("leases")];
const BOTH: &[Logical] = &[Logical("leases"), Logical("nodes")];

/// A lease as it was read.
pub(super) struct Found {
    pub(super) holder: String,
    pub(super) token: i64,
    /// The holder's node, when its session lives.
    pub(super) living: Option<String>,
}

/// What a session's row holds beside the database's own times.
pub(super) struct NewSession<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) address: &'a str,
    pub(super) version: &'a str,
    /// None lives until it is ended.
    pub(super) life: Option<Duration>,
}

/// Nodes and leases in the system database.
pub(super) struct Store {
    sql: SharedSql,
    place: ShardLocation,
}

// === impl Store: sessions ===

impl Store {
    pub(super) fn new(sql: SharedSql) -> Self {
        let place = ShardLocation { database: Database::System, key: Key::Slot(0) };
        Self { sql, place }
    }

    /// Writes the row of a new session. Goes with it: the row of the session `before` of the same process, and rows of
    /// dead sessions of the same name, so that a server that starts again and again leaves one row. Where the database is
    /// this process's own, every other row is a dead one's.
    pub(super) async fn begin(&self, new: &NewSession<'_>, before: Option<&str>) -> Result<()> {
        const INSERT: &str = "INSERT INTO {nodes}
            (id, name, address, version, started_ms, heartbeat_ms, expires_ms)
            VALUES (?, ?, ?, ?, {now_ms}, {now_ms}, {now_ms} + ?)";
        let mut steps = match new.life {
            Some(_) => {
                let nodes = self.nodes().await?;
                let dead = nodes.iter().filter(|node| !node.is_alive && node.name == new.name);
                dead.take(FORGOTTEN_MAX).map(Self::forget).collect()
            }
            None => vec![step("DELETE FROM {nodes}", NODES, vec![])],
        };
        steps.extend(before.map(Self::delete));
        let life_ms = new.life.map_or(FOREVER_MS, whole_ms);
        let mut params: Vec<Value> =
            [new.id, new.name, new.address, new.version].into_iter().map(text).collect();
        params.push(Value::Integer(life_ms));
        steps.push(WriteStep { expect: Expect::Rows(1), ..step(INSERT, NODES, params) });
        self.write(steps).await.map(drop)
    }

    /// Lengthens the life of a session. False when it is over: a dead session is never revived, for somebody may have
    /// counted on its death.
    pub(super) async fn renew(&self, id: &str, life: Duration) -> Result<bool> {
        const RENEW: &str = "UPDATE {nodes} SET heartbeat_ms = {now_ms}, expires_ms = {now_ms} + ?
             WHERE id = ? AND expires_ms > {now_ms}";
        let renew = step(RENEW, NODES, vec![Value::Integer(whole_ms(life)), text(id)]);
        Ok(self.write(vec![renew]).await?.changed == [1])
    }

    /// Ends a session, and with it every lease that it holds.
    pub(super) async fn end(&self, id: &str) -> Result<()> {
        self.write(vec![Self::delete(id)]).await.map(drop)
    }

    /// Every session that is known, by name.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>> {
        const ALL: &str = "SELECT id, name, address, version, started_ms, heartbeat_ms,
            expires_ms > {now_ms}, {now_ms} FROM {nodes} ORDER BY name, started_ms, id";
        self.read(ALL, NODES, vec![]).await?.0.into_iter().map(node).collect()
    }

    fn delete(id: &str) -> WriteStep {
        step("DELETE FROM {nodes} WHERE id = ?", NODES, vec![text(id)])
    }

    /// The step that forgets a session if it is dead. Each by its key: a statement that looks for the dead would lock the rows
    /// of the living too, and hold up their heartbeats.
    pub(super) fn forget(node: &Node) -> WriteStep {
        const FORGET: &str = "DELETE FROM {nodes} WHERE id = ? AND expires_ms <= {now_ms}";
        step(FORGET, NODES, vec![text(&node.session)])
    }
}

// === impl Store: leases ===

impl Store {
    /// A lease, and whether its holder lives.
    pub(super) async fn find(&self, lease: &str) -> Result<Option<Found>> {
        const FIND: &str = "SELECT l.holder, l.token, n.name FROM {leases} l
            LEFT JOIN {nodes} n ON n.id = l.holder AND n.expires_ms > {now_ms} WHERE l.name = ?";
        let rows = self.read(FIND, BOTH, vec![text(lease)]).await?;
        rows.0.into_iter().next().map(found).transpose()
    }

    /// Makes the row of a lease that nobody has held yet.
    pub(super) async fn create(&self, lease: &str) -> Result<()> {
        const CREATE: &str = "{insert_or_ignore} INTO {leases} (name, holder, token, acquired_ms)
            VALUES (?, '', 0, {now_ms})";
        self.write(vec![step(CREATE, LEASES, vec![text(lease)])]).await.map(drop)
    }

    /// Takes a lease that was found with this token, unless somebody else was faster, its holder lives after all, or this
    /// session does not. Fails as a conflict then.
    pub(super) async fn take(&self, lease: &str, token: i64, session: &str) -> Result<()> {
        const TAKE: &str = "UPDATE {leases} SET holder = ?, token = token + 1, acquired_ms = {now_ms}
            WHERE name = ? AND token = ?
            AND NOT EXISTS (SELECT 1 FROM {nodes} n WHERE n.id = {leases}.holder AND n.expires_ms > {now_ms})
            AND EXISTS (SELECT 1 FROM {nodes} n WHERE n.id = ? AND n.expires_ms > {now_ms})";
        let params = vec![text(session), text(lease), Value::Integer(token), text(session)];
        let take = WriteStep { expect: Expect::Rows(1), ..step(TAKE, BOTH, params) };
        self.write(vec![take]).await.map(drop)
    }

    /// Gives a lease up.
    pub(super) async fn release(&self, fence: &Fence) -> Result<()> {
        const RELEASE: &str =
            "UPDATE {leases} SET holder = '' WHERE name = ? AND holder = ? AND token = ?";
        self.write(vec![step(RELEASE, LEASES, fence_params(fence))]).await.map(drop)
    }

    /// Every lease that a living session holds, by name.
    pub(super) async fn held(&self) -> Result<Vec<Held>> {
        const HELD: &str = "SELECT l.name, l.token, l.acquired_ms, n.id FROM {leases} l
            JOIN {nodes} n ON n.id = l.holder WHERE n.expires_ms > {now_ms} ORDER BY l.name";
        self.read(HELD, BOTH, vec![]).await?.0.into_iter().map(held).collect()
    }

    /// The step that a unit fails at unless this fence is still good. It locks the lease's row until the unit ends, so that
    /// a unit which passes it is committed before anybody else has the lease.
    pub(super) fn guard(fence: &Fence) -> WriteStep {
        const GUARD: &str = "UPDATE {system:leases} SET token = token
            WHERE name = ? AND holder = ? AND token = ?
            AND EXISTS (SELECT 1 FROM {system:nodes} n WHERE n.id = ? AND n.expires_ms > {now_ms})";
        let mut params = fence_params(fence);
        params.push(text(&fence.session));
        WriteStep { expect: Expect::Rows(1), ..step(GUARD, BOTH, params) }
    }

    pub(super) async fn write(&self, steps: Vec<WriteStep>) -> Result<Written> {
        self.sql.write(&self.place, WriteBatch { steps, idempotency: None }).await
    }

    async fn read(
        &self,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<Rows> {
        let statement = Statement { sql, tables, params };
        self.sql.read(Consistency::Primary, &self.place, statement).await
    }
}

/// Three hundred thousand years: the life of a session in a database that no other process can open.
const FOREVER_MS: i64 = 1 << 53;

fn fence_params(fence: &Fence) -> Vec<Value> {
    vec![text(&fence.lease), text(&fence.session), Value::Integer(fence.token)]
}

fn step(sql: &'static str, tables: &'static [Logical], params: Vec<Value>) -> WriteStep {
    WriteStep::once(Statement { sql, tables, params }, Expect::Any)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(FOREVER_MS)
}

// === Rows ===

fn found(row: Row) -> Result<Found> {
    let mut row = row.0.into_iter();
    let (holder, token) = (read_text(&mut row)?, read_integer(&mut row)?);
    let living = match row.next() {
        Some(Value::Null) => None,
        name => Some(read_text(&mut name.into_iter())?),
    };
    Ok(Found { holder, token, living })
}

fn node(row: Row) -> Result<Node> {
    let mut row = row.0.into_iter();
    Ok(Node {
        session: read_text(&mut row)?,
        name: read_text(&mut row)?,
        address: read_text(&mut row)?,
        version: read_text(&mut row)?,
        started_ms: read_integer(&mut row)?,
        heartbeat_ms: read_integer(&mut row)?,
        is_alive: read_integer(&mut row)? != 0,
        now_ms: read_integer(&mut row)?,
    })
}

fn held(row: Row) -> Result<Held> {
    let mut row = row.0.into_iter();
    Ok(Held {
        lease: read_text(&mut row)?,
        token: read_integer(&mut row)?,
        acquired_ms: read_integer(&mut row)?,
        session: read_text(&mut row)?,
    })
}

fn read_integer(row: &mut impl Iterator<Item = Value>) -> Result<i64> {
    match row.next() {
        Some(Value::Integer(number)) => Ok(number),
        _ => Err(Error::internal("a column of nodes or leases holds no number")),
    }
}

fn read_text(row: &mut impl Iterator<Item = Value>) -> Result<String> {
    match row.next() {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(Error::internal("a column of nodes or leases holds no text")),
    }
}
