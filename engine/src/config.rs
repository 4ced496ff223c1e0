//! What an operator may set about the engines; empty means the embedded ones.

use std::time::Duration;

use yunzhan_base::Secret;
use yunzhan_base::config::{ByteSize, Reader};

/// The engines' configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The SQL engine.
    pub sql: Sql,
}

/// The SQL engine's configuration.
#[derive(Clone, Debug)]
pub struct Sql {
    /// `mysql://user:password@host:port/database` of a MySQL, MariaDB or TiDB; without one SQLite serves from the data
    /// folder. A secret, because it holds a password.
    pub mysql_url: Option<Secret>,
    /// How long a read may run or wait before it fails as a time-out.
    pub read_timeout: Duration,
    /// How long a unit may run or wait before it fails as a time-out.
    pub write_timeout: Duration,
    /// Databases that SQLite keeps open at a time; the least recently used idle one makes room.
    pub sqlite_open_max: usize,
    /// Bytes that the connections to all open SQLite databases may hold; what is idle makes room.
    pub sqlite_memory_max: u64,
    /// How long an unused SQLite database stays open.
    pub sqlite_idle: Duration,
    /// Threads that run SQLite reads which are too long for the caller's thread.
    pub sqlite_reader_threads: usize,
    /// Page cache of one SQLite connection, in KiB.
    pub sqlite_cache_kib: u32,
    /// Connections to MySQL at the most.
    pub mysql_connections_max: usize,
    /// How long a request waits for a free or new connection to MySQL.
    pub mysql_connect_timeout: Duration,
}

/// Above the slowest tier that a person waits for (3 s), below the gateway's default for reports (10 s).
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// A unit waits for the group before it and for one sync; a disk that needs longer is broken.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A thread and a few connections each, about 1.5 MiB while they are open, and nothing once they are idle.
pub const SQLITE_OPEN_MAX: usize = 32;
/// Thirty-two small databases with a writer and a reader each take three quarters of it; one large database may have fifty
/// readers with full page caches. Only while they are used: what is idle is closed.
pub const SQLITE_MEMORY_MAX: u64 = 64 << 20;
/// Long enough for a person between two clicks, short enough that a server of many small environments stays small.
pub const SQLITE_IDLE: Duration = Duration::from_secs(300);
/// Scans are rare and bound by the processor; two keep a small machine responsive.
pub const SQLITE_READER_THREADS: usize = 2;
/// SQLite drops a reader's page cache at every foreign commit, so a large one buys little; the system caches the file.
pub const SQLITE_CACHE_KIB: u32 = 1024;
/// Below the 151 connections that MySQL and MariaDB allow by default, so that two replicas fit.
pub const MYSQL_CONNECTIONS_MAX: usize = 64;
/// A server on the same network answers in milliseconds; three seconds include one lost packet.
pub const MYSQL_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

impl Default for Sql {
    fn default() -> Self {
        Self {
            mysql_url: None,
            read_timeout: READ_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            sqlite_open_max: SQLITE_OPEN_MAX,
            sqlite_memory_max: SQLITE_MEMORY_MAX,
            sqlite_idle: SQLITE_IDLE,
            sqlite_reader_threads: SQLITE_READER_THREADS,
            sqlite_cache_kib: SQLITE_CACHE_KIB,
            mysql_connections_max: MYSQL_CONNECTIONS_MAX,
            mysql_connect_timeout: MYSQL_CONNECT_TIMEOUT,
        }
    }
}

// === impl Config ===

impl Config {
    /// Reads the engines' tables below the root of the configuration.
    pub fn read(root: &mut Reader<'_>) -> Self {
        Self { sql: Sql::read(&mut root.table("sql")) }
    }
}

// === impl Sql ===

impl Sql {
    /// Reads the table `[sql]`.
    pub fn read(sql: &mut Reader<'_>) -> Self {
        Self {
            mysql_url: sql.secret("mysql_url", MYSQL_URL_DOC),
            read_timeout: sql.value_in(
                "read_timeout",
                READ_TIMEOUT,
                TIMEOUT_MIN..=TIMEOUT_MAX,
                "how long a read may run or wait",
            ),
            write_timeout: sql.value_in(
                "write_timeout",
                WRITE_TIMEOUT,
                TIMEOUT_MIN..=TIMEOUT_MAX,
                "how long a write may run or wait",
            ),
            sqlite_open_max: sql.value_in(
                "sqlite_open_max",
                SQLITE_OPEN_MAX,
                2..=4096,
                "environments whose SQLite database is open at a time; one more closes the one that was used longest ago",
            ),
            sqlite_memory_max: sql
                .value_in(
                    "sqlite_memory_max",
                    ByteSize::bytes(SQLITE_MEMORY_MAX),
                    ByteSize::mib(4)..=ByteSize::gib(64),
                    "what the connections to all open SQLite databases may hold; more closes idle connections, then the databases that were used longest ago",
                )
                .get(),
            sqlite_idle: sql.value_in(
                "sqlite_idle",
                SQLITE_IDLE,
                Duration::from_secs(1)..=Duration::from_secs(86_400),
                "how long an unused SQLite database stays open",
            ),
            sqlite_reader_threads: sql.value_in(
                "sqlite_reader_threads",
                SQLITE_READER_THREADS,
                1..=64,
                "threads for SQLite reads that take longer than a fifth of a millisecond",
            ),
            sqlite_cache_kib: sql.value_in(
                "sqlite_cache_kib",
                SQLITE_CACHE_KIB,
                64..=1_048_576,
                "page cache of one SQLite connection in KiB",
            ),
            mysql_connections_max: sql.value_in(
                "mysql_connections_max",
                MYSQL_CONNECTIONS_MAX,
                1..=4096,
                "connections to MySQL at the most",
            ),
            mysql_connect_timeout: sql.value_in(
                "mysql_connect_timeout",
                MYSQL_CONNECT_TIMEOUT,
                TIMEOUT_MIN..=TIMEOUT_MAX,
                "how long a request waits for a free or new connection to MySQL",
            ),
        }
    }
}

const MYSQL_URL_DOC: &str =
    "`mysql://user:password@host:port/database`; without it SQLite serves from the data folder";
/// Shorter ones would fail on a healthy machine under load.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// Longer ones would outlive every request.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
