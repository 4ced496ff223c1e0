//! Commands as a person types them, for tests of what the manual promises.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a script printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
}

/// Runs a script in bash, in this folder, with these variables beside those of the process. The first command that fails
/// ends it.
///
/// # Panics
/// When there is no bash.
pub fn run_shell(folder: &Path, script: &str, variables: &[(&str, &str)]) -> Output {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output();
    Output::from(output.expect("bash runs"))
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_a_script() {
        let output =
            run_shell(Path::new("/"), "pwd; echo \"$NAME\"; false; echo on", &[("NAME", "x")]);
        assert_eq!((output.code, output.stdout.as_str()), (1, "/\nx\n"));
    }
}
