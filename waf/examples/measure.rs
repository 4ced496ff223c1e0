//! What requests cost: loads rules and inspects requests as it is told on its input, for `cargo xtask bench waf`, which
//! runs a program of libmodsecurity beside it that does the same.
//!
//! The argument names a file of rules. Once they are loaded it says `ready`; from then on each line of input `ROUNDS FILE`
//! makes it inspect the request in that file, which stands there as it goes over the wire, so many times, and say
//! `done STATUS RULE,RULE`: what it came to, and the rules that matched.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;

use yunzhan_waf::seclang::Sources;
use yunzhan_waf::transaction::{Limits, NoCollections};
use yunzhan_waf::{HostContext, RuleSet, Transaction, Verdict};

/// What every request is answered with.
const ANSWER: &[u8] = br#"{"code":0,"message":"ok","data":{"id":"66a1f0","count":3}}"#;

/// The file system, as it is.
struct Disk;

impl Sources for Disk {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{folder}: {error}"))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| format!("{path}: {error}"))
    }
}

fn main() -> ExitCode {
    let path = std::env::args().nth(1).expect("the argument names a file of rules");
    let rules = match RuleSet::load(&path, &Disk) {
        Ok(rules) => Arc::new(rules),
        Err(problems) => {
            for problem in problems {
                eprintln!("{}: {:?}: {}", problem.place, problem.rule, problem.message);
            }
            return ExitCode::FAILURE;
        }
    };
    say(&format!("ready {} rules", rules.len()));
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the input is text");
        let (rounds, file) = line.split_once(' ').expect("a line is ROUNDS FILE");
        let bytes = std::fs::read(file).expect("the file of the request can be read");
        let request = Request::read(&bytes).expect("the file holds a request");
        let rounds: usize = rounds.parse().expect("ROUNDS is a number");
        let mut last = None;
        for _ in 0..rounds {
            last = Some(inspect(&rules, &request));
        }
        let (status, matched) = last.expect("at least one round");
        say(&format!("done {status} {}", matched.join(",")));
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("somebody reads");
}

/// A request as its bytes stand in the file.
struct Request<'a> {
    method: &'a [u8],
    target: &'a [u8],
    headers: Vec<(&'a [u8], &'a [u8])>,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads one that is well-formed.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, body) = (&bytes[..end], &bytes[end + 4..]);
        let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let mut words = lines.next()?.split(|&byte| byte == b' ');
        let (method, target) = (words.next()?, words.next()?);
        let header = |line: &'a [u8]| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        };
        Some(Self { method, target, headers: lines.filter_map(header).collect(), body })
    }
}

/// Runs all phases, up to a refusal, and the last one.
fn inspect(rules: &Arc<RuleSet>, request: &Request<'_>) -> (u16, Vec<String>) {
    let context = HostContext {
        now_ms: 1_700_000_000_000,
        offset_s: 0,
        unique_id: "1",
        mode: None,
        collections: Arc::new(NoCollections),
        limits: Limits::default(),
    };
    let mut transaction = Transaction::begin(Arc::clone(rules), context);
    let status = match phases(&mut transaction, request) {
        Verdict::Pass => 200,
        Verdict::Refuse(refusal) => refusal.status,
    };
    transaction.log();
    let mut matched: Vec<u64> =
        transaction.events().iter().filter_map(|event| event.rule).collect();
    matched.sort_unstable();
    (status, matched.iter().map(u64::to_string).collect())
}

fn phases(transaction: &mut Transaction, request: &Request<'_>) -> Verdict {
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    transaction.request_line(request.method, request.target, b"HTTP/1.1");
    for (name, value) in &request.headers {
        transaction.request_header(name, value);
    }
    let steps: [&dyn Fn(&mut Transaction) -> Verdict; 5] = [
        &Transaction::request_headers_end,
        &|transaction| transaction.request_body(&request.body.to_vec().into()),
        &Transaction::request_end,
        &|transaction| {
            transaction.response_header(b"Content-Type", b"application/json; charset=utf-8");
            transaction.response_header(b"Content-Length", ANSWER.len().to_string().as_bytes());
            transaction.response_headers_end(200, b"HTTP/1.1")
        },
        &|transaction| {
            transaction.response_body(&ANSWER.to_vec().into());
            transaction.response_end()
        },
    ];
    let verdicts = steps.iter().map(|step| step(transaction));
    verdicts.into_iter().find(|verdict| *verdict != Verdict::Pass).unwrap_or(Verdict::Pass)
}
