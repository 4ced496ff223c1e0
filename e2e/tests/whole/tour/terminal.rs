//! A reader's terminal: one bash that keeps its variables from block to block.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Printed behind each block, so that its end is seen.
const END: &str = "--- the end of a block ---";

/// A running shell; whatever it started in the background ends with it.
pub(super) struct Terminal {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Terminal {
    /// Opens one in this folder, with the programs of `programs` found first.
    pub(super) fn open(folder: &Path, programs: &Path, lang: &str) -> Self {
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("bash")
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("LANG", lang)
            .env_remove("LC_ALL")
            .env_remove("LC_MESSAGES")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("bash runs");
        let input = shell.stdin.take().unwrap();
        let output = BufReader::new(shell.stdout.take().unwrap());
        let mut terminal = Self { shell, input, output };
        terminal.run("exec 2>&1");
        terminal
    }

    /// Runs commands and gives what they printed on both outputs.
    pub(super) fn run(&mut self, commands: &str) -> String {
        writeln!(self.input, "{commands}\nprintf '\\n%s\\n' '{END}'").unwrap();
        let mut printed = String::new();
        loop {
            let begun = printed.len();
            let read = self.output.read_line(&mut printed).unwrap();
            assert!(read > 0, "the shell ended:\n{printed}");
            if printed[begun..].trim_end() == END {
                printed.truncate(begun);
                // The line break that stands before the mark.
                assert_eq!(printed.pop(), Some('\n'));
                return printed;
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let group = format!("-{}", self.shell.id());
        // A group that is gone already is as good as ended.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.shell.wait();
    }
}
