//! Everything that CI runs, as one list. A stage that fails does not hide what the later ones would say.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// One command of CI.
struct Stage {
    name: &'static str,
    /// Program and arguments.
    command: &'static [&'static str],
    /// Variables of its environment.
    variables: &'static [(&'static str, &'static str)],
}

/// In this order: what is quick to say comes first.
const STAGES: &[Stage] = &[
    Stage { name: "format", command: &["cargo", "fmt", "--all", "--check"], variables: &[] },
    Stage { name: "tidy", command: &["cargo", "xtask", "tidy"], variables: &[] },
    Stage {
        name: "deny",
        command: &["cargo", "deny", "--log-level", "error", "check", "licenses", "bans", "sources"],
        variables: &[],
    },
    Stage {
        name: "clippy",
        command: &[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        variables: &[],
    },
    // Fuzz targets are packages of their own, which no other stage compiles.
    Stage { name: "fuzz", command: &["cargo", "xtask", "fuzz", "--check"], variables: &[] },
    Stage {
        name: "docs",
        command: &["cargo", "doc", "--workspace", "--no-deps", "--locked"],
        // The documentation is read beside the source, so a link to something private leads somewhere.
        variables: &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")],
    },
    Stage {
        name: "test",
        command: &["cargo", "test", "--workspace", "--locked", "--no-fail-fast"],
        // Fifty kills under load hit the gaps that the five of an everyday run may miss; a round takes less than a second.
        variables: &[("YUNZHAN_TEST_KILLS", "50")],
    },
];

/// Runs every stage; `false` when one of them failed.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let mut done = Vec::new();
    for stage in STAGES {
        println!("\n==> {}: {}", stage.name, spell(stage));
        let begun = Instant::now();
        let passed = run_stage(root, stage)?;
        done.push((stage.name, passed, begun.elapsed()));
    }
    print!("\n{}", report(&done));
    Ok(done.iter().all(|(_, passed, _)| *passed))
}

/// The stage as somebody would type it.
fn spell(stage: &Stage) -> String {
    let variables = stage.variables.iter().map(|(name, value)| format!("{name}='{value}' "));
    variables.collect::<String>() + &stage.command.join(" ")
}

fn run_stage(root: &Path, stage: &Stage) -> Result<bool> {
    let (program, arguments) =
        stage.command.split_first().expect("a stage names a program, as the list above does");
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

    #[test]
    fn a_stage_is_told_as_it_is_typed() {
        let test = STAGES.iter().find(|stage| stage.name == "test").expect("CI runs tests");
        expect!["YUNZHAN_TEST_KILLS='50' cargo test --workspace --locked --no-fail-fast"]
            .assert_eq(&spell(test));
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
