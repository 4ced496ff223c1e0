//! What a database file must be before anybody uses it: ours, not from a newer program, and migrated.

use std::fs::{self, File};
use std::path::Path;

use rusqlite::Connection;
use yunzhan_base::{Clock, Error, Kind, Result};

use super::codes;
use super::connection::{OpenOptions, Session};
use crate::sql::dialect::Dialect;
use crate::sql::migrate::{Migrations, Pending, Scope, Seen, statements};

/// Marks the file as ours (`Yunz`), as `file(1)` and SQLite's header understand it.
const APPLICATION_ID: i32 = 0x5975_6e7a;
/// The format of the file itself: pragmas, names of tables, the table of migrations.
pub const FORMAT: i32 = 1;

/// Opens a file, making it and its folders when they are missing, and brings it up to date.
pub(super) fn open(
    path: &Path,
    scope: Scope,
    options: &OpenOptions,
    migrations: &Migrations,
    clock: &Clock,
) -> Result<Session> {
    make_folders(path).map_err(|error| {
        Error::new(Kind::Unavailable, "cannot make the folder of a database")
            .with_detail(path.display().to_string())
            .because(error)
    })?;
    let open = || -> Result<Session> {
        let session = Session::open(path, options).map_err(codes::error)?;
        check_identity(&session.connection)?;
        migrate(&session.connection, scope, migrations, clock)?;
        Ok(session)
    };
    open().map_err(|error| error.with_detail(format!("cannot open {}", path.display())))
}

/// Makes the folders above `path` durable: a synced file in a folder whose name is lost is lost too.
fn make_folders(path: &Path) -> std::io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) else {
        return Ok(());
    };
    make_folders(folder)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    folder.parent().map_or(Ok(()), |parent| {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent)?.sync_all()
    })
}

fn check_identity(connection: &Connection) -> Result<()> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application = number("application_id").map_err(codes::error)?;
    let format = number("user_version").map_err(codes::error)?;
    match (application, format) {
        (APPLICATION_ID, FORMAT) => Ok(()),
        (0, 0) => mark(connection),
        (APPLICATION_ID, newer) => Err(Error::new(
            Kind::Unavailable,
            format!(
                "the database has format {newer}, this program knows {FORMAT}; start the newer program again"
            ),
        )),
        _ => Err(Error::new(Kind::Unavailable, "the file is not a database of this program")),
    }
}

/// A file without a mark is a new one; one with tables belongs to somebody else.
fn mark(connection: &Connection) -> Result<()> {
    let tables: i64 = connection
        .query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(codes::error)?;
    if tables > 0 {
        return Err(Error::new(Kind::Unavailable, "the file is not a database of this program"));
    }
    connection
        .execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
        ))
        .map_err(codes::error)
}

fn migrate(
    connection: &Connection,
    scope: Scope,
    migrations: &Migrations,
    clock: &Clock,
) -> Result<()> {
    let expand = |sql: &str| Dialect::Sqlite.expand(scope, sql, None).map(|text| text.sql);
    let run = |sql: &str| connection.execute_batch(&expand(sql)?).map_err(codes::error);
    run(statements::CREATE)?;
    let pending = migrations.pending(scope, &seen(connection, &expand(statements::SEEN)?)?)?;
    if pending.is_empty() {
        return Ok(());
    }
    run("BEGIN IMMEDIATE")?;
    // Dropping the connection rolls back what a failing step began.
    for Pending { service, migration } in pending {
        for statement in migration.statements {
            run(statement).map_err(|error| error.with_detail(migration.label(service)))?;
        }
        let row = (service, migration.version, migration.name, clock.now_ms());
        connection.execute(&expand(statements::RECORD)?, row).map_err(codes::error)?;
    }
    run("COMMIT")
}

fn seen(connection: &Connection, sql: &str) -> Result<Vec<Seen>> {
    let read = || -> rusqlite::Result<Vec<Seen>> {
        let mut statement = connection.prepare(sql)?;
        let rows = statement
            .query_map([], |row| Ok(Seen { service: row.get(0)?, version: row.get(1)? }))?;
        rows.collect()
    };
    read().map_err(codes::error)
}
