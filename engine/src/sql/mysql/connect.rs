//! The way to the server: what it is, how sessions are set up, and its tables brought up to date.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{
    Conn, Error as DriverError, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, SslOpts,
};
use yunzhan_base::{Clock, Error, Kind, Result};

use super::codes;
use crate::config::{self, MysqlTls};
use crate::sql::dialect::Dialect;
use crate::sql::migrate::{Migrations, Pending, Scope, Seen, statements};

/// Statements that a connection keeps prepared: more than all services have together.
const PREPARED_MAX: usize = 256;
/// Unused connections are closed after this long.
const IDLE: Duration = Duration::from_secs(60);
/// How long a starting replica waits for another one that migrates.
const MIGRATION_LOCK_S: u64 = 120;

/// Where a server is, and how connections to it begin.
#[derive(Clone, Debug)]
pub(in crate::sql) struct Address(Opts);

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) struct Product {
    /// How its statements are spelt.
    pub(in crate::sql) dialect: Dialect,
    /// TiDB speaks MySQL's dialect, and has no GTIDs and replicas of its own kind.
    pub(in crate::sql) is_tidb: bool,
}

/// A server whose tables are up to date.
pub(super) struct Connected {
    pub(super) product: Product,
    pub(super) address: Address,
}

/// Looks at the server and migrates.
pub(super) async fn connect(
    address: Address,
    config: &config::Sql,
    migrations: &Migrations,
    clock: &Clock,
) -> Result<Connected> {
    let (mut connection, product) = address.connect(config.mysql_connect_timeout).await?;
    check_product(product)?;
    migrate_all(&mut connection, product.dialect, migrations, clock).await?;
    connection.disconnect().await.map_err(codes::error)?;
    Ok(Connected { product, address })
}

/// Refuses a server on which an index could miss a document: TiDB lets others change a row that a unit only looked at
/// (decision 0024).
fn check_product(product: Product) -> Result<()> {
    if !product.is_tidb {
        return Ok(());
    }
    let message =
        "TiDB cannot be the primary yet, only a replica; name a MySQL or MariaDB in sql.mysql_url";
    Err(Error::new(Kind::Unavailable, message))
}

/// Says whether [`connect`] would refuse this server, and changes nothing there.
pub(super) async fn inspect(
    address: &Address,
    config: &config::Sql,
    migrations: &Migrations,
) -> Result<()> {
    let (mut connection, product) = address.connect(config.mysql_connect_timeout).await?;
    check_product(product)?;
    for scope in [Scope::System, Scope::Env] {
        let sql = product.dialect.expand(scope, statements::SEEN, None)?.sql;
        match connection.query(sql).await {
            Ok(seen) => drop(migrations.pending(scope, &seen_of(seen))?),
            // Nobody has migrated this schema yet.
            Err(error) if codes::is_missing_table(&error) => {}
            Err(error) => return Err(codes::error(error)),
        }
    }
    connection.disconnect().await.map_err(codes::error)
}

// === impl Address ===

impl Address {
    /// The server of `sql.mysql_url`.
    pub(in crate::sql) fn first(config: &config::Sql) -> Result<Self> {
        let url = config.mysql_url.as_ref().and_then(yunzhan_base::Secret::expose_str);
        // The parser's own message is left out: it may repeat the password.
        let wrong = || {
            Error::new(
                Kind::InvalidParameter,
                "the address of the database must be mysql://user:password@host:port/database",
            )
        };
        let opts = Opts::from_url(url.ok_or_else(wrong)?).map_err(|_| wrong())?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(wrong());
        }
        // Without this, loopback addresses are left for a socket that may be another server's.
        let builder = OptsBuilder::from_opts(opts).prefer_socket(false).client_found_rows(true);
        Ok(Self(with_tls(builder, config).into()))
    }

    /// That server, and those of `sql.mysql_replicas` with the same user, password and schema, in the order of the list.
    pub(in crate::sql) fn all(config: &config::Sql) -> Result<Vec<Self>> {
        let first = Self::first(config)?;
        let mut all = vec![first.clone()];
        for host in &config.mysql_replicas {
            let opts = OptsBuilder::from_opts(first.0.clone());
            let opts = opts.ip_or_hostname(host.name.clone()).tcp_port(host.port);
            all.push(Self(opts.into()));
        }
        Ok(all)
    }

    /// `host:port`, for people.
    pub(in crate::sql) fn name(&self) -> String {
        format!("{}:{}", self.0.ip_or_hostname(), self.0.tcp_port())
    }

    /// Opens a connection, and says what answers. Fails as unavailable when there is no answer within `patience`.
    pub(super) async fn connect(&self, patience: Duration) -> Result<(Conn, Product)> {
        let attempt = tokio::time::timeout(patience, Conn::new(self.0.clone())).await;
        let late = || {
            let text = format!("no answer from the database server {}", self.name());
            Error::new(Kind::Unavailable, text)
        };
        let mut connection = attempt.map_err(|_| late())?.map_err(|error| match error {
            DriverError::Server(_) => {
                let refused = codes::error(error);
                let text = format!("{}: {}", self.name(), refused.message());
                Error::new(refused.kind(), text).because(refused)
            }
            error if codes::is_tls(&error) => {
                let text = format!(
                    "no TLS with the database server {}; see to its certificate and to sql.mysql_tls",
                    self.name()
                );
                Error::new(Kind::Unavailable, text).because(error)
            }
            error => late().because(error),
        })?;
        let version: Option<String> =
            connection.query_first("SELECT VERSION()").await.map_err(codes::error)?;
        Ok((connection, product_of(&version.unwrap_or_default())))
    }

    /// A pool of connections to it, which are opened when they are needed.
    pub(super) fn pool(&self, config: &config::Sql, product: Product, follows: bool) -> Pool {
        Pool::new(pool_opts(self.0.clone(), config, product, follows))
    }
}

fn with_tls(builder: OptsBuilder, config: &config::Sql) -> OptsBuilder {
    let options = match config.mysql_tls {
        // What the address says, which is nothing as a rule.
        None => return builder,
        Some(MysqlTls::Off) => return builder.ssl_opts(None::<SslOpts>),
        Some(MysqlTls::Required) => SslOpts::default()
            .with_danger_accept_invalid_certs(true)
            .with_danger_skip_domain_validation(true),
        Some(MysqlTls::Verify) => SslOpts::default(),
    };
    let options = match &config.mysql_ca {
        None => options,
        Some(file) => {
            options.with_root_certs(vec![file.clone().into()]).with_disable_built_in_roots(true)
        }
    };
    builder.ssl_opts(options)
}

fn product_of(version: &str) -> Product {
    let dialect = if version.contains("MariaDB") { Dialect::MariaDb } else { Dialect::MySql };
    Product { dialect, is_tidb: version.contains("TiDB") }
}

fn pool_opts(opts: Opts, config: &config::Sql, product: Product, follows: bool) -> OptsBuilder {
    let most = config.mysql_connections_max.max(1);
    let constraints = PoolConstraints::new(0, most).expect("0 is not more than 1");
    let pool = PoolOpts::default()
        .with_constraints(constraints)
        .with_inactive_connection_ttl(IDLE)
        // A reset would cost a round trip and every prepared statement; we leave nothing behind in a session.
        .with_reset_connection(false);
    OptsBuilder::from_opts(opts)
        .pool_opts(pool)
        .stmt_cache_size(PREPARED_MAX)
        .setup(session(config, product, follows))
}

/// What every session is told: strict, quoting and joining text as the standard and SQLite do, repeatable reads (units
/// that check with a sub-select then lock what they looked at), and the time bounds.
fn session(config: &config::Sql, product: Product, follows: bool) -> Vec<String> {
    let lock_s = config.write_timeout.as_secs().max(1);
    let mut session = vec![
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES,\
         ANSI_QUOTES,PIPES_AS_CONCAT,ERROR_FOR_DIVISION_BY_ZERO'"
            .to_owned(),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
        format!("SET SESSION innodb_lock_wait_timeout = {lock_s}"),
    ];
    let longest = config.read_timeout.max(config.write_timeout);
    match product.dialect {
        Dialect::MariaDb => {
            let longest_s = longest.as_secs_f64();
            session.push(format!("SET SESSION max_statement_time = {longest_s:.3}"));
            // A process that is stopped between two statements of a unit would hold its locks for as long as it is.
            session.push(format!("SET SESSION idle_transaction_timeout = {lock_s}"));
        }
        Dialect::MySql | Dialect::Sqlite => {
            let read_ms = config.read_timeout.as_millis();
            session.push(format!("SET SESSION max_execution_time = {read_ms}"));
        }
    }
    if follows {
        // A follower asks the leader how far it is before it answers, so that the read is as fresh as the leader's.
        session.push("SET SESSION tidb_replica_read = 'closest-replicas'".to_owned());
    }
    session
}

/// Every scope lives in one schema here, so all are migrated at the start. One replica does it, the others wait.
async fn migrate_all(
    connection: &mut Conn,
    dialect: Dialect,
    migrations: &Migrations,
    clock: &Clock,
) -> Result<()> {
    const LOCK: &str = "SELECT COALESCE(GET_LOCK(CONCAT('yz_migrate_', MD5(DATABASE())), ?), 0)";
    const UNLOCK: &str = "DO RELEASE_LOCK(CONCAT('yz_migrate_', MD5(DATABASE())))";
    let locked: Option<i64> =
        connection.exec_first(LOCK, (MIGRATION_LOCK_S,)).await.map_err(codes::error)?;
    if locked != Some(1) {
        return Err(Error::new(
            Kind::Unavailable,
            "another server migrates the database; try again",
        ));
    }
    for scope in [Scope::System, Scope::Env] {
        migrate(connection, dialect, scope, migrations, clock).await?;
    }
    connection.query_drop(UNLOCK).await.map_err(codes::error)
}

async fn migrate(
    connection: &mut Conn,
    dialect: Dialect,
    scope: Scope,
    migrations: &Migrations,
    clock: &Clock,
) -> Result<()> {
    let expand = |sql: &str| dialect.expand(scope, sql, None).map(|text| text.sql);
    connection.query_drop(expand(statements::CREATE)?).await.map_err(codes::error)?;
    let seen = connection.query(expand(statements::SEEN)?).await.map_err(codes::error)?;
    for Pending { service, migration } in migrations.pending(scope, &seen_of(seen))? {
        for statement in migration.statements {
            match connection.query_drop(expand(statement)?).await {
                Err(error) if codes::is_done_already(&error, statement) => {}
                other => other
                    .map_err(|error| codes::error(error).with_detail(migration.label(service)))?,
            }
        }
        let row = (service, migration.version, migration.name, clock.now_ms());
        connection.exec_drop(expand(statements::RECORD)?, row).await.map_err(codes::error)?;
    }
    Ok(())
}

fn seen_of(rows: Vec<(String, u32)>) -> Vec<Seen> {
    rows.into_iter().map(|(service, version)| Seen { service, version }).collect()
}
