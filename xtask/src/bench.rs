//! Hands over to the crate of the benches, which is built with optimization: what measures must not be what is slow.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Builds the benches and runs one; `false` when it fails.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<bool> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--package", "yunzhan-bench", "--"])
        .args(words)
        .current_dir(root)
        .status()
        .context("cannot run cargo")?;
    Ok(status.success())
}
