//! What has changed since the merge base with `main`, and which crates that concerns.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The branches with which a merge base is looked for: the first that exists counts.
const MAIN: &[&str] = &["main", "origin/main"];

/// Files that every crate reads: what they say holds for the whole workspace.
const FOR_EVERYTHING: &[&str] =
    &["Cargo.toml", "Cargo.lock", "clippy.toml", ".cargo/config.toml", "rust-toolchain.toml"];

/// Files and folders of no crate that tests of some crates read.
const READ_BY: &[(&str, &[&str])] = &[
    ("README", &["yunzhan-e2e"]),
    ("docs/", &["yunzhan-server", "yunzhan-e2e"]),
    ("examples/", &["yunzhan-server", "yunzhan-e2e"]),
];

/// A crate of the workspace.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    /// Its folder, relative to the root.
    folder: String,
    /// Names of the crates that it depends on, whatever for.
    dependencies: Vec<String>,
}

/// What a change concerns.
pub(super) struct Changes {
    files: Vec<String>,
    /// Names of the crates that were touched, and of those that depend on them, in the order of the alphabet.
    crates: Vec<String>,
    /// Whether one of the crates has fuzz targets.
    has_fuzz: bool,
}

impl Changes {
    /// What differs from the merge base with `main`: committed, not committed yet, or not even known to git.
    ///
    /// # Errors
    /// When git or cargo cannot be asked, or there is no branch `main`.
    pub(super) fn since_main(root: &Path) -> Result<Self> {
        let exists =
            |branch: &&&str| git(root, &["rev-parse", "--verify", "--quiet", branch]).is_ok();
        let Some(main) = MAIN.iter().find(exists) else {
            bail!("--changed compares with {}, and there is none: fetch it", MAIN.join(" or "));
        };
        let base = git(root, &["merge-base", "HEAD", main])?;
        let mut files = git(root, &["diff", "--name-only", "--no-renames", base.trim()])?;
        files.push_str(&git(root, &["ls-files", "--others", "--exclude-standard"])?);
        let files: Vec<&str> = files.lines().collect();
        Ok(Self::of(&files, &members(root)?))
    }

    /// What these files concern.
    pub(super) fn of(files: &[&str], members: &[Member]) -> Self {
        let touched = members.iter().filter(|member| {
            files.iter().any(|file| member.holds(file) || is_read_by(file, &member.name))
        });
        let mut crates: BTreeSet<String> = touched.map(|member| member.name.clone()).collect();
        loop {
            let depends = |member: &&Member| {
                !crates.contains(&member.name)
                    && member.dependencies.iter().any(|name| crates.contains(name))
            };
            let Some(next) = members.iter().find(depends) else { break };
            crates.insert(next.name.clone());
        }
        let has_fuzz = members
            .iter()
            .any(|member| crates.contains(&member.name) && has_fuzz_targets(&member.folder));
        Self {
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            crates: crates.into_iter().collect(),
            has_fuzz,
        }
    }

    /// Whether a file has changed that holds for the whole workspace.
    pub(super) fn is_everything(&self) -> bool {
        self.files.iter().any(|file| FOR_EVERYTHING.contains(&file.as_str()))
    }

    /// Names of the crates concerned.
    pub(super) fn crates(&self) -> &[String] {
        &self.crates
    }

    /// Whether a source of Rust has changed, or how sources are formatted.
    pub(super) fn has_sources(&self) -> bool {
        self.files.iter().any(|file| file.ends_with(".rs") || file == "rustfmt.toml")
    }

    /// Whether a manifest has changed, or what manifests may name.
    pub(super) fn has_manifests(&self) -> bool {
        self.files.iter().any(|file| file.ends_with("Cargo.toml") || file == "deny.toml")
    }

    /// Whether a crate that is fuzzed is concerned.
    pub(super) fn concerns_fuzz_packages(&self) -> bool {
        self.has_fuzz
    }
}

impl Member {
    fn holds(&self, file: &str) -> bool {
        file.strip_prefix(self.folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn is_read_by(file: &str, name: &str) -> bool {
    READ_BY.iter().any(|(start, crates)| file.starts_with(start) && crates.contains(&name))
}

/// The crates whose parsers face the network have a package of fuzz targets beside them.
fn has_fuzz_targets(folder: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.is_some_and(|root| root.join(folder).join("fuzz/Cargo.toml").is_file())
}

fn git(root: &Path, words: &[&str]) -> Result<String> {
    let output =
        Command::new("git").args(words).current_dir(root).output().context("cannot run git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", words.join(" "), said.trim());
    String::from_utf8(output.stdout).context("git names a file that is not UTF-8")
}

/// The crates of the workspace, as cargo knows them.
fn members(root: &Path) -> Result<Vec<Member>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata: {}", said.trim());
    let metadata = serde_json::from_slice(&output.stdout).context("what does cargo say?")?;
    read_members(&metadata, root).context("cargo does not name the crates of the workspace")
}

fn read_members(metadata: &Value, root: &Path) -> Option<Vec<Member>> {
    let packages = metadata.get("packages")?.as_array()?;
    let text = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
    let member = |package: &Value| {
        let manifest = text(package, "manifest_path")?;
        let folder = Path::new(&manifest).parent()?.strip_prefix(root).ok()?.to_str()?.to_owned();
        let dependencies = package.get("dependencies")?.as_array()?;
        let dependencies = dependencies.iter().filter_map(|it| text(it, "name")).collect();
        Some(Member { name: text(package, "name")?, folder, dependencies })
    };
    packages.iter().map(member).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Some crates, and what they depend on.
    pub(in crate::ci) fn members() -> Vec<Member> {
        let member = |folder: &str, dependencies: &[&str]| Member {
            name: format!("yunzhan-{folder}"),
            folder: folder.to_owned(),
            dependencies: dependencies.iter().map(|name| format!("yunzhan-{name}")).collect(),
        };
        vec![
            member("e2e", &["server"]),
            member("query", &[]),
            member("waf", &[]),
            member("server", &["query", "waf"]),
            member("bench", &[]),
        ]
    }

    fn crates(files: &[&str]) -> String {
        Changes::of(files, &members()).crates().join(" ")
    }

    #[test]
    fn files_concern_the_crates_that_hold_or_read_them() {
        for (file, expected) in [
            ("waf/rules/starter.conf", "yunzhan-e2e yunzhan-server yunzhan-waf"),
            ("server/src/lib.rs", "yunzhan-e2e yunzhan-server"),
            ("query/fuzz/fuzz_targets/a.rs", "yunzhan-e2e yunzhan-query yunzhan-server"),
            ("README.zh-CN.md", "yunzhan-e2e"),
            ("docs/documents.md", "yunzhan-e2e yunzhan-server"),
            ("bench/src/main.rs", "yunzhan-bench"),
            // Another folder whose name begins alike.
            ("wafer/src/lib.rs", ""),
            ("CHANGELOG.md", ""),
        ] {
            assert_eq!(crates(&[file]), expected, "{file}");
        }
    }

    #[test]
    fn the_crates_of_this_workspace_are_found() {
        let root = xtask::workspace_root().unwrap();
        let members = super::members(&root).unwrap();
        let server = members.iter().find(|member| member.name == "yunzhan-server").unwrap();
        assert_eq!(server.folder, "server");
        assert!(server.dependencies.iter().any(|name| name == "yunzhan-base"));
        for (_, readers) in READ_BY {
            assert!(readers.iter().all(|name| members.iter().any(|member| member.name == *name)));
        }
    }
}
