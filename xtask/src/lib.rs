//! What the tools share: the program as it is released, and servers as child processes. The benches use it too.

#![allow(clippy::print_stderr, reason = "a tool talks to its terminal")]

pub mod process;
pub mod release;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of the workspace, whatever folder the tool was called in.
///
/// # Errors
/// Never, as long as this crate lies in the workspace's folder.
pub fn workspace_root() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = own.parent().context("xtask lies in the workspace's folder")?;
    Ok(root.to_path_buf())
}

/// Tells whoever waits what is going on.
pub fn progress(text: &str) {
    eprintln!("xtask: {text}");
}
