//! One open database file: the queue of its writer, its idle readers, and whether it is ready yet.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use yunzhan_base::{Error, Kind, Result};

use super::codes;
use super::connection::{Failure, OpenOptions, Session};
use super::memory::{Memory, READER_BYTES, WRITER_BYTES};
use super::queue::Queue;
use crate::sql::dialect::Text;
use crate::sql::storage_fault::StorageFault;
use crate::sql::{Database, Rows, Value};

/// How long a read may keep the caller's thread. A point read needs some microseconds; a scheduler that is held for a
/// fifth of a millisecond, once in [`HOPS`] times, does not notice.
const HERE_MAX: Duration = Duration::from_micros(200);
/// How many times a statement that was too long goes to a reader thread before it is tried on the caller's again.
const HOPS: u32 = 64;
/// Readers that a file keeps while all files together hold too much: the one of a lone caller.
pub(super) const READERS_KEPT: usize = 1;

/// A database file.
pub(super) struct File {
    pub(super) database: Database,
    pub(super) path: PathBuf,
    pub(super) queue: Queue,
    /// When it was last used, in milliseconds since 1970.
    used_ms: AtomicU64,
    is_ready: AtomicBool,
    stage: Mutex<Stage>,
    changed: Condvar,
    readers: Mutex<Readers>,
    memory: Arc<Memory>,
    identity: OnceLock<Identity>,
}

/// The connections that read, and what all connections of the file hold.
#[derive(Default)]
struct Readers {
    /// Those that nobody uses, the warmest last. Each belongs to one thread at a time and is made when none is idle, so there
    /// are never more than threads that read.
    idle: Vec<Session>,
    /// How many are open, those at work too.
    open: usize,
    /// What the page cache of one connection may hold of this file.
    cache_bytes: u64,
    /// Whether what they hold counts: while the file is in the table.
    is_counted: bool,
}

/// Device and number of a file.
type Identity = (u64, u64);

fn identity_of(path: &Path) -> std::io::Result<Identity> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

/// How far the opening has come.
enum Stage {
    Opening,
    Ready,
    Failed(Failed),
}

/// Why it cannot be opened, to be told to many.
#[derive(Clone)]
pub(super) struct Failed {
    kind: Kind,
    message: String,
    detail: String,
    fault: Option<StorageFault>,
}

/// A read as the file sees it.
pub(super) struct Query<'a> {
    pub(super) text: &'a Text,
    pub(super) params: &'a [Value],
    pub(super) rows_max: usize,
}

// === impl File ===

impl File {
    pub(super) fn new(database: Database, path: PathBuf, memory: Arc<Memory>) -> Self {
        Self {
            database,
            path,
            queue: Queue::default(),
            used_ms: AtomicU64::new(0),
            is_ready: AtomicBool::new(false),
            stage: Mutex::new(Stage::Opening),
            changed: Condvar::new(),
            readers: Mutex::default(),
            memory,
            identity: OnceLock::new(),
        }
    }

    /// Remembers which file of the disk it is. Called once it is open.
    pub(super) fn remember_identity(&self) -> Result<()> {
        let identity = identity_of(&self.path).map_err(|error| StorageFault::Io.error(error))?;
        self.identity.get_or_init(|| identity);
        Ok(())
    }

    /// Refuses when another file, or none, stands where the open one did: SQLite goes on to write to the one that it has
    /// open, and all of that is lost with this process.
    pub(super) fn check_identity(&self) -> Result<()> {
        let now = identity_of(&self.path).ok();
        if now.as_ref() == self.identity.get() { Ok(()) } else { Err(StorageFault::Gone.bare()) }
    }

    pub(super) fn touch(&self, now_ms: u64) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    /// The writer has opened and migrated it.
    pub(super) fn set_ready(&self) {
        *self.stage() = Stage::Ready;
        self.is_ready.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Whether it is open.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// It cannot be opened. What is open already stays readable until its last reader lets go.
    pub(super) fn set_failed(&self, why: Failed) {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Opening) {
            *stage = Stage::Failed(why);
            self.changed.notify_all();
        }
    }

    /// Blocks until it is open.
    pub(super) fn wait_ready(&self, deadline: Instant) -> Result<()> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let is_opening = |stage: &mut Stage| matches!(stage, Stage::Opening);
        let (stage, _) = self
            .changed
            .wait_timeout_while(self.stage(), patience, is_opening)
            .expect("no panic while held");
        match &*stage {
            Stage::Ready => Ok(()),
            Stage::Failed(why) => Err(why.error()),
            Stage::Opening => Err(Error::new(Kind::Timeout, "the database takes too long to open")),
        }
    }

    /// Reads on the caller's thread, if it can be done at once and within [`HERE_MAX`].
    pub(super) fn read_here(
        &self,
        options: &OpenOptions,
        query: &Query<'_>,
    ) -> Option<Result<Rows>> {
        if !self.is_ready() || query.text.takes_hop() {
            return None;
        }
        let session = match self.session(options) {
            Ok(session) => session,
            Err(error) => return Some(Err(error)),
        };
        let until = Instant::now() + HERE_MAX;
        match self.read_with(session, query, until) {
            Err(failure) if failure.is_interrupt() => {
                query.text.hop_for(HOPS);
                None
            }
            answer => Some(answer.map_err(Into::into)),
        }
    }

    /// Reads on a reader thread.
    pub(super) fn read_patiently(
        &self,
        options: &OpenOptions,
        query: &Query<'_>,
        deadline: Instant,
    ) -> Result<Rows> {
        self.wait_ready(deadline)?;
        let session = self.session(options)?;
        Ok(self.read_with(session, query, deadline)?)
    }

    /// An idle reader, or a new one. Opening takes some hundred microseconds, once for each thread that reads: less than
    /// a point read might wait for a reader thread that is busy with scans.
    fn session(&self, options: &OpenOptions) -> Result<Session> {
        if let Some(idle) = self.readers().idle.pop() {
            return Ok(idle);
        }
        // A file that took the place of ours must not meet our log.
        self.check_identity()?;
        let session = Session::open_to_read(&self.path, options)
            .map_err(|error| codes::opening(&self.path, error))?;
        self.recount(|readers| readers.open += 1);
        Ok(session)
    }

    fn read_with(
        &self,
        session: Session,
        query: &Query<'_>,
        until: Instant,
    ) -> Result<Rows, Failure> {
        session.stop_at(Some(until));
        let rows = session.rows(&query.text.sql, query.params, query.rows_max);
        self.give_back(session);
        rows
    }

    /// Keeps a reader for the next one. Where all files together hold too much, only one of each file is kept.
    fn give_back(&self, session: Session) {
        let mut readers = self.readers();
        let is_spare = self.memory.is_over() && readers.is_counted && readers.open > READERS_KEPT;
        if is_spare {
            drop(readers);
            self.recount(|readers| readers.open -= 1);
        } else {
            readers.idle.push(session);
        }
    }

    /// Begins to count what it holds: it stands in the table from now on.
    pub(super) fn enter(&self) {
        let mut readers = self.readers();
        readers.is_counted = true;
        self.memory.change(0, readers.bytes());
    }

    /// Ends that: it is out of the table.
    pub(super) fn leave(&self) {
        let mut readers = self.readers();
        if std::mem::take(&mut readers.is_counted) {
            self.memory.change(readers.bytes(), 0);
        }
    }

    /// What a connection's page cache may hold of it. Called by the writer when that changes.
    pub(super) fn set_cache_bytes(&self, bytes: u64) {
        self.recount(|readers| readers.cache_bytes = bytes);
    }

    /// What its connections may hold.
    pub(super) fn bytes(&self) -> u64 {
        self.readers().bytes()
    }

    /// How many readers are open.
    #[cfg(test)]
    pub(super) fn open_readers(&self) -> usize {
        self.readers().open
    }

    /// What readers at work hold that are more than it keeps: they are closed when they are done, as long as all hold too much.
    pub(super) fn crowd_bytes(&self) -> u64 {
        let readers = self.readers();
        let at_work = readers.open - readers.idle.len();
        at_work.saturating_sub(READERS_KEPT) as u64 * readers.reader_bytes()
    }

    /// Moves idle readers to `into`, the coldest first, until the files hold no more than they may and `beside`; leaves `kept`
    /// readers open.
    pub(super) fn take_idle_readers(&self, kept: usize, beside: u64, into: &mut Vec<Session>) {
        while self.memory.is_over_by(beside) {
            let taken = self.recount(|readers| {
                let is_left = readers.open > kept && !readers.idle.is_empty();
                is_left.then(|| {
                    readers.open -= 1;
                    readers.idle.remove(0)
                })
            });
            match taken {
                Some(session) => into.push(session),
                None => return,
            }
        }
    }

    /// Changes what is open, and counts it.
    fn recount<T>(&self, change: impl FnOnce(&mut Readers) -> T) -> T {
        let mut readers = self.readers();
        let before = readers.bytes();
        let changed = change(&mut readers);
        if readers.is_counted {
            self.memory.change(before, readers.bytes());
        }
        changed
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().expect("no panic while held")
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().expect("no panic while held")
    }
}

// === impl Readers ===

impl Readers {
    /// What the writer and all readers may hold.
    fn bytes(&self) -> u64 {
        WRITER_BYTES + self.cache_bytes + self.open as u64 * self.reader_bytes()
    }

    const fn reader_bytes(&self) -> u64 {
        READER_BYTES + self.cache_bytes
    }
}

// === impl Failed ===

impl Failed {
    pub(super) fn of(error: &Error) -> Self {
        let message = error.message().to_owned();
        // What the log reads beyond the message.
        let text = error.log_text();
        let detail = text.strip_prefix(&message).unwrap_or(&text).trim_start_matches(": ").into();
        Self { kind: error.kind(), message, detail, fault: StorageFault::of(error) }
    }

    pub(super) fn error(&self) -> Error {
        let mut error = Error::new(self.kind, self.message.clone());
        if !self.detail.is_empty() {
            error = error.with_detail(self.detail.clone());
        }
        match self.fault {
            Some(fault) => error.because(fault),
            None => error,
        }
    }
}
