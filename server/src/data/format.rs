//! The version of the folder's layout: a newer one is refused, an older one is copied, then brought forward.

use std::fs;
use std::io;

use yunzhan_base::data_dir::FORMAT_VERSION;
use yunzhan_base::{DataDir, Error, Kind, Result};

use super::copy::copy_folder;
use super::{failed, whole_file};

/// What this program knows of formats.
pub(crate) struct Format {
    /// The version that it writes.
    pub(crate) version: u32,
    /// `steps[i]` brings version `i + 1` to version `i + 2`; each may run again after a crash.
    pub(crate) steps: &'static [fn(&DataDir) -> Result<()>],
}

/// What a folder was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No data folder yet.
    Nothing,
    /// Of this version.
    Version(u32),
}

impl Format {
    /// The layout that [`DataDir`] describes.
    pub(crate) const CURRENT: Self = Self { version: FORMAT_VERSION, steps: &[] };
}

/// Reads the version and refuses what this program does not know.
pub(crate) fn check(dir: &DataDir, known: &Format) -> Result<Found> {
    let path = dir.format();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed("read", &path, error)),
    };
    match text.trim_end().parse::<u32>() {
        Ok(version @ 1..) if version <= known.version => Ok(Found::Version(version)),
        Ok(version @ 1..) => Err(Error::new(
            Kind::InvalidParameter,
            format!(
                "data folder {} has format {version}, this program knows up to {}; run the newer program that wrote it",
                dir.root().display(),
                known.version
            ),
        )),
        _ => Err(Error::new(
            Kind::InvalidParameter,
            format!("{} holds no version number; restore the folder from a backup", path.display()),
        )),
    }
}

/// Checks the version, and brings an older folder forward after copying it to its backup folder.
pub(crate) fn open(dir: &DataDir, known: &Format, now_ms: i64) -> Result<Found> {
    let found = check(dir, known)?;
    let Found::Version(version) = found else { return Ok(found) };
    if version < known.version {
        let copy = dir.backup().join(format!("format-{version}-{now_ms}"));
        copy_folder(dir, &copy)?;
    }
    for from in version..known.version {
        known.steps[from as usize - 1](dir)?;
        write(dir, from + 1)?;
    }
    Ok(found)
}

/// Writes the version so that a crash leaves the old or the new one.
pub(crate) fn write(dir: &DataDir, version: u32) -> Result<()> {
    whole_file::write(&dir.format(), format!("{version}\n").as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const NEXT: Format = Format {
        version: 3,
        steps: &[
            |dir| {
                fs::rename(dir.root().join("a"), dir.root().join("b"))
                    .map_err(|e| failed("move", dir.root(), e))
            },
            |dir| {
                fs::write(dir.root().join("c"), "new").map_err(|e| failed("write", dir.root(), e))
            },
        ],
    };

    #[test]
    fn an_older_folder_is_copied_then_brought_forward() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::new(root.path());
        fs::write(dir.format(), "1\n").unwrap();
        fs::write(dir.root().join("a"), "old").unwrap();
        assert_eq!(open(&dir, &NEXT, 7).unwrap(), Found::Version(1));
        let read = |path: &str| fs::read_to_string(dir.root().join(path)).unwrap();
        assert_eq!([read("FORMAT"), read("b"), read("c")], ["3\n", "old", "new"]);
        assert_eq!([read("backup/format-1-7/FORMAT"), read("backup/format-1-7/a")], ["1\n", "old"]);
        assert_eq!(open(&dir, &NEXT, 8).unwrap(), Found::Version(3));
        assert!(!dir.backup().join("format-3-8").exists());
    }

    #[test]
    fn a_damaged_version_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::new(root.path());
        for bad in ["", "0", "x", "-1", "1.0"] {
            fs::write(dir.format(), bad).unwrap();
            assert!(
                check(&dir, &NEXT).unwrap_err().message().contains("no version number"),
                "{bad}"
            );
        }
    }
}
