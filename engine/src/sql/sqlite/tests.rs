//! What only the embedded engine promises: its files, their opening and closing, and units that do not disturb others.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use yunzhan_base::{Clock, Error, Kind, Result};

use super::{Sqlite, path_of};
use crate::config;
use crate::sql::suite::{MIGRATIONS, sample_unit};
use crate::sql::{
    Consistency, Database, Expect, Key, Logical, Migration, Migrations, Row, Scope, ShardLocation,
    Sql, Statement, Value, WriteBatch, WriteStep, Written,
};

const BEGIN_MS: i64 = 1_700_000_000_000;
pub(super) const ITEMS: &[Logical] = &[Logical("items")];

pub(super) struct Opened {
    sqlite: Sqlite,
    pub(super) clock: Clock,
}

pub(super) fn open_with(root: &Path, config: config::Sql, service: &'static [Migration]) -> Opened {
    let clock = Clock::manual(BEGIN_MS);
    let migrations = Migrations::new(vec![("suite", service)]).expect("good numbers");
    let sqlite = Sqlite::new(root.to_owned(), config, migrations, clock.clone());
    Opened { sqlite: sqlite.expect("threads"), clock }
}

fn open(root: &Path) -> Opened {
    open_with(root, config::Sql::default(), MIGRATIONS)
}

pub(super) fn env(name: &str) -> Database {
    Database::Env(name.parse().expect("a name"))
}

fn place(database: Database) -> ShardLocation {
    ShardLocation { database, key: Key::Slot(0) }
}

pub(super) fn unit(sql: &'static str) -> WriteBatch {
    let statement = Statement { sql, tables: ITEMS, params: vec![] };
    WriteBatch { steps: vec![WriteStep::once(statement, Expect::Any)], idempotency: None }
}

impl Opened {
    pub(super) async fn write(&self, database: Database, unit: WriteBatch) -> Result<Written> {
        self.sqlite.write(&place(database), unit).await
    }

    pub(super) async fn read(&self, database: Database, sql: &'static str) -> Result<Vec<Row>> {
        let statement = Statement { sql, tables: ITEMS, params: vec![] };
        Ok(self.sqlite.read(Consistency::Primary, &place(database), statement).await?.0)
    }

    pub(super) async fn prepare(&self, name: &str) -> Result<()> {
        self.sqlite.prepare(&env(name)).await
    }

    pub(super) fn open_files(&self) -> usize {
        self.sqlite.shared.files.read().expect("no panic while held").len()
    }

    /// What all open files hold, as it is counted.
    pub(super) fn bytes(&self) -> u64 {
        self.sqlite.shared.memory.bytes()
    }

    /// What they may hold.
    pub(super) fn bytes_max(&self) -> u64 {
        self.sqlite.shared.config.sqlite_memory_max
    }

    /// How many readers a database has, if it is open.
    pub(super) fn readers(&self, database: &Database) -> Option<usize> {
        let files = self.sqlite.shared.files.read().expect("no panic while held");
        files.get(database).map(|file| file.open_readers())
    }
}

fn log_text(result: Result<()>) -> String {
    result.expect_err("a refusal").log_text()
}

#[tokio::test]
async fn an_old_sample_is_still_read() {
    let root = TempDir::new().expect("a folder");
    let file = path_of(root.path(), &env("demo"));
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/sqlite-format-1.db");
    fs::copy(sample, &file).expect("the sample");
    let opened = open(root.path());
    let rows = opened.read(env("demo"), "SELECT * FROM {items} ORDER BY id").await.expect("a read");
    let expected = sample_unit().steps.into_iter().map(|step| Row(step.statement.params));
    assert_eq!(rows, expected.collect::<Vec<_>>());
    assert!(opened.write(env("demo"), sample_unit()).await.expect("its answer").repeated);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_new_start() {
    let root = TempDir::new().expect("a folder");
    for number in 0..3 {
        let opened = open(root.path());
        let rows = opened.read(env("demo"), "SELECT id FROM {items}").await.expect("a read");
        assert_eq!(rows.len(), number);
        let put = "INSERT INTO {items} (env, id, number) SELECT 'demo', COUNT(*), 0 FROM {items}";
        opened.write(env("demo"), unit(put)).await.expect("a write");
    }
}

#[tokio::test]
async fn files_of_newer_programs_and_of_others_are_refused() {
    let root = TempDir::new().expect("a folder");
    let opened = open(root.path());
    opened.prepare("demo").await.expect("an opening");
    drop(opened);
    let file = path_of(root.path(), &env("demo"));
    let said = |sql: &str| {
        Connection::open(&file).expect("the file").execute_batch(sql).expect("a change");
        let opened = open(root.path());
        async move { opened.prepare("demo").await.expect_err("a refusal").to_string() }
    };
    let format = said("PRAGMA user_version = 2").await;
    assert_eq!(
        format,
        "the database has format 2, this program knows 1; start the newer program again"
    );
    let other = said("PRAGMA application_id = 1").await;
    assert!(other.contains("is not a database of this program"), "{other}");
}

#[tokio::test]
async fn tables_of_a_newer_program_are_refused() {
    let root = TempDir::new().expect("a folder");
    let opened = open(root.path());
    opened.prepare("demo").await.expect("an opening");
    drop(opened);
    Connection::open(path_of(root.path(), &env("demo")))
        .and_then(|file| file.execute_batch("UPDATE yz_env_migrations SET version = 9"))
        .expect("a change");
    let error = open(root.path()).prepare("demo").await.expect_err("a refusal");
    assert!(error.to_string().contains("have format 9, this program knows 1"), "{error}");
}

const BROKEN: &[Migration] = &[Migration {
    version: 1,
    name: "broken",
    database: Scope::Env,
    statements: &[
        "CREATE TABLE {items} (env {env}, id BIGINT)",
        "CREATE TABEL {other} (id BIGINT)",
    ],
}];

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_and_can_be_mended() {
    let root = TempDir::new().expect("a folder");
    let opened = open_with(root.path(), config::Sql::default(), BROKEN);
    for _ in 0..2 {
        let text = log_text(opened.prepare("demo").await);
        assert!(text.contains("migration 1 of suite: broken"), "{text}");
        let write = opened.write(env("demo"), unit("DELETE FROM {items}")).await;
        assert_eq!(write.expect_err("the same refusal").kind(), Kind::Internal);
    }
    drop(opened);
    open(root.path()).prepare("demo").await.expect("the mended program opens it");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let root = TempDir::new().expect("a folder");
    fs::write(root.path().join("env"), "a file in the way").expect("a file");
    let opened = open(root.path());
    let error = opened.prepare("demo").await.expect_err("a refusal");
    assert_eq!(error.to_string(), "cannot make the folder of a database");
    assert!(error.log_text().contains("env/demo/sql/data.db"), "{error:?}");
    fs::remove_file(root.path().join("env")).expect("out of the way");
    opened.prepare("demo").await.expect("an opening");
}

#[tokio::test]
async fn the_least_recently_used_file_makes_room() {
    let root = TempDir::new().expect("a folder");
    let config = config::Sql { sqlite_open_max: 3, ..config::Sql::default() };
    let opened = open_with(root.path(), config, MIGRATIONS);
    opened.sqlite.prepare(&Database::System).await.expect("an opening");
    for name in ["one", "two", "one", "three"] {
        opened.clock.advance(Duration::from_millis(1));
        opened.prepare(name).await.expect("an opening");
    }
    let files = opened.sqlite.shared.files.read().expect("no panic while held");
    let is_open = |name: &str| files.contains_key(&env(name));
    assert_eq!(["one", "two", "three"].map(is_open), [true, false, true]);
    assert!(files.contains_key(&Database::System));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_environments_that_are_asked_in_turn_refuse_nobody() {
    const PUT: &str = "INSERT INTO {items} (env, id, number) VALUES ('e', X'01', 1)";
    const BUSY: usize = 4;
    let root = TempDir::new().expect("a folder");
    let config = config::Sql { sqlite_open_max: 16, ..config::Sql::default() };
    let opened = Arc::new(open_with(root.path(), config, MIGRATIONS));
    let busy: Vec<_> = (0..BUSY).map(|number| env(&format!("busy{number}"))).collect();
    for round in 0..2 {
        for number in 0..100 {
            opened.clock.advance(Duration::from_millis(1));
            for busy in &busy {
                opened.read(busy.clone(), "SELECT 1").await.expect("a read");
            }
            let own = env(&format!("e{number}"));
            if round == 0 {
                opened.write(own, unit(PUT)).await.expect("a write");
            } else {
                let rows = opened.read(own, "SELECT number FROM {items}").await.expect("a read");
                assert_eq!(rows.len(), 1, "{number}");
            }
            assert!(opened.open_files() <= 16, "{}", opened.open_files());
            let files = opened.sqlite.shared.files.read().expect("no panic while held");
            assert!(busy.iter().all(|busy| files.contains_key(busy)), "the busy ones stay open");
        }
    }
    // All at once: none is idle, and nobody is refused for that.
    let crowd = (0..30).map(|number| {
        let opened = Arc::clone(&opened);
        let own = env(&format!("e{number}"));
        tokio::spawn(async move { opened.read(own, "SELECT number FROM {items}").await })
    });
    for asked in crowd.collect::<Vec<_>>() {
        assert_eq!(asked.await.expect("no panic").expect("a read").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_there_while_files_are_closed_and_opened_again_and_again() {
    const PUT: &str = "INSERT INTO {items} (env, id, number) VALUES ('e', ?, 1)";
    const ENVS: usize = 12;
    const WRITERS: usize = 8;
    const WRITES: usize = 60;
    let root = TempDir::new().expect("a folder");
    let config = config::Sql { sqlite_open_max: 3, ..config::Sql::default() };
    let opened = Arc::new(open_with(root.path(), config, MIGRATIONS));
    let write = |writer: usize| {
        let opened = Arc::clone(&opened);
        tokio::spawn(async move {
            for number in 0..WRITES {
                opened.clock.advance(Duration::from_millis(1));
                let id = Value::Blob(vec![writer as u8, number as u8]);
                let statement = Statement { sql: PUT, tables: ITEMS, params: vec![id] };
                let steps = vec![WriteStep::once(statement, Expect::Rows(1))];
                let own = env(&format!("e{}", (writer * 7 + number * 5) % ENVS));
                let unit = WriteBatch { steps, idempotency: None };
                opened.write(own.clone(), unit).await.expect("a write");
                opened.read(own, "SELECT COUNT(*) FROM {items}").await.expect("a read");
            }
        })
    };
    for writer in (0..WRITERS).map(write).collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let mut found = 0;
    for number in 0..ENVS {
        let own = env(&format!("e{number}"));
        found += opened.read(own, "SELECT id FROM {items}").await.expect("a read").len();
    }
    assert_eq!(found, WRITERS * WRITES);
}

#[tokio::test]
async fn an_unused_file_is_closed_and_opened_again() {
    let root = TempDir::new().expect("a folder");
    // The writer looks four times within this; whether the file is unused tells the clock.
    let config = config::Sql { sqlite_idle: Duration::from_millis(20), ..config::Sql::default() };
    let opened = open_with(root.path(), config, MIGRATIONS);
    opened.write(env("demo"), sample_unit()).await.expect("a write");
    assert_eq!(opened.open_files(), 1);
    opened.clock.advance(Duration::from_secs(1));
    let closed = async {
        while opened.open_files() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("it closes");
    let rows = opened.read(env("demo"), "SELECT id FROM {items}").await.expect("a read");
    assert_eq!(rows.len(), sample_unit().steps.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_runs_too_long_fails_alone() {
    const SLOW: &str = "UPDATE {items} SET number = (SELECT COUNT(*) FROM {items} a, {items} b,
        {items} c, {items} d, {items} e WHERE a.number + b.number + c.number + d.number = -1)";
    const PUT: &str = "INSERT INTO {items} (env, id, number) VALUES ('demo', ?, 0)";
    let root = TempDir::new().expect("a folder");
    let config =
        config::Sql { write_timeout: Duration::from_millis(500), ..config::Sql::default() };
    let opened = Arc::new(open_with(root.path(), config, MIGRATIONS));
    let put = |id: u8| {
        let params = vec![Value::Blob(vec![id])];
        let statement = Statement { sql: PUT, tables: ITEMS, params };
        WriteStep::once(statement, Expect::Rows(1))
    };
    let many = WriteBatch { steps: (0..200).map(put).collect(), idempotency: None };
    opened.write(env("demo"), many).await.expect("a write");
    // Sent together, so that some of them share the transaction with the slow one.
    let before = WriteBatch { steps: vec![put(201)], idempotency: None };
    let after = WriteBatch { steps: vec![put(202)], idempotency: None };
    let (before, slow, after) = tokio::join!(
        opened.write(env("demo"), before),
        opened.write(env("demo"), unit(SLOW)),
        async {
            // Behind the slow one it may be late itself; then it says so and can be sent again.
            match opened.write(env("demo"), after.clone()).await {
                Err(error) if error.kind() == Kind::Timeout => {
                    opened.write(env("demo"), after).await
                }
                other => other,
            }
        },
    );
    assert_eq!(slow.as_ref().map_err(Error::kind), Err(Kind::Timeout));
    assert_eq!(before.expect("not its fault").changed, [1]);
    assert_eq!(after.expect("not its fault").changed, [1]);
    let rows = opened.read(env("demo"), "SELECT id FROM {items} WHERE number = 0").await;
    assert_eq!(rows.expect("a read").len(), 202);
}

#[tokio::test]
async fn a_unit_that_fails_halfway_disturbs_no_other_of_its_group() {
    const PUT: &str = "INSERT INTO {items} (env, id, number) VALUES ('demo', ?, 0)";
    let step = |id: u8, expect| {
        let params = vec![Value::Blob(vec![id])];
        WriteStep::once(Statement { sql: PUT, tables: ITEMS, params }, expect)
    };
    let put = |id| step(id, Expect::Rows(1));
    let root = TempDir::new().expect("a folder");
    let opened = open(root.path());
    let write = |steps| opened.write(env("demo"), WriteBatch { steps, idempotency: None });
    // They wait together while the file is opened. Some fail on what another one of the group wrote.
    let answers = tokio::join!(
        write(vec![put(10), step(11, Expect::Rows(2))]),
        write(vec![put(1)]),
        write(vec![put(10), put(1)]),
        write(vec![put(1)]),
        write(vec![put(2), put(10)]),
        write(vec![put(12), step(13, Expect::Rows(0))]),
        write(vec![put(3)]),
    );
    let answers: [Result<Written>; 7] = answers.into();
    let told = answers.map(|answer| answer.map(|written| written.changed).map_err(|e| e.kind()));
    let expected = [
        Err(Kind::Conflict),
        Ok(vec![1]),
        Err(Kind::AlreadyExists),
        Err(Kind::AlreadyExists),
        Ok(vec![1, 1]),
        Err(Kind::Conflict),
        Ok(vec![1]),
    ];
    assert_eq!(told, expected);
    let rows = opened.read(env("demo"), "SELECT id FROM {items} ORDER BY id").await;
    let ids = [1, 2, 3, 10].map(|id| Row(vec![Value::Blob(vec![id])]));
    assert_eq!(rows.expect("a read"), ids);
}
