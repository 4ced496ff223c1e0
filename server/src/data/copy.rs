//! A copy of the data folder as it is, made before a new version of the program changes it.

use std::fs;
use std::io;
use std::path::Path;

use yunzhan_base::{DataDir, Result};

use super::{failed, make_folder};

/// Names that a copy leaves out: copies themselves, and what only a running process has.
const LEFT_OUT: [&str; 4] = ["backup", "run", "log", "LOCK"];

/// Copies everything that is data. The folder is locked and nothing in it is open, so the copy is consistent.
pub(super) fn copy_folder(dir: &DataDir, target: &Path) -> Result<()> {
    make_folder(target)?;
    copy_entries(dir.root(), target, &LEFT_OUT)
        .map_err(|error| failed("copy the data folder to", target, error))
}

fn copy_entries(from: &Path, to: &Path, left_out: &[&str]) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if left_out.iter().any(|name| entry.file_name() == **name) {
            continue;
        }
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
            copy_entries(&entry.path(), &target, &[])?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}
