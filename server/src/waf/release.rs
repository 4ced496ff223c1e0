//! A release of rules: a folder of them, read whole, so that what was checked is what is kept and what runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_waf::RuleSet;
use yunzhan_waf::seclang::Sources;
use yunzhan_waf::seclang::ast::Problem;
use yunzhan_waf::starter::WithBuiltIn;

use super::{Config, refuse};
use crate::data;

/// Files of one release; the Core Rule Set has about 50 that count.
const FILES_MAX: usize = 1000;
/// Bytes of all its files; the Core Rule Set has about 2 MiB.
const BYTES_MAX: u64 = 32 << 20;
/// Folders within folders.
const DEPTH_MAX: usize = 4;

/// What files of rules end with. Anything else of a release, such as its tests and its manual, is left where it is.
const ENDINGS: [&str; 3] = [".conf", ".data", ".conf.example"];

/// The file with which a release begins that is not the Core Rule Set.
const MAIN: &str = "main.conf";

/// Where the files of a release are while it is compiled, apart from ours.
pub(super) const FOLDER: &str = "release/";
/// The name of our own text before it.
const FRONT: &str = "base.conf";
/// The name of the operator's file between its set-up and its rules.
const SETTINGS: &str = "settings.conf";

/// What stands before the Core Rule Set.
const BASE: &str = include_str!("base.conf");

/// The files of a release, by their paths in it.
pub(super) struct Release {
    files: BTreeMap<String, Vec<u8>>,
}

/// How a release begins.
#[derive(Debug, PartialEq, Eq)]
enum Main<'r> {
    /// The Core Rule Set with its file of settings: it wants [`BASE`] before it, and the built-in rules that
    /// know what mini-programs send.
    CoreRuleSet(&'r str),
    /// A file that stands for itself.
    File(&'r str),
}

impl Release {
    /// Reads the rules of a folder.
    ///
    /// # Errors
    /// What cannot be read, or is beyond the bounds, or no release.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut reading = Reading { files: BTreeMap::new(), bytes: 0 };
        reading.folder(folder, "", 0)?;
        let release = Self { files: reading.files };
        release.main().map(drop).ok_or_else(|| {
            let text = format!(
                "{} is no release of rules: it has neither crs-setup.conf(.example) beside a folder rules nor {MAIN}",
                folder.display()
            );
            Error::new(Kind::InvalidParameter, text)
        })?;
        Ok(release)
    }

    fn main(&self) -> Option<Main<'_>> {
        let name = |name: &str| self.files.get_key_value(name).map(|(name, _)| name.as_str());
        let has_rules =
            || self.files.keys().any(|name| name.starts_with("rules/") && name.ends_with(".conf"));
        let set_up = name("crs-setup.conf").or_else(|| name("crs-setup.conf.example"));
        match set_up.filter(|_| has_rules()) {
            Some(set_up) => Some(Main::CoreRuleSet(set_up)),
            None => name(MAIN).map(Main::File),
        }
    }

    /// 64 hexadecimal digits over the names and bytes of all its files.
    pub(super) fn hash(&self) -> String {
        let mut hash = Context::new(&SHA256);
        for (name, bytes) in &self.files {
            for part in [name.as_bytes(), bytes] {
                hash.update(&(part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Compiles it with the operator's settings. Mistakes name the files as they are in `folder`.
    ///
    /// # Errors
    /// Every mistake, each with file and line.
    pub(super) fn compile(
        &self,
        folder: &Path,
        config: &Config,
        settings: &Path,
    ) -> Result<RuleSet> {
        let kept = match fs::read(settings) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(data::failed("read", settings, error)),
        };
        let front = self.front(config);
        let virtual_files = Virtual { release: self, front: &front, settings: kept.as_deref() };
        RuleSet::load(FRONT, &WithBuiltIn(&virtual_files)).map_err(|mut problems| {
            problems.iter_mut().for_each(|problem| name_file(problem, folder, settings));
            refuse(&problems)
        })
    }

    fn front(&self, config: &Config) -> String {
        match self.main() {
            None => String::new(),
            Some(Main::File(name)) => format!("Include {FOLDER}{name}\n"),
            Some(Main::CoreRuleSet(set_up)) => {
                let own = config.core_rule_set.action();
                format!(
                    "{BASE}\nInclude /builtin/crs.conf\nInclude {FOLDER}{set_up}\n{own}\nIncludeOptional {SETTINGS}\n\
                     IncludeOptional {FOLDER}plugins/*-config.conf\n\
                     IncludeOptional {FOLDER}plugins/*-before.conf\n\
                     Include {FOLDER}rules/*.conf\n\
                     IncludeOptional {FOLDER}plugins/*-after.conf\n"
                )
            }
        }
    }

    /// Writes its files into a folder that is not there yet.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            data::make_folder(path.parent().unwrap_or(folder))?;
            data::whole_file::write(&path, bytes)?;
        }
        Ok(())
    }

    /// What its components call themselves, without compiling it.
    pub(super) fn signatures(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (_, bytes) in self.files.iter().filter(|(name, _)| !name.ends_with(".data")) {
            let text = String::from_utf8_lossy(bytes);
            let named = |line: &str| {
                let rest = line.trim().strip_prefix("SecComponentSignature")?;
                Some(rest.trim().trim_matches('"').to_owned())
            };
            for named in text.lines().filter_map(named) {
                if !found.contains(&named) {
                    found.push(named);
                }
            }
        }
        found
    }
}

/// Files as they are gathered.
struct Reading {
    files: BTreeMap<String, Vec<u8>>,
    bytes: u64,
}

impl Reading {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<()> {
        let failed = |error| unreadable(folder, &error);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            let kind = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
            if kind.is_dir() && depth < DEPTH_MAX {
                self.folder(&path, &format!("{prefix}{name}/"), depth + 1)?;
            } else if kind.is_file() && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                self.file(&path, format!("{prefix}{name}"), kind.len())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String, bytes: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.files.len() == FILES_MAX || self.bytes > BYTES_MAX {
            let text =
                format!("a release has at most {FILES_MAX} files of {BYTES_MAX} bytes together");
            return Err(Error::new(Kind::TooLarge, text));
        }
        let read = fs::read(path).map_err(|error| unreadable(path, &error))?;
        self.files.insert(name, read);
        Ok(())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::InvalidParameter, format!("cannot read {}: {error}", path.display()))
}

/// Mistakes are told where the operator finds them.
fn name_file(problem: &mut Problem, folder: &Path, settings: &Path) {
    let file = problem.place.file.as_ref();
    let shown = match file.strip_prefix(FOLDER) {
        Some(name) => folder.join(name),
        None if file == SETTINGS => settings.to_owned(),
        None => return,
    };
    problem.place.file = shown.display().to_string().into();
}

/// A release with what stands before and in it, as files.
struct Virtual<'v> {
    release: &'v Release,
    front: &'v str,
    settings: Option<&'v [u8]>,
}

impl Sources for Virtual<'_> {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        if folder.is_empty() {
            return Ok(self.settings.map(|_| SETTINGS.to_owned()).into_iter().collect());
        }
        let prefix = format!("{}/", folder.trim_end_matches('/'));
        let names = self.release.files.keys().filter_map(|name| {
            let full = format!("{FOLDER}{name}");
            let rest = full.strip_prefix(&prefix)?;
            (!rest.contains('/')).then(|| rest.to_owned())
        });
        Ok(names.collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let of_release = || self.release.files.get(path.strip_prefix(FOLDER)?).cloned();
        let found = match path {
            FRONT => Some(self.front.as_bytes().to_vec()),
            SETTINGS => self.settings.map(<[u8]>::to_vec),
            _ => of_release(),
        };
        let name = path.strip_prefix(FOLDER).unwrap_or(path);
        found.ok_or_else(|| format!("there is no file `{name}` in the release"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::{Expect, expect};
    use yunzhan_waf::starter::BuiltIn;

    use super::*;

    /// A folder with these files.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn check(files: &[(&str, &str)], settings: &str, expected: &Expect) {
        let folder = folder(files);
        let settings_file = folder.path().join("own");
        fs::write(&settings_file, settings).unwrap();
        let config = Config::for_tests();
        let built_in = RuleSet::load("/builtin/crs.conf", &BuiltIn).unwrap();
        let compiled = Release::read(folder.path()).and_then(|release| {
            let rules = release.compile(folder.path(), &config, &settings_file)?;
            let is_core = matches!(release.main(), Some(Main::CoreRuleSet(_)));
            let before = if is_core { built_in.len() } else { 0 };
            let count = rules.len() - before;
            Ok(format!("{count} rules of {:?}", release.signatures()))
        });
        let told = compiled.unwrap_or_else(|error| error.message().to_owned());
        expected.assert_eq(&told.replace(&folder.path().display().to_string(), "DIR"));
    }

    const RULE: &str = r#"SecRule ARGS "@contains x" "id:1,deny""#;

    #[test]
    fn a_release_is_known_by_what_is_in_it() {
        check(&[("main.conf", RULE)], "", &expect!["1 rules of []"]);
        check(
            &[
                ("crs-setup.conf.example", "SecComponentSignature \"A/1\""),
                ("rules/a.conf", RULE),
                ("rules/b.conf.example", "not read"),
                ("README.md", "not read"),
            ],
            "SecRule ARGS \"@pmFromFile a.data\" \"id:2,pass\"",
            &expect![[r#"
                the rules against attacks have a mistake
                  DIR/own:1 (rule 2): @pmFromFile: there is no file `a.data` in the release"#]],
        );
        check(
            &[
                ("crs-setup.conf.example", "SecComponentSignature \"A/1\""),
                ("rules/a.conf", "SecRule ARGS \"@pmFromFile a.data\" \"id:1,pass\""),
                ("rules/a.data", "x"),
                ("plugins/p-before.conf", "SecAction \"id:2,pass\""),
            ],
            "SecAction \"id:3,phase:1,pass,setvar:tx.blocking_paranoia_level=2\"",
            &expect![[r#"4 rules of ["A/1"]"#]],
        );
        check(
            &[("rules/a.conf", RULE)],
            "",
            &expect![
                "DIR is no release of rules: it has neither crs-setup.conf(.example) beside a folder rules nor main.conf"
            ],
        );
        check(
            &[("main.conf", "Include a/*.conf"), ("a/b.conf", "SecRul"), ("a/c.conf", "Oh")],
            "",
            &expect![[r#"
                the rules against attacks have 2 mistakes
                  DIR/a/b.conf:1: unknown directive `SecRul`; did you mean `SecRule`?
                  DIR/a/c.conf:1: unknown directive `Oh`"#]],
        );
    }

    #[test]
    fn a_hash_covers_names_and_bytes() {
        let hash = |files: &[(&str, &str)]| Release::read(folder(files).path()).unwrap().hash();
        let one = hash(&[("main.conf", "a"), ("b.data", "c")]);
        assert_eq!(one.len(), 64);
        assert_eq!(one, hash(&[("b.data", "c"), ("main.conf", "a"), ("notes.txt", "d")]));
        assert_ne!(one, hash(&[("main.conf", "a"), ("b.data", "d")]));
        assert_ne!(one, hash(&[("main.conf", "a"), ("d.data", "c")]));
    }
}
