//! Instructions of a request, counted by valgrind's callgrind: the same on a busy machine as on an idle one.
//!
//! The server runs under callgrind and warms up; then callgrind dumps and zeroes its counters, a known number of requests
//! is sent, and it dumps again: the second dump holds these requests and nothing of the start.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::load::Load;
use super::peer::{Peer, Question, Server};
use xtask::process::pause;

/// Connections that ask: some, so that a server's batches look as they do in use.
const CONNECTIONS: usize = 8;
/// Requests before anything is counted: connections, pools and caches are filled.
const WARM_REQUESTS: usize = 200;
/// Bound of one run.
const TIME_MAX: Duration = Duration::from_secs(40);
/// Rows that say where the instructions go.
const SHARES: usize = 12;
/// How long callgrind may take to write a dump.
const DUMP_TIMEOUT: Duration = Duration::from_secs(20);

/// What one request costs.
pub(super) struct Counted {
    /// The question's name.
    pub(super) name: &'static str,
    /// User instructions of one request.
    pub(super) instructions: f64,
    /// The functions that take most of them.
    pub(super) functions: Vec<Share>,
    /// The crates that take most of them.
    pub(super) crates: Vec<Share>,
}

/// A function's, or a crate's, own part of the instructions.
#[derive(Debug, PartialEq)]
pub(super) struct Share {
    pub(super) percent: f64,
    pub(super) name: String,
}

/// Counts every question of a server.
pub(super) fn count(peer: &dyn Peer, folder: &Path, requests: usize) -> Result<Vec<Counted>> {
    let out = folder.join(format!("{}.callgrind", peer.name()));
    let server = peer.start(&wrapper(&out))?;
    let mut dumps = Dumps::of(out, server.process.id());
    let questions = peer.questions(&server)?;
    let mut count = |question: &Question| {
        ask(&server, question, WARM_REQUESTS)?;
        let counted = dumps.count(question.name, || ask(&server, question, requests));
        counted.with_context(|| server.process.output())
    };
    questions.iter().map(&mut count).collect()
}

/// The words before a command line that make callgrind run it and write into this file.
pub(super) fn wrapper(out: &Path) -> [String; 4] {
    [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "--quiet".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
    ]
}

/// The dumps of one process: `FILE.1`, `FILE.2` and so on.
pub(super) struct Dumps {
    out: PathBuf,
    process: u32,
    count: usize,
}

impl Dumps {
    /// Those of a process that callgrind runs and that has written none yet.
    pub(super) fn of(out: PathBuf, process: u32) -> Self {
        Self { out, process, count: 0 }
    }

    /// Counts what `ask` makes the process do, which says how many requests it was.
    pub(super) fn count(
        &mut self,
        name: &'static str,
        ask: impl FnOnce() -> Result<usize>,
    ) -> Result<Counted> {
        self.dump()?;
        let done = ask()?;
        let dump = self.dump()?;
        let text = fs::read_to_string(&dump).context("cannot read callgrind's dump")?;
        let total = total(&text).context("callgrind's dump has no total")?;
        let costs = own_costs(&text);
        Ok(Counted {
            name,
            instructions: total / done as f64,
            functions: shares(&costs, plain),
            crates: shares(&costs, crate_of),
        })
    }

    /// Makes callgrind write its counters and begin anew.
    fn dump(&mut self) -> Result<PathBuf> {
        self.count += 1;
        let id = self.process.to_string();
        let status = Command::new("callgrind_control").args(["--dump", &id]).output();
        let status = status.context("cannot run callgrind_control")?;
        ensure!(status.status.success(), "callgrind_control cannot reach process {id}");
        let path = PathBuf::from(format!("{}.{}", self.out.display(), self.count));
        self.wait_for_totals(&path)?;
        Ok(path)
    }

    /// A dump is whole when its last line is there.
    fn wait_for_totals(&self, path: &Path) -> Result<()> {
        let polls = DUMP_TIMEOUT.as_millis() / 10;
        for _ in 0..polls {
            if fs::read_to_string(path).is_ok_and(|text| total(&text).is_some()) {
                return Ok(());
            }
            pause(Duration::from_millis(10));
        }
        anyhow::bail!("callgrind wrote no dump")
    }
}

fn ask(server: &Server, question: &Question, requests: usize) -> Result<usize> {
    let load = Load {
        address: server.plain,
        pool: &question.pool,
        connections: CONNECTIONS,
        requests,
        time_max: TIME_MAX,
    };
    let done = load.run().with_context(|| format!("asking: {}", question.name))?;
    Ok(done.requests)
}

/// The number in the dump's last line.
fn total(dump: &str) -> Option<f64> {
    dump.lines().rev().take(3).find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

/// Own instructions of each function. In the format a line of numbers is a cost of the function named last by `fn=`,
/// except the one after `calls=`, which is the cost of what was called.
fn own_costs(dump: &str) -> HashMap<String, f64> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut costs: HashMap<String, f64> = HashMap::new();
    let (mut function, mut is_call) = ("", false);
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = resolve(&mut names, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            resolve(&mut names, name);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if let Some(cost) = cost(line)
            && !std::mem::take(&mut is_call)
        {
            *costs.entry(function.to_owned()).or_default() += cost;
        }
    }
    costs
}

/// `(7) name` gives the number a name, and `(7)` means it from then on.
fn resolve<'a>(names: &mut HashMap<&'a str, &'a str>, text: &'a str) -> &'a str {
    let (id, name) = text.split_once(' ').unwrap_or((text, ""));
    if name.is_empty() {
        names.get(id).copied().unwrap_or(id)
    } else {
        names.entry(id).or_insert(name)
    }
}

/// The cost in a line of position and cost; positions may be relative.
fn cost(line: &str) -> Option<f64> {
    let is_position =
        line.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '*'));
    if !is_position {
        return None;
    }
    line.rsplit_once(' ')?.1.parse().ok()
}

/// The largest parts, with the costs of what has the same name added up.
fn shares(costs: &HashMap<String, f64>, name: fn(&str) -> String) -> Vec<Share> {
    let total: f64 = costs.values().sum();
    let mut named: HashMap<String, f64> = HashMap::new();
    for (function, cost) in costs {
        *named.entry(name(function)).or_default() += cost;
    }
    let share = |(name, cost)| Share { percent: cost * 100.0 / total, name };
    let mut shares: Vec<Share> = named.into_iter().map(share).collect();
    shares.sort_by(|a, b| b.percent.total_cmp(&a.percent).then_with(|| a.name.cmp(&b.name)));
    shares.truncate(SHARES);
    shares
}

/// The crate whose code it is: the first path in the function's name. Functions of C have none.
fn crate_of(function: &str) -> String {
    const PREFIXES: &[(&str, &str)] =
        &[("sqlite3", "sqlite"), ("aws_lc", "aws-lc"), ("mi_", "mimalloc")];
    let path = function.trim_start_matches(['<', '&', '*', '[', '(']);
    let path = path.strip_prefix("dyn ").unwrap_or(path);
    let known = PREFIXES.iter().find(|(prefix, _)| path.starts_with(prefix));
    match (known, path.split_once("::")) {
        (Some((_, name)), _) => (*name).to_owned(),
        (None, Some((name, _))) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            name.to_owned()
        }
        (None, _) => "C and others".to_owned(),
    }
}

/// A function's name without the hash that the compiler adds, and cut where it is long.
fn plain(name: &str) -> String {
    const LETTERS_MAX: usize = 96;
    let is_hash = |end: &str| end.len() == 17 && end.starts_with('h');
    let name = match name.rsplit_once("::") {
        Some((path, end)) if is_hash(end) => path,
        _ => name,
    };
    name.chars().take(LETTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_costs_leave_calls_out() {
        let dump = "\
events: Ir
fl=(1) a.c
fn=(1) main
16 40
cfn=(2) core::fmt::h0123456789abcdef
calls=2 30
17 900
+1 10
fn=(2)
30 50
fn=(1)
* 0
totals: 100
";
        let costs = own_costs(dump);
        let expected = [("main", 50.0), ("core::fmt", 50.0)];
        let shares = shares(&costs, plain);
        assert_eq!(total(dump), Some(100.0));
        assert_eq!(shares.len(), 2);
        for (name, percent) in expected {
            assert!(shares.contains(&Share { percent, name: name.to_owned() }), "{shares:?}");
        }
    }

    #[test]
    fn a_function_names_its_crate() {
        for (function, expected) in [
            ("<hyper::proto::h1::Conn<I> as core::fmt::Debug>::fmt", "hyper"),
            ("http::header::map::HeaderMap<T>::insert", "http"),
            ("sqlite3VdbeExec", "sqlite"),
            ("mi_free", "mimalloc"),
            ("__memcpy_avx_unaligned_erms", "C and others"),
        ] {
            assert_eq!(crate_of(function), expected);
        }
    }
}
