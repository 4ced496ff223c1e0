//! SQLite inside the process: one file per environment and one for the system, in the data folder.
//!
//! Writes go through one thread per file ([`writer`]); reads run on the caller's thread when they are short and on a
//! reader thread when they are not ([`file`]). Files are opened when first used and closed when unused, or when others need
//! their room ([`room`]).

mod codes;
mod connection;
#[cfg(test)]
mod cuts;
#[cfg(test)]
mod durability;
mod file;
mod format;
#[cfg(test)]
mod many;
mod memory;
mod pool;
mod queue;
#[cfg(test)]
mod refusals;
mod room;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "testsuite"))]
pub mod vfs;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use yunzhan_base::{Clock, Error, Kind, Result};

use self::connection::OpenOptions;
use self::file::{File, Query};
use self::memory::Memory;
use self::pool::Pool;
use self::queue::{Refusal, Waiting};
use self::room::{Files, has_room, remove, shrink};
use super::dialect::{Dialect, Text, Texts};
use super::limits::{bytes_of, check_statement, check_unit, rows_max};
use super::migrate::Migrations;
use super::{
    Consistency, Database, Rows, ShardLocation, Sql, SqlFuture, Statement, WriteBatch, Written,
};
use crate::config;

pub use self::format::FORMAT;

/// How often an unused file asks whether it may be closed.
const IDLE_CHECKS: u32 = 4;
/// How often somebody looks again who waits for room.
const ROOM_PAUSE: Duration = Duration::from_millis(2);
/// SQLite recurses little; the standard 2 MB for every environment would be waste.
const WRITER_STACK_BYTES: usize = 512 << 10;
/// Tries to hand a unit to a file that is being closed and opened again; each one finds a newer file.
const HAND_OVER_TRIES: usize = 8;

/// The embedded database.
pub struct Sqlite {
    shared: Arc<Shared>,
}

/// What the writers and readers share with it.
struct Shared {
    root: PathBuf,
    config: config::Sql,
    options: OpenOptions,
    texts: Texts,
    migrations: Migrations,
    clock: Clock,
    files: RwLock<Files>,
    memory: Arc<Memory>,
    pool: Pool,
}

/// Where a database's file is below the data folder.
pub fn path_of(root: &Path, database: &Database) -> PathBuf {
    match database {
        Database::System => root.join("system.db"),
        Database::Env(env) => root.join("env").join(env.as_str()).join("sql").join("data.db"),
    }
}

/// Says whether the server's own database below `root` would be refused, and changes nothing.
pub fn inspect(root: &Path, migrations: &Migrations) -> Result<()> {
    let system = Database::System;
    format::inspect(&path_of(root, &system), system.scope(), migrations)
}

// === impl Sqlite ===

impl Sqlite {
    /// Serves the files below `root`, and opens none yet.
    pub fn new(
        root: PathBuf,
        config: config::Sql,
        migrations: Migrations,
        clock: Clock,
    ) -> Result<Self> {
        let cache_kib = config.sqlite_cache_kib;
        let options = OpenOptions { cache_kib, vfs: None, synchronous: "FULL" };
        Self::with_options(root, config, migrations, clock, options)
    }

    fn with_options(
        root: PathBuf,
        config: config::Sql,
        migrations: Migrations,
        clock: Clock,
        options: OpenOptions,
    ) -> Result<Self> {
        let pool = Pool::start(config.sqlite_reader_threads)?;
        let memory = Arc::new(Memory::new(config.sqlite_memory_max));
        let shared = Shared {
            root,
            config,
            options,
            texts: Texts::new(Dialect::Sqlite),
            migrations,
            clock,
            files: RwLock::default(),
            memory,
            pool,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Opens and migrates a database, so that its faults show before anybody needs it.
    pub async fn prepare(&self, database: &Database) -> Result<()> {
        let deadline = self.shared.read_deadline();
        let file = self.shared.file_by(database, deadline).await?;
        self.shared.on_reader_thread(move |_| file.wait_ready(deadline)).await
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The writers serve what waits, end, and let go of the rest.
        for file in self.shared.files.read().expect("no panic while held").values() {
            file.queue.close();
        }
    }
}

impl Sql for Sqlite {
    // One process holds the file, so every reader sees every acknowledged unit, whatever freshness is asked for.
    fn read<'a>(
        &'a self,
        _consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        Box::pin(async move {
            check_statement(&statement)?;
            let text = self.shared.texts.of(place.database.scope(), &statement)?;
            let file = match self.shared.file(&place.database)? {
                Some(file) => file,
                None => self.shared.file_by(&place.database, self.shared.read_deadline()).await?,
            };
            let rows_max = rows_max(place);
            let query = Query { text: &text, params: &statement.params, rows_max };
            let answer = match file.read_here(&self.shared.options, &query) {
                Some(answer) => answer,
                None => self.shared.read_elsewhere(file, text, statement, rows_max).await,
            };
            self.shared.make_room();
            answer
        })
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            check_unit(&unit)?;
            let (reply, answer) = oneshot::channel();
            let bytes = bytes_of(&unit);
            let deadline = Instant::now() + self.shared.config.write_timeout;
            self.shared
                .hand_over(&place.database, Waiting { unit, bytes, deadline, reply })
                .await?;
            answer
                .await
                .map_err(|_| Error::new(Kind::Unavailable, "the writer of the database died"))?
        })
    }
}

// === impl Shared ===

impl Shared {
    /// The file of a database, which may still be opening; none while there is no room for another one.
    fn file(self: &Arc<Self>, database: &Database) -> Result<Option<Arc<File>>> {
        let now_ms = self.now_ms();
        if let Some(file) = self.files.read().expect("no panic while held").get(database) {
            file.touch(now_ms);
            return Ok(Some(Arc::clone(file)));
        }
        self.open(database, now_ms)
    }

    /// The same, once there is room.
    async fn file_by(
        self: &Arc<Self>,
        database: &Database,
        deadline: Instant,
    ) -> Result<Arc<File>> {
        loop {
            match self.file(database)? {
                Some(file) => return Ok(file),
                None if Instant::now() >= deadline => return Err(no_room()),
                None => tokio::time::sleep(ROOM_PAUSE).await,
            }
        }
    }

    fn open(self: &Arc<Self>, database: &Database, now_ms: u64) -> Result<Option<Arc<File>>> {
        let mut files = self.files.write().expect("no panic while held");
        if let Some(file) = files.get(database) {
            return Ok(Some(Arc::clone(file)));
        }
        if !has_room(&mut files, self.config.sqlite_open_max) {
            return Ok(None);
        }
        let path = path_of(&self.root, database);
        let file = Arc::new(File::new(database.clone(), path, Arc::clone(&self.memory)));
        file.touch(now_ms);
        let (shared, served) = (Arc::clone(self), Arc::clone(&file));
        thread::Builder::new()
            .name("sql-write".to_owned())
            .stack_size(WRITER_STACK_BYTES)
            .spawn(move || writer::run(&shared, &served))
            .map_err(|error| {
                Error::new(Kind::Unavailable, "no thread for another database").because(error)
            })?;
        files.insert(database.clone(), Arc::clone(&file));
        file.enter();
        drop(files);
        self.make_room();
        Ok(Some(file))
    }

    /// Lets go of what is idle, if the open files grew past what they may hold.
    fn make_room(&self) {
        if self.memory.wants_room() {
            let closed =
                shrink(&mut self.files.write().expect("no panic while held"), &self.memory);
            // Closing takes a while, and the table is free again.
            drop(closed);
        }
    }

    async fn hand_over(self: &Arc<Self>, database: &Database, mut waiting: Waiting) -> Result<()> {
        for _ in 0..HAND_OVER_TRIES {
            let file = match self.file(database)? {
                Some(file) => file,
                None => self.file_by(database, waiting.deadline).await?,
            };
            match file.queue.push(waiting) {
                Ok(()) => return Ok(()),
                Err(Refusal::Full) => {
                    return Err(Error::new(Kind::Unavailable, "too many writes wait; try again"));
                }
                Err(Refusal::Closed(back)) => waiting = back,
            }
            // Whoever closed the queue takes the file out of the table next.
            thread::yield_now();
        }
        Err(Error::new(Kind::Unavailable, "the database is being closed; try again"))
    }

    async fn read_elsewhere(
        self: &Arc<Self>,
        file: Arc<File>,
        text: Arc<Text>,
        statement: Statement,
        rows_max: usize,
    ) -> Result<Rows> {
        let deadline = self.read_deadline();
        self.on_reader_thread(move |shared| {
            let query = Query { text: &text, params: &statement.params, rows_max };
            file.read_patiently(&shared.options, &query, deadline)
        })
        .await
    }

    /// Runs work on a reader thread, unless its caller left meanwhile.
    async fn on_reader_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let shared = Arc::clone(self);
        self.pool.run(Box::new(move || {
            if !reply.is_closed() {
                let _ = reply.send(work(&shared));
            }
        }))?;
        answer.await.map_err(|_| Error::internal("a read of the database panicked"))?
    }

    fn read_deadline(&self) -> Instant {
        Instant::now() + self.config.read_timeout
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now_ms()).unwrap_or(0)
    }

    fn idle_check(&self) -> Duration {
        self.config.sqlite_idle / IDLE_CHECKS
    }

    /// Closes a file that nobody used for a while; called by its writer.
    fn close_if_idle(&self, file: &Arc<File>) -> bool {
        let mut files = self.files.write().expect("no panic while held");
        let idle = Duration::from_millis(self.now_ms().saturating_sub(file.used_ms()));
        let closes = idle >= self.config.sqlite_idle && file.queue.close_if_empty();
        if closes {
            remove(&mut files, file);
        }
        closes
    }

    fn forget(&self, file: &Arc<File>) {
        remove(&mut self.files.write().expect("no panic while held"), file);
    }
}

fn no_room() -> Error {
    let message =
        "writes wait for as many databases as may be open; try again, or raise sql.sqlite_open_max";
    Error::new(Kind::Unavailable, message)
}
