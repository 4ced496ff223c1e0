//! Small files that are there in full or not at all: keys, tokens, certificates, the version of the folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use yunzhan_base::Result;

use super::failed;

/// Every such file is the owner's alone; most hold secrets.
const FILE_MODE: u32 = 0o600;

/// What a draft's name has behind that of its file.
const DRAFT_SUFFIX: &str = ".new";

/// Writes a draft beside the file, brings it to the disk and moves it into place, so that a cut at any moment leaves what
/// was there before or all of what is new. A draft that such a cut left is replaced. It lasts once this returns.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|error| failed("write", path, error))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft_of(path);
    // Removed and made anew: one that is there may be open to others, or be somebody's link.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    // The new name is on the disk only when its folder is.
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DRAFT_SUFFIX);
    name.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_draft_of_a_start_that_was_cut_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("master.key");
        fs::write(root.path().join("master.key.new"), "ha").unwrap();
        write(&path, b"whole").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_that_is_a_link_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let victim = root.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, root.path().join("token.new")).unwrap();
        write(&root.path().join("token"), b"secret").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    }
}
