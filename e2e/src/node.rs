//! The published clients: installed once, unmodified, and driven by the scripts in `node/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::requirement::Requirement;
use crate::shell::Output;

/// The drivers and the list of packages with their versions.
const DRIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node");
/// Written when an installation is whole, with the list that it was made from.
const WHOLE: &str = "whole";

/// A folder of installed packages.
#[derive(Clone, Debug)]
pub struct Packages(PathBuf);

/// What a driver reports in its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// Steps that passed.
    pub passed: u32,
    /// Steps that failed.
    pub failed: u32,
}

impl Packages {
    /// Installs the packages, unless an earlier test did; none where Node is not at hand, which was then reported.
    ///
    /// # Panics
    /// When Node is required and absent.
    pub async fn install() -> Option<Self> {
        let installed = tokio::task::spawn_blocking(|| {
            if !Requirement::Node.is_met() {
                return None;
            }
            match install_into(&folder()) {
                Ok(packages) => Some(packages),
                Err(error) => {
                    Requirement::Node
                        .skip(&format!("the published clients are not there: {error:#}"));
                    None
                }
            }
        });
        installed.await.expect("what is required is there")
    }

    /// Runs a driver with these variables.
    ///
    /// # Panics
    /// When Node cannot be started.
    pub async fn drive(&self, driver: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new("node");
        command
            .args(driver)
            .current_dir(DRIVERS)
            .env("NODE_PATH", self.0.join("node_modules"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        Output::from(output.expect("no panic").expect("node runs"))
    }
}

impl Score {
    /// Reads `12 passed, 0 failed`.
    pub fn of(output: &Output) -> Option<Self> {
        let line = output.stdout.lines().next_back()?;
        let (passed, failed) = line.split_once(" passed, ")?;
        let failed = failed.strip_suffix(" failed")?;
        Some(Self { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
    }
}

/// The failed steps with what the client said; everything, when the driver did not come to its end.
pub fn failures(output: &Output) -> String {
    let mut is_failure = Score::of(output).is_none();
    let mut failures = output.stderr.clone();
    for line in output.stdout.lines() {
        // What a step says goes on in indented lines.
        if !line.starts_with(' ') && Score::of(output).is_some() {
            is_failure = line.starts_with("FAILED ");
        }
        if is_failure {
            failures.push_str(line);
            failures.push('\n');
        }
    }
    failures
}

/// Beside the other results of builds, so that it lives as long as they do.
fn folder() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    // target/<profile>/deps/<program>
    program.ancestors().nth(3).expect("a target folder").join("e2e-node")
}

fn install_into(folder: &Path) -> Result<Packages> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Tests of several processes may want them at once.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let list = fs::read_to_string(Path::new(DRIVERS).join("package.json"))?;
    let is_whole = fs::read_to_string(folder.join(WHOLE)).is_ok_and(|whole| whole == list);
    if !is_whole {
        fs::write(folder.join("package.json"), &list)?;
        npm_install(folder)?;
        fs::write(folder.join(WHOLE), &list)?;
    }
    Ok(Packages(folder.to_owned()))
}

fn npm_install(folder: &Path) -> Result<()> {
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel", "error"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "npm install failed: {}", why.trim());
    Ok(())
}
