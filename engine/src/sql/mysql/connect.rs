//! The way to the server: what it is, how sessions are set up, and its tables brought up to date.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{
    Conn, Error as DriverError, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts,
};
use yunzhan_base::{Clock, Error, Kind, Result};

use super::codes;
use crate::config;
use crate::sql::dialect::Dialect;
use crate::sql::migrate::{Migrations, Pending, Scope, Seen, statements};

/// Statements that a connection keeps prepared: more than all services have together.
const PREPARED_MAX: usize = 256;
/// Unused connections are closed after this long.
const IDLE: Duration = Duration::from_secs(60);
/// How long a starting replica waits for another one that migrates.
const MIGRATION_LOCK_S: u64 = 120;

/// A server whose tables are up to date.
pub(super) struct Connected {
    pub(super) dialect: Dialect,
    pub(super) pool: Pool,
}

/// Looks at the server, migrates, and makes a pool.
pub(super) async fn connect(
    config: &config::Sql,
    migrations: &Migrations,
    clock: &Clock,
) -> Result<Connected> {
    let (opts, mut connection, dialect) = first_connection(config).await?;
    migrate_all(&mut connection, dialect, migrations, clock).await?;
    connection.disconnect().await.map_err(codes::error)?;
    Ok(Connected { dialect, pool: Pool::new(pool_opts(opts, config, dialect)) })
}

/// Says whether [`connect`] would refuse this server, and changes nothing there.
pub(super) async fn inspect(config: &config::Sql, migrations: &Migrations) -> Result<()> {
    let (_, mut connection, dialect) = first_connection(config).await?;
    for scope in [Scope::System, Scope::Env] {
        let sql = dialect.expand(scope, statements::SEEN, None)?.sql;
        match connection.query(sql).await {
            Ok(seen) => drop(migrations.pending(scope, &seen_of(seen))?),
            // Nobody has migrated this schema yet.
            Err(error) if codes::is_missing_table(&error) => {}
            Err(error) => return Err(codes::error(error)),
        }
    }
    connection.disconnect().await.map_err(codes::error)
}

async fn first_connection(config: &config::Sql) -> Result<(Opts, Conn, Dialect)> {
    let opts = opts(config)?;
    let attempt = tokio::time::timeout(config.mysql_connect_timeout, Conn::new(opts.clone())).await;
    let late = || {
        let (host, port) = (opts.ip_or_hostname(), opts.tcp_port());
        Error::new(Kind::Unavailable, format!("no answer from the database server {host}:{port}"))
    };
    let mut connection = attempt.map_err(|_| late())?.map_err(|error| match error {
        DriverError::Server(_) => {
            let refused = codes::error(error);
            let (host, port) = (opts.ip_or_hostname(), opts.tcp_port());
            Error::new(refused.kind(), format!("{host}:{port}: {}", refused.message()))
                .because(refused)
        }
        error => late().because(error),
    })?;
    let version: Option<String> =
        connection.query_first("SELECT VERSION()").await.map_err(codes::error)?;
    let dialect = dialect_of(&version.unwrap_or_default());
    Ok((opts, connection, dialect))
}

fn opts(config: &config::Sql) -> Result<Opts> {
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
    Ok(OptsBuilder::from_opts(opts).prefer_socket(false).client_found_rows(true).into())
}

fn dialect_of(version: &str) -> Dialect {
    if version.contains("MariaDB") { Dialect::MariaDb } else { Dialect::MySql }
}

fn pool_opts(opts: Opts, config: &config::Sql, dialect: Dialect) -> OptsBuilder {
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
        .setup(session(config, dialect))
}

/// What every session is told: strict, quoting and joining text as the standard and SQLite do, repeatable reads (units
/// that check with a sub-select then lock what they looked at), and the time bounds.
fn session(config: &config::Sql, dialect: Dialect) -> Vec<String> {
    let lock_s = config.write_timeout.as_secs().max(1);
    let mut session = vec![
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES,\
         ANSI_QUOTES,PIPES_AS_CONCAT,ERROR_FOR_DIVISION_BY_ZERO'"
            .to_owned(),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
        format!("SET SESSION innodb_lock_wait_timeout = {lock_s}"),
    ];
    let longest = config.read_timeout.max(config.write_timeout);
    match dialect {
        Dialect::MariaDb => {
            let longest_s = longest.as_secs_f64();
            session.push(format!("SET SESSION max_statement_time = {longest_s:.3}"));
        }
        Dialect::MySql | Dialect::Sqlite => {
            let read_ms = config.read_timeout.as_millis();
            session.push(format!("SET SESSION max_execution_time = {read_ms}"));
            session.push("SET SESSION session_track_gtids = OWN_GTID".to_owned());
        }
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
                Err(error) if codes::is_done_already(&error) => {}
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
