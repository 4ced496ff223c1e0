//! What the bench needs: programs of Debian, and our own as cargo builds it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// A program of Debian, or a file by its path, and the package that has it.
type Needed = (&'static str, &'static str);

/// What the gateway's bench needs.
pub(super) const GATEWAY: &[Needed] = &[("nginx", "nginx-light"), ("valgrind", "valgrind")];
/// What the peer of the documents' bench needs.
pub(super) const DOCUMENTS: &[Needed] =
    &[("psql", "postgresql-client"), ("node", "nodejs"), ("npm", "npm")];

/// What the bench of the WAF needs.
pub(super) const WAF: &[Needed] = &[
    ("g++", "g++"),
    ("valgrind", "valgrind"),
    ("/usr/include/modsecurity/modsecurity.h", "libmodsecurity-dev"),
];

/// Installs what is missing, or says what to install.
pub(super) fn require(needed: &[Needed]) -> Result<()> {
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(program, _)| !present(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    progress(&format!("installing {}", missing.join(" ")));
    let install = Command::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(&missing)
        .stdout(Stdio::null())
        .status();
    ensure!(
        install.is_ok_and(|status| status.success()),
        "the bench needs {list}: run `apt-get install {list}` as root",
        list = missing.join(" ")
    );
    Ok(())
}

fn present(program: &str) -> bool {
    Path::new(program).is_absolute() && Path::new(program).exists()
        || version(program, flag_of(program)).is_some()
}

fn flag_of(program: &str) -> &'static str {
    if program == "nginx" { "-v" } else { "--version" }
}

/// The first line of what a program says about its version.
fn version(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).lines().next()?.to_owned())
}

/// The versions that the figures belong to: of these programs, and of what everything runs on.
pub(super) fn versions(programs: &[Needed]) -> String {
    let named = programs.iter().filter_map(|(program, _)| {
        let text = version(program, flag_of(program))?;
        // Some programs say nothing but a number.
        Some(if text.contains(program) { text } else { format!("{program} {text}") })
    });
    let system = [("rustc", "--version"), ("uname", "-srm")];
    let system = system.iter().filter_map(|(program, flag)| version(program, flag));
    named.chain(system).collect::<Vec<_>>().join(" · ")
}

/// Builds the server as it is released, and says where cargo put it.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    build_release(root, &["--package", "yunzhan-server", "--bin", "yunzhan"])
}

/// Builds what these words of `cargo build` name, with optimization, and says where cargo put it.
pub(super) fn build_release(root: &Path, words: &[&str]) -> Result<PathBuf> {
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

/// Tells whoever waits what is going on.
pub(crate) fn progress(text: &str) {
    eprintln!("bench: {text}");
}
