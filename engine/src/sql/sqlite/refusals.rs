//! A storage that refuses writes: what callers hear, what the operator is told, and that reads go on.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::ffi;
use tempfile::TempDir;
use yunzhan_base::event::{Event, Events, Observe};
use yunzhan_base::{Clock, Error, Kind, Result};

use super::connection::OpenOptions;
use super::vfs::Recorder;
use super::{Sqlite, path_of};
use crate::config;
use crate::sql::health::{Health, Watched};
use crate::sql::suite::MIGRATIONS;
use crate::sql::{
    Consistency, Database, Expect, Key, Logical, Migrations, Refused, ShardLocation, Sql,
    Statement, StorageFault, WriteBatch, WriteStep,
};

const ITEMS: &[Logical] = &[Logical("items")];
const PUT: &str = "INSERT INTO {items} (env, id, number) SELECT 'demo', COUNT(*), 0 FROM {items}";

/// What the operator was told: the fault, and whether writes are refused.
#[derive(Default)]
struct Told(Mutex<Vec<(&'static str, bool)>>);

impl Observe for Told {
    fn observe(&self, event: &Event<'_>) {
        if let Event::StorageChanged(changed) = event {
            self.0.lock().expect("no panic").push((changed.fault, changed.refuses));
        }
    }
}

struct Opened {
    root: TempDir,
    recorder: &'static Recorder,
    clock: Clock,
    told: Arc<Told>,
    health: Arc<Health>,
    sql: Watched,
}

fn open() -> Opened {
    let root = TempDir::new().expect("a folder");
    let recorder = Recorder::register();
    let clock = Clock::manual(1_000_000);
    let options = OpenOptions { cache_kib: 64, vfs: Some(recorder.name()), synchronous: "OFF" };
    let migrations = Migrations::new(vec![("suite", MIGRATIONS)]).expect("good numbers");
    let (folder, config) = (root.path().to_owned(), config::Sql::default());
    let sqlite = Sqlite::with_options(folder, config, migrations, clock.clone(), options);
    let told = Arc::new(Told::default());
    let events = Events::to(vec![Arc::clone(&told) as Arc<dyn Observe>]);
    let health = Health::new(Arc::new(sqlite.expect("threads")), "sqlite", clock.clone(), events);
    let sql = Watched::new(Arc::clone(&health));
    Opened { root, recorder, clock, told, health, sql }
}

fn demo() -> Database {
    Database::Env("demo".parse().expect("a name"))
}

impl Opened {
    async fn write(&self) -> Result<()> {
        let statement = Statement { sql: PUT, tables: ITEMS, params: vec![] };
        let steps = vec![WriteStep::once(statement, Expect::Rows(1))];
        let place = ShardLocation { database: demo(), key: Key::Slot(0) };
        self.sql.write(&place, WriteBatch { steps, idempotency: None }).await.map(drop)
    }

    async fn count(&self) -> usize {
        let statement = Statement { sql: "SELECT id FROM {items}", tables: ITEMS, params: vec![] };
        let place = ShardLocation { database: demo(), key: Key::Slot(0) };
        self.sql.read(Consistency::Primary, &place, statement).await.expect("a read").0.len()
    }

    fn told(&self) -> Vec<(&'static str, bool)> {
        self.told.0.lock().expect("no panic").clone()
    }

    /// Until a fault that ended is told of.
    fn wait(&self) {
        self.clock.advance(Duration::from_secs(4));
    }
}

fn message(refused: Result<()>) -> (Kind, String) {
    let error: Error = refused.expect_err("a refusal");
    (error.kind(), error.message().to_owned())
}

fn refused(only: Option<&str>, fault: StorageFault) -> Option<Refused> {
    let only = only.map(|env| env.parse().expect("a name"));
    Some(Refused { engine: "sqlite", only, fault })
}

#[tokio::test]
async fn a_full_disk_is_told_once_when_it_begins_and_once_when_it_ends_and_reads_go_on() {
    let opened = open();
    opened.write().await.expect("a write");
    assert_eq!(opened.health.check().await, None);
    opened.recorder.refuse_writes(ffi::SQLITE_FULL);
    for _ in 0..3 {
        let (kind, text) = message(opened.write().await);
        assert_eq!(kind, Kind::Unavailable);
        assert_eq!(text, "the database takes no writes now: its disk is full; try again later");
    }
    assert_eq!(opened.count().await, 1);
    assert_eq!(opened.health.check().await, refused(None, StorageFault::DiskFull));
    assert_eq!(opened.told(), [("disk_full", true)]);

    opened.recorder.refuse_writes(ffi::SQLITE_OK);
    opened.write().await.expect("a write");
    // One small write that still fits is no end of it.
    assert_eq!(opened.health.check().await, refused(None, StorageFault::DiskFull));
    opened.wait();
    opened.write().await.expect("a write");
    assert_eq!(opened.health.check().await, None);
    assert_eq!(opened.told(), [("disk_full", true), ("disk_full", false)]);
    assert_eq!(opened.count().await, 3);
}

#[tokio::test]
async fn a_disk_that_only_reads_is_found_before_anybody_writes() {
    let opened = open();
    assert_eq!(opened.health.check().await, None);
    opened.recorder.refuse_writes(ffi::SQLITE_READONLY);
    // A write was good a moment ago.
    assert_eq!(opened.health.check().await, None);
    opened.clock.advance(Duration::from_secs(11));
    assert_eq!(opened.health.check().await, refused(None, StorageFault::ReadOnly));
    assert_eq!(opened.told(), [("read_only", true)]);
    assert!(message(opened.write().await).1.contains("read-only"));
    assert_eq!(opened.told().len(), 1);
}

#[tokio::test]
async fn health_checks_do_not_write_while_others_do() {
    let opened = open();
    opened.health.check().await;
    let events = opened.recorder.events().len();
    for _ in 0..10 {
        assert_eq!(opened.health.check().await, None);
    }
    assert_eq!(opened.recorder.events().len(), events);
}

#[tokio::test]
async fn a_file_that_is_gone_takes_no_writes_and_concerns_its_environment_alone() {
    let opened = open();
    opened.write().await.expect("a write");
    assert_eq!(opened.count().await, 1);
    let file = path_of(opened.root.path(), &demo());
    let aside = opened.root.path().join("aside");
    fs::rename(&file, &aside).expect("moved");
    let (kind, text) = message(opened.write().await);
    assert_eq!(kind, Kind::Unavailable);
    assert_eq!(text, "the database takes no writes now: its file is gone; try again later");
    assert_eq!(opened.count().await, 1);
    opened.clock.advance(Duration::from_secs(11));
    let gone = refused(Some("demo"), StorageFault::Gone);
    assert_eq!(opened.health.check().await, gone);
    assert_eq!(
        gone.map(|gone| gone.to_string()).as_deref(),
        Some("environment demo: database (sqlite): file moved, removed or replaced")
    );
    // Another file in its place is not it.
    fs::copy(&aside, &file).expect("a copy");
    assert_eq!(message(opened.write().await).1, text);
    fs::rename(&aside, &file).expect("moved back");
    opened.wait();
    opened.write().await.expect("a write");
    assert_eq!((opened.health.check().await, opened.count().await), (None, 2));
}
