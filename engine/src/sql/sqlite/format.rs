//! What a database file must be before anybody uses it: ours, not from a newer program, and migrated.

use std::fs::{self, File};
use std::path::Path;

use rusqlite::Connection;
use yunzhan_base::{Clock, Error, Kind, Result};

use super::codes;
use super::connection::{OpenOptions, Session, beside};
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
        let session = Session::open(path, options).map_err(|error| codes::opening(path, error))?;
        let connection = &session.connection;
        // Both marks in one transaction: a start that was cut between them left a file that nobody would open again.
        let unmarked = Marks::of(connection)?.check()? == Known::Unmarked;
        if unmarked {
            mark(connection)?;
        }
        migrate(connection, scope, migrations, clock)?;
        Ok(session)
    };
    open().map_err(|error| error.with_detail(format!("cannot open {}", path.display())))
}

/// Says whether [`open`] would refuse the file, and changes nothing. A file that is not there is good.
pub(super) fn inspect(path: &Path, scope: Scope, migrations: &Migrations) -> Result<()> {
    // What a journal is beside was cut while it was written; the next opening brings it back to what it was.
    if !path.exists() || beside(path, "-journal").exists() {
        return Ok(());
    }
    let inspect = || -> Result<()> {
        let connection = Session::look_at(path).map_err(|error| codes::opening(path, error))?;
        if Marks::of(&connection)?.check()? == Known::Unmarked {
            return Ok(());
        }
        let expand = |sql: &str| Dialect::Sqlite.expand(scope, sql, None).map(|text| text.sql);
        if has_tables(&connection)? {
            migrations.pending(scope, &seen(&connection, &expand(statements::SEEN)?)?)?;
        }
        Ok(())
    };
    inspect().map_err(|error| error.with_detail(format!("cannot open {}", path.display())))
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

/// What stands in a file's header, and whether anything else stands in it.
struct Marks {
    application: i32,
    format: i32,
    has_tables: bool,
}

/// A file that this program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Ours.
    Marked,
    /// New, or ours from a first start that was cut before it was marked.
    Unmarked,
}

impl Marks {
    fn of(connection: &Connection) -> Result<Self> {
        let number =
            |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        Ok(Self {
            application: number("application_id").map_err(codes::error)?,
            format: number("user_version").map_err(codes::error)?,
            has_tables: has_tables(connection)?,
        })
    }

    fn check(&self) -> Result<Known> {
        let refuse = |why: String| Err(Error::new(Kind::Unavailable, why));
        match (self.application, self.format, self.has_tables) {
            (APPLICATION_ID, FORMAT, _) => Ok(Known::Marked),
            // Without tables it is nobody's data: a program that marked in two steps was killed between them.
            (0 | APPLICATION_ID, 0, false) => Ok(Known::Unmarked),
            (APPLICATION_ID, 0, true) => {
                refuse("the database has lost the mark of its format; restore it from a backup".into())
            }
            (APPLICATION_ID, newer, _) => refuse(format!(
                "the database has format {newer}, this program knows {FORMAT}; start the newer program again"
            )),
            _ => refuse(
                "the file is not a database of this program; move it away, or name another data folder"
                    .into(),
            ),
        }
    }
}

fn has_tables(connection: &Connection) -> Result<bool> {
    let count = "SELECT COUNT(*) FROM sqlite_schema";
    let tables: rusqlite::Result<i64> = connection.query_row(count, [], |row| row.get(0));
    Ok(tables.map_err(codes::error)? > 0)
}

fn mark(connection: &Connection) -> Result<()> {
    connection
        .execute_batch(&format!(
            "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
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
