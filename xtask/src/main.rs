//! Yunzhan's own tools, in Yunzhan's language: what CI runs, what tidy checks, what is fuzzed.
//!
//! `ci` is the list of stages, `tidy` the checks of the sources, `fuzz` runs the fuzz targets, `bench` hands over to the crate
//! of the benches, `suite` and `crs` run public test suites against the server.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to its terminal")]

mod bench;
mod ci;
mod crs;
mod fuzz;
mod suite;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use xtask::workspace_root;

const USAGE: &str = "\
usage: cargo xtask <verb>

  ci                       everything that CI runs, stage by stage with its time
  ci --only STAGE          that stage alone; several where it is said several times
  ci --changed             what has changed since the merge base with main, committed or not: the stages that it
                           concerns, and of clippy, docs and test only the crates touched and those that depend on them
  tidy                     checks of the sources: rooms, words, sizes, text, links
  tidy --shrink            writes the present sizes into xtask/ratchet.txt where they have shrunk
  fuzz [--seconds N] [PACKAGE[/TARGET]]
                           runs the fuzz targets, 300 s each unless told, and says what they found
  fuzz --check             compiles every fuzz package, so that no target rots
  bench gateway [--quick] [--only PARTS]
                           the server beside nginx: CPU, instructions, memory, sockets, uploads, time to ready
  bench documents [--quick]
                           documents beside parse-server on PostgreSQL: CPU, rates, latencies, memory
  bench waf [--quick] --rules DIR
                           requests against a release of the OWASP Core Rule Set, which lies in DIR, beside libmodsecurity:
                           CPU, instructions, memory, time to load
  crs --rules DIR --tests DIR [--overrides FILE] [--program FILE] [--only RULE]
                           runs the regression cases of a release of the OWASP Core Rule Set, which lies in DIR, against
                           the server, and fails where one fails that FILE does not name
  suite --from DIR [--engine sqlite|mysql] [--expect N]
                           runs the public database tests of @cloudbase/node-sdk, a checkout of which lies in DIR,
                           and fails where fewer than N pass
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one verb; `false` means that it found something to complain about.
fn run(words: &[&str]) -> Result<bool> {
    let root = workspace_root()?;
    match words {
        ["ci", choice @ ..] => ci::run(&root, &ci::Choice::read(choice)?),
        ["tidy"] => tidy::run(&root),
        ["tidy", "--shrink"] => tidy::shrink(&root).map(|()| true),
        ["fuzz", "--check"] => fuzz::check(&root),
        ["fuzz", choice @ ..] => fuzz::run(&root, &fuzz::Choice::read(choice)?),
        ["bench", words @ ..] => bench::run(&root, words),
        ["crs", choice @ ..] => crs::run(&root, &crs::Choice::read(choice)?),
        ["suite", choice @ ..] => suite::run(&root, &suite::Choice::read(choice)?),
        _ => {
            eprint!("{USAGE}");
            Ok(false)
        }
    }
}
