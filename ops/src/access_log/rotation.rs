//! When a log file is full, and what becomes of older ones: `access.log` becomes `access.log.1`, that one `.2`, and so on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A day of the log's time stamps, which are in UTC.
const DAY_MS: i64 = 24 * 3_600_000;

/// How much log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Bytes of one file; a batch that is written at once may exceed it.
    pub file_bytes_max: u64,
    /// Older files beside the present one.
    pub files: u32,
    /// Whether a new file also begins at midnight.
    pub daily: bool,
}

/// The day that the present file is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day(i64);

// === impl Day ===

impl Day {
    pub(super) const fn of(now_ms: i64) -> Self {
        Self(now_ms.div_euclid(DAY_MS))
    }

    /// Moves on to the present day, and says whether it is a later one.
    ///
    /// A clock that goes back to the day before was corrected around midnight: the day counts as begun. One that goes back
    /// further was wrong, and is followed, for otherwise no midnight would count until the wrong day came.
    pub(super) fn has_passed(&mut self, now_ms: i64) -> bool {
        let Self(today) = Self::of(now_ms);
        let has_passed = today > self.0;
        if has_passed || today + 1 < self.0 {
            self.0 = today;
        }
        has_passed
    }
}

/// Gives every file the next number, and drops what is then too old. The name `path` is free afterwards.
pub(super) fn shift(path: &Path, files: u32) -> io::Result<()> {
    // Somebody may have taken a file away; the others move up all the same.
    for number in (1..files).rev() {
        ignore_absent(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
    }
    let freed = match files {
        0 => fs::remove_file(path),
        _ => fs::rename(path, numbered(path, 1)),
    };
    ignore_absent(freed)?;
    prune(path, files);
    Ok(())
}

/// Removes older files with numbers above `files`: fewer are kept than before. Only names that [`shift`] makes are touched,
/// for the folder may hold what an operator compressed or put aside.
pub(super) fn prune(path: &Path, files: u32) {
    let (Some(folder), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return;
    };
    let number = |entry: &fs::DirEntry| {
        let entry_name = entry.file_name();
        let digits = entry_name.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
        digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| number(entry).is_some_and(|number| number > files)) {
        // What cannot be removed now is tried again at the next rotation.
        let _ = fs::remove_file(entry.path());
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn ignore_absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), name).unwrap();
        }
        folder
    }

    /// Names and contents: which file became which.
    fn listed(folder: &tempfile::TempDir) -> Vec<String> {
        let show = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let content = fs::read_to_string(entry.path()).unwrap_or_else(|_| "folder".into());
            format!("{}={content}", entry.file_name().to_str().unwrap())
        };
        let mut listed: Vec<_> = fs::read_dir(folder.path()).unwrap().map(show).collect();
        listed.sort();
        listed
    }

    #[test]
    fn a_file_that_somebody_took_away_stops_no_rotation() {
        let folder = folder_with(&["a.log", "a.log.2", "a.log.3"]);
        shift(&folder.path().join("a.log"), 3).unwrap();
        assert_eq!(listed(&folder), ["a.log.1=a.log", "a.log.3=a.log.2"]);
    }

    #[test]
    fn only_numbered_files_beyond_the_bound_are_removed() {
        let strange = ["a.log", "a.log.02", "a.log.2.gz", "a.log.bak", "a.log2", "b.log.9"];
        let folder = folder_with(&[&strange[..], &["a.log.1", "a.log.2", "a.log.7"]].concat());
        fs::create_dir(folder.path().join("a.log.8")).unwrap();
        prune(&folder.path().join("a.log"), 1);
        let kept: Vec<_> =
            listed(&folder).into_iter().filter(|it| !it.starts_with("a.log.8")).collect();
        let expected = [
            "a.log.02=a.log.02",
            "a.log.1=a.log.1",
            "a.log.2.gz=a.log.2.gz",
            "a.log.bak=a.log.bak",
            "a.log2=a.log2",
            "a.log=a.log",
            "b.log.9=b.log.9",
        ];
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_name_that_is_taken_by_a_folder_is_an_error() {
        let folder = folder_with(&["a.log"]);
        fs::create_dir_all(folder.path().join("a.log.1/kept")).unwrap();
        shift(&folder.path().join("a.log"), 1).unwrap_err();
        assert_eq!(listed(&folder), ["a.log.1=folder", "a.log=a.log"]);
    }

    #[test]
    fn midnight_counts_once_whatever_the_clock_does() {
        let at = |day: i64, ms: i64| day * DAY_MS + ms;
        let mut day = Day::of(at(20_000, 5));
        let mut passed = |now_ms| day.has_passed(now_ms);
        assert!(!passed(at(20_000, DAY_MS - 1)));
        assert!(passed(at(20_001, 0)));
        assert!(!passed(at(20_000, DAY_MS - 1)), "a correction back over midnight");
        assert!(!passed(at(20_001, 1)), "the day began already");
        assert!(passed(at(30_000, 0)), "a wrong clock");
        assert!(!passed(at(20_002, 0)), "a clock that was put right");
        assert!(passed(at(20_003, 0)), "and the next midnight counts again");
    }
}
