//! SQLite: rusqlite beside our embedded engine, each in a folder of its own.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use yunzhan_base::event::Events;
use yunzhan_base::{Clock, EnvId};
use yunzhan_engine::config;
use yunzhan_engine::sql::Database;
use yunzhan_engine::sql::dialect::Dialect;
use yunzhan_engine::sql::sqlite::path_of;
use yunzhan_engine::sql::testing::rusqlite::Connection;
use yunzhan_engine::sql::{Opening, open};

use super::harness::{Effort, compare, open_loop};
use super::{
    CALLERS, ENV, Engine, GET, HOT_ROWS, Outcome, PUT, ROWS, bare_text, body, key, migrations,
};

/// Operations of a round at each number of callers: half a second of reads, and of synced writes, some of which share a sync.
const READS: u64 = 100_000;
const WRITES: [u64; 3] = [300, 3_000, 10_000];

/// Connections to a file that the engine made, and then used without it: the least that a program could do that reads from
/// many threads, each call on a connection that nobody else uses at the time. All writes are the first one's.
struct Bare {
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Connection>,
    open: Box<dyn Fn() -> Outcome<Connection> + Send + Sync>,
    get: String,
    put: String,
}

// === impl Bare ===

impl Bare {
    async fn in_folder(folder: &TempDir) -> Outcome<Self> {
        Engine::new(engine(folder).await?)?.fill().await?;
        let env: EnvId = ENV.parse()?;
        let path = path_of(folder.path(), &Database::Env(env));
        let open = move || {
            let connection = Connection::open(&path)?;
            // As the engine opens it.
            connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -1024;",
            )?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok(connection)
        };
        Ok(Self {
            readers: Mutex::default(),
            writer: Mutex::new(open()?),
            open: Box::new(open),
            get: bare_text(Dialect::Sqlite, GET),
            put: bare_text(Dialect::Sqlite, PUT),
        })
    }

    async fn read(self: Arc<Self>, number: u64) -> Outcome {
        self.read_of(number, HOT_ROWS).await
    }

    async fn read_any(self: Arc<Self>, number: u64) -> Outcome {
        self.read_of(number, ROWS).await
    }

    async fn read_of(&self, number: u64, rows: u64) -> Outcome {
        let idle = self.readers.lock().expect("no panic").pop();
        let connection = idle.map_or_else(|| (self.open)(), Ok)?;
        let body: Vec<u8> = connection
            .prepare_cached(&self.get)?
            .query_row((ENV, key(number % rows)), |row| row.get(0))?;
        assert!(!body.is_empty());
        self.readers.lock().expect("no panic").push(connection);
        Ok(())
    }

    async fn write(self: Arc<Self>, number: u64) -> Outcome {
        let connection = self.writer.lock().expect("no panic");
        connection.prepare_cached(&self.put)?.execute((ENV, key(number), body()))?;
        Ok(())
    }
}

async fn engine(folder: &TempDir) -> Outcome<yunzhan_engine::sql::SharedSql> {
    let root = folder.path().to_owned();
    let config = config::Sql::default();
    let opening = Opening {
        config,
        root,
        migrations: migrations()?,
        clock: Clock::System,
        events: Events::default(),
    };
    Ok(open(opening).await?)
}

/// Measures all operations.
pub(super) async fn measure(divisor: u64) -> Outcome {
    let (bare_folder, folder) = (TempDir::new()?, TempDir::new()?);
    let bare = Arc::new(Bare::in_folder(&bare_folder).await?);
    let backend = Engine::new(engine(&folder).await?)?;
    backend.clone().fill().await?;
    let served = backend.served(&config::Sql::default(), &folder)?;
    let first = AtomicU64::new(ROWS);
    let sides = (Arc::clone(&bare), backend.clone(), served.clone());
    for callers in CALLERS {
        let (bare, backend, served) = sides.clone();
        let effort = Effort { callers, count: READS / divisor };
        let sides = (
            move |number| Arc::clone(&bare).read(number),
            move |number| backend.clone().read(number),
            move |number| served.clone().read(number),
        );
        compare(("sqlite", "point read"), effort, &first, sides).await?;
    }
    {
        let (bare, backend, served) = sides.clone();
        let effort = Effort { callers: CALLERS[0], count: READS / divisor / 4 };
        let sides = (
            move |number| Arc::clone(&bare).read_any(number),
            move |number| backend.clone().read_any(number),
            move |number| served.clone().read_any(number),
        );
        compare(("sqlite", "point read beyond the cache"), effort, &first, sides).await?;
    }
    for (callers, count) in CALLERS.into_iter().zip(WRITES) {
        let (bare, backend, served) = sides.clone();
        let effort = Effort { callers, count: count / divisor };
        let sides = (
            move |number| Arc::clone(&bare).write(number),
            move |number| backend.clone().write(number),
            move |number| served.clone().write(number),
        );
        compare(("sqlite", "single write"), effort, &first, sides).await?;
    }
    let line = ("sqlite", "point read");
    open_loop(line, "bare", divisor, move |number| Arc::clone(&bare).read(number)).await?;
    open_loop(line, "served", divisor, move |number| served.clone().read(number)).await
}
