//! Many databases at once: what makes room for what, and what people who keep a file for each tenant ran into elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use yunzhan_base::Kind;

use super::connection::beside;
use super::memory::{READER_BYTES, WRITER_BYTES};
use super::path_of;
use super::tests::{ITEMS, Opened, env, open_with, unit};
use crate::config;
use crate::sql::suite::MIGRATIONS;
use crate::sql::{Database, Expect, Statement, Value, WriteBatch, WriteStep};

const PUT: &str = "INSERT INTO {items} (env, id, number) VALUES ('e', X'01', 1)";
const GET: &str = "SELECT number FROM {items}";
/// Some tens of milliseconds, so that several run at the same time.
const SLOW: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT COUNT(*) FROM c";

fn opened(root: &TempDir, change: impl FnOnce(&mut config::Sql)) -> Arc<Opened> {
    let mut config = config::Sql::default();
    change(&mut config);
    Arc::new(open_with(root.path(), config, MIGRATIONS))
}

/// A unit that writes a row of so many bytes.
fn row(number: u64, bytes: usize) -> WriteBatch {
    const PUT: &str = "INSERT INTO {items} (env, id, number, body) VALUES ('e', ?, 1, ?)";
    let params = vec![Value::Blob(number.to_be_bytes().to_vec()), Value::Blob(vec![b'x'; bytes])];
    let statement = Statement { sql: PUT, tables: ITEMS, params };
    WriteBatch { steps: vec![WriteStep::once(statement, Expect::Rows(1))], idempotency: None }
}

/// So many reads at the same time, each of which takes long; all readers are idle again at its end.
async fn crowd(opened: &Arc<Opened>, database: &Database, readers: usize) {
    let read = |_| {
        let (opened, database) = (Arc::clone(opened), database.clone());
        tokio::spawn(async move { opened.read(database, SLOW).await.expect("a read") })
    };
    for reader in (0..readers).map(read).collect::<Vec<_>>() {
        reader.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_open_is_bounded_by_memory_and_nobody_is_refused() {
    let root = TempDir::new().expect("a folder");
    let most = 12 * (WRITER_BYTES + READER_BYTES);
    let opened = opened(&root, |config| {
        config.sqlite_open_max = 64;
        config.sqlite_memory_max = most;
    });
    for round in 0..2 {
        for number in 0..40 {
            opened.clock.advance(Duration::from_millis(1));
            let own = env(&format!("e{number}"));
            if round == 0 {
                opened.write(own.clone(), unit(PUT)).await.expect("a write");
            }
            assert_eq!(opened.read(own, GET).await.expect("a read").len(), 1, "{number}");
            let (bytes, files) = (opened.bytes(), opened.open_files());
            assert!(bytes <= most, "{bytes} bytes in {files} files");
            // Neither does one make room for the next while there is enough.
            assert!(number < 12 || (5..40).contains(&files), "{files} files");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_is_given_back() {
    let root = TempDir::new().expect("a folder");
    let opened = opened(&root, |config| config.sqlite_idle = Duration::from_millis(20));
    for number in 0..3 {
        opened.write(env(&format!("e{number}")), row(1, 200_000)).await.expect("a write");
        crowd(&opened, &env(&format!("e{number}")), 4).await;
    }
    // Three writers, and no fewer readers, each with a cache of the whole file.
    let least = 3 * (WRITER_BYTES + READER_BYTES + 400_000);
    assert!(opened.bytes() >= least, "{} of {least}", opened.bytes());
    opened.clock.advance(Duration::from_secs(1));
    let closed = async {
        while opened.open_files() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("they close");
    assert_eq!(opened.bytes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_of_a_crowd_are_closed_before_anything_of_others() {
    const QUIET: usize = 4;
    let root = TempDir::new().expect("a folder");
    // Room for the writer and a reader of each, and for four readers more; files are small.
    let opened = opened(&root, |config| {
        let files = QUIET as u64 + 1;
        let pages = 64 << 10;
        config.sqlite_memory_max =
            files * (WRITER_BYTES + pages) + (files + 4) * (READER_BYTES + pages);
        config.sqlite_reader_threads = 16;
    });
    let quiet: Vec<_> = (0..QUIET).map(|number| env(&format!("quiet{number}"))).collect();
    for own in &quiet {
        opened.write(own.clone(), unit(PUT)).await.expect("a write");
        opened.read(own.clone(), GET).await.expect("a read");
    }
    let busy = env("busy");
    for _ in 0..3 {
        opened.clock.advance(Duration::from_millis(1));
        crowd(&opened, &busy, 16).await;
        assert!(opened.bytes() <= opened.bytes_max(), "{}", opened.bytes());
        let readers = opened.readers(&busy).expect("the busy one is open");
        assert!((1..12).contains(&readers), "{readers} of the busy one are kept");
        for own in &quiet {
            assert_eq!(opened.readers(own), Some(1), "{own:?} keeps its reader");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_whose_queue_is_full_disturbs_no_other() {
    let root = TempDir::new().expect("a folder");
    let opened = opened(&root, |config| config.sqlite_open_max = 4);
    let write = |number| {
        let opened = Arc::clone(&opened);
        tokio::spawn(async move { opened.write(env("busy"), row(number, 20_000)).await })
    };
    // More than the 16 MiB that may wait for one database.
    let flood: Vec<_> = (0..1_200).map(write).collect();
    for round in 0..2 {
        for number in 0..20 {
            let own = env(&format!("e{number}"));
            opened.clock.advance(Duration::from_millis(1));
            if round == 0 {
                opened.write(own.clone(), unit(PUT)).await.expect("a write");
            }
            assert_eq!(opened.read(own, GET).await.expect("a read").len(), 1);
        }
    }
    let mut written = 0;
    for write in flood {
        match write.await.expect("no panic") {
            Ok(_) => written += 1,
            // Its own bound, and nobody else's.
            Err(error) => {
                assert!(error.to_string().contains("too many writes wait"), "{error:?}");
            }
        }
    }
    let rows = opened.read(env("busy"), "SELECT id FROM {items}").await.expect("a read");
    assert_eq!(rows.len(), written);
}

/// Elsewhere files stayed behind when the last connection was one that only reads (groue/GRDB.swift#739,
/// WiseLibs/better-sqlite3#376), and a copy of the database alone was not all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_closed_database_is_one_file() {
    let root = TempDir::new().expect("a folder");
    let opened = opened(&root, |config| config.sqlite_open_max = 2);
    for number in 0..12 {
        opened.clock.advance(Duration::from_millis(1));
        let own = env(&format!("e{number}"));
        opened.write(own.clone(), unit(PUT)).await.expect("a write");
        crowd(&opened, &own, 3).await;
    }
    let alone = |number| {
        let file = path_of(root.path(), &env(&format!("e{number}")));
        file.exists() && ["-wal", "-shm"].iter().all(|suffix| !beside(&file, suffix).exists())
    };
    // The last ones may still be open; closing the others may still go on.
    let closed = async {
        while !(0..10).all(alone) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("nothing stays beside them");
}

/// Elsewhere a tenant could not be evicted, because somebody might still read from it (JasperFx/fisher#59).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_ends_in_a_database_that_is_closed_meanwhile() {
    let root = TempDir::new().expect("a folder");
    let opened = opened(&root, |config| config.sqlite_open_max = 2);
    opened.write(env("read"), unit(PUT)).await.expect("a write");
    let reading = {
        let opened = Arc::clone(&opened);
        tokio::spawn(async move { opened.read(env("read"), SLOW).await })
    };
    for number in 0..6 {
        opened.clock.advance(Duration::from_millis(1));
        opened.write(env(&format!("e{number}")), unit(PUT)).await.expect("a write");
    }
    assert_eq!(opened.readers(&env("read")), None, "it is closed");
    assert_eq!(reading.await.expect("no panic").expect("a read").len(), 1);
    assert_eq!(opened.read(env("read"), GET).await.expect("a read").len(), 1);
}

/// Elsewhere everybody who asked a closed tenant at the same time opened it (tursodatabase/libsql#744 is the cure there).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_before_a_closed_database_opens_it_once() {
    let root = TempDir::new().expect("a folder");
    let opened = opened(&root, |config| config.sqlite_open_max = 2);
    let ask = |number: u64| {
        let opened = Arc::clone(&opened);
        tokio::spawn(async move {
            opened.write(env("one"), row(number, 1)).await.expect("a write");
            opened.read(env("one"), "SELECT COUNT(*) FROM {items}").await.expect("a read")
        })
    };
    for asked in (0..64).map(ask).collect::<Vec<_>>() {
        asked.await.expect("no panic");
    }
    assert_eq!(opened.open_files(), 1);
    let rows = opened.read(env("one"), "SELECT id FROM {items}").await.expect("a read");
    assert_eq!(rows.len(), 64);
}

/// Elsewhere idle readers kept the log from being reset, and it grew to many times the database (BYK/loreai#1225,
/// DeusData/codebase-memory-mcp#1083).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn idle_readers_do_not_make_the_log_grow() {
    const LOG_BYTES: u64 = 6 << 20;
    let root = TempDir::new().expect("a folder");
    let opened = opened(&root, |_| ());
    let own = env("one");
    let log = beside(&path_of(root.path(), &own), "-wal");
    for number in 0..120 {
        if number % 20 == 0 {
            crowd(&opened, &own, 4).await;
        }
        opened.write(own.clone(), row(number, 100_000)).await.expect("a write");
        // SQLite moves it into the database after a thousand pages of 4 KiB.
        let bytes = std::fs::metadata(&log).expect("the log").len();
        assert!(bytes < LOG_BYTES, "{bytes} bytes after {number} rows");
    }
}

/// Elsewhere the driver said no more than "unable to open database file" (mattn/go-sqlite3#618).
#[tokio::test]
async fn why_a_file_cannot_be_opened_is_in_the_log() {
    let root = TempDir::new().expect("a folder");
    let opened = opened(&root, |_| ());
    let file = path_of(root.path(), &env("demo"));
    std::fs::create_dir_all(&file).expect("a folder in its place");
    let error = opened.prepare("demo").await.expect_err("a refusal");
    assert_eq!(error.kind(), Kind::Unavailable);
    let text = error.log_text();
    assert!(text.contains("a folder stands in its place"), "{text}");
}
