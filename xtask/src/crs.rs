//! `cargo xtask crs`: the regression cases of the OWASP Core Rule Set over real HTTP, through the gateway with the rules
//! loaded, in front of a backend that reflects.
//!
//! A case is a request and what the rules must, or must not, say of it. `case.rs` reads the cases, `send.rs` sends one as its
//! bytes stand there, `reflect.rs` is the backend, `server.rs` starts ours, `verdict.rs` compares, `overrides.rs` reads the
//! list of cases that cannot run or that deviate.

mod case;
mod overrides;
mod reflect;
mod send;
mod server;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use self::case::Case;
use self::overrides::Overrides;
use self::send::Answer;
use self::server::{Guard, Server};
use xtask::{progress, release};

/// Requests that are under way at one time.
const SENDERS: usize = 8;

/// What to run.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    rules: PathBuf,
    tests: PathBuf,
    overrides: Option<PathBuf>,
    program: Option<PathBuf>,
    only: Option<String>,
}

impl Choice {
    /// Reads the words behind `crs`.
    pub(crate) fn read(words: &[&str]) -> Result<Self> {
        let mut choice = Self::default();
        for pair in words.chunks(2) {
            match pair {
                ["--rules", folder] => choice.rules = folder.into(),
                ["--tests", folder] => choice.tests = folder.into(),
                ["--overrides", file] => choice.overrides = Some(file.into()),
                ["--program", file] => choice.program = Some(file.into()),
                ["--only", text] => choice.only = Some((*text).to_owned()),
                _ => bail!("crs knows no {}", pair.join(" ")),
            }
        }
        if choice.rules.as_os_str().is_empty() || choice.tests.as_os_str().is_empty() {
            bail!("crs needs --rules DIR, a release of the rules, and --tests DIR, their cases");
        }
        Ok(choice)
    }
}

/// Runs the cases and prints those that fail; `false` when one fails that no override names.
pub(crate) fn run(root: &Path, choice: &Choice) -> Result<bool> {
    let program = match &choice.program {
        Some(program) => program.clone(),
        None => release::build(root)?,
    };
    let mut cases = case::load(&choice.tests)?;
    if let Some(only) = &choice.only {
        cases.retain(|case| case.name().starts_with(only));
    }
    let overrides = match &choice.overrides {
        Some(file) => Overrides::load(file)?,
        None => Overrides::default(),
    };
    let guarded = pass(&program, choice, &cases, Guard::Rules)?;
    let unguarded = pass(&program, choice, &cases, Guard::Nothing)?;
    report(&cases, &guarded, &unguarded, &overrides)
}

/// Sends every case and gives what each came to: why it failed, or nothing.
fn pass(
    program: &Path,
    choice: &Choice,
    cases: &[Case],
    guard: Guard,
) -> Result<Vec<Option<String>>> {
    let folder = tempfile::tempdir().context("cannot make a folder for the server")?;
    let backend = reflect::start()?;
    let server = Server::start(folder.path(), program, &choice.rules, backend, guard)?;
    progress(&format!("{} cases {guard:?}", cases.len()));
    let next = AtomicUsize::new(0);
    let answers: Mutex<Vec<Option<Answer>>> = Mutex::new(cases.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = send::send(server.address, case);
                    if let Ok(mut answers) = answers.lock() {
                        answers[case.place] = Some(answer);
                    }
                }
            });
        }
    });
    let seen = server.stop()?;
    let answers = answers.into_inner().unwrap_or_default();
    let judged = cases.iter().zip(&answers).map(|(case, answer)| {
        let Some(answer) = answer else { return Some("was not sent".to_owned()) };
        verdict::judge(case, answer, &seen)
    });
    Ok(judged.collect())
}

fn report(
    cases: &[Case],
    guarded: &[Option<String>],
    unguarded: &[Option<String>],
    overrides: &Overrides,
) -> Result<bool> {
    let (mut passed, mut runnable, mut unexplained) = (0, 0, 0);
    for (case, failure) in cases.iter().zip(guarded) {
        let excuse = overrides.reason(case.rule, case.test);
        if excuse.is_some_and(|excuse| !excuse.is_runnable) {
            continue;
        }
        runnable += 1;
        match failure {
            None => passed += 1,
            Some(failure) => {
                unexplained += usize::from(excuse.is_none());
                let excuse = excuse.map_or(String::new(), |excuse| format!(" ({})", excuse.reason));
                println!("{}: {failure}{excuse}", case.name());
            }
        }
    }
    let without = unguarded.iter().filter(|failure| failure.is_none()).count();
    println!("without the rules {without} of {} cases pass", cases.len());
    println!("{} cases are not runnable or deviate, by the list", overrides.len());
    let percent = 100.0 * f64::from(passed) / f64::from(runnable.max(1));
    println!("passed {passed} of {runnable} ({percent:.2} %)");
    Ok(unexplained == 0)
}
