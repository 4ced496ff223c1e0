//! What the engine adds to bare SQLite: its queue, its threads, its futures and values.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use yunzhan_base::Clock;
use yunzhan_engine::config;
use yunzhan_engine::sql::sqlite::path_of;
use yunzhan_engine::sql::{
    Consistency, Database, Expect, Key, Logical, Migration, Migrations, Scope, ShardLocation,
    SharedSql, Sqlite, Statement, Value, WriteBatch, WriteStep,
};

use crate::sample::Sample;
use crate::{Outcome, both_times, open};

const STORED: u64 = 20_000;
const READS: u64 = 100_000;
/// Writers that wait at a time when many do.
const CROWD: u64 = 64;
/// Documents that a lone writer stores: each costs a sync.
const ALONE: u64 = 2_000;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "documents",
    database: Scope::Env,
    statements: &[
        "CREATE TABLE {documents} (env {env} NOT NULL, collection BIGINT NOT NULL, id {key:768} NOT NULL,
         version BIGINT NOT NULL, body {blob} NOT NULL, PRIMARY KEY (env, collection, id))",
    ],
}];
const PUT: &str =
    "INSERT INTO {documents} (env, collection, id, version, body) VALUES (?, ?, ?, 1, ?)";
const GET: &str =
    "SELECT version, body FROM {documents} WHERE env = ? AND collection = ? AND id = ?";
const BARE_PUT: &str =
    "INSERT INTO yz_env_documents (env, collection, id, version, body) VALUES (?, ?, ?, 1, ?)";
const BARE_GET: &str =
    "SELECT version, body FROM yz_env_documents WHERE env = ? AND collection = ? AND id = ?";
const DOCUMENTS: &[Logical] = &[Logical("documents")];

pub(crate) fn measure() -> Outcome {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!(
        "\n| operation | bare: elapsed, processor | engine: elapsed, processor |\n|---|---|---|"
    );
    let (bare, engine) = (TempDir::new()?, TempDir::new()?);
    let sql = engine_in(engine.path())?;
    let connection = bare_in(bare.path(), &runtime)?;
    let row = |name: &str, bare: (f64, f64), engine: (f64, f64)| {
        println!("| {name} | {:.1}, {:.1} | {:.1}, {:.1} |", bare.0, bare.1, engine.0, engine.1);
    };
    row(
        "insert, one writer, a sync each",
        both_times(ALONE, || bare_inserts(&connection, 0..ALONE, 1))?,
        both_times(ALONE, || engine_inserts(&runtime, &sql, 0..ALONE, 1))?,
    );
    row(
        "insert, 64 at a time",
        both_times(STORED - ALONE, || bare_inserts(&connection, ALONE..STORED, CROWD))?,
        both_times(STORED - ALONE, || engine_inserts(&runtime, &sql, ALONE..STORED, CROWD))?,
    );
    row(
        "point read",
        both_times(READS, || bare_reads(&connection))?,
        both_times(READS, || runtime.block_on(engine_reads(&sql)))?,
    );
    Ok(())
}

fn place() -> Outcome<ShardLocation> {
    Ok(ShardLocation { database: Database::Env("shop".parse()?), key: Key::Slot(0) })
}

fn engine_in(root: &Path) -> Outcome<SharedSql> {
    let migrations = Migrations::new(vec![("documents", MIGRATIONS)])?;
    let config = config::Sql::default();
    Ok(std::sync::Arc::new(Sqlite::new(root.to_owned(), config, migrations, Clock::System)?))
}

/// A file with the same tables, made by the engine and then used without it.
fn bare_in(root: &Path, runtime: &Runtime) -> Outcome<Connection> {
    let migrations = Migrations::new(vec![("documents", MIGRATIONS)])?;
    let sqlite = Sqlite::new(root.to_owned(), config::Sql::default(), migrations, Clock::System)?;
    let database = place()?.database;
    runtime.block_on(sqlite.prepare(&database))?;
    open(&path_of(root, &database))
}

fn bare_inserts(connection: &Connection, numbers: std::ops::Range<u64>, together: u64) -> Outcome {
    for number in numbers.clone() {
        if (number - numbers.start).is_multiple_of(together) {
            connection.execute_batch(if number == numbers.start {
                "BEGIN"
            } else {
                "COMMIT; BEGIN"
            })?;
        }
        let sample = Sample::of(number);
        connection.prepare_cached(BARE_PUT)?.execute(("shop", 1, sample.key(), sample.bson()))?;
    }
    Ok(connection.execute_batch("COMMIT")?)
}

fn bare_reads(connection: &Connection) -> Outcome {
    for number in 0..READS {
        let key = Sample::of(number % STORED).key();
        let mut statement = connection.prepare_cached(BARE_GET)?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found: (i64, Vec<u8>) = statement.query_row(("shop", 1, key), read)?;
        assert!(found.1.len() > 500);
    }
    Ok(())
}

/// `together` tasks, each of which writes its share one document after the other.
fn engine_inserts(
    runtime: &Runtime,
    sql: &SharedSql,
    numbers: std::ops::Range<u64>,
    together: u64,
) -> Outcome {
    let tasks = (0..together).map(|task| {
        let (sql, numbers) = (SharedSql::clone(sql), numbers.clone());
        runtime.spawn(async move {
            let place = place().expect("a name");
            for number in numbers.filter(|number| number % together == task) {
                sql.write(&place, put(number)).await.expect("a write");
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        runtime.block_on(task)?;
    }
    Ok(())
}

fn put(number: u64) -> WriteBatch {
    let sample = Sample::of(number);
    let mut params = params(&sample);
    params.push(Value::Blob(sample.bson()));
    let statement = Statement { sql: PUT, tables: DOCUMENTS, params };
    WriteBatch { steps: vec![WriteStep::once(statement, Expect::Rows(1))], idempotency: None }
}

async fn engine_reads(sql: &SharedSql) -> Outcome {
    let place = place()?;
    for number in 0..READS {
        let params = params(&Sample::of(number % STORED));
        let statement = Statement { sql: GET, tables: DOCUMENTS, params };
        let found = sql.read(Consistency::Primary, &place, statement).await?;
        assert!(matches!(&found.0[0].0[1], Value::Blob(body) if body.len() > 500));
    }
    Ok(())
}

fn params(sample: &Sample) -> Vec<Value> {
    vec![Value::Text("shop".to_owned()), Value::Integer(1), Value::Blob(sample.key())]
}
