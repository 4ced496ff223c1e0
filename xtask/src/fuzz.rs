//! The fuzz targets: every package beside a member, run one after the other, or only checked so that none of them rots.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Seconds for each target unless told: what a change of a parser should be tried for at the least.
const SECONDS_DEFAULT: u32 = 300;

/// What one run may hold in memory; what takes more is a finding.
const MEMORY_MIB_MAX: u32 = 2048;

/// One build folder for all packages, so that what they share is built once.
const TARGET_FOLDER: &str = "target/fuzz";

/// How sources announce unsafe code; the lints of the workspace let no other through.
const UNSAFE_MARK: &str = "expect(unsafe_code";

/// What to run, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    seconds: u32,
    /// `PACKAGE` or `PACKAGE/TARGET`; everything where it is absent.
    only: Option<String>,
}

/// One target of one package.
struct Target {
    /// The member's folder, which holds `fuzz/`.
    package: String,
    name: String,
}

impl Choice {
    /// Reads `[--seconds N] [PACKAGE[/TARGET]]`.
    pub(crate) fn read(words: &[&str]) -> Result<Self> {
        let (seconds, rest) = match words {
            ["--seconds", seconds, rest @ ..] => {
                let seconds = seconds.parse().context("--seconds takes a whole number")?;
                ensure!(seconds > 0, "--seconds 0 would never end; give at least 1");
                (seconds, rest)
            }
            rest => (SECONDS_DEFAULT, rest),
        };
        match rest {
            [] => Ok(Self { seconds, only: None }),
            [only] if !only.starts_with('-') => Ok(Self { seconds, only: Some((*only).into()) }),
            _ => bail!("usage: cargo xtask fuzz [--seconds N] [PACKAGE[/TARGET]]"),
        }
    }

    fn takes(&self, target: &Target) -> bool {
        self.only.as_ref().is_none_or(|only| *only == target.package || *only == target.place())
    }
}

impl Target {
    fn place(&self) -> String {
        format!("{}/{}", self.package, self.name)
    }
}

/// Compiles every fuzz package as its lock file says, without instruments; `false` when one does not compile.
pub(crate) fn check(root: &Path) -> Result<bool> {
    let mut passed = true;
    for package in packages(root)? {
        println!("checking {package}/fuzz");
        let status = Command::new("cargo")
            .args(["check", "--locked", "--target-dir", TARGET_FOLDER, "--manifest-path"])
            .arg(manifest(root, &package))
            .current_dir(root)
            .status()
            .context("cannot run cargo")?;
        if !status.success() {
            println!("{package}/fuzz: {}", stale_lock_hint(&package));
            passed = false;
        }
    }
    Ok(passed)
}

/// Each fuzz package has a lock file of its own, which does not follow when a member's dependencies change.
fn stale_lock_hint(package: &str) -> String {
    format!(
        "if its lock file is behind, run: cargo update --workspace --manifest-path {package}/fuzz/Cargo.toml"
    )
}

/// Runs the chosen targets and prints what each did; `false` when one found something.
pub(crate) fn run(root: &Path, choice: &Choice) -> Result<bool> {
    let all = targets(root)?;
    let chosen: Vec<&Target> = all.iter().filter(|target| choice.takes(target)).collect();
    let known: Vec<String> = all.iter().map(Target::place).collect();
    ensure!(!chosen.is_empty(), "no such target; there are: {}", known.join(", "));
    let mut table = String::new();
    let mut passed = true;
    for target in chosen {
        eprintln!("fuzzing {} for {} s", target.place(), choice.seconds);
        let ended = run_target(root, target, choice.seconds)?;
        passed &= ended.passed;
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{:<28} {:>12}  {}", target.place(), ended.runs, ended.result);
    }
    print!("{:<28} {:>12}  result\n{table}", "target", "runs");
    Ok(passed)
}

/// How a run ended.
struct Ended {
    passed: bool,
    /// Inputs that were tried, as libFuzzer counts them.
    runs: String,
    result: String,
}

fn run_target(root: &Path, target: &Target, seconds: u32) -> Result<Ended> {
    let log = root.join(TARGET_FOLDER).join(format!("{}-{}.log", target.package, target.name));
    fs::create_dir_all(root.join(TARGET_FOLDER))?;
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = command(root, target, seconds)?
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("cannot run cargo fuzz; install it with `cargo install cargo-fuzz`")?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let shown = log.strip_prefix(root).unwrap_or(&log).display().to_string();
    Ok(read_log(status.success(), &text, &shown))
}

fn command(root: &Path, target: &Target, seconds: u32) -> Result<Command> {
    let fuzz = root.join(&target.package).join("fuzz");
    // What is found goes into the corpus, which nobody tracks; the seeds stay as they are.
    let corpus = fuzz.join("corpus").join(&target.name);
    fs::create_dir_all(&corpus)?;
    let seeds = fuzz.join("seeds").join(&target.name);
    let dictionary = fuzz.join("dictionary.txt");
    let mut command = Command::new("cargo");
    command.args(["fuzz", "run", "--debug-assertions", "--target-dir", TARGET_FOLDER]);
    if !has_unsafe(&root.join(&target.package).join("src"))? {
        command.args(["--sanitizer", "none"]);
    }
    command.arg("--fuzz-dir").arg(&fuzz).arg(&target.name).arg(corpus);
    command.args(Some(seeds).filter(|seeds| seeds.is_dir())).arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}")).arg("-print_final_stats=1");
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    // libFuzzer's instruments are options of the compiler that a stable one takes only so.
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(root);
    Ok(command)
}

/// What libFuzzer's last words say.
fn read_log(passed: bool, text: &str, log: &str) -> Ended {
    let after = |mark: &str| {
        text.lines().rev().find_map(|line| Some(line.split_once(mark)?.1.trim().to_owned()))
    };
    let runs = after("stat::number_of_executed_units:").unwrap_or_else(|| "none".into());
    let result = match (passed, after("Test unit written to")) {
        (true, _) => "ok".into(),
        (false, Some(input)) => format!("FOUND {input}, see {log}"),
        (false, None) => format!("FAILED, see {log}"),
    };
    Ended { passed, runs, result }
}

/// Members with fuzz targets, in the order of their names.
fn packages(root: &Path) -> Result<Vec<String>> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.path().join("fuzz/Cargo.toml").is_file() {
            packages.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    packages.sort();
    Ok(packages)
}

fn targets(root: &Path) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for package in packages(root)? {
        let path = manifest(root, &package);
        let text = fs::read_to_string(&path)?;
        let names = target_names(&text).with_context(|| path.display().to_string())?;
        targets.extend(names.into_iter().map(|name| Target { package: package.clone(), name }));
    }
    Ok(targets)
}

/// The names of a manifest's `[[bin]]` tables.
fn target_names(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse()?;
    let binaries = manifest.get("bin").and_then(toml::Value::as_array);
    let binaries = binaries.context("has no [[bin]], so no target")?;
    let name = |binary: &toml::Value| {
        let name = binary.get("name").and_then(toml::Value::as_str);
        name.map(str::to_owned).context("a [[bin]] has no name")
    };
    binaries.iter().map(name).collect()
}

fn manifest(root: &Path, package: &str) -> PathBuf {
    root.join(package).join("fuzz/Cargo.toml")
}

/// Whether sources have unsafe code: then memory is watched, at the price of half the runs.
fn has_unsafe(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_unsafe = if path.is_dir() {
            has_unsafe(&path)?
        } else {
            path.extension().is_some_and(|extension| extension == "rs")
                && fs::read_to_string(&path)?.contains(UNSAFE_MARK)
        };
        if is_unsafe {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;

    use super::*;

    fn ended(passed: bool, text: &str) -> String {
        let Ended { runs, result, .. } = read_log(passed, text, "a.log");
        format!("{runs}: {result}")
    }

    #[test]
    fn the_last_words_of_a_run_are_understood() {
        let good = "#2 INITED\nDone 41 runs in 5 second(s)\nstat::number_of_executed_units: 41\n";
        let bad = "panicked\nartifact_prefix='a/'; Test unit written to a/crash-1\n\
                   stat::number_of_executed_units: 7\n";
        expect!["41: ok"].assert_eq(&ended(true, good));
        expect!["7: FOUND a/crash-1, see a.log"].assert_eq(&ended(false, bad));
        expect!["none: FAILED, see a.log"].assert_eq(&ended(false, "error: no such command\n"));
    }

    #[test]
    fn a_choice_is_a_time_and_a_place() {
        let read = |words: &[&str]| Choice::read(words).map_err(|error| error.to_string());
        let choice = |seconds, only: Option<&str>| Choice { seconds, only: only.map(Into::into) };
        assert_eq!(read(&[]), Ok(choice(300, None)));
        assert_eq!(read(&["query"]), Ok(choice(300, Some("query"))));
        assert_eq!(read(&["--seconds", "5", "query/ejson"]), Ok(choice(5, Some("query/ejson"))));
        for bad in [&["--seconds", "0"][..], &["--seconds", "x"], &["--fast"], &["a", "b"]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_fuzz_package_of_this_workspace_is_found() {
        let root = crate::workspace_root().unwrap();
        let places: Vec<String> = targets(&root).unwrap().iter().map(Target::place).collect();
        for place in ["base/configuration", "gateway/request_bytes", "query/ejson", "services/jwt"]
        {
            assert!(places.iter().any(|known| known == place), "{place} is not among {places:?}");
        }
    }

    #[test]
    fn memory_is_watched_where_code_is_unsafe() {
        let root = crate::workspace_root().unwrap();
        assert!(has_unsafe(&root.join("engine/src")).unwrap());
        assert!(!has_unsafe(&root.join("base/src")).unwrap());
    }
}
