//! One of the two programs that inspect requests in their own process, told through its input what to inspect.
//!
//! Ours is the example `measure` of our crate, the peer's is `peer.cc`. Both say `ready NAME` once the rules are loaded,
//! and answer `ROUNDS FILE` with `done STATUS RULE,RULE`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::tools;
use xtask::process::resident_of;

const PEER: &str = include_str!("peer.cc");

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: u16,
    /// Ids of the rules that matched, ascending.
    pub(super) rules: Vec<u64>,
}

/// A running program that has loaded its rules.
pub(super) struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What it calls itself.
    pub(super) name: String,
}

/// Builds ours.
pub(super) fn build_ours(root: &Path) -> Result<PathBuf> {
    tools::build_release(root, &["--package", "yunzhan-waf", "--example", "measure"])
}

/// Builds the peer's in this folder.
pub(super) fn build_peer(folder: &Path) -> Result<PathBuf> {
    tools::progress("building the peer");
    let (source, program) = (folder.join("peer.cc"), folder.join("peer"));
    fs::write(&source, PEER).context("cannot write the peer's source")?;
    let status = Command::new("g++")
        .args(["-std=c++17", "-O2", "-o"])
        .args([&program, &source])
        .arg("-lmodsecurity")
        .status()
        .context("cannot run g++")?;
    ensure!(status.success(), "g++ cannot build the peer");
    Ok(program)
}

impl Program {
    /// Starts it behind a wrapper such as valgrind (nothing for none), and waits until the rules are loaded.
    pub(super) fn start(wrapper: &[String], program: &Path, rules: &Path) -> Result<Self> {
        let words = wrapper.iter().map(Path::new).chain([program, rules]);
        let words: Vec<&Path> = words.collect();
        let (first, others) = words.split_first().context("a command line has a first word")?;
        let mut child = Command::new(first)
            .args(others)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let input = child.stdin.take().context("the program has an input")?;
        let output = BufReader::new(child.stdout.take().context("the program has an output")?);
        let mut started = Self { child, input, output, name: String::new() };
        started.name = started.line("ready")?;
        Ok(started)
    }

    /// Makes it inspect the request in this file.
    pub(super) fn inspect(&mut self, file: &Path, rounds: usize) -> Result<Outcome> {
        writeln!(self.input, "{rounds} {}", file.display()).context("the program does not read")?;
        let line = self.line("done")?;
        outcome(&line).with_context(|| format!("what is {line:?}?"))
    }

    /// The rest of the next line, which begins with this word.
    fn line(&mut self, word: &str) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("the program does not write")?;
        let rest = line.strip_prefix(word).with_context(|| format!("it ended: {line:?}"))?;
        Ok(rest.trim().to_owned())
    }

    /// The process's number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time so far. Both programs have one thread, of which the kernel tells it in nanoseconds.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let text = self.proc("schedstat")?;
        let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
        nanoseconds.map(Duration::from_nanos).with_context(|| format!("what is {text:?}?"))
    }

    /// Resident memory in mebibytes.
    pub(super) fn resident_mib(&self) -> Result<f64> {
        let bytes = resident_of(&self.proc("status")?);
        let bytes = bytes.context("the kernel does not tell the resident memory")?;
        Ok(bytes as f64 / f64::from(1 << 20))
    }

    fn proc(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.id());
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and that is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn outcome(line: &str) -> Option<Outcome> {
    let (status, rules) = line.split_once(' ').unwrap_or((line, ""));
    let rules = rules.split(',').filter(|id| !id.is_empty()).map(str::parse);
    let mut rules: Vec<u64> = rules.collect::<Result<_, _>>().ok()?;
    // A rule that matched twice is one rule; the engines differ in how often they tell.
    rules.dedup();
    Some(Outcome { status: status.parse().ok()?, rules })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_outcome() {
        let expected = |status, rules: &[u64]| Some(Outcome { status, rules: rules.to_vec() });
        assert_eq!(outcome("200"), expected(200, &[]));
        assert_eq!(outcome("403 7,7,12"), expected(403, &[7, 12]));
        assert_eq!(outcome("403 seven"), None);
        assert_eq!(outcome("refused"), None);
    }
}
