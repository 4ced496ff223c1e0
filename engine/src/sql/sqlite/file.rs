//! One open database file: the queue of its writer, its idle readers, and whether it is ready yet.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use yunzhan_base::{Error, Kind, Result};

use super::codes;
use super::connection::{Failure, OpenOptions, Session};
use super::queue::Queue;
use crate::sql::dialect::Text;
use crate::sql::storage_fault::StorageFault;
use crate::sql::{Database, Rows, Value};

/// How long a read may keep the caller's thread. A point read needs some microseconds; a scheduler that is held for a
/// fifth of a millisecond, once in [`HOPS`] times, does not notice.
const HERE_MAX: Duration = Duration::from_micros(200);
/// How many times a statement that was too long goes to a reader thread before it is tried on the caller's again.
const HOPS: u32 = 64;

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
    /// Readers that nobody uses, the warmest last. Each belongs to one thread at a time and is made when none is idle,
    /// so there are never more than threads that read.
    readers: Mutex<Vec<Session>>,
    identity: OnceLock<Identity>,
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
    pub(super) fn new(database: Database, path: PathBuf) -> Self {
        Self {
            database,
            path,
            queue: Queue::default(),
            used_ms: AtomicU64::new(0),
            is_ready: AtomicBool::new(false),
            stage: Mutex::new(Stage::Opening),
            changed: Condvar::new(),
            readers: Mutex::default(),
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
        if let Some(idle) = self.readers().pop() {
            return Ok(idle);
        }
        // A file that took the place of ours must not meet our log.
        self.check_identity()?;
        Session::open_to_read(&self.path, options).map_err(codes::error)
    }

    fn read_with(
        &self,
        session: Session,
        query: &Query<'_>,
        until: Instant,
    ) -> Result<Rows, Failure> {
        session.stop_at(Some(until));
        let rows = session.rows(&query.text.sql, query.params, query.rows_max);
        self.readers().push(session);
        rows
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().expect("no panic while held")
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Session>> {
        self.readers.lock().expect("no panic while held")
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
