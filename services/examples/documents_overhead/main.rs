//! Measures what the documents service adds to bare SQLite: a point read, inserts of 64 writers at a time, and imports
//! (`import.rs`).
//!
//! `cargo run --release -p yunzhan-services --example documents_overhead [DOCUMENTS [IMPORTED]]` prints an object a line, as
//! `cargo xtask bench documents` reads it: microseconds of each operation and of the whole process's processor time. Both
//! sides use the same tables with the same settings, each in a folder of its own. The bare side gets finished keys and
//! runs only the statements that a document needs: its row, and its entry in the owner's index. Both commit about
//! [`WRITERS`] documents with one sync, have inserted some before the clock starts, and run on the program's allocator.
#![allow(clippy::print_stdout, reason = "a measurement prints")]

mod import;

use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use yunzhan_base::env::{Env, Envs};
use yunzhan_base::principal::ServerKey;
use yunzhan_base::{Clock, EnvId, Live, Principal};
use yunzhan_engine::config;
use yunzhan_engine::sql::sqlite::path_of;
use yunzhan_engine::sql::testing::rusqlite::Connection;
use yunzhan_engine::sql::{Database, Migrations, Sqlite};
use yunzhan_services::documents::{Body, Caller, Config, Documents, MIGRATIONS, Preset};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Documents that are inserted when nothing else is said.
const DOCUMENTS: u64 = 20_000;
/// Documents before those that are measured: what is prepared once, such as statements and the source of random numbers,
/// is no part of an insert.
const WARMING: u64 = 10 * WRITERS;
const READS: u64 = 100_000;
/// Writers that wait at a time, and documents of one commit of the bare side.
const WRITERS: u64 = 64;
const COLLECTION: &str = "orders";
/// The index on the owner that every collection has, and the collection, as the service numbers them.
const OWNER_INDEX: i64 = 1;
const COLLECTION_NUMBER: i64 = 1;

const PUT: &str = "INSERT INTO yz_env_documents (env, collection, id, slot, version, body) VALUES (?, ?, ?, 0, 1, ?)";
const PUT_ENTRY: &str = "INSERT INTO yz_env_index_entries (env, collection, index_id, entry, document) VALUES (?, ?, ?, ?, ?)";
const GET: &str =
    "SELECT version, body FROM yz_env_documents WHERE env = ? AND collection = ? AND id = ?";

fn main() -> Outcome {
    let documents = std::env::args().nth(1).map_or(Ok(DOCUMENTS), |count| count.parse())?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (bare_folder, folder) = (TempDir::new()?, TempDir::new()?);
    let bare = Bare::in_folder(&bare_folder, &runtime)?;
    let service = Service::in_folder(&folder, &runtime)?;

    bare.insert(0..WARMING)?;
    service.insert(&runtime, 0..WARMING)?;
    let measured = WARMING..WARMING + documents;
    let bare_insert = times(documents, || bare.insert(measured.clone()))?;
    let mut ids = Vec::new();
    let service_insert = times(documents, || {
        ids = service.insert(&runtime, measured.clone())?;
        Ok(())
    })?;
    print("insert, 64 writers at a time", bare_insert, service_insert, None);
    let bare_read = times(READS, || bare.read(documents))?;
    let service_read = times(READS, || runtime.block_on(service.read(&ids)))?;
    print("point read", bare_read, service_read, None);
    import::measure(
        &runtime,
        std::env::args().nth(2).map_or(Ok(import::DOCUMENTS), |count| count.parse())?,
    )
}

/// One line; `grown_mib` is what the process grew by at the most.
fn print(operation: &str, bare: Times, service: Times, grown_mib: Option<f64>) {
    let line = serde_json::json!({
        "operation": operation,
        "bare_us": bare.elapsed_us,
        "bare_cpu_us": bare.cpu_us,
        "service_us": service.elapsed_us,
        "service_cpu_us": service.cpu_us,
        "grown_mib": grown_mib,
    });
    println!("{line}");
}

fn env() -> Outcome<EnvId> {
    Ok("shop".parse()?)
}

fn sqlite(folder: &TempDir) -> Outcome<Sqlite> {
    let migrations = Migrations::new(vec![("documents", MIGRATIONS)])?;
    Ok(Sqlite::new(folder.path().to_owned(), config::Sql::default(), migrations, Clock::System)?)
}

/// An order of a small shop, 1 KB.
fn order(number: u64) -> Document {
    doc! {
        "_openid": owner(number),
        "status": "open",
        "created": created(number),
        "total": 12_800,
        "items": [
            { "sku": "tea-oolong-250", "count": 2, "price": 4_900 },
            { "sku": "cup-celadon", "count": 1, "price": 3_000 },
        ],
        "address": { "city": "杭州", "street": "龙井路 1 号", "phone": "13800000000" },
        "remark": "请放在门口。".repeat(32),
    }
}

fn owner(number: u64) -> String {
    format!("o{:027}", number % 1000)
}

fn created(number: u64) -> i64 {
    1_700_000_000_000 + i64::try_from(number).expect("small") * 37
}

/// The documents service on the embedded engine.
struct Service {
    documents: Arc<Documents>,
    env: EnvId,
    principal: Principal,
}

// === impl Service ===

impl Service {
    fn in_folder(folder: &TempDir, runtime: &Runtime) -> Outcome<Self> {
        let env = env()?;
        let envs = Live::new(Envs::new([Env::new(env.clone())])?);
        let sql = Arc::new(sqlite(folder)?);
        let documents = Documents::new(sql, envs, Clock::System, Config::default());
        let key = ServerKey { env: env.clone(), key_id: "k1".into() };
        let principal = Principal::Server(Arc::new(key));
        let service = Self { documents: Arc::new(documents), env, principal };
        let made =
            service.documents.create_collection(service.caller(), COLLECTION, Preset::ReadOnly);
        runtime.block_on(made)?;
        Ok(service)
    }

    fn caller(&self) -> Caller<'_> {
        Caller { env: &self.env, principal: &self.principal }
    }

    /// As many writers, each of which inserts one document after the other, always the next one that nobody took: as on
    /// the bare side, documents of one commit follow one another and so do their owners.
    fn insert(&self, runtime: &Runtime, numbers: Range<u64>) -> Outcome<Vec<Bson>> {
        let next = Arc::new(AtomicU64::new(numbers.start));
        let write = || {
            let documents_service = Arc::clone(&self.documents);
            let (env, principal) = (self.env.clone(), self.principal.clone());
            let next = Arc::clone(&next);
            async move {
                let caller = Caller { env: &env, principal: &principal };
                let mut ids = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        break;
                    }
                    let inserted = documents_service
                        .insert(caller, COLLECTION, vec![order(number)], None)
                        .await?;
                    ids.extend(inserted);
                }
                Ok::<_, yunzhan_base::Error>(ids)
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|_| runtime.spawn(write())).collect();
        let mut ids = Vec::new();
        for writer in writers {
            ids.extend(runtime.block_on(writer)??);
        }
        Ok(ids)
    }

    async fn read(&self, ids: &[Bson]) -> Outcome {
        for id in ids.iter().cycle().take(READS as usize) {
            let body = self.documents.get(self.caller(), COLLECTION, id, None).await?;
            assert!(matches!(body, Some(Body::Stored(bson)) if bson.len() > 500));
        }
        Ok(())
    }
}

/// A file with the same tables, made by the engine and then used without it.
struct Bare {
    connection: Connection,
}

// === impl Bare ===

impl Bare {
    fn in_folder(folder: &TempDir, runtime: &Runtime) -> Outcome<Self> {
        let database = Database::Env(env()?);
        runtime.block_on(sqlite(folder)?.prepare(&database))?;
        let connection = Connection::open(path_of(folder.path(), &database))?;
        // As the engine opens it.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -1024;",
        )?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { connection })
    }

    fn insert(&self, numbers: Range<u64>) -> Outcome {
        let first = numbers.start;
        for number in numbers {
            if number.is_multiple_of(WRITERS) {
                let turn = if number == first { "BEGIN" } else { "COMMIT; BEGIN" };
                self.connection.execute_batch(turn)?;
            }
            let key = key(number);
            let mut document = doc! { "_id": text(&key) };
            document.extend(order(number));
            let row = ("shop", COLLECTION_NUMBER, &key, document.to_vec()?);
            self.connection.prepare_cached(PUT)?.execute(row)?;
            let entry = [b"\x20", owner(number).as_bytes(), b"\0"].concat();
            let row = ("shop", COLLECTION_NUMBER, OWNER_INDEX, entry, &key);
            self.connection.prepare_cached(PUT_ENTRY)?.execute(row)?;
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    fn read(&self, documents: u64) -> Outcome {
        for number in 0..READS {
            let mut statement = self.connection.prepare_cached(GET)?;
            let key = key(number % documents);
            let (_, body): (i64, Vec<u8>) = statement
                .query_row(("shop", COLLECTION_NUMBER, key), |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            assert!(body.len() > 500);
        }
        Ok(())
    }
}

/// A tag of the type, and 32 digits that grow with time, as the service's own keys are.
fn key(number: u64) -> Vec<u8> {
    format!(" {:032x}", created(number)).into_bytes()
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).trim().to_owned()
}

#[derive(Clone, Copy)]
struct Times {
    elapsed_us: f64,
    cpu_us: f64,
}

/// Times of one of `count` operations.
fn times(count: u64, work: impl FnOnce() -> Outcome) -> Outcome<Times> {
    let (before, started) = (processor_time()?, Instant::now());
    work()?;
    let per = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    Ok(Times { elapsed_us: per(started.elapsed()), cpu_us: per(processor_time()? - before) })
}

/// Processor time of all living threads of this process.
fn processor_time() -> Outcome<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}
