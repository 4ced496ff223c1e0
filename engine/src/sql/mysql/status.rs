//! How a server stands among its replicas: a connection that asks for nothing else, so that a busy pool does not hold it up.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use yunzhan_base::{Error, Kind, Result};

use super::connect::{Address, Product};
use super::{codes, values};
use crate::sql::dialect::Dialect;
use crate::sql::split::{Position, store};
use crate::sql::{Scope, Value};

/// A connection that asks how a server stands.
pub(in crate::sql) struct Link {
    connection: Conn,
    product: Product,
    /// The question in the server's words, and without the tables of replication.
    questions: [String; 2],
    /// How long an answer may take: whoever is asked reads variables and a row.
    patience: Duration,
}

/// How a server stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sql) struct Status {
    /// Whether it takes no writes.
    pub(in crate::sql) is_read_only: bool,
    /// Which server it is, whatever name leads to it.
    pub(in crate::sql) identity: String,
    /// Everything that it has committed or is about to. None where it keeps no GTIDs.
    pub(in crate::sql) executed: Option<Position>,
    /// What a read on it sees, as long as it follows another one. A binary log of its own is ahead of that.
    pub(in crate::sql) applied: Option<Position>,
    /// What it has committed, with what was written on each server apart.
    pub(in crate::sql) by_server: Option<Position>,
    /// The time of its clock.
    pub(in crate::sql) now_ms: i64,
    /// The row that the primary's heartbeat writes. None before there is one.
    pub(in crate::sql) beat: Option<Beat>,
    /// How many other servers of ours are alive. None without the tables.
    pub(in crate::sql) others: Option<i64>,
}

/// The row of the heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) struct Beat {
    /// When it was written, by the clock of the primary that did.
    pub(in crate::sql) at_ms: i64,
    /// Counts primaries.
    pub(in crate::sql) term: i64,
    /// The identity of the primary of this term.
    pub(in crate::sql) primary: String,
}

// === impl Link ===

impl Link {
    /// Connects. Fails as unavailable when there is no answer in time.
    pub(in crate::sql) async fn open(
        address: &Address,
        connect: Duration,
        patience: Duration,
    ) -> Result<Self> {
        let (connection, product) = address.connect(connect).await?;
        let facts = facts(product);
        let expand =
            |sql: &str| product.dialect.expand(Scope::System, sql, None).map(|text| text.sql);
        let with_tables = expand(&format!("SELECT {facts}, {}", store::SEEN_COLUMNS_AND_TABLES))?;
        let without = expand(&format!("SELECT {facts}, NULL, NULL, NULL, NULL"))?;
        Ok(Self { connection, product, questions: [with_tables, without], patience })
    }

    /// What answers there.
    pub(in crate::sql) fn product(&self) -> Product {
        self.product
    }

    /// Asks how the server stands; `own` is the row of this process, which is not among the others. After a failure the
    /// link is of no use any more.
    pub(in crate::sql) async fn status(&mut self, own: &str) -> Result<Status> {
        let row =
            tokio::time::timeout(self.patience, self.ask(own)).await.map_err(|_| late())??;
        status_of(&row)
    }

    async fn ask(&mut self, own: &str) -> Result<Row> {
        let first = self.connection.exec_first(self.questions[0].as_str(), (own,)).await;
        let found: Option<Row> = match first {
            // A replica that has not come to the tables' beginning yet, or a primary before its first use.
            Err(error) if codes::is_missing_table(&error) => {
                self.connection.query_first(self.questions[1].as_str()).await
            }
            other => other,
        }
        .map_err(codes::error)?;
        found.ok_or_else(|| Error::internal("a server did not tell how it stands"))
    }

    /// Whether the server follows another one: then it is nobody's primary, though it may take writes. Fails as unavailable
    /// where the right to know is missing.
    pub(in crate::sql) async fn is_following(&mut self) -> Result<bool> {
        tokio::time::timeout(self.patience, self.ask_following()).await.map_err(|_| late())?
    }

    async fn ask_following(&mut self) -> Result<bool> {
        let question = match self.product {
            Product { is_tidb: true, .. } => return Ok(false),
            // Everybody may ask for this, and counts threads that apply what others wrote.
            Product { dialect: Dialect::MariaDb, .. } => "SHOW GLOBAL STATUS LIKE 'Slaves_running'",
            _ => "SHOW REPLICA STATUS",
        };
        let rows: Vec<Row> = self.connection.query(question).await.map_err(|error| {
            if codes::is_denied(&error) {
                let text = "the database user may not ask whether a server follows another one; grant REPLICATION CLIENT";
                return Error::new(Kind::Unavailable, text).because(error);
            }
            codes::error(error)
        })?;
        Ok(match self.product.dialect {
            Dialect::MariaDb => {
                let running = rows.first().and_then(|row| row.get::<String, _>(1));
                running.is_some_and(|running| running != "0")
            }
            _ => rows.iter().any(|row| {
                row.get::<String, _>("Replica_SQL_Running").is_some_and(|running| running == "Yes")
            }),
        })
    }

    /// Runs one statement of the tables of replication, and gives how many rows it matched.
    pub(in crate::sql) async fn run(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let text = self.product.dialect.expand(Scope::System, sql, None)?.sql;
        let run = self.connection.exec_drop(text, values::params(params, &[])?);
        tokio::time::timeout(self.patience, run)
            .await
            .map_err(|_| late())?
            .map_err(codes::error)?;
        Ok(self.connection.affected_rows())
    }
}

fn late() -> Error {
    Error::new(Kind::Timeout, "a database server did not say in time how it stands")
}

/// What each server calls these: whether it only reads, who it is, all that it committed, the last of each origin, what it
/// applied as a replica, and the time.
fn facts(product: Product) -> &'static str {
    match product {
        Product { is_tidb: true, .. } => {
            "CONCAT('', @@global.read_only), CONCAT(@@hostname, ':', @@port), '', '', '', {now_ms}"
        }
        Product { dialect: Dialect::MariaDb, .. } => {
            "CONCAT('', @@global.read_only), CONCAT(@@global.server_id, '@', @@hostname, ':', @@port),
             @@global.gtid_binlog_pos, @@global.gtid_binlog_state, @@global.gtid_slave_pos, {now_ms}"
        }
        _ => {
            "CONCAT('', @@global.read_only), @@global.server_uuid, @@global.gtid_executed,
             @@global.gtid_executed, @@global.gtid_executed, {now_ms}"
        }
    }
}

fn status_of(row: &Row) -> Result<Status> {
    let text = |index: usize| row.get::<Option<String>, _>(index).flatten().unwrap_or_default();
    let number = |index: usize| row.get::<Option<i64>, _>(index).flatten();
    let now_ms = number(5).ok_or_else(|| Error::internal("a server did not tell the time"))?;
    let [executed, state, applied] = [text(2), text(3), text(4)];
    let both = |one: Option<Position>, other: Option<Position>| match (one, other) {
        (Some(mut one), Some(other)) => {
            one.join(&other);
            Some(one)
        }
        (one, other) => one.or(other),
    };
    let beat = match (number(6), number(7)) {
        (Some(at_ms), Some(term)) => Some(Beat { at_ms, term, primary: text(8) }),
        _ => None,
    };
    Ok(Status {
        is_read_only: !matches!(text(0).as_str(), "0" | "OFF"),
        identity: text(1),
        executed: both(Position::parse(&executed), Position::parse(&applied)),
        applied: Position::parse(&applied),
        by_server: both(Position::parse_by_server(&state), Position::parse_by_server(&applied)),
        now_ms,
        beat,
        others: number(9),
    })
}
