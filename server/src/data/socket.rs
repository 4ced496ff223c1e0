//! Unix sockets below folders with long names: the kernel takes 107 bytes of path, people make longer ones.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use yunzhan_base::{Error, Kind, Result};

use super::failed;

/// `sun_path` holds 108 bytes with its end mark on Linux, 104 elsewhere.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// A path that the kernel takes for a socket, as long as this value lives.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    /// Keeps the folder's number in `path` valid.
    _folder: Option<File>,
}

impl SocketPath {
    /// The path itself, or on Linux the same place reached through the open folder.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::internal("a socket without a folder"));
        };
        if !cfg!(target_os = "linux") {
            return Err(Error::new(
                Kind::InvalidParameter,
                format!("{} is too long for a socket; choose a shorter --data", path.display()),
            ));
        }
        let folder = File::open(parent).map_err(|error| failed("open", parent, error))?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self { path: short, _folder: Some(folder) })
    }

    /// For `bind` and `connect`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_still_carries_a_socket() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("n".repeat(150));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("s");
        let socket = SocketPath::of(&path).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(socket.path()).unwrap();
        assert!(path.exists());
        std::os::unix::net::UnixStream::connect(SocketPath::of(&path).unwrap().path()).unwrap();
        drop(listener);
    }
}
