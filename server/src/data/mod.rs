//! The data folder on disk: made, locked, versioned. [`DataDir`] names the paths; this opens them.

mod copy;
mod format;
mod lock;
mod master_key;
pub(crate) mod socket;
pub(crate) mod whole_file;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use yunzhan_base::{DataDir, Error, Kind, Result, Secret};

pub(crate) use format::Format;
pub(crate) use lock::Lock;
pub(crate) use master_key::{MASTER_KEY_BYTES, parse as parse_master_key};

/// Nobody but the owner reads, lists or enters.
const FOLDER_MODE: u32 = 0o700;

/// Names that a folder without FORMAT may hold: what an operator puts there before the first start, what a first start
/// leaves when it is cut short, and what file systems put at their roots. Anything else is somebody's data.
const NAMES_BEFORE_FORMAT: [&str; 7] =
    ["yunzhan.toml", "LOCK", "master.key", "master.key.new", "FORMAT.new", "tls", "lost+found"];

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct OpenData {
    /// Its paths.
    pub(crate) dir: DataDir,
    /// The key that seals stored secrets.
    pub(crate) master_key: [u8; MASTER_KEY_BYTES],
    /// What the operator should read: made folders, weak permissions.
    pub(crate) warnings: Vec<Warning>,
    /// Held until the process ends.
    _lock: Lock,
}

/// Something that works and should not stay so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Stable name.
    pub(crate) name: &'static str,
    /// One sentence.
    pub(crate) text: String,
}

/// Opens the folder: made if absent, locked, its format checked and migrated, its master key read or made.
pub(crate) fn open(dir: DataDir, master_key: Option<&Secret>, now_ms: i64) -> Result<OpenData> {
    refuse_no_folder(&dir)?;
    refuse_foreign_folder(&dir)?;
    let mut warnings = Vec::new();
    make_folder(dir.root())?;
    warnings.extend(close_to_others(dir.root()));
    let lock = Lock::take(&dir)?;
    let is_new = format::open(&dir, &Format::CURRENT, now_ms)? == format::Found::Nothing;
    let (master_key, made) = master_key::open(&dir, master_key, is_new)?;
    warnings.extend(made);
    // After the key, so that a first start that was cut short counts as not begun; before everything else, so that what it
    // leaves is ours beyond doubt.
    if is_new {
        format::write(&dir, Format::CURRENT.version)?;
    }
    for folder in [dir.run(), dir.log(), dir.envs(), dir.tls(), dir.backup()] {
        make_folder(&folder)?;
    }
    Ok(OpenData { dir, master_key, warnings, _lock: lock })
}

impl OpenData {
    /// Remembers the master key's check value. Called once everything that it sealed has been opened.
    pub(crate) fn keep_key_check(&self) -> Result<()> {
        master_key::keep_check(&self.dir, &self.master_key)
    }
}

/// What would refuse to open the folder, asked without taking the lock or changing anything.
pub(crate) fn inspect(dir: &DataDir, master_key: Option<&Secret>) -> Vec<Error> {
    if let Err(error) = refuse_no_folder(dir).and_then(|()| refuse_foreign_folder(dir)) {
        return vec![error];
    }
    let found = format::check(dir, &Format::CURRENT);
    let is_new = matches!(found, Ok(format::Found::Nothing));
    let key = master_key::look(dir, master_key, is_new).map(drop);
    [found.map(drop), key, Lock::could_be_taken(dir)].into_iter().filter_map(Result::err).collect()
}

/// The folder, or the nearest that is there of those above it, is a folder.
fn refuse_no_folder(dir: &DataDir) -> Result<()> {
    let there = dir.root().ancestors().find(|path| path.exists());
    match there {
        Some(path) if !path.is_dir() => Err(Error::new(
            Kind::InvalidParameter,
            format!("{} is no folder; name another data folder with --data", path.display()),
        )),
        _ => Ok(()),
    }
}

/// A folder with other people's files is not made ours by a mistyped `--data`.
fn refuse_foreign_folder(dir: &DataDir) -> Result<()> {
    if dir.format().exists() {
        return Ok(());
    }
    let entries = match fs::read_dir(dir.root()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read data folder", dir.root(), error)),
    };
    for entry in entries {
        let name =
            entry.map_err(|error| failed("read data folder", dir.root(), error))?.file_name();
        if !NAMES_BEFORE_FORMAT.iter().any(|known| name == **known) {
            return Err(Error::new(
                Kind::InvalidParameter,
                format!(
                    "{} is no data folder and holds {name:?}; name an empty or absent folder with --data",
                    dir.root().display()
                ),
            ));
        }
    }
    Ok(())
}

/// Makes a folder for the owner alone; a parent that is absent is made likewise. An existing one stays as it is.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path);
    made.map_err(|error| failed("make folder", path, error))
}

/// Takes rights away that others have on an existing folder. Where that is not ours to do, a warning says so.
fn close_to_others(path: &Path) -> Option<Warning> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    if mode & 0o077 == 0
        || fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE)).is_ok()
    {
        return None;
    }
    let text = format!(
        "data folder {} is open to others (mode {mode:o}) and cannot be closed; its owner should run chmod 700",
        path.display()
    );
    Some(Warning { name: "data_folder_open", text })
}

/// A fault of a path: what was tried, on which.
pub(crate) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let message = format!("cannot {what} {}: {error}", path.display());
    Error::new(Kind::Unavailable, message).because(error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn open_at(path: &Path) -> Result<OpenData> {
        open(DataDir::new(path), None, 0)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_folder_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("data");
        let data = open_at(&root).unwrap();
        assert_eq!(data.warnings[0].name, "master_key_made");
        for folder in [root.as_path(), &data.dir.run(), &data.dir.log(), &data.dir.envs()] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
        assert_eq!(mode(&data.dir.master_key()), 0o600);
        assert_eq!(fs::read_to_string(data.dir.format()).unwrap(), "1\n");
        let key = data.master_key;
        drop(data);

        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let again = open_at(&root).unwrap();
        assert_eq!((again.master_key, again.warnings.len()), (key, 0));
        assert_eq!(mode(&root), 0o700);
    }

    #[test]
    fn a_first_start_that_failed_can_be_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::new(root.path());
        let refused = open(dir.clone(), Some(&Secret::from("no key")), 0).unwrap_err();
        assert_eq!(refused.kind(), Kind::InvalidParameter);
        assert_eq!(open_at(root.path()).unwrap().warnings[0].name, "master_key_made");
    }

    #[test]
    fn a_first_start_that_was_cut_while_writing_can_be_tried_again() {
        let root = tempfile::tempdir().unwrap();
        for (draft, half) in [("master.key.new", "0f"), ("FORMAT.new", "")] {
            fs::write(root.path().join(draft), half).unwrap();
        }
        drop(open_at(root.path()).unwrap());
        // The key had its place already, the version had not.
        let key = fs::read_to_string(root.path().join("master.key")).unwrap();
        for name in ["FORMAT", "run", "log", "env", "tls", "backup"] {
            let path = root.path().join(name);
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        }
        drop(open_at(root.path()).unwrap());
        assert_eq!(fs::read_to_string(root.path().join("master.key")).unwrap(), key);
        assert!(fs::read_dir(root.path()).unwrap().all(|entry| {
            entry.unwrap().path().extension().is_none_or(|extension| extension != "new")
        }));
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let _held = open_at(root.path()).unwrap();
        let refused = open_at(root.path()).unwrap_err();
        let expected = format!(
            "data folder {} is in use by process {}; stop that process first, or name another folder with --data",
            root.path().display(),
            std::process::id()
        );
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.doc"), "x").unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = open_at(root.path()).unwrap_err().to_string();
        assert!(refused.ends_with("is no data folder and holds \"thesis.doc\"; name an empty or absent folder with --data"), "{refused}");
        assert_eq!(mode(root.path()), 0o755);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_format_is_refused_and_untouched() {
        let root = tempfile::tempdir().unwrap();
        drop(open_at(root.path()).unwrap());
        let format = DataDir::new(root.path()).format();
        fs::write(&format, "2\n").unwrap();
        let refused = open_at(root.path()).unwrap_err().to_string();
        assert!(refused.contains("has format 2, this program knows up to 1"), "{refused}");
        assert_eq!(inspect(&DataDir::new(root.path()), None)[0].to_string(), refused);
        assert_eq!(fs::read_to_string(format).unwrap(), "2\n");
    }

    #[test]
    fn a_lost_master_key_is_not_replaced_in_silence() {
        let root = tempfile::tempdir().unwrap();
        let dir = open_at(root.path()).unwrap().dir;
        fs::remove_file(dir.master_key()).unwrap();
        let refused = open_at(root.path()).unwrap_err().to_string();
        assert!(refused.contains("master key"), "{refused}");
        assert_eq!(inspect(&dir, None)[0].to_string(), refused);
        let given = Secret::new("ab".repeat(32));
        let data = open(dir.clone(), Some(&given), 0).unwrap();
        assert_eq!(data.master_key, [0xab; 32]);
        assert!(!dir.master_key().exists());
    }

    #[test]
    fn another_master_key_than_the_one_that_sealed_is_refused_also_before_the_start() {
        let root = tempfile::tempdir().unwrap();
        let data = open_at(root.path()).unwrap();
        data.keep_key_check().unwrap();
        let dir = data.dir.clone();
        drop(data);
        let good = fs::read_to_string(dir.master_key()).unwrap();
        let other = "ab".repeat(32);
        let given = open(dir.clone(), Some(&Secret::from(other.as_str())), 0).unwrap_err();
        assert!(given.message().starts_with("the master key of server.master_key is not"), "{given}");
        fs::write(dir.master_key(), &other).unwrap();
        let refused = open_at(root.path()).unwrap_err().to_string();
        assert_eq!(inspect(&dir, None)[0].to_string(), refused);
        assert!(refused.contains("master.key is not the one that sealed"), "{refused}");
        assert!(open(dir, Some(&Secret::from(good.as_str())), 0).is_ok());
    }

    #[test]
    fn whatever_is_no_folder_is_refused_also_before_the_start() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let refused = open_at(&path).unwrap_err().to_string();
            assert!(refused.contains("file is no folder"), "{refused}");
            assert_eq!(inspect(&DataDir::new(&path), None)[0].to_string(), refused);
        }
    }
}
