//! Everything that CI runs, as one list. A stage that fails does not hide what the later ones would say.
//!
//! `changed.rs` says what of it a change concerns.

mod changed;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use changed::Changes;

/// One command of CI.
struct Stage {
    name: &'static str,
    /// Program and arguments.
    command: &'static [&'static str],
    /// Variables of its environment.
    variables: &'static [(&'static str, &'static str)],
    /// What it looks at, and so which changes concern it.
    about: About,
}

/// What a stage looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Every file.
    Everything,
    /// Sources of Rust.
    Sources,
    /// What the program is made of: manifests and the lock file.
    Manifests,
    /// Crates, by the argument `--workspace`.
    Crates,
    /// Fuzz packages, each beside the crate that it is about.
    FuzzPackages,
}

/// Stands for every crate in the command of a stage that is about crates.
const EVERY_CRATE: &str = "--workspace";

/// In this order: what is quick to say comes first.
const STAGES: &[Stage] = &[
    Stage {
        name: "format",
        command: &["cargo", "fmt", "--all", "--check"],
        variables: &[],
        about: About::Sources,
    },
    Stage {
        name: "tidy",
        command: &["cargo", "xtask", "tidy"],
        variables: &[],
        about: About::Everything,
    },
    Stage {
        name: "deny",
        command: &["cargo", "deny", "--log-level", "error", "check", "licenses", "bans", "sources"],
        variables: &[],
        about: About::Manifests,
    },
    Stage {
        name: "clippy",
        command: &[
            "cargo",
            "clippy",
            EVERY_CRATE,
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        variables: &[],
        about: About::Crates,
    },
    // Fuzz targets are packages of their own, which no other stage compiles.
    Stage {
        name: "fuzz",
        command: &["cargo", "xtask", "fuzz", "--check"],
        variables: &[],
        about: About::FuzzPackages,
    },
    Stage {
        name: "docs",
        command: &["cargo", "doc", EVERY_CRATE, "--no-deps", "--locked"],
        // The documentation is read beside the source, so a link to something private leads somewhere.
        variables: &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")],
        about: About::Crates,
    },
    Stage {
        name: "test",
        command: &["cargo", "test", EVERY_CRATE, "--locked", "--no-fail-fast"],
        // Fifty kills under load hit the gaps that the five of an everyday run may miss; a round takes less than a second.
        variables: &[("YUNZHAN_TEST_KILLS", "50")],
        about: About::Crates,
    },
];

/// Which stages to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Names of stages; all of them where there is none.
    only: Vec<String>,
    /// Whether only what has changed is looked at.
    is_changed: bool,
}

impl Choice {
    /// Reads `[--only STAGE]... [--changed]`.
    pub(crate) fn read(words: &[&str]) -> Result<Self> {
        let mut choice = Self { only: Vec::new(), is_changed: false };
        let mut words = words;
        while let [option, rest @ ..] = words {
            words = match (*option, rest) {
                ("--changed", rest) => {
                    choice.is_changed = true;
                    rest
                }
                ("--only", [stage, rest @ ..]) if STAGES.iter().any(|it| it.name == *stage) => {
                    choice.only.push((*stage).to_owned());
                    rest
                }
                ("--only", _) => {
                    let names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
                    bail!("--only takes one of {}", names.join(", "));
                }
                (unknown, _) => {
                    bail!(
                        "unknown option {unknown}; usage: cargo xtask ci [--only STAGE]... [--changed]"
                    )
                }
            };
        }
        Ok(choice)
    }

    fn takes(&self, stage: &Stage) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == stage.name)
    }
}

/// Runs the stages that were chosen; `false` when one of them failed.
pub(crate) fn run(root: &Path, choice: &Choice) -> Result<bool> {
    let changes = choice.is_changed.then(|| Changes::since_main(root)).transpose()?;
    let mut done = Vec::new();
    for stage in STAGES.iter().filter(|stage| choice.takes(stage)) {
        let Some(command) = command(stage, changes.as_ref()) else {
            println!("\n==> {}: nothing of it has changed", stage.name);
            continue;
        };
        println!("\n==> {}: {}", stage.name, spell(stage, &command));
        let begun = Instant::now();
        let passed = run_stage(root, stage, &command)?;
        done.push((stage.name, passed, begun.elapsed()));
    }
    print!("\n{}", report(&done));
    Ok(done.iter().all(|(_, passed, _)| *passed))
}

/// The words of a stage's command, for what has changed where only that is looked at; nothing where it is not concerned.
fn command(stage: &Stage, changes: Option<&Changes>) -> Option<Vec<String>> {
    let words = || stage.command.iter().map(|word| (*word).to_owned());
    let Some(changes) = changes.filter(|changes| !changes.is_everything()) else {
        return Some(words().collect());
    };
    let is_concerned = match stage.about {
        About::Everything => true,
        About::Sources => changes.has_sources(),
        About::Manifests => changes.has_manifests(),
        About::FuzzPackages => changes.concerns_fuzz_packages(),
        About::Crates => !changes.crates().is_empty(),
    };
    let narrowed = |word: String| match word.as_str() {
        EVERY_CRATE => {
            changes.crates().iter().flat_map(|name| ["-p".to_owned(), name.clone()]).collect()
        }
        _ => vec![word],
    };
    is_concerned.then(|| words().flat_map(narrowed).collect())
}

/// The stage as somebody would type it.
fn spell(stage: &Stage, command: &[String]) -> String {
    let variables = stage.variables.iter().map(|(name, value)| format!("{name}='{value}' "));
    variables.collect::<String>() + &command.join(" ")
}

fn run_stage(root: &Path, stage: &Stage, command: &[String]) -> Result<bool> {
    let (program, arguments) =
        command.split_first().expect("a stage names a program, as the list above does");
    let status = Command::new(program)
        .args(arguments)
        .envs(stage.variables.iter().copied())
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot run {program}; install it and try again"))?;
    Ok(status.success())
}

/// The table at the end: stage, verdict, seconds.
fn report(done: &[(&str, bool, Duration)]) -> String {
    let line = |(name, passed, took): &(&str, bool, Duration)| {
        let verdict = if *passed { "ok" } else { "FAILED" };
        format!("{name:<8} {verdict:<7} {:>7.1} s\n", took.as_secs_f64())
    };
    done.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn stage(name: &str) -> &'static Stage {
        STAGES.iter().find(|stage| stage.name == name).unwrap()
    }

    #[test]
    fn a_stage_is_told_as_it_is_typed() {
        let test = stage("test");
        expect!["YUNZHAN_TEST_KILLS='50' cargo test --workspace --locked --no-fail-fast"]
            .assert_eq(&spell(test, &command(test, None).unwrap()));
    }

    #[test]
    fn stages_are_chosen_by_name() {
        let read = |text: &str| Choice::read(&text.split_whitespace().collect::<Vec<_>>());
        let names = |choice: &Choice| {
            STAGES
                .iter()
                .filter(|stage| choice.takes(stage))
                .map(|stage| stage.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&read("").unwrap()).len(), STAGES.len());
        let two = read("--only test --changed --only format").unwrap();
        assert_eq!((names(&two), two.is_changed), (vec!["format", "test"], true));
        for (wrong, said) in [
            ("--only", "--only takes one of format, tidy, deny, clippy, fuzz, docs, test"),
            ("--only tests", "--only takes one of format, tidy, deny, clippy, fuzz, docs, test"),
            ("--all", "unknown option --all; usage: cargo xtask ci [--only STAGE]... [--changed]"),
        ] {
            assert_eq!(read(wrong).unwrap_err().to_string(), said, "{wrong}");
        }
    }

    /// The stages that a change of these files concerns, as they are typed.
    fn concerned(files: &[&str]) -> String {
        let changes = Changes::of(files, &changed::tests::members());
        let line = |stage: &Stage| Some(command(stage, Some(&changes))?[1..].join(" ") + "\n");
        STAGES.iter().filter_map(line).collect()
    }

    #[test]
    fn a_change_concerns_the_crates_touched_and_those_that_depend_on_them() {
        expect![[r#"
            xtask tidy
        "#]]
        .assert_eq(&concerned(&["ARCHITECTURE.md"]));
        expect![[r#"
            fmt --all --check
            xtask tidy
            clippy -p yunzhan-e2e --all-targets --locked -- -D warnings
            doc -p yunzhan-e2e --no-deps --locked
            test -p yunzhan-e2e --locked --no-fail-fast
        "#]]
        .assert_eq(&concerned(&["e2e/src/lib.rs", "README.md"]));
        expect![[r#"
            fmt --all --check
            xtask tidy
            deny --log-level error check licenses bans sources
            clippy -p yunzhan-e2e -p yunzhan-query -p yunzhan-server --all-targets --locked -- -D warnings
            xtask fuzz --check
            doc -p yunzhan-e2e -p yunzhan-query -p yunzhan-server --no-deps --locked
            test -p yunzhan-e2e -p yunzhan-query -p yunzhan-server --locked --no-fail-fast
        "#]]
        .assert_eq(&concerned(&["query/src/lib.rs", "query/Cargo.toml"]));
        let whole: Vec<_> = STAGES.iter().map(|stage| stage.command[1..].join(" ")).collect();
        assert_eq!(concerned(&["Cargo.lock"]), whole.join("\n") + "\n");
    }

    #[test]
    fn the_report_names_each_stage_with_its_time() {
        let done = [
            ("format", true, Duration::from_millis(1234)),
            ("test", false, Duration::from_secs(60)),
        ];
        expect![[r#"
            format   ok          1.2 s
            test     FAILED     60.0 s
        "#]]
        .assert_eq(&report(&done));
    }
}
