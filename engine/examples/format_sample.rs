//! Writes `tests/samples/sqlite-format-1.db`: what this version of the engine leaves in an environment's folder.
//!
//! Run once per format, `cargo run -p yunzhan-engine --features testsuite --example format_sample -- FILE`, and keep the
//! result: the test `an_old_sample_is_still_read` opens it with every later version. The rows are those of the test.

use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;
use yunzhan_base::Clock;
use yunzhan_engine::config;
use yunzhan_engine::sql::sqlite::path_of;
use yunzhan_engine::sql::suite::{MIGRATIONS, sample_unit};
use yunzhan_engine::sql::{Database, Key, Migrations, ShardLocation, Sql, Sqlite};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let to = std::env::args().nth(1).map(PathBuf::from).ok_or("name the file to write")?;
    let root = TempDir::new()?;
    let place = ShardLocation { database: Database::Env("demo".parse()?), key: Key::Slot(0) };
    let migrations = Migrations::new(vec![("suite", MIGRATIONS)])?;
    let clock = Clock::manual(1_700_000_000_000);
    let sqlite = Sqlite::new(root.path().to_owned(), config::Sql::default(), migrations, clock)?;
    sqlite.write(&place, sample_unit()).await?;
    let written = path_of(root.path(), &place.database);
    // The log is moved into the file, so that the sample is one file.
    Connection::open(&written)?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    std::fs::copy(written, to)?;
    Ok(())
}
