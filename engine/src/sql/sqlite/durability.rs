//! The proof that no unit is acknowledged before the sync of what it wrote, and that the proof can fail.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use rusqlite::Connection;
use tempfile::TempDir;
use yunzhan_base::Clock;

use super::connection::OpenOptions;
use super::vfs::{Event, Loss, Recorder, files_after, restore};
use super::{Sqlite, path_of};
use crate::config;
use crate::sql::suite::MIGRATIONS;
use crate::sql::{
    Database, Expect, Key, Logical, Migrations, ShardLocation, Sql, SqlFuture, Statement, Value,
    WriteBatch, WriteStep, Written,
};

const WRITERS: u64 = 16;
const UNITS_EACH: u64 = 25;
/// Large enough that the log is checkpointed during the test (1,000 pages of 4 KiB), several times.
const BODY_BYTES: usize = 8 << 10;
const MARKER_BYTES: usize = "<unit 000000>".len();

/// Notes a unit's number at the moment at which its writer wakes whoever waits: the earliest at which it could know.
struct Noting {
    recorder: &'static Recorder,
    number: u64,
    is_noted: AtomicBool,
    waiting: Thread,
}

impl Noting {
    fn note(&self) {
        if !self.is_noted.swap(true, Ordering::SeqCst) {
            self.recorder.note(self.number);
        }
    }
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.note();
        self.waiting.unpark();
    }
}

fn wait(recorder: &'static Recorder, number: u64, mut write: SqlFuture<'_, Written>) {
    let is_noted = AtomicBool::new(false);
    let noting = Arc::new(Noting { recorder, number, is_noted, waiting: thread::current() });
    let waker = Waker::from(Arc::clone(&noting));
    loop {
        match write.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(written) => {
                written.expect("a write");
                return noting.note();
            }
            Poll::Pending => thread::park(),
        }
    }
}

fn demo() -> Database {
    Database::Env("demo".parse().expect("a name"))
}

/// Bytes that occur nowhere else; [`MARKER_BYTES`] of them.
fn marker(number: u64) -> Vec<u8> {
    format!("<unit {number:06}>").into_bytes()
}

fn unit(number: u64) -> WriteBatch {
    let mut body = marker(number);
    body.resize(BODY_BYTES, b'.');
    let number = Value::Integer(i64::try_from(number).expect("small"));
    let id = Value::Blob(body[..MARKER_BYTES].to_vec());
    let statement = Statement {
        sql: "INSERT INTO {items} (env, id, number, body) VALUES ('demo', ?, ?, ?)",
        tables: &[Logical("items")],
        params: vec![id, number, Value::Blob(body)],
    };
    WriteBatch { steps: vec![WriteStep::once(statement, Expect::Rows(1))], idempotency: None }
}

/// Many writers at once on a recorded file system.
fn record(root: &Path, synchronous: &'static str) -> Vec<Event> {
    let recorder = Recorder::register();
    let config = config::Sql::default();
    let migrations = Migrations::new(vec![("suite", MIGRATIONS)]).expect("good numbers");
    let options =
        OpenOptions { cache_kib: config.sqlite_cache_kib, vfs: Some(recorder.name()), synchronous };
    let sqlite = Sqlite::with_options(root.to_owned(), config, migrations, Clock::System, options);
    let sqlite = sqlite.expect("threads");
    let place = ShardLocation { database: demo(), key: Key::Slot(0) };
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (sqlite, place) = (&sqlite, &place);
            scope.spawn(move || {
                for number in writer * UNITS_EACH..(writer + 1) * UNITS_EACH {
                    wait(recorder, number, sqlite.write(place, unit(number)));
                }
            });
        }
    });
    recorder.events()
}

fn is_log(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-wal")
}

/// Units that were acknowledged before a sync of the log that followed the writing of their bytes.
fn early(events: &[Event]) -> Vec<u64> {
    let (mut written, mut synced) = (HashSet::new(), HashSet::new());
    let mut early = Vec::new();
    for event in events {
        match event {
            Event::Write { path, bytes, .. } if is_log(path) => written.extend(units_in(bytes)),
            Event::Sync { path } if is_log(path) => synced.extend(written.drain()),
            Event::Note(number) if !synced.contains(number) => early.push(*number),
            _ => {}
        }
    }
    early
}

/// The units whose markers stand in these bytes.
fn units_in(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<');
    starts.filter_map(|(at, _)| {
        let marker = bytes.get(at..at + MARKER_BYTES)?;
        let number = marker.strip_prefix(b"<unit ")?.strip_suffix(b">")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    })
}

fn notes(events: &[Event]) -> impl Iterator<Item = (usize, u64)> {
    events.iter().enumerate().filter_map(|(at, event)| match event {
        Event::Note(number) => Some((at, *number)),
        _ => None,
    })
}

/// Units that were acknowledged and are gone after a crash behind the event at `at`.
fn lost(root: &Path, events: &[Event], at: usize, loss: Loss) -> Vec<u64> {
    let folder = TempDir::new().expect("a folder");
    restore(&files_after(&events[..=at], loss), root, folder.path());
    let connection = Connection::open(path_of(folder.path(), &demo())).expect("a file");
    let kept = kept(&connection).unwrap_or_default();
    notes(&events[..=at])
        .map(|(_, number)| number)
        .filter(|number| !kept.contains(number))
        .collect()
}

/// The units that stand whole in a file; an error when not even their table is there.
fn kept(connection: &Connection) -> rusqlite::Result<HashSet<u64>> {
    let sql = "SELECT number FROM yz_env_items WHERE LENGTH(body) = ?";
    let mut statement = connection.prepare(sql)?;
    statement.query_map([BODY_BYTES as i64], |row| Ok(u64::from(row.get::<_, u32>(0)?)))?.collect()
}

/// Some moments, spread over the record.
fn moments(events: &[Event]) -> impl Iterator<Item = usize> {
    let all: Vec<usize> = notes(events).map(|(at, _)| at).collect();
    let last = all.len() - 1;
    (0..=8).map(move |part| all[last * part / 8])
}

#[test]
fn no_unit_is_acknowledged_before_its_sync() {
    let folder = TempDir::new().expect("a folder");
    let events = record(folder.path(), "FULL");
    assert_eq!(notes(&events).count() as u64, WRITERS * UNITS_EACH);
    assert_eq!(early(&events), [0_u64; 0]);
    for at in moments(&events) {
        assert_eq!(lost(folder.path(), &events, at, Loss::Power), [0_u64; 0], "at {at}");
        assert_eq!(lost(folder.path(), &events, at, Loss::Process), [0_u64; 0], "at {at}");
    }
}

#[test]
fn units_that_wait_together_share_a_sync() {
    let folder = TempDir::new().expect("a folder");
    let events = record(folder.path(), "FULL");
    let syncs = events.iter().filter(|event| matches!(event, Event::Sync { .. })).count() as u64;
    assert!(syncs < WRITERS * UNITS_EACH / 2, "{syncs} syncs");
}

#[test]
fn the_proof_fails_without_syncs() {
    let folder = TempDir::new().expect("a folder");
    let events = record(folder.path(), "OFF");
    let last = events.len() - 1;
    assert_eq!(early(&events).len() as u64, WRITERS * UNITS_EACH);
    assert_eq!(lost(folder.path(), &events, last, Loss::Power).len() as u64, WRITERS * UNITS_EACH);
    assert_eq!(lost(folder.path(), &events, last, Loss::Process), [0_u64; 0]);
}
