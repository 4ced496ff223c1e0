//! The tracked files, held in memory, so that a check is a pure function and its test needs no repository.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The tracked files in the order of their paths.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

/// One file.
pub(super) struct File {
    /// Path from the root, with `/`.
    pub(super) path: String,
    /// Its text; nothing for pictures and other bytes that are not UTF-8.
    pub(super) text: Option<String>,
    /// Its size in bytes.
    pub(super) bytes: usize,
}

impl Tree {
    /// Reads what git tracks or would track, so that a file counts before it is added; one that was removed but not yet committed
    /// is left out.
    pub(super) fn tracked(root: &Path) -> Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("cannot run git")?;
        ensure!(listing.status.success(), "git ls-files failed in {}", root.display());
        let names = String::from_utf8(listing.stdout).context("a path is not UTF-8")?;
        let paths = names.split_terminator('\0');
        let present = paths.filter(|path| root.join(path).is_file());
        let files = present.map(|path| File::read(root, path)).collect::<Result<_>>()?;
        Ok(Self { files })
    }

    /// Files that have a text.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?)))
    }

    /// Texts whose path ends so, for example `.rs`.
    pub(super) fn ending(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(end))
    }

    /// The text at a path.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts().find(|(own, _)| *own == path).map(|(_, text)| text)
    }

    /// Whether a tracked file has this path, or lies in a folder of this path.
    pub(super) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    /// A tree for a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: Some((*text).to_owned()),
            bytes: text.len(),
        };
        Self { files: files.iter().map(file).collect() }
    }
}

impl File {
    fn read(root: &Path, path: &str) -> Result<Self> {
        let bytes =
            std::fs::read(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        let size = bytes.len();
        Ok(Self { path: path.to_owned(), text: String::from_utf8(bytes).ok(), bytes: size })
    }
}
