//! What an operator may set about the engines; empty means the embedded ones.

use std::path::PathBuf;
use std::time::Duration;

use yunzhan_base::Secret;
use yunzhan_base::config::{ByteSize, FromConfig, Given, Reader, Reason, Words};

/// The engines' configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The SQL engine.
    pub sql: Sql,
}

/// The SQL engine's configuration.
#[derive(Clone, Debug)]
pub struct Sql {
    /// `mysql://user:password@host:port/database` of a MySQL or MariaDB; without one SQLite serves from the data
    /// folder. A secret, because it holds a password.
    pub mysql_url: Option<Secret>,
    /// Further servers of the same data, with the same user, password and schema: read from while they follow the primary,
    /// and written to once one of them was promoted. [`MYSQL_REPLICAS_MAX`] at the most.
    pub mysql_replicas: Vec<HostPort>,
    /// How old what a replica shows may be. Older ones are not read from.
    pub replica_lag_max: Duration,
    /// How long a read waits for a replica to catch up with a write before it goes to the primary.
    pub replica_wait: Duration,
    /// How often the row is written whose age is a replica's lag.
    pub replica_heartbeat: Duration,
    /// What becomes of writes that were acknowledged and that a promoted primary does not have.
    pub failover_loss: FailoverLoss,
    /// Whether connections are encrypted; where nothing is set, the address of the database says it.
    pub mysql_tls: Option<MysqlTls>,
    /// The certificates in PEM that the server's must lead to; without them the public authorities'.
    pub mysql_ca: Option<PathBuf>,
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

/// A server by name or address, and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The host: a name or an address.
    pub name: String,
    /// The port.
    pub port: u16,
}

/// Whether connections to MySQL are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MysqlTls {
    /// They are not.
    Off,
    /// They are, whoever the server is: this keeps out those who listen, and not those who stand in between.
    Required,
    /// They are, and the server proves to be who its name says.
    Verify,
}

/// What becomes of writes that were acknowledged and that a promoted primary does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailoverLoss {
    /// This server does not write to it, and says what is missing.
    #[default]
    Refuse,
    /// This server says what is missing, and goes on without it.
    Accept,
}

/// More would not make reads faster: each is asked how it stands a hundred times a second by every server.
pub const MYSQL_REPLICAS_MAX: usize = 15;
/// Mission row P6.
pub const REPLICA_LAG_MAX: Duration = Duration::from_millis(50);
/// A replica on the same network is a millisecond or two behind; whoever waits longer has asked the primary by then.
pub const REPLICA_WAIT: Duration = Duration::from_millis(5);
/// Two of them and the time between two looks fit into [`REPLICA_LAG_MAX`].
pub const REPLICA_HEARTBEAT: Duration = Duration::from_millis(20);
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
            mysql_replicas: Vec::new(),
            replica_lag_max: REPLICA_LAG_MAX,
            replica_wait: REPLICA_WAIT,
            replica_heartbeat: REPLICA_HEARTBEAT,
            failover_loss: FailoverLoss::default(),
            mysql_tls: None,
            mysql_ca: None,
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
        let mysql_url = sql.secret("mysql_url", MYSQL_URL_DOC);
        let replicas = Self::read_replicas(sql);
        let read = Self { mysql_url, ..Self::read_bounds(sql, replicas) };
        read.check(sql);
        read
    }

    /// What is about several servers, and the way to them.
    fn read_replicas(sql: &mut Reader<'_>) -> Self {
        Self {
            mysql_replicas: sql.value("mysql_replicas", Vec::new(), MYSQL_REPLICAS_DOC),
            replica_lag_max: sql.value_in(
                "replica_lag_max",
                REPLICA_LAG_MAX,
                LAG_MIN..=LAG_MAX,
                "how old what a replica shows may be; a read goes to the primary where all are older",
            ),
            replica_wait: sql.value_in(
                "replica_wait",
                REPLICA_WAIT,
                Duration::ZERO..=Duration::from_secs(1),
                "how long a read waits for a replica to catch up with a write before it goes to the primary",
            ),
            replica_heartbeat: sql.value_in(
                "replica_heartbeat",
                REPLICA_HEARTBEAT,
                Duration::from_millis(5)..=Duration::from_secs(10),
                "how often the row is written whose age is a replica's lag; at most half of `replica_lag_max`",
            ),
            failover_loss: sql.value("failover_loss", FailoverLoss::default(), FAILOVER_LOSS_DOC),
            mysql_tls: sql.optional("mysql_tls", MYSQL_TLS_DOC),
            mysql_ca: sql.optional(
                "mysql_ca",
                "a file of certificates in PEM that the certificates of MySQL servers must lead to; without it the public authorities",
            ),
            ..Self::default()
        }
    }

    /// Bounds of time and number.
    fn read_bounds(sql: &mut Reader<'_>, before: Self) -> Self {
        Self {
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
            ..before
        }
    }

    /// Says which keys do not go together.
    fn check(&self, sql: &mut Reader<'_>) {
        if !self.mysql_replicas.is_empty() && self.mysql_url.is_none() {
            let en = "replicas are of the server that mysql_url names, and that is not set";
            sql.problem(
                "mysql_replicas",
                Words::new(en, "副本属于 mysql_url 所指的服务器, 而它没有设置"),
            );
        }
        if self.mysql_replicas.len() > MYSQL_REPLICAS_MAX {
            let en = format!("at most {MYSQL_REPLICAS_MAX} replicas");
            sql.problem(
                "mysql_replicas",
                Words::new(en, format!("副本最多 {MYSQL_REPLICAS_MAX} 个")),
            );
        }
        let mut sorted: Vec<_> = self.mysql_replicas.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            let en = "a replica stands twice in the list";
            sql.problem("mysql_replicas", Words::new(en, "列表中有重复的副本"));
        }
        if self.replica_heartbeat > self.replica_lag_max / 2 {
            let en = "a heartbeat has to come twice within replica_lag_max, or every replica counts as late";
            let zh = "replica_lag_max 之内须有两次心跳, 否则每个副本都会被当作落后";
            sql.problem("replica_heartbeat", Words::new(en, zh));
        }
        if self.mysql_ca.is_some() && self.mysql_tls != Some(MysqlTls::Verify) {
            let en = "nobody's certificate is looked at unless mysql_tls is \"verify\"";
            sql.problem("mysql_ca", Words::new(en, "只有 mysql_tls 为 \"verify\" 时才会检查证书"));
        }
    }
}

// === impl HostPort ===

impl FromConfig for HostPort {
    fn expected() -> Words {
        Words::new("a server such as \"10.0.0.2:3306\"", "服务器, 如 \"10.0.0.2:3306\"")
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        let text = given.text().ok_or_else(Reason::none)?;
        let (name, port) = text.rsplit_once(':').ok_or_else(Reason::none)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(Reason::none)?;
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_address = bare.parse::<std::net::IpAddr>().is_ok();
        if bare.is_empty() || !(is_address || bare.bytes().all(is_name)) {
            return Err(Reason::none());
        }
        Ok(Self { name: bare.to_owned(), port })
    }

    fn show(&self) -> String {
        match self.name.contains(':') {
            true => format!("\"[{}]:{}\"", self.name, self.port),
            false => format!("\"{}:{}\"", self.name, self.port),
        }
    }
}

// === impl MysqlTls ===

impl FromConfig for MysqlTls {
    fn expected() -> Words {
        Words::new("\"off\", \"required\" or \"verify\"", "\"off\"、\"required\" 或 \"verify\"")
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        match given.text() {
            Some("off") => Ok(Self::Off),
            Some("required") => Ok(Self::Required),
            Some("verify") => Ok(Self::Verify),
            _ => Err(Reason::none()),
        }
    }

    fn show(&self) -> String {
        let text = match self {
            Self::Off => "off",
            Self::Required => "required",
            Self::Verify => "verify",
        };
        format!("\"{text}\"")
    }
}

// === impl FailoverLoss ===

impl FromConfig for FailoverLoss {
    fn expected() -> Words {
        Words::new("\"refuse\" or \"accept\"", "\"refuse\" 或 \"accept\"")
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        match given.text() {
            Some("refuse") => Ok(Self::Refuse),
            Some("accept") => Ok(Self::Accept),
            _ => Err(Reason::none()),
        }
    }

    fn show(&self) -> String {
        let text = match self {
            Self::Refuse => "refuse",
            Self::Accept => "accept",
        };
        format!("\"{text}\"")
    }
}

const MYSQL_URL_DOC: &str =
    "`mysql://user:password@host:port/database`; without it SQLite serves from the data folder";
const MYSQL_REPLICAS_DOC: &str = "further servers of the same data, with the user, password and schema of `mysql_url`: they are read from while they \
     follow the primary, and written to once one of them was promoted; at most 15";
const FAILOVER_LOSS_DOC: &str = "what happens when a promoted primary lacks a write that this server acknowledged: with \"refuse\" nothing is written to \
     it, with \"accept\" the server goes on; both say what is missing";
const MYSQL_TLS_DOC: &str = "\"off\", \"required\" (encrypted, whoever answers) or \"verify\" (encrypted, and the server's certificate is its name's); \
     without it the parameters of `mysql_url` decide";
/// Lags below it would be below what two looks at a replica are apart.
const LAG_MIN: Duration = Duration::from_millis(10);
/// Who can wait longer does not need this bound.
const LAG_MAX: Duration = Duration::from_secs(3600);
/// Shorter ones would fail on a healthy machine under load.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// Longer ones would outlive every request.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use yunzhan_base::config::{Document, Lang, Variables};

    use super::*;

    fn read(text: &str) -> Result<Sql, String> {
        let document = Document::parse("yunzhan.toml", text, Variables::default());
        let config = Config::read(&mut document.root());
        document.finish().map(|()| config.sql).map_err(|problems| problems.render(Lang::En))
    }

    #[test]
    fn replicas_are_servers_with_ports() {
        let sql = read(
            "[sql]\nmysql_url = 'mysql://a@b/c'\nmysql_replicas = ['10.0.0.2:3306', '[::1]:3307', 'db-2:1']",
        )
        .expect("a good list");
        let shown: Vec<_> = sql.mysql_replicas.iter().map(HostPort::show).collect();
        assert_eq!(shown, ["\"10.0.0.2:3306\"", "\"[::1]:3307\"", "\"db-2:1\""]);
        for bad in ["", "db", "db:", "db:0", ":3306", "a b:1", "db:70000", "[::1:1", "mysql://db:1"]
        {
            let text = format!("[sql]\nmysql_url = 'mysql://a@b/c'\nmysql_replicas = ['{bad}']");
            assert!(read(&text).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let url = "mysql_url = 'mysql://a@b/c'";
        let many: Vec<_> = (1..=16).map(|port| format!("'db:{port}'")).collect();
        for (text, told) in [
            ("mysql_replicas = ['db:1']".to_owned(), "that is not set"),
            (format!("{url}\nmysql_replicas = ['db:1', 'db:1']"), "twice in the list"),
            (format!("{url}\nmysql_replicas = [{}]", many.join(", ")), "at most 15 replicas"),
            ("replica_lag_max = '30ms'".to_owned(), "twice within replica_lag_max"),
            ("mysql_ca = 'ca.pem'".to_owned(), "unless mysql_tls is"),
            ("mysql_tls = 'on'".to_owned(), "\"required\""),
            ("failover_loss = 'yes'".to_owned(), "\"accept\""),
        ] {
            let problems = read(&format!("[sql]\n{text}")).err().unwrap_or_default();
            assert!(problems.contains(told), "{text}: {problems}");
        }
        assert!(read("[sql]\nreplica_lag_max = '30ms'\nreplica_heartbeat = '15ms'").is_ok());
        assert!(read("[sql]\nmysql_tls = 'verify'\nmysql_ca = 'ca.pem'").is_ok());
    }
}
