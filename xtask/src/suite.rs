//! A public test suite that nobody here wrote, against our server: the database tests of `@cloudbase/node-sdk`.
//!
//! The suite itself is not in this repository and never will be: its licence is not clear, so whoever runs it names a folder
//! with a checkout of it. What is here is the way to run it. In reading order: `server.rs` starts a fresh server with an
//! environment and a key, `jest.rs` installs the pinned packages and runs the tests serially, `report.rs` says what passed.

mod jest;
mod report;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use xtask::{progress, release};

/// Where the server keeps its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Engine {
    /// In its data folder.
    #[default]
    Sqlite,
    /// In a fresh schema on the server that `YUNZHAN_TEST_MYSQL` names.
    Mysql,
}

/// Which suite to run, and on what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// A checkout: the folder that holds `test/database`.
    from: PathBuf,
    engine: Engine,
    /// Fewer tests that pass are a failure of this tool; without a number, failing tests are only told.
    expect: Option<usize>,
}

impl Choice {
    /// Reads `--from DIR [--engine sqlite|mysql] [--expect N]`.
    pub(crate) fn read(words: &[&str]) -> Result<Self> {
        let (mut from, mut engine, mut expect) = (None, Engine::default(), None);
        for pair in words.chunks(2) {
            let &[option, value] = pair else { bail!("{} needs a value", pair.concat()) };
            match (option, value) {
                ("--from", folder) => from = Some(PathBuf::from(folder)),
                ("--engine", "sqlite") => engine = Engine::Sqlite,
                ("--engine", "mysql") => engine = Engine::Mysql,
                ("--engine", other) => bail!("--engine is sqlite or mysql, not {other}"),
                ("--expect", number) => {
                    expect = Some(number.parse().context("--expect takes a whole number")?);
                }
                _ => bail!("unknown option {option}"),
            }
        }
        let from = from.context("name a checkout of the suite with --from DIR")?;
        Ok(Self { from, engine, expect })
    }
}

/// Runs the suite and prints what it said; `false` when fewer tests passed than were expected.
pub(crate) fn run(root: &Path, choice: &Choice) -> Result<bool> {
    let from = choice.from.canonicalize();
    let from = from.with_context(|| format!("there is no folder {}", choice.from.display()))?;
    let tests = from.join("test/database");
    ensure!(tests.is_dir(), "{} holds no test/database", from.display());

    let packages = jest::install(root)?;
    let program = release::build(root)?;
    let scratch = tempfile::tempdir().context("cannot make a folder for the suite")?;
    let server = server::start(scratch.path(), &program, choice.engine)?;
    progress(&format!("the suite in {}", tests.display()));
    let outcome = jest::run(&packages, &from, scratch.path(), &server);
    server.stop()?;

    let report = report::Report::read(&outcome?, &tests)?;
    print!("{report}");
    Ok(choice.expect.is_none_or(|expected| report.passed() >= expected))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_folder_an_engine_and_a_number() {
        let read = |words: &[&str]| Choice::read(words).map_err(|error| error.to_string());
        let choice = |engine, expect| Choice { from: PathBuf::from("a"), engine, expect };
        assert_eq!(read(&["--from", "a"]), Ok(choice(Engine::Sqlite, None)));
        assert_eq!(
            read(&["--engine", "mysql", "--from", "a", "--expect", "7"]),
            Ok(choice(Engine::Mysql, Some(7)))
        );
        for bad in [
            &[][..],
            &["--from"],
            &["--from", "a", "--engine", "oracle"],
            &["--from", "a", "--expect", "x"],
            &["a", "b"],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
