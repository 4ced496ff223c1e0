//! Fresh databases for tests, in this and other crates: each in its own folder or schema, gone when it is dropped.
//!
//! `YUNZHAN_TEST_MYSQL` is the address of a server on which schemas may be made and dropped;
//! `YUNZHAN_TEST_REQUIRE=mysql` turns its absence into a failure and supposes one at [`MYSQL_DEFAULT`].

mod servers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tempfile::TempDir;
use yunzhan_base::event::Events;
use yunzhan_base::{Clock, Secret};

/// The drivers, for measurements of what this crate and its callers add to them.
pub use {mysql_async, rusqlite};

pub use self::servers::{Pair, Server};
use super::{Migrations, Opening, SharedSql, open};
use crate::config;

/// Where a required server is supposed when nothing says where.
pub const MYSQL_DEFAULT: &str = "mysql://root@127.0.0.1:3306";

/// A place for one test's database.
pub struct Fresh {
    config: config::Sql,
    folder: TempDir,
    schema: Option<Schema>,
}

/// A transaction that a test holds open on MySQL, with the locks of what it did. It is undone when it is dropped.
pub struct Held {
    connection: Conn,
    server: String,
}

/// A schema on a server, dropped with it.
struct Schema {
    server: String,
    name: String,
}

// === impl Fresh ===

impl Fresh {
    /// A folder for SQLite.
    pub fn sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { config: config::Sql::default(), folder, schema: None }
    }

    /// A schema on MySQL, if there is a server; says once by name that it was skipped otherwise.
    pub async fn mysql() -> Option<Self> {
        let server = mysql_server()?;
        let name = schema_name();
        run(&server, &format!("CREATE DATABASE {name}")).await;
        let url = format!("{server}/{name}");
        let config = config::Sql {
            mysql_url: Some(Secret::from(url.as_str())),
            // Many tests run at once, and a server allows 151 connections by default.
            mysql_connections_max: 4,
            ..config::Sql::default()
        };
        let folder = TempDir::new().expect("a temporary folder");
        Some(Self { config, folder, schema: Some(Schema { server, name }) })
    }

    /// A schema on a primary of a test's own, with a replica to read from. The schema stays as long as the server.
    pub async fn replicated(pair: &Pair) -> Self {
        let name = schema_name();
        pair.primary.run_sql(&[&format!("CREATE DATABASE {name}")]).await;
        let url = format!("{}/{name}", pair.primary.url());
        let replica = config::HostPort { name: "127.0.0.1".to_owned(), port: pair.replica.port() };
        let config = config::Sql {
            mysql_url: Some(Secret::from(url.as_str())),
            mysql_replicas: vec![replica],
            mysql_connections_max: 8,
            ..config::Sql::default()
        };
        let folder = TempDir::new().expect("a temporary folder");
        Self { config, folder, schema: None }
    }

    /// The configuration that leads here; a test may shorten its bounds.
    pub fn config(&mut self) -> &mut config::Sql {
        &mut self.config
    }

    /// The data folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the database; may be called again, as a server that starts again does.
    pub async fn open(&self, migrations: Migrations, clock: Clock) -> SharedSql {
        self.try_open(migrations, clock).await.expect("the database opens")
    }

    /// Opens the database or says why not.
    pub async fn try_open(
        &self,
        migrations: Migrations,
        clock: Clock,
    ) -> yunzhan_base::Result<SharedSql> {
        let root: PathBuf = self.root().to_owned();
        let (config, events) = (self.config.clone(), Events::default());
        open(Opening { config, root, migrations, clock, events }).await
    }
}

impl Fresh {
    /// Begins a transaction on the schema of [`Fresh::mysql`], runs one statement in it, with physical table names, and keeps
    /// it open.
    pub async fn hold(&self, sql: &str) -> Held {
        let schema = self.schema.as_ref().expect("a schema on MySQL");
        let url = format!("{}/{}?prefer_socket=false", schema.server, schema.name);
        let mut connection = Conn::from_url(&url).await.expect("the server of YUNZHAN_TEST_MYSQL");
        connection.query_drop("BEGIN").await.expect("a transaction");
        let mut held = Held { connection, server: schema.server.clone() };
        held.rows(sql).await;
        held
    }
}

impl Held {
    /// Runs another statement in the transaction, and counts the rows that it gives or changes.
    pub async fn rows(&mut self, sql: &str) -> u64 {
        let rows: Vec<mysql_async::Row> = self.connection.query(sql).await.expect("a statement");
        (rows.len() as u64).max(self.connection.affected_rows())
    }

    /// Commits.
    pub async fn commit(mut self) {
        self.connection.query_drop("COMMIT").await.expect("a commit");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The schema cannot be dropped while a transaction has looked at it, and this connection closes some time later.
        on_a_thread(self.server.clone(), format!("KILL CONNECTION {}", self.connection.id()));
    }
}

fn mysql_server() -> Option<String> {
    let server = std::env::var("YUNZHAN_TEST_MYSQL").ok().filter(|address| !address.is_empty());
    match server {
        Some(server) => Some(server.trim_end_matches('/').to_owned()),
        None if is_required("mysql") => Some(MYSQL_DEFAULT.to_owned()),
        None => {
            say_skipped("mysql (set YUNZHAN_TEST_MYSQL)");
            None
        }
    }
}

/// Whether the absence of a service is a failure.
fn is_required(service: &str) -> bool {
    let required = std::env::var("YUNZHAN_TEST_REQUIRE").unwrap_or_default();
    required.split(',').any(|name| name.trim() == service)
}

/// Says once that tests of a service are skipped, past the test harness, which hides what passing tests print.
fn say_skipped(what: &'static str) {
    static SAID: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.contains(&what) {
        said.push(what);
        let _ = std::io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
    }
}

/// Unique among processes and tests; begins so that leftovers of a killed test are easy to find.
fn schema_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("yz_test_{}_{}_{number}", process::id(), Clock::System.now_ms())
}

async fn run(server: &str, sql: &str) {
    let url = format!("{server}/mysql?prefer_socket=false");
    let mut connection = Conn::from_url(&url).await.expect("the server of YUNZHAN_TEST_MYSQL");
    connection.query_drop(sql).await.expect("a right to make and drop schemas");
    connection.disconnect().await.expect("a farewell");
}

impl Drop for Schema {
    fn drop(&mut self) {
        on_a_thread(self.server.clone(), format!("DROP DATABASE {}", self.name));
    }
}

/// A test's own runtime cannot be waited for from a destructor.
fn on_a_thread(server: String, sql: String) {
    let cleaner = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(run(&server, &sql));
    });
    drop(cleaner.join());
}
