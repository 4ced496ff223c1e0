//! MySQL 8 and MariaDB, and TiDB as their replica: every environment in one schema, told apart by the column `env`.
//!
//! Group commit is the server's. Only MariaDB is proved by the conformance suite where this was built; MySQL's GTIDs,
//! TiDB's conflict codes and its reads from followers follow their manuals.
//!
//! One [`Mysql`] is one server. Several that hold the same data are [`super::Split`], which asks each how it stands
//! ([`status`]).

mod codes;
mod connect;
pub(super) mod status;
#[cfg(test)]
mod tests;
mod unit;
mod values;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Pool};
use yunzhan_base::{Clock, Error, Kind, Result};

pub(super) use self::connect::{Address, Product};
use self::unit::Tried;
use super::dialect::{Dialect, Text, Texts};
use super::limits::{IDEMPOTENCY_AGE_MS, SWEEP_EVERY_MS, SWEEP_ROWS_MAX, swept_ms};
use super::limits::{check_statement, check_unit, rows_max};
use super::migrate::Migrations;
use super::{
    Consistency, Database, Logical, Rows, Scope, ShardLocation, Sql, SqlFuture, Statement, Value,
    WriteBatch, Written,
};
use crate::config;

/// How often a unit that lost a deadlock or its connection is tried before its caller has to try.
const TRIES: u32 = 4;
/// The pause before a second try; it doubles.
const PAUSE: Duration = Duration::from_millis(2);

/// A database server.
pub struct Mysql {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    product: Product,
    /// Replaced when its connections lead to a server that only reads.
    pool: Mutex<Pool>,
    /// Connections whose reads TiDB answers from followers.
    followers: Option<Pool>,
    texts: Texts,
    config: config::Sql,
    clock: Clock,
    swept_ms: AtomicI64,
}

/// What stopped a read: the driver, or an answer that is not ours to give.
enum Failure {
    Driver(mysql_async::Error),
    Refused(Error),
}

// === impl Failure ===

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Driver(source) => codes::error(source),
            Failure::Refused(error) => error,
        }
    }
}

/// Says whether [`Mysql::connect`] would refuse the server that the configuration names, and changes nothing there.
pub(super) async fn inspect(config: &config::Sql, migrations: &Migrations) -> Result<()> {
    inspect_at(&Address::first(config)?, config, migrations).await
}

/// [`inspect`] of another address than the first.
pub(super) async fn inspect_at(
    address: &Address,
    config: &config::Sql,
    migrations: &Migrations,
) -> Result<()> {
    connect::inspect(address, config, migrations).await
}

// === impl Mysql ===

impl Mysql {
    /// Connects, migrates all tables and keeps a pool. Fails as unavailable when there is no answer in time.
    pub async fn connect(
        config: config::Sql,
        migrations: Migrations,
        clock: Clock,
    ) -> Result<Self> {
        let address = Address::first(&config)?;
        Self::connect_at(address, config, &migrations, clock).await
    }

    /// [`Self::connect`] to another address than the first.
    pub(super) async fn connect_at(
        address: Address,
        config: config::Sql,
        migrations: &Migrations,
        clock: Clock,
    ) -> Result<Self> {
        let connected = connect::connect(address, &config, migrations, &clock).await?;
        Ok(Self::new(connected.address, connected.product, config, clock))
    }

    /// A server that holds tables already, which nobody asks yet: nothing is migrated, and connections are opened when they
    /// are needed.
    pub(super) fn new(
        address: Address,
        product: Product,
        config: config::Sql,
        clock: Clock,
    ) -> Self {
        let texts = Texts::new(product.dialect);
        let pool = Mutex::new(address.pool(&config, product, false));
        let followers = product.is_tidb.then(|| address.pool(&config, product, true));
        let swept_ms = AtomicI64::new(0);
        let shared = Shared { address, product, pool, followers, texts, config, clock, swept_ms };
        Self { shared: Arc::new(shared) }
    }

    /// What answers there.
    pub(super) fn product(&self) -> Product {
        self.shared.product
    }

    /// Gives up the connections that are open: a name may lead to another server by now, and whoever only reads goes on
    /// doing so on every connection to it. What runs on them ends by itself.
    pub(super) fn renew_connections(&self) {
        let shared = &self.shared;
        let new = shared.address.pool(&shared.config, shared.product, false);
        let old = std::mem::replace(
            &mut *shared.pool.lock().unwrap_or_else(PoisonError::into_inner),
            new,
        );
        tokio::spawn(old.disconnect());
    }
}

impl Sql for Mysql {
    // There is one server behind the address: it has seen whatever was acknowledged.
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        Box::pin(async move {
            check_statement(&statement)?;
            let text = self.shared.texts.of(place.database.scope(), &statement)?;
            let pool = self.shared.pool_for(&consistency);
            let read = self.shared.read(&pool, &text, &statement.params, rows_max(place));
            within(self.shared.config.read_timeout, read).await
        })
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            check_unit(&unit)?;
            let (shared, database) = (Arc::clone(&self.shared), place.database.clone());
            // In a task of its own: a caller that goes away does not undo it.
            let task = tokio::spawn(async move {
                within(shared.config.write_timeout, shared.write(&database, &unit)).await
            });
            task.await.map_err(|error| Error::internal("a unit panicked").because(error))?
        })
    }
}

// === impl Shared ===

impl Shared {
    fn pool(&self) -> Pool {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A follower of TiDB asks its leader how far it is before it answers: its reads are as fresh, and whoever wants the
    /// primary gets the leader.
    fn pool_for(&self, consistency: &Consistency) -> Pool {
        match (&self.followers, consistency) {
            (None, _) | (_, Consistency::Primary) => self.pool(),
            (Some(followers), _) => followers.clone(),
        }
    }

    /// What a connection is asked for the position of its last commit, where there are replicas to compare it with. MySQL
    /// has no word for the last commit alone, so all that were executed stand for it.
    fn token_question(&self) -> Option<&'static str> {
        match (self.config.mysql_replicas.is_empty(), self.product) {
            (true, _) | (_, Product { is_tidb: true, .. }) => None,
            (_, Product { dialect: Dialect::MariaDb, .. }) => Some("SELECT @@session.last_gtid"),
            _ => Some("SELECT @@global.gtid_executed"),
        }
    }

    async fn read(
        &self,
        pool: &Pool,
        text: &Text,
        params: &[Value],
        rows_max: usize,
    ) -> Result<Rows> {
        match self.try_read(pool, text, params, rows_max).await {
            // The server closed an idle connection; asking again on a new one changes nothing.
            Err(Failure::Driver(error)) if codes::is_broken(&error) => {
                Ok(self.try_read(pool, text, params, rows_max).await?)
            }
            other => Ok(other?),
        }
    }

    async fn try_read(
        &self,
        pool: &Pool,
        text: &Text,
        params: &[Value],
        rows_max: usize,
    ) -> Result<Rows, Failure> {
        let mut connection = self.connection(pool).await?;
        let mut bytes = 0;
        let mut rows = Vec::new();
        let mut result =
            connection.exec_iter(text.sql.as_str(), values::params(params, &[])?).await?;
        while rows.len() < rows_max
            && let Some(row) = result.next().await?
        {
            rows.push(values::row(row, &mut bytes)?);
        }
        result.drop_result().await?;
        Ok(Rows(rows))
    }

    async fn write(&self, database: &Database, unit: &WriteBatch) -> Result<Written> {
        let (scope, env) = (database.scope(), database.env_column());
        let mut connection = self.connection(&self.pool()).await?;
        self.sweep(&mut connection).await;
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            match unit::run(self, &mut connection, scope, env, unit).await? {
                Tried::Written(written) => return Ok(written),
                Tried::Again(error) if tries >= TRIES => return Err(error),
                Tried::Again(_) => {}
            }
            tokio::time::sleep(pause).await;
            (pause, tries) = (pause * 2, tries + 1);
            if connection.is_disconnected() {
                connection = self.connection(&self.pool()).await?;
            }
        }
    }

    async fn connection(&self, pool: &Pool) -> Result<Conn> {
        let patience = self.config.mysql_connect_timeout;
        match tokio::time::timeout(patience, pool.get_conn()).await {
            Ok(connection) => connection.map_err(codes::error),
            Err(_) => Err(Error::new(
                Kind::Unavailable,
                "no connection to the database in time: all are busy, or the server is away",
            )),
        }
    }

    /// Forgets old answers now and then. A failure leaves them for the next time.
    async fn sweep(&self, connection: &mut Conn) {
        let now_ms = self.clock.now_ms();
        let last_ms = self.swept_ms.load(Ordering::Relaxed);
        let is_due = now_ms - last_ms >= SWEEP_EVERY_MS;
        let takes_it =
            |order| self.swept_ms.compare_exchange(last_ms, now_ms, order, order).is_ok();
        if is_due && takes_it(Ordering::Relaxed) {
            let mut rows = 0;
            for scope in [Scope::System, Scope::Env] {
                rows = self.sweep_now(connection, scope, now_ms).await.unwrap_or(0).max(rows);
            }
            self.swept_ms.store(swept_ms(now_ms, rows), Ordering::Relaxed);
        }
    }

    /// Deletes forgotten answers, and gives how many.
    async fn sweep_now(&self, connection: &mut Conn, scope: Scope, now_ms: i64) -> Result<u64> {
        const SWEEP: Statement = Statement {
            sql: "DELETE FROM {idempotency} WHERE committed_ms < ? LIMIT ?",
            tables: &[Logical("idempotency")],
            params: vec![],
        };
        let text = self.texts.of(scope, &SWEEP)?;
        let params = (now_ms - IDEMPOTENCY_AGE_MS, SWEEP_ROWS_MAX);
        connection.exec_drop(text.sql.as_str(), params).await.map_err(codes::error)?;
        Ok(connection.affected_rows())
    }
}

async fn within<T>(bound: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::new(Kind::Timeout, "the database ran into its time bound");
    tokio::time::timeout(bound, work).await.map_err(late)?
}
