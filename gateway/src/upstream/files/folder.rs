//! A folder of the machine.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use yunzhan_base::{Clock, Error, Kind, Result};

use super::content::OpenFile;
use super::path::FilePath;
use super::{Found, missing};

/// A folder whose files are served. Links that lead out of it are not followed.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    pub(super) clock: Clock,
}

impl Folder {
    /// Refuses one that does not exist.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let refused = |error: io::Error| {
            let message = format!("cannot open static folder {}", path.display());
            Error::new(Kind::InvalidParameter, message).because(error)
        };
        fs::read_dir(path).map_err(refused)?;
        let path = std::path::absolute(path).map_err(refused)?;
        Ok(Self { path, clock: Clock::System })
    }

    /// Opens what a path names; blocks. With `is_read` a small file is read at once.
    pub(super) fn find(&self, path: &FilePath, is_read: bool) -> Result<Found<OpenFile>> {
        let root = self.path.canonicalize().map_err(|error| {
            let message = "the folder of static files cannot be opened; try again later";
            Error::new(Kind::Unavailable, message).because(error)
        })?;
        let name = path.file();
        let wanted = root.join(name.as_ref());
        let facts = wanted.metadata().map_err(unopened)?;
        if facts.is_dir() && !path.is_folder() {
            open_below(&root, &root.join(path.index()))?;
            return Ok(Found::Folder);
        }
        // Whoever opens a pipe waits for its other end.
        if !facts.is_file() {
            return Err(missing());
        }
        let file = open_below(&root, &wanted)?;
        OpenFile::new(file, &name, self.clock.now_ms(), is_read).map(Found::File).map_err(unopened)
    }
}

/// Opens a file, and makes sure that what was opened lies below the root, wherever the path led: a link may have been put
/// anywhere on the way meanwhile.
fn open_below(root: &Path, wanted: &Path) -> Result<File> {
    let file = File::open(wanted).map_err(unopened)?;
    let real = real_path(&file, wanted).map_err(unopened)?;
    let is_file = file.metadata().map_err(unopened)?.is_file();
    if is_file && real.starts_with(root) { Ok(file) } else { Err(missing()) }
}

/// Where an open file lies, as the kernel knows it.
#[cfg(target_os = "linux")]
fn real_path(file: &File, wanted: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    // A container without /proc has the second best: where the path leads now.
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).or_else(|_| wanted.canonicalize())
}

/// Where the path of an open file leads now.
#[cfg(not(target_os = "linux"))]
fn real_path(_file: &File, wanted: &Path) -> io::Result<PathBuf> {
    wanted.canonicalize()
}

/// What cannot be opened is not there, unless the machine lacks something.
fn unopened(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::PermissionDenied
        | ErrorKind::InvalidFilename => missing().because(error),
        _ => Error::new(Kind::Unavailable, "the file cannot be read now; try again later")
            .because(error),
    }
}
