//! Programs of the workspace, built with optimization as they are released.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::progress;

/// Builds the server as it is released, and says where cargo put it.
///
/// # Errors
/// When cargo cannot be run, or cannot build it.
pub fn build(root: &Path) -> Result<PathBuf> {
    build_release(root, &["--package", "yunzhan-server", "--bin", "yunzhan"])
}

/// Builds what these words of `cargo build` name, with optimization, and says where cargo put it.
///
/// # Errors
/// When cargo cannot be run, or cannot build it.
pub fn build_release(root: &Path, words: &[&str]) -> Result<PathBuf> {
    progress(&format!("building {}", words.join(" ")));
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release"])
        .args(words)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo cannot build {}", words.join(" "));
    let messages = String::from_utf8_lossy(&output.stdout);
    let Some(path) = messages.lines().filter_map(executable).next_back() else {
        bail!("cargo does not say where it put {}", words.join(" "));
    };
    Ok(path)
}

fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}
