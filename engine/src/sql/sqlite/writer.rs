//! The one writer of a database file: a thread that commits the units which wait in groups.
//!
//! A group is one transaction, so one sync serves all its units; nobody is answered before that sync. While a group is
//! synced the next one gathers, so groups grow with the load and a lone unit never waits for company.
//!
//! A unit that fails must leave nothing behind, and the others of its group all they wrote. Each could be a savepoint, but
//! then SQLite keeps a copy of every page that a unit touches, which is a third of what a small unit costs; and few fail
//! after they changed something. So units run without, and where one fails halfway the group is rolled back and run again
//! with savepoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use yunzhan_base::{Error, Kind, Result};

use super::connection::{Failure, Session};
use super::file::{Failed, File};
use super::queue::{Taken, Waiting};
use super::{Shared, codes, format};
use crate::sql::dialect::Dialect;
use crate::sql::limits::{IDEMPOTENCY_AGE_MS, SWEEP_EVERY_MS, SWEEP_ROWS_MAX, swept_ms};
use crate::sql::limits::{changed_from, changed_text};
use crate::sql::migrate::Scope;
use crate::sql::storage_fault::StorageFault;
use crate::sql::{Token, Value, WriteBatch, WriteStep, Written};

/// Units in one transaction at the most: beyond some hundreds the share of the sync no longer matters.
const GROUP_UNITS_MAX: usize = 512;
/// Groups that run with savepoints after one that had to run again: where many units fail, few groups run twice.
const CAREFUL_GROUPS: u32 = 16;
/// A group that ran this long is committed, so that its first unit does not wait for a crowd.
const GROUP_TIME_MAX: Duration = Duration::from_millis(5);

/// Opens the file and serves its queue until it is closed.
pub(super) fn run(shared: &Arc<Shared>, file: &Arc<File>) {
    // Whatever ends this thread, nobody may wait for it afterwards.
    let _ending = Ending { shared, file };
    let opened = Writer::open(shared, file);
    match opened {
        Ok(mut writer) => {
            writer.count_pages();
            file.set_ready();
            writer.serve();
        }
        Err(error) => {
            // First out of the table, so that whoever hears of the failure and tries again gets a new try.
            shared.forget(file);
            file.set_failed(Failed::of(&error));
        }
    }
}

struct Ending<'a> {
    shared: &'a Arc<Shared>,
    file: &'a Arc<File>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let (shared, file) = (self.shared, self.file);
        shared.forget(file);
        file.queue.close();
        let ended = Error::new(Kind::Unavailable, "the database was closed; try again");
        file.set_failed(Failed::of(&ended));
        let mut left = Vec::new();
        file.queue.take_waiting(usize::MAX, &mut left);
        answer_all(&mut left, &file.wait_ready(Instant::now()).err().unwrap_or(ended));
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    file: &'a Arc<File>,
    session: Session,
    scope: Scope,
    env: Value,
    memory: Memory,
    /// Units committed since the file was opened.
    sequence: u64,
    swept_ms: i64,
    /// Groups that still run with a savepoint for each unit.
    careful_groups: u32,
    /// Bytes of a page of the file.
    page_bytes: u64,
    /// What a connection's page cache may hold of the file, as counted last.
    cache_bytes: u64,
}

/// The statements on remembered answers.
struct Memory {
    find: String,
    keep: String,
    sweep: String,
}

/// Why a transaction was undone.
enum Undone {
    /// The unit at this place broke it; the others may try again without it.
    By(usize, Error),
    /// The unit at this place failed halfway, and had no savepoint to go back to.
    Halfway(usize),
    /// The database refused it as a whole.
    All(Error),
}

// === impl Writer ===

impl<'a> Writer<'a> {
    fn open(shared: &'a Shared, file: &'a Arc<File>) -> Result<Self> {
        let scope = file.database.scope();
        let Shared { options, migrations, clock, .. } = shared;
        let session = format::open(&file.path, scope, options, migrations, clock)?;
        file.remember_identity()?;
        let page_bytes = number(&session, "PRAGMA page_size")?;
        let env = Value::Text(file.database.env_column().to_owned());
        let memory = Memory::of(scope)?;
        Ok(Self {
            shared,
            file,
            session,
            scope,
            env,
            memory,
            sequence: 0,
            swept_ms: 0,
            careful_groups: 0,
            page_bytes,
            cache_bytes: 0,
        })
    }

    fn serve(&mut self) {
        let mut units = Vec::new();
        loop {
            match self.file.queue.take(GROUP_UNITS_MAX, self.shared.idle_check(), &mut units) {
                Taken::Units => self.commit_all(&mut units),
                Taken::Nothing if self.shared.close_if_idle(self.file) => return,
                Taken::Nothing => {}
                Taken::Closed => return,
            }
        }
    }

    /// Commits units and answers them. One that breaks the transaction is answered alone and the rest begins anew, and
    /// once the rest may begin anew with savepoints, so this ends after one round more than there are units.
    fn commit_all(&mut self, units: &mut Vec<Waiting>) {
        self.careful_groups = self.careful_groups.saturating_sub(1);
        while !units.is_empty() {
            match self.attempt(units) {
                Ok(answers) => {
                    for (waiting, answer) in units.drain(..).zip(answers) {
                        // A caller that left does not want to know.
                        let _ = waiting.reply.send(answer);
                    }
                }
                Err(Undone::By(culprit, error)) => {
                    let _ = units.remove(culprit).reply.send(Err(error));
                    self.prolong(&mut units[..culprit]);
                }
                Err(Undone::Halfway(culprit)) => {
                    self.careful_groups = CAREFUL_GROUPS;
                    self.prolong(&mut units[..=culprit]);
                }
                Err(Undone::All(error)) => answer_all(units, &error),
            }
        }
    }

    /// Gives units that run again new time: they were in time and quick, and that they run again is not their fault.
    fn prolong(&self, units: &mut [Waiting]) {
        let deadline = Instant::now() + self.shared.config.write_timeout;
        units.iter_mut().for_each(|waiting| waiting.deadline = deadline);
    }

    /// One transaction over all units, and those that arrive while it runs.
    fn attempt(&mut self, units: &mut Vec<Waiting>) -> Result<Vec<Result<Written>>, Undone> {
        self.file.check_identity().map_err(Undone::All)?;
        self.run("BEGIN IMMEDIATE").map_err(Undone::All)?;
        let started = Instant::now();
        self.sweep();
        let mut answers = Vec::with_capacity(units.len());
        loop {
            while let Some(waiting) = units.get(answers.len()) {
                let changed = self.session.connection.total_changes();
                let answer = self.unit(waiting);
                match answer {
                    // Some failures make SQLite roll back everything.
                    Err(error) if self.session.connection.is_autocommit() => {
                        return Err(Undone::By(answers.len(), error));
                    }
                    Err(error) if !self.is_careful() && self.has_changed_since(changed) => {
                        return Err(self.roll_back(answers.len(), error));
                    }
                    answer => answers.push(answer),
                }
            }
            let room = GROUP_UNITS_MAX.saturating_sub(units.len());
            let is_late = started.elapsed() >= GROUP_TIME_MAX;
            if room == 0 || is_late || !self.file.queue.take_waiting(room, units) {
                break;
            }
        }
        self.commit().map_err(Undone::All)?;
        self.count_pages();
        Ok(answers)
    }

    /// Counts what a page cache may hold of the file, until that is as much as it may hold at all.
    fn count_pages(&mut self) {
        let most = u64::from(self.shared.options.cache_kib) << 10;
        if self.cache_bytes >= most {
            return;
        }
        // A failure leaves the count for the next time.
        let pages = number(&self.session, "PRAGMA page_count").unwrap_or(0);
        let bytes = (pages * self.page_bytes).min(most);
        if bytes > self.cache_bytes {
            self.cache_bytes = bytes;
            self.file.set_cache_bytes(bytes);
            self.shared.make_room();
        }
    }

    /// Undoes a group whose unit at place `culprit` failed halfway.
    fn roll_back(&self, culprit: usize, error: Error) -> Undone {
        match (self.run("ROLLBACK"), culprit) {
            (Err(error), _) => Undone::All(error),
            // What failed on the committed state alone may be told at once.
            (Ok(()), 0) => Undone::By(0, error),
            (Ok(()), _) => Undone::Halfway(culprit),
        }
    }

    fn commit(&self) -> Result<()> {
        let committed = self.run("COMMIT");
        if committed.is_err() && !self.session.connection.is_autocommit() {
            // The error of the commit is the one that counts.
            let _ = self.run("ROLLBACK");
        }
        // Whatever the cause: after a failed commit it is not known what the disk holds.
        committed.map_err(|error| match StorageFault::of(&error) {
            Some(_) => error.with_detail("the commit failed"),
            None => Error::new(Kind::Unavailable, "the commit failed").because(error),
        })
    }

    /// Whether each unit of this group is a savepoint.
    fn is_careful(&self) -> bool {
        self.careful_groups > 0
    }

    /// Whether rows were written since the connection had changed `changed` of them; also such as were undone since.
    fn has_changed_since(&self, changed: u64) -> bool {
        self.session.connection.total_changes() != changed
    }

    /// One unit. When it fails it has changed nothing, if the group is careful.
    fn unit(&mut self, waiting: &Waiting) -> Result<Written> {
        if Instant::now() >= waiting.deadline {
            return Err(Error::new(Kind::Timeout, "the database is busy; nothing was written"));
        }
        match self.is_careful() {
            true => self.in_savepoint(waiting),
            false => self.until_deadline(waiting),
        }
    }

    fn until_deadline(&mut self, waiting: &Waiting) -> Result<Written> {
        self.session.stop_at(Some(waiting.deadline));
        let answer = self.steps(&waiting.unit);
        self.session.stop_at(None);
        answer
    }

    fn in_savepoint(&mut self, waiting: &Waiting) -> Result<Written> {
        self.run("SAVEPOINT unit")?;
        match self.until_deadline(waiting) {
            Ok(written) => self.run("RELEASE unit").map(|()| written),
            Err(error) => {
                if !self.session.connection.is_autocommit() {
                    self.run("ROLLBACK TO unit")?;
                    self.run("RELEASE unit")?;
                }
                Err(error)
            }
        }
    }

    fn steps(&mut self, unit: &WriteBatch) -> Result<Written> {
        if let Some(key) = &unit.idempotency
            && let Some(written) = self.remembered(key)?
        {
            return Ok(written);
        }
        let (mut changed, mut taken) = (Vec::with_capacity(unit.steps.len()), Vec::new());
        for step in &unit.steps {
            changed.push(self.step(step, &mut taken)?);
        }
        if let Some(key) = &unit.idempotency {
            self.remember(key, &changed)?;
        }
        self.sequence += 1;
        Ok(Written { changed, token: Token(self.sequence.to_string()), repeated: false })
    }

    fn step(&self, step: &WriteStep, taken: &mut Vec<i64>) -> Result<u64> {
        let text = self.shared.texts.of(self.scope, &step.statement)?;
        let changed = match self.session.step(&text, step, taken) {
            Err(failure) if text.ignores_duplicates && failure.is_duplicate() => 0,
            other => other?,
        };
        step.expect.check(changed)?;
        Ok(changed)
    }

    fn remembered(&self, key: &str) -> Result<Option<Written>> {
        let params = [self.env.clone(), Value::Text(key.to_owned())];
        let rows = self.session.rows(&self.memory.find, &params, 1)?;
        match rows.0.first().map(|row| row.0.as_slice()) {
            Some([Value::Text(changed)]) => Ok(Some(Written {
                changed: changed_from(changed)?,
                repeated: true,
                ..Written::default()
            })),
            _ => Ok(None),
        }
    }

    fn remember(&self, key: &str, changed: &[u64]) -> Result<(), Failure> {
        let now_ms = Value::Integer(self.shared.clock.now_ms());
        let params = [
            self.env.clone(),
            Value::Text(key.to_owned()),
            Value::Text(changed_text(changed)),
            now_ms,
        ];
        self.session.change(&self.memory.keep, &params).map(drop)
    }

    /// Forgets old answers now and then. A failure leaves them for the next time.
    fn sweep(&mut self) {
        let now_ms = self.shared.clock.now_ms();
        if now_ms - self.swept_ms >= SWEEP_EVERY_MS {
            let params = [now_ms - IDEMPOTENCY_AGE_MS, SWEEP_ROWS_MAX.into()].map(Value::Integer);
            let swept = self.session.change(&self.memory.sweep, &params);
            self.swept_ms = swept_ms(now_ms, swept.unwrap_or(0));
        }
    }

    fn run(&self, sql: &str) -> Result<()> {
        let mut statement = self.session.connection.prepare_cached(sql).map_err(codes::error)?;
        statement.raw_execute().map(drop).map_err(codes::error)
    }
}

/// The one number that a statement gives.
fn number(session: &Session, sql: &str) -> Result<u64> {
    let rows = session.rows(sql, &[], 1)?;
    match rows.0.first().map(|row| row.0.as_slice()) {
        Some([Value::Integer(number)]) => Ok(number.unsigned_abs()),
        _ => Err(Error::internal(format!("no number: {sql}"))),
    }
}

fn answer_all(units: &mut Vec<Waiting>, error: &Error) {
    let why = Failed::of(error);
    for waiting in units.drain(..) {
        let _ = waiting.reply.send(Err(why.error()));
    }
}

// === impl Memory ===

impl Memory {
    fn of(scope: Scope) -> Result<Self> {
        let expand = |sql| Dialect::Sqlite.expand(scope, sql, None).map(|text| text.sql);
        Ok(Self {
            find: expand("SELECT changed FROM {idempotency} WHERE env = ? AND unit_key = ?")?,
            keep: expand(
                "INSERT INTO {idempotency} (env, unit_key, changed, committed_ms) VALUES (?, ?, ?, ?)",
            )?,
            sweep: expand(
                "DELETE FROM {idempotency} WHERE (env, unit_key) IN
                 (SELECT env, unit_key FROM {idempotency} WHERE committed_ms < ? LIMIT ?)",
            )?,
        })
    }
}
