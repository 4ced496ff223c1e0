//! One connection to one file: how it is opened, how long it may run, how values go in and rows come out.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql};
use yunzhan_base::{Error, Kind, Result};

use super::codes;
use crate::sql::dialect::{TAKE, Text};
use crate::sql::limits::{RESULT_BYTES_MAX, check_taken, nothing_taken, too_large};
use crate::sql::{Row, Rows, Statement, Value, WriteStep};

/// Steps of SQLite's virtual machine between two looks at the clock: some 20 µs, so a bound is kept to that.
const STEPS_BETWEEN_CHECKS: i32 = 1000;
/// Statements that a connection keeps prepared: more than all services have together.
const PREPARED_MAX: usize = 256;
/// How long a connection waits for a lock of another program (a backup, the `sqlite3` shell).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The log shrinks to this size after a checkpoint; larger units may still make it longer meanwhile.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// How files are opened.
#[derive(Clone, Debug)]
pub(super) struct OpenOptions {
    /// Page cache of a connection in KiB.
    pub(super) cache_kib: u32,
    /// The file system, for tests; the default one else.
    pub(super) vfs: Option<&'static str>,
    /// `FULL`, for tests `OFF`.
    pub(super) synchronous: &'static str,
}

/// A connection that can be told when to stop.
pub(super) struct Session {
    pub(super) connection: Connection,
    bound: TimeBound,
    /// The number that [`TAKE`] was given last.
    taken: Arc<AtomicI64>,
}

/// The moment at which a running statement is stopped, shared with SQLite's progress handler.
#[derive(Clone)]
struct TimeBound {
    base: Instant,
    until_us: Arc<AtomicU64>,
}

// === impl Session ===

impl Session {
    /// Opens a file for reading and writing, making it when it is missing.
    pub(super) fn open(path: &Path, options: &OpenOptions) -> rusqlite::Result<Self> {
        Self::open_with(path, options, OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens a file that is there for reading.
    pub(super) fn open_to_read(path: &Path, options: &OpenOptions) -> rusqlite::Result<Self> {
        let session = Self::open_with(path, options, OpenFlags::empty())?;
        session.connection.pragma_update(None, "query_only", true)?;
        Ok(session)
    }

    fn open_with(path: &Path, options: &OpenOptions, more: OpenFlags) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let mut connection = match options.vfs {
            None => Connection::open_with_flags(path, flags)?,
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        };
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(&pragmas(options))?;
        connection.set_prepared_statement_cache_capacity(PREPARED_MAX);
        // A plan follows from the statement alone. Otherwise SQLite compiles every statement with a range anew for each
        // value of its ends, which costs more than a short range.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let bound = TimeBound::none();
        let watch = bound.clone();
        connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || watch.is_over()))?;
        let taken = Arc::new(AtomicI64::new(0));
        let noted = Arc::clone(&taken);
        // Directly only: no view or trigger of a foreign file may call it.
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        connection.create_scalar_function(TAKE, 1, flags, move |call| {
            let number: i64 = call.get(0)?;
            noted.store(number, Ordering::Relaxed);
            Ok(number)
        })?;
        Ok(Self { connection, bound, taken })
    }

    /// Opens a file to look at it, and leaves everything as it is, also what another process that has it open does.
    pub(super) fn look_at(path: &Path) -> rusqlite::Result<Connection> {
        // Without a log the file alone is the database, and nobody has it open. Only then may SQLite be told that nothing
        // will change; else it would make files beside it.
        let is_alone = !beside(path, "-wal").exists();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let mut uri = String::from("file:");
        for &byte in path.as_os_str().as_bytes() {
            match byte {
                b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                    uri.push(char::from(byte));
                }
                other => uri.push_str(&format!("%{other:02x}")),
            }
        }
        uri.push_str(if is_alone { "?immutable=1" } else { "?mode=ro" });
        let connection = Connection::open_with_flags(uri, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }

    /// Stops statements at `until`, or never.
    pub(super) fn stop_at(&self, until: Option<Instant>) {
        self.bound.set(until);
    }

    /// Runs a statement that gives rows, at most `limit` of them.
    pub(super) fn rows(&self, sql: &str, params: &[Value], limit: usize) -> Result<Rows, Failure> {
        let mut statement = self.connection.prepare_cached(sql)?;
        bind(&mut statement, sql, params)?;
        let columns = statement.column_count();
        let mut bytes = 0;
        let mut rows = Vec::new();
        let mut cursor = statement.raw_query();
        while rows.len() < limit
            && let Some(row) = cursor.next()?
        {
            let mut values = Vec::with_capacity(columns);
            for column in 0..columns {
                values.push(owned(row.get_ref(column)?, &mut bytes)?);
            }
            rows.push(Row(values));
        }
        Ok(Rows(rows))
    }

    /// Runs a step for all its rows, and says how many rows it changed. A number that it takes joins `taken`.
    pub(super) fn step(
        &self,
        text: &Text,
        step: &WriteStep,
        taken: &mut Vec<i64>,
    ) -> Result<u64, Failure> {
        let mut statement = self.connection.prepare_cached(&text.sql)?;
        let WriteStep { statement: Statement { params, .. }, rows, .. } = step;
        let own = rows.iter().next().map_or(0, <[Value]>::len);
        let wants = statement.parameter_count();
        if wants != params.len() + own && (rows.is_once() || own > 0) {
            return Err(Failure::Refused(wrong_count(wants, params.len() + own, &text.sql)));
        }
        // The statement's own are bound once for all rows.
        let before = text.rows.as_ref().filter(|rows| !rows.repeats_params);
        let before = before.map_or(params.len(), |rows| rows.params_before);
        for (place, value) in params.iter().enumerate() {
            let place = if place < before { place } else { place + own };
            bind_one(&mut statement, place, value, taken)?;
        }
        if rows.is_once() {
            let changed = statement.raw_execute()? as u64;
            if text.takes {
                check_taken(changed).map_err(Failure::Refused)?;
                taken.push(self.taken.load(Ordering::Relaxed));
            }
            return Ok(changed);
        }
        let mut changed = 0;
        for row in rows.iter() {
            for (place, value) in row.iter().enumerate() {
                bind_one(&mut statement, before + place, value, taken)?;
            }
            changed += match statement.raw_execute() {
                Ok(changed) => changed as u64,
                Err(error) if text.ignores_duplicates && codes::is_duplicate(&error) => 0,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(changed)
    }

    /// Runs a statement that changes rows, and says how many.
    pub(super) fn change(&self, sql: &str, params: &[Value]) -> Result<u64, Failure> {
        let mut statement = self.connection.prepare_cached(sql)?;
        bind(&mut statement, sql, params)?;
        let changed = statement.raw_execute()?;
        Ok(changed as u64)
    }
}

/// A file that SQLite keeps beside a database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn pragmas(options: &OpenOptions) -> String {
    let OpenOptions { cache_kib, synchronous, .. } = options;
    format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -{cache_kib}; PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = {LOG_BYTES_MAX}; PRAGMA trusted_schema = OFF;"
    )
}

/// What stopped a statement: the database, or a value that is not ours.
pub(super) enum Failure {
    Driver(rusqlite::Error),
    Refused(Error),
}

// === impl Failure ===

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Driver(source) => codes::error(source),
            Failure::Refused(error) => error,
        }
    }
}

impl Failure {
    pub(super) fn is_interrupt(&self) -> bool {
        matches!(self, Self::Driver(source) if codes::is_interrupt(source))
    }

    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Driver(source) if codes::is_duplicate(source))
    }
}

fn bind(
    statement: &mut rusqlite::Statement<'_>,
    sql: &str,
    params: &[Value],
) -> Result<(), Failure> {
    let (wants, got) = (statement.parameter_count(), params.len());
    if wants != got {
        return Err(Failure::Refused(wrong_count(wants, got, sql)));
    }
    for (index, value) in params.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

fn wrong_count(wants: usize, got: usize, sql: &str) -> Error {
    Error::internal(format!("{wants} parameters wanted, {got} given: {sql}"))
}

fn bind_one(
    statement: &mut rusqlite::Statement<'_>,
    place: usize,
    value: &Value,
    taken: &[i64],
) -> Result<(), Failure> {
    match value {
        Value::Taken(counter) => {
            let number = taken.get(*counter).copied();
            let number = number.ok_or_else(|| Failure::Refused(nothing_taken(*counter)))?;
            statement.raw_bind_parameter(place + 1, number)?;
        }
        value => statement.raw_bind_parameter(place + 1, value)?,
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
            Self::Taken(counter) => {
                let error = Box::new(nothing_taken(*counter));
                return Err(rusqlite::Error::ToSqlConversionFailure(error));
            }
        }))
    }
}

fn owned(value: ValueRef<'_>, bytes: &mut usize) -> Result<Value, Failure> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => {
            count(bytes, text.len())?;
            let text = std::str::from_utf8(text);
            Value::Text(text.map_err(|_| Failure::Refused(not_text()))?.to_owned())
        }
        ValueRef::Blob(blob) => {
            count(bytes, blob.len())?;
            Value::Blob(blob.to_owned())
        }
    })
}

fn count(bytes: &mut usize, more: usize) -> Result<(), Failure> {
    *bytes += more;
    if *bytes > RESULT_BYTES_MAX { Err(Failure::Refused(too_large())) } else { Ok(()) }
}

fn not_text() -> Error {
    Error::new(Kind::Internal, Kind::Internal.entry().en).with_detail("a stored text is not UTF-8")
}

// === impl TimeBound ===

impl TimeBound {
    fn none() -> Self {
        Self { base: Instant::now(), until_us: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn set(&self, until: Option<Instant>) {
        let until_us = until.map_or(u64::MAX, |until| micros(until.duration_since(self.base)));
        self.until_us.store(until_us, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        micros(self.base.elapsed()) >= self.until_us.load(Ordering::Relaxed)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
