//! Measures what our SQL engine adds to a bare driver: point reads and single writes at 1, 32 and 256 callers, and point reads
//! that come at a fixed rate whether or not earlier ones are answered.
//!
//! `cargo run --release -p yunzhan-ops --example sql_overhead [DIVISOR]` prints an object a line, as `cargo xtask bench sql`
//! reads it; a divisor makes every count that much smaller. Each operation is done by three sides in turn, round by round:
//! the *bare* driver (`sqlite.rs`: rusqlite, `mysql.rs`: mysql_async), our *backend* alone, and the engine as it *serves*,
//! with its wrappers and the observers of the server. All run the same text on the same rows with the same settings, on one
//! runtime and the program's allocator; `harness.rs` takes the time.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a measurement prints")]

mod harness;
mod mysql;
mod sqlite;

use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Builder;
use yunzhan_base::fault::Faults;
use yunzhan_base::{Clock, EnvId, RouteSpec};
use yunzhan_engine::config;
use yunzhan_engine::sql::dialect::Dialect;
use yunzhan_engine::sql::{
    Consistency, Database, Expect, Key, Logical, Migration, Migrations, Scope, ShardLocation,
    SharedSql, Statement, Value, WriteBatch, WriteStep, wrap,
};
use yunzhan_ops::{Keep, Ops, Parts};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Callers that ask at the same time: one client, a busy hour, a crowd.
const CALLERS: [usize; 3] = [1, 32, 256];
/// Alternated rounds of which the median counts.
const ROUNDS: usize = 5;
/// Rows that are there, and how many of them are read: what is hot fits into the page cache of a connection, all do not.
const ROWS: u64 = 10_000;
const HOT_ROWS: u64 = 500;
/// Bytes of a row's body: an order of a small shop.
const BODY_BYTES: usize = 1024;
/// Reads of the open loop.
const OPEN_READS: u64 = 100_000;
/// Open loops of which the one with the middle latency counts: others work on the same machine.
const OPEN_ROUNDS: usize = 3;
/// Share of the rate that the machine takes at which the open loop asks.
const OPEN_SHARE: f64 = 0.8;

const TABLES: &[Logical] = &[Logical("orders")];
const GET: &str = "SELECT body FROM {orders} WHERE env = ? AND id = ?";
const PUT: &str = "INSERT INTO {orders} (env, id, body) VALUES (?, ?, ?)";
const ENV: &str = "shop";

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "orders",
    database: Scope::Env,
    statements: &[
        "CREATE TABLE {orders} (env {env} NOT NULL, id {key:16} NOT NULL, body {blob} NOT NULL, PRIMARY KEY (env, id)) {clustered}",
    ],
}];

fn main() -> Outcome {
    let divisor = std::env::args().nth(1).map_or(Ok(1), |word| word.parse())?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        sqlite::measure(divisor).await?;
        mysql::measure(divisor).await
    })
}

fn migrations() -> Outcome<Migrations> {
    Ok(Migrations::new(vec![("overhead", MIGRATIONS)])?)
}

/// A statement's text as the bare driver gets it: the same bytes as our backend sends.
fn bare_text(dialect: Dialect, text: &str) -> String {
    text.replace("{orders}", &dialect.table(Scope::Env, "orders"))
}

/// The key of a row: those that are hot lie side by side, the others in no order.
fn key(number: u64) -> Vec<u8> {
    let mixed = if number < HOT_ROWS { 0 } else { number.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
    [mixed.to_be_bytes(), number.to_be_bytes()].concat()
}

fn body() -> Vec<u8> {
    vec![b'y'; BODY_BYTES]
}

/// Our engine, bare of its wrappers or with them.
#[derive(Clone)]
struct Engine {
    sql: SharedSql,
    place: Arc<ShardLocation>,
}

// === impl Engine ===

impl Engine {
    fn new(sql: SharedSql) -> Outcome<Self> {
        let env: EnvId = ENV.parse()?;
        let place = ShardLocation { database: Database::Env(env), key: Key::Slot(0) };
        Ok(Self { sql, place: Arc::new(place) })
    }

    /// The same backend as it serves, with the observers of the server.
    fn served(&self, config: &config::Sql, folder: &TempDir) -> Outcome<Self> {
        let faults = Faults::none(Clock::System, 1);
        let keep = Keep { file_bytes_max: 1 << 20, files: 1, daily: false };
        let ops = Ops::open(Parts {
            config: yunzhan_ops::Config { access_log: Some(keep) },
            access_log: folder.path().join("access.log"),
            json: true,
            clock: Clock::System,
            faults: faults.clone(),
            routes: std::iter::empty::<&RouteSpec>(),
            others: Vec::new(),
        })?;
        let wrapped = wrap(Arc::clone(&self.sql), config, ops.events(), faults, Clock::System);
        Ok(Self { sql: wrapped.sql, place: Arc::clone(&self.place) })
    }

    /// Reads one of the rows that are hot.
    async fn read(self, number: u64) -> Outcome {
        self.read_of(number, HOT_ROWS).await
    }

    /// Reads one of all rows.
    async fn read_any(self, number: u64) -> Outcome {
        self.read_of(number, ROWS).await
    }

    async fn read_of(self, number: u64, rows: u64) -> Outcome {
        let params = vec![Value::Text(ENV.to_owned()), Value::Blob(key(number % rows))];
        let statement = Statement { sql: GET, tables: TABLES, params };
        let rows = self.sql.read(Consistency::Primary, &self.place, statement).await?;
        assert_eq!(rows.0.len(), 1);
        Ok(())
    }

    async fn write(self, number: u64) -> Outcome {
        let params =
            vec![Value::Text(ENV.to_owned()), Value::Blob(key(number)), Value::Blob(body())];
        let statement = Statement { sql: PUT, tables: TABLES, params };
        let steps = vec![WriteStep::once(statement, Expect::Rows(1))];
        self.sql.write(&self.place, WriteBatch { steps, idempotency: None }).await?;
        Ok(())
    }

    /// Writes the rows that are read.
    async fn fill(self) -> Outcome {
        const BATCH: u64 = 500;
        for from in (0..ROWS).step_by(BATCH as usize) {
            let step = |number| {
                let params = vec![
                    Value::Text(ENV.to_owned()),
                    Value::Blob(key(number)),
                    Value::Blob(body()),
                ];
                let statement = Statement { sql: PUT, tables: TABLES, params };
                WriteStep::once(statement, Expect::Rows(1))
            };
            let steps = (from..from + BATCH).map(step).collect();
            self.sql.write(&self.place, WriteBatch { steps, idempotency: None }).await?;
        }
        Ok(())
    }
}
