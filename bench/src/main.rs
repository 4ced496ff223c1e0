//! Measurements beside a peer, in one run: ratios of one table hold on a busy machine, absolute values do not.
//!
//! `cargo xtask bench NAME` builds this with optimization and runs it. Read [`gateway()`] first: it lists what is measured.
//! `nginx.rs` and `yunzhan.rs` start the servers and say what they can be asked, `streams.rs` and `upstream.rs` those that
//! take sockets and uploads; `callgrind.rs`, `cpu.rs`, `idle.rs`, `sockets.rs` and `uploads.rs` each take one kind of figure;
//! `table.rs` prints. [`documents()`] does the same with documents, [`sql()`] with the SQL engine, [`waf()`] with the rules of
//! the web application firewall. Each ends with one line an aim: `aim NAME: FIGURE (wanted WANTED) met|missed`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to its terminal")]

mod callgrind;
mod cpu;
mod documents;
mod gateway;
mod idle;
mod load;
mod nginx;
mod peer;
mod sockets;
mod sql;
mod streams;
mod table;
mod tools;
mod uploads;
mod upstream;
mod waf;
mod yunzhan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use documents::documents;
use gateway::gateway;
use sql::sql;
use waf::waf;

const USAGE: &str = "\
usage: cargo xtask bench <name> [--quick]

  gateway                  the server beside nginx: CPU, instructions, memory, sockets, uploads, time to ready
  documents                documents beside parse-server on PostgreSQL: CPU, rates, latencies, memory
  sql                      the SQL engine beside rusqlite and mysql_async, in process: CPU, time, latency at a fixed rate; and
                           a server with a thousand environments: first requests, memory
  waf --rules DIR          requests against a release of the OWASP Core Rule Set, which lies in DIR, beside libmodsecurity:
                           CPU, instructions, memory, time to load
  --only PARTS             of the gateway's or the SQL engine's bench these alone, with commas between: instructions, load,
                           idle, sockets, uploads, starts; overhead, envs
  --quick                  fewer rounds: whether it runs, and roughly what it says
";

/// How long the bench may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    /// What counts: minutes on two busy cores, once everything is built.
    Full,
    /// About a minute: whether it runs, and roughly what it says.
    Quick,
}

/// Which bench to run, and how.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    name: String,
    effort: Effort,
    rules: Option<PathBuf>,
    /// Nothing means all.
    only: Vec<String>,
}

/// What a server of ours may hold at rest, by the acceptance of the gateway and of documents.
const REST_MIB: f64 = 64.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match Choice::read(&words).and_then(|choice| run(&choice)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(choice: &Choice) -> Result<()> {
    let root = xtask::workspace_root()?;
    match (choice.name.as_str(), choice.rules.as_deref()) {
        ("gateway", None) => gateway(&root, choice.effort, &choice.only),
        ("documents", None) if choice.only.is_empty() => documents(&root, choice.effort),
        ("sql", None) => sql(&root, choice.effort, &choice.only),
        ("waf", Some(rules)) if choice.only.is_empty() => waf(&root, choice.effort, rules),
        _ => bail!("what is asked for is not one of these\n{USAGE}"),
    }
}

impl Choice {
    /// Reads `NAME [--quick] [--rules DIR] [--only PARTS]`, the options in any order.
    fn read(words: &[&str]) -> Result<Self> {
        let Some((name, mut options)) = words.split_first() else { bail!("name a bench\n{USAGE}") };
        let (name, only) = ((*name).to_owned(), Vec::new());
        let mut choice = Self { name, effort: Effort::Full, rules: None, only };
        while let [option, rest @ ..] = options {
            options = match (*option, rest) {
                ("--quick", rest) => {
                    choice.effort = Effort::Quick;
                    rest
                }
                ("--rules", [rules, rest @ ..]) => {
                    choice.rules = Some(Path::new(rules).to_owned());
                    rest
                }
                ("--only", [parts, rest @ ..]) => {
                    choice.only = parts.split(',').map(str::to_owned).collect();
                    rest
                }
                _ => bail!("unknown option {option}\n{USAGE}"),
            };
        }
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_in_any_order() {
        let read = |text: &str| Choice::read(&text.split(' ').collect::<Vec<_>>());
        let choice = |name: &str, effort, rules: Option<&str>| Choice {
            name: name.to_owned(),
            effort,
            rules: rules.map(PathBuf::from),
            only: Vec::new(),
        };
        assert_eq!(read("gateway").unwrap(), choice("gateway", Effort::Full, None));
        let quick = choice("waf", Effort::Quick, Some("crs"));
        assert_eq!(read("waf --quick --rules crs").unwrap(), quick);
        assert_eq!(read("waf --rules crs --quick").unwrap(), quick);
        let parts = Choice {
            only: vec!["sockets".to_owned(), "uploads".to_owned()],
            ..choice("gateway", Effort::Full, None)
        };
        assert_eq!(read("gateway --only sockets,uploads").unwrap(), parts);
        assert!(read("waf --rules").is_err());
        assert!(read("gateway --slow").is_err());
        assert!(Choice::read(&[]).is_err());
    }
}
