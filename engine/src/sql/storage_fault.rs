//! Why a storage refuses writes, as a cause in the chain of an error: drivers put it there, whoever watches finds it.

use std::fmt;

use yunzhan_base::{Error, Kind};

/// Why a storage refuses writes. It is nobody's request that is at fault, and the operator has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// There is no room.
    DiskFull,
    /// The file, its file system or the server may only be read.
    ReadOnly,
    /// The disk or the file system failed.
    Io,
    /// The file was moved, removed or replaced while it was open: what is written to it would be lost.
    Gone,
    /// The connection to the server broke, and no other could be had.
    Away,
    /// Nothing came back in time.
    NoAnswer,
}

/// A fault with what the driver said.
#[derive(Debug)]
struct Caused {
    fault: StorageFault,
    source: Box<dyn std::error::Error + Send + Sync>,
}

// === impl StorageFault ===

impl StorageFault {
    /// The fault that led to this error, if one did.
    pub fn of(error: &Error) -> Option<Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if let Some(fault) = error.downcast_ref::<Self>() {
                return Some(*fault);
            }
            if let Some(caused) = error.downcast_ref::<Caused>() {
                return Some(caused.fault);
            }
            cause = error.source();
        }
        None
    }

    /// Stable name, fit for a metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::ReadOnly => "read_only",
            Self::Io => "io_error",
            Self::Gone => "gone",
            Self::Away => "away",
            Self::NoAnswer => "no_answer",
        }
    }

    /// The error that callers see: unavailable, with what it is, and that it is not their fault.
    pub(crate) fn error(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::new(Kind::Unavailable, self.message())
            .because(Caused { fault: self, source: source.into() })
    }

    /// The same where nothing lies below.
    pub(crate) fn bare(self) -> Error {
        Error::new(Kind::Unavailable, self.message()).because(self)
    }

    const fn message(self) -> &'static str {
        match self {
            Self::DiskFull => "the database takes no writes now: its disk is full; try again later",
            Self::ReadOnly => "the database takes no writes now: it is read-only; try again later",
            Self::Io => "the database file cannot be used now; try again later, the log says why",
            Self::Gone => "the database takes no writes now: its file is gone; try again later",
            Self::Away => "the connection to the database broke; try again",
            Self::NoAnswer => "the database does not answer in time; try again later",
        }
    }

    /// What an operator does about it.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::DiskFull => "free space on its disk",
            Self::ReadOnly => "see to the rights on its files and to how its disk is mounted, or to the server's read_only",
            Self::Io => "see to its disk",
            Self::Gone => "put the file back, or stop this server before a file is replaced",
            Self::Away | Self::NoAnswer => "see to the database server or the disk",
        }
    }
}

impl fmt::Display for StorageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "disk full",
            Self::ReadOnly => "read-only",
            Self::Io => "I/O error",
            Self::Gone => "file moved, removed or replaced",
            Self::Away => "connection lost",
            Self::NoAnswer => "no answer in time",
        })
    }
}

impl std::error::Error for StorageFault {}

// === impl Caused ===

impl fmt::Display for Caused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for Caused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}
