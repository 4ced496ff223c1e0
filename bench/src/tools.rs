//! What the benches need: programs of Debian, and our own as cargo builds it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

pub(super) use xtask::release::{build, build_release};

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

/// Tells whoever waits what is going on.
pub(super) fn progress(text: &str) {
    eprintln!("bench: {text}");
}
