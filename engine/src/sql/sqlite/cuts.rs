//! A first opening that is cut anywhere leaves files that the next one opens.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use yunzhan_base::{Clock, Result};

use super::connection::{OpenOptions, beside};
use super::vfs::{Loss, Recorder, files_after, restore};
use super::{Sqlite, inspect, path_of};
use crate::config;
use crate::sql::suite::MIGRATIONS;
use crate::sql::{Database, Migrations};

const APPLICATION_ID: i32 = 0x5975_6e7a;

fn migrations() -> Migrations {
    Migrations::new(vec![("suite", MIGRATIONS)]).expect("good numbers")
}

fn options(vfs: Option<&'static str>) -> OpenOptions {
    OpenOptions { cache_kib: 64, vfs, synchronous: if vfs.is_some() { "FULL" } else { "OFF" } }
}

/// Opens the server's own database, as a start does.
async fn start(root: &Path, options: OpenOptions) -> Result<Sqlite> {
    let (config, clock) = (config::Sql::default(), Clock::manual(0));
    let sqlite = Sqlite::with_options(root.to_owned(), config, migrations(), clock, options)
        .expect("threads");
    sqlite.prepare(&Database::System).await.map(|()| sqlite)
}

#[tokio::test]
async fn a_first_opening_that_is_cut_anywhere_goes_on_at_the_next() {
    let root = TempDir::new().expect("a folder");
    let recorder = Recorder::register();
    let opened = start(root.path(), options(Some(recorder.name()))).await.expect("an opening");
    let events = recorder.events();
    drop(opened);
    assert!(events.len() > 20, "the opening was recorded: {}", events.len());
    for cut in 0..=events.len() {
        for loss in [Loss::Process, Loss::Power] {
            let left = TempDir::new().expect("a folder");
            restore(&files_after(&events[..cut], loss), root.path(), left.path());
            let checked = inspect(left.path(), &migrations());
            assert!(checked.is_ok(), "checked behind {cut}, {loss:?}: {checked:?}");
            let next = start(left.path(), options(None)).await.map(drop);
            assert!(next.is_ok(), "cut behind {cut}, {loss:?}: {next:?}");
        }
    }
}

#[tokio::test]
async fn half_states_of_a_first_start_are_opened() {
    for half in [
        // What a program left that marked in two steps and was killed between them.
        format!("PRAGMA application_id = {APPLICATION_ID}"),
        format!("PRAGMA journal_mode = WAL; PRAGMA application_id = {APPLICATION_ID}"),
        "PRAGMA journal_mode = WAL".to_owned(),
        String::new(),
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1"),
    ] {
        let root = TempDir::new().expect("a folder");
        let file = path_of(root.path(), &Database::System);
        Connection::open(&file).and_then(|file| file.execute_batch(&half)).expect("a file");
        inspect(root.path(), &migrations()).expect("no mistake");
        start(root.path(), options(None)).await.map(drop).expect(&half);
    }
    let root = TempDir::new().expect("a folder");
    fs::write(path_of(root.path(), &Database::System), "").expect("an empty file");
    start(root.path(), options(None)).await.map(drop).expect("an opening");
}

#[tokio::test]
async fn looking_at_a_database_refuses_what_a_start_refuses_and_changes_nothing() {
    for (change, expected) in [
        ("PRAGMA user_version = 2", "has format 2, this program knows 1"),
        ("PRAGMA user_version = 0", "has lost the mark of its format"),
        ("PRAGMA application_id = 1", "is not a database of this program"),
        ("UPDATE yz_system_migrations SET version = 9", "have format 9, this program knows"),
    ] {
        let root = TempDir::new().expect("a folder");
        drop(start(root.path(), options(None)).await.expect("an opening"));
        let file = path_of(root.path(), &Database::System);
        // The last connection takes the log away; until then the file changes.
        while beside(&file, "-wal").exists() {
            tokio::task::yield_now().await;
        }
        Connection::open(&file).and_then(|file| file.execute_batch(change)).expect("a change");
        let names = || fs::read_dir(root.path()).expect("a folder").count();
        let before = (names(), fs::read(&file).expect("the file"));
        let looked = inspect(root.path(), &migrations()).expect_err("a refusal");
        assert_eq!(before, (names(), fs::read(&file).expect("the file")), "{change}");
        assert!(looked.to_string().contains(expected), "{looked}");
        assert!(looked.log_text().contains("system.db"), "{looked:?}");
        let started = start(root.path(), options(None)).await.map(drop).expect_err("a refusal");
        assert_eq!(started.to_string(), looked.to_string());
    }
}
