//! One process holds a data folder. The kernel forgets the lock with the process, so a crash leaves none behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use yunzhan_base::{DataDir, Error, Kind, Result};

use super::failed;

/// Longer than any process id in decimal.
const HOLDER_BYTES_MAX: u64 = 32;

/// The lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says which process holds it.
    pub(crate) fn take(dir: &DataDir) -> Result<Self> {
        let path = dir.lock();
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut file = opened.map_err(|error| failed("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(dir, file)),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, error)),
        }
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(std::process::id().to_string().as_bytes())
        };
        note(&mut file).map_err(|error| failed("write", &path, error))?;
        Ok(Self { _file: file })
    }

    /// Whether the lock's file, and so the folder, can be written, whoever holds it. Where there is none yet it is not known.
    pub(crate) fn could_be_taken(dir: &DataDir) -> Result<()> {
        let path = dir.lock();
        match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("open", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Whether another process holds the folder now. An absent or unreadable lock is nobody's.
    pub(crate) fn is_held(dir: &DataDir) -> bool {
        let file = OpenOptions::new().read(true).write(true).open(dir.lock());
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }
}

fn held(dir: &DataDir, file: File) -> Error {
    let mut holder = String::new();
    let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut holder);
    let holder = match read {
        Ok(_) if !holder.is_empty() => format!("process {holder}"),
        _ => "another process".into(),
    };
    Error::new(
        Kind::Conflict,
        format!(
            "data folder {} is in use by {holder}; stop that process first, or name another folder with --data",
            dir.root().display()
        ),
    )
}
