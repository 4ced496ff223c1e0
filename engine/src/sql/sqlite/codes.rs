//! SQLite's result codes, translated once.

use std::fs::File;
use std::path::Path;

use rusqlite::ffi;
use yunzhan_base::{Error, Kind};

use crate::sql::storage_fault::StorageFault;

/// The error that rooms see. The driver's own words go to the log only.
pub(super) fn error(source: rusqlite::Error) -> Error {
    if let Some(fault) = fault(&source) {
        return fault.error(source);
    }
    let (kind, message) = match &source {
        rusqlite::Error::SqliteFailure(failure, _) => classify(failure.extended_code),
        _ => (Kind::Internal, Kind::Internal.entry().en),
    };
    Error::new(kind, message).because(source)
}

/// The error of an opening, with what the system says of it: the driver alone tells missing rights from too many open files no
/// more than from a folder in the file's place. The file itself is not touched: closing it would end the locks on it that this
/// process has.
pub(super) fn opening(path: &Path, source: rusqlite::Error) -> Error {
    let error = error(source);
    let Some(folder) = path.parent() else { return error };
    match File::open(folder) {
        Err(why) => error.with_detail(format!("the system says of its folder: {why}")),
        Ok(_) if path.is_dir() => error.with_detail("a folder stands in its place"),
        Ok(_) => error,
    }
}

/// Why the file takes no writes, when that is what the code says.
fn fault(source: &rusqlite::Error) -> Option<StorageFault> {
    let rusqlite::Error::SqliteFailure(failure, _) = source else { return None };
    match failure.extended_code & 0xff {
        ffi::SQLITE_FULL => Some(StorageFault::DiskFull),
        ffi::SQLITE_READONLY => Some(StorageFault::ReadOnly),
        ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN => Some(StorageFault::Io),
        _ => None,
    }
}

/// Whether a unique index or primary key refused the row.
pub(super) fn is_duplicate(source: &rusqlite::Error) -> bool {
    matches!(source, rusqlite::Error::SqliteFailure(failure, _)
        if classify(failure.extended_code).0 == Kind::AlreadyExists)
}

/// Whether the progress handler stopped the statement.
pub(super) fn is_interrupt(source: &rusqlite::Error) -> bool {
    matches!(source, rusqlite::Error::SqliteFailure(failure, _)
        if failure.extended_code == ffi::SQLITE_INTERRUPT)
}

/// <https://www.sqlite.org/rescode.html>: the lowest byte is the primary code.
fn classify(extended: i32) -> (Kind, &'static str) {
    match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => (Kind::AlreadyExists, Kind::AlreadyExists.entry().en),
        _ => classify_primary(extended & 0xff),
    }
}

fn classify_primary(primary: i32) -> (Kind, &'static str) {
    match primary {
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH => {
            (Kind::InvalidParameter, "a value does not fit its column")
        }
        ffi::SQLITE_INTERRUPT => (Kind::Timeout, "the statement ran into its time bound"),
        ffi::SQLITE_TOOBIG => (Kind::TooLarge, "a value is too large for the database"),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
            (Kind::Unavailable, "the database is locked by another program; try again")
        }
        ffi::SQLITE_NOMEM => (Kind::Unavailable, "the database has no memory now; try again"),
        ffi::SQLITE_NOTADB | ffi::SQLITE_CORRUPT => {
            (Kind::Unavailable, "the database file is damaged; restore it from a backup")
        }
        _ => (Kind::Internal, Kind::Internal.entry().en),
    }
}
