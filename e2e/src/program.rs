//! The program under test: built once for a test process, by the cargo that built the tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::sync::OnceCell;

/// A program that stands ready, such as one that CI built to be shipped. Without it, one is built.
const PROGRAM_VARIABLE: &str = "YUNZHAN_TEST_PROGRAM";

/// The path of `yunzhan`.
///
/// # Panics
/// When it cannot be built.
pub(crate) async fn path() -> &'static PathBuf {
    static PATH: OnceCell<PathBuf> = OnceCell::const_new();
    PATH.get_or_init(|| async {
        let found = tokio::task::spawn_blocking(find).await;
        found.expect("the build does not panic").unwrap_or_else(|error| panic!("{error:#}"))
    })
    .await
}

fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(PROGRAM_VARIABLE) {
        return Ok(path.into());
    }
    build().context("cannot build the program under test")
}

/// By itself and not with the tests, so that it has the features that its users get.
fn build() -> Result<PathBuf> {
    let profile: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
    let output = Command::new(env!("CARGO"))
        .args(["build", "--package", "yunzhan-server", "--bin", "yunzhan"])
        .args(["--message-format", "json-render-diagnostics", "--quiet"])
        .args(profile)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "cargo build failed; its messages stand above");
    let messages = String::from_utf8(output.stdout)?;
    let executable = messages.lines().filter_map(executable).next_back();
    executable.context("cargo names no executable")
}

/// Cargo says where it put each executable, whatever the profile and the target folder are.
fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}
