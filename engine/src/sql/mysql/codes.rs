//! MySQL's, MariaDB's and TiDB's error codes, translated once.

use mysql_async::Error as DriverError;
use yunzhan_base::{Error, Kind};

use crate::sql::storage_fault::StorageFault;

/// The error that rooms see. The server's own words go to the log only.
pub(super) fn error(source: DriverError) -> Error {
    if let Some(fault) = fault(&source) {
        return fault.error(source);
    }
    let (kind, message) = match &source {
        DriverError::Server(server) => classify(server.code),
        // Our own mistake, found before anything was sent.
        DriverError::Driver(mysql_async::DriverError::StmtParamsMismatch { .. }) => {
            (Kind::Internal, Kind::Internal.entry().en)
        }
        DriverError::Io(_) | DriverError::Driver(_) => {
            (Kind::Unavailable, "the connection to the database broke; try again")
        }
        DriverError::Other(_) | DriverError::Url(_) => (Kind::Internal, Kind::Internal.entry().en),
    };
    Error::new(kind, message).because(source)
}

/// Why the server takes no writes, when that is what the error says.
fn fault(source: &DriverError) -> Option<StorageFault> {
    match (code(source), source) {
        // A full disk; a table space that may not grow.
        (Some(1021 | 1114), _) => Some(StorageFault::DiskFull),
        // A server or a transaction that only reads.
        (Some(1290 | 1792 | 1836), _) => Some(StorageFault::ReadOnly),
        (None, DriverError::Io(_)) => Some(StorageFault::Away),
        _ => None,
    }
}

/// Whether a unique index or primary key refused the row.
pub(super) fn is_duplicate(source: &DriverError) -> bool {
    code(source).is_some_and(|code| classify(code).0 == Kind::AlreadyExists)
}

/// Whether a deadlock or a conflict of optimistic transactions undid everything, so that the unit may be tried again.
pub(super) fn is_conflict(source: &DriverError) -> bool {
    code(source).is_some_and(|code| classify(code).0 == Kind::Conflict)
}

/// Whether the connection is gone, and with it whatever was not committed.
pub(super) fn is_broken(source: &DriverError) -> bool {
    use mysql_async::DriverError::ConnectionClosed;
    matches!(source, DriverError::Io(_) | DriverError::Driver(ConnectionClosed))
}

/// Whether TLS with the server failed: it has none, or its certificate is not trusted.
pub(super) fn is_tls(source: &DriverError) -> bool {
    use mysql_async::{DriverError::NoClientSslFlagFromServer, IoError};
    match source {
        // What a handshake fails with.
        DriverError::Io(IoError::Io(error)) => error.kind() == std::io::ErrorKind::InvalidData,
        DriverError::Io(IoError::Tls(_)) | DriverError::Driver(NoClientSslFlagFromServer) => true,
        _ => false,
    }
}

/// Whether a right is missing that only the state of the replication needs.
pub(super) fn is_denied(source: &DriverError) -> bool {
    code(source) == Some(1227)
}

/// Whether a migration found done what it was about to do: a table, column or index that exists, or that is gone.
pub(super) fn is_done_already(source: &DriverError, statement: &str) -> bool {
    // A column that is renamed is unknown by its old name.
    let is_renamed = statement.contains("RENAME COLUMN");
    code(source).is_some_and(|code| {
        matches!(code, 1050 | 1060 | 1061 | 1091) || (code == 1054 && is_renamed)
    })
}

/// Whether there is no such table.
pub(super) fn is_missing_table(source: &DriverError) -> bool {
    code(source) == Some(1146)
}

fn code(source: &DriverError) -> Option<u16> {
    match source {
        DriverError::Server(server) => Some(server.code),
        _ => None,
    }
}

/// <https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html>,
/// <https://mariadb.com/kb/en/mariadb-error-codes/>, <https://docs.pingcap.com/tidb/stable/error-codes>.
fn classify(code: u16) -> (Kind, &'static str) {
    match code {
        // A duplicate key, plain and with its name.
        1062 | 1586 => (Kind::AlreadyExists, Kind::AlreadyExists.entry().en),
        // A deadlock; a row that changed since a snapshot of MariaDB; TiDB's write conflicts.
        1213 | 1020 | 8002 | 8022 | 8028 | 9007 => (Kind::Conflict, Kind::Conflict.entry().en),
        // A lock, a statement of MySQL, one of MariaDB, or a killed one ran out of time.
        1205 | 3024 | 1969 | 1317 => (Kind::Timeout, "the statement ran into its time bound"),
        // A packet or a row over its bound.
        1153 | 1301 | 1118 => (Kind::TooLarge, "a value is too large for the database"),
        // Null, out of range, broken text, too long, foreign keys, checks.
        1048 | 1264 | 1366 | 1406 | 1451 | 1452 | 3819 | 4025 => {
            (Kind::InvalidParameter, "a value does not fit its column")
        }
        // Too many connections; shutting down.
        1040 | 1203 | 1226 | 1053 => {
            (Kind::Unavailable, "the database server cannot serve now; try again")
        }
        // Wrong name, password, schema or right.
        1044 | 1045 | 1049 | 1142 | 1698 => {
            (Kind::Unavailable, "the database server refuses us; check its address and rights")
        }
        _ => (Kind::Internal, Kind::Internal.entry().en),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_kinds() {
        let kind = |code| {
            let server = mysql_async::ServerError { code, message: "?".into(), state: "?".into() };
            error(DriverError::Server(server)).kind()
        };
        assert_eq!(kind(1062), Kind::AlreadyExists);
        assert_eq!(kind(1213), Kind::Conflict);
        assert_eq!(kind(1205), Kind::Timeout);
        assert_eq!(kind(1040), Kind::Unavailable);
        assert_eq!(kind(1064), Kind::Internal);
    }

    #[test]
    fn full_disks_and_servers_that_only_read_are_faults_of_the_storage() {
        let error = |code| {
            let server = mysql_async::ServerError { code, message: "?".into(), state: "?".into() };
            error(DriverError::Server(server))
        };
        for (code, expected) in [
            (1021, Some(StorageFault::DiskFull)),
            (1114, Some(StorageFault::DiskFull)),
            (1290, Some(StorageFault::ReadOnly)),
            (1836, Some(StorageFault::ReadOnly)),
            (1040, None),
            (1062, None),
        ] {
            assert_eq!(StorageFault::of(&error(code)), expected, "{code}");
        }
        assert_eq!(error(1021).kind(), Kind::Unavailable);
    }
}
