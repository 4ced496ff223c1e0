//! Runs the real program in a folder of its own, with an environment of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder to run the program in.
pub(crate) struct Place {
    folder: TempDir,
    variables: Vec<(String, String)>,
    /// The limit of open files, soft and hard, as `ulimit` spells both.
    open_files: Option<(u32, u32)>,
}

/// A serving process; killed when the test ends early.
pub(crate) struct Serving {
    child: Child,
    complaints: BufReader<ChildStderr>,
    pub(crate) ready: Value,
}

impl Place {
    /// Without any variable.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, variables: Vec::new(), open_files: None }
    }

    /// With free ports for every listener.
    pub(crate) fn new() -> Self {
        let listeners = ["HTTP", "HTTPS", "CONTROL"].map(|name| format!("YUNZHAN_LISTEN__{name}"));
        listeners.iter().fold(Self::bare(), |place, name| place.with(name, "127.0.0.1:0"))
    }

    /// Sets a variable, instead of an earlier one of this name.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the program have so many open files: by itself, and when it asks for more.
    pub(crate) fn with_open_files(mut self, soft: u32, hard: u32) -> Self {
        self.open_files = Some((soft, hard));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_yunzhan");
        let mut command = Command::new(program);
        if let Some((soft, hard)) = self.open_files {
            // The shell sets its own limits and becomes the program.
            let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
            command = Command::new("/bin/sh");
            command.args(["-c", &script, program]);
        }
        command.current_dir(self.folder.path()).env_clear().envs(self.variables.iter().cloned());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Exit code, standard output and standard error, with this folder's name replaced.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(&real(self.folder.path()), "[folder]")
        };
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// What a command prints that must succeed.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let (code, output, complaint) = self.run(arguments);
        assert_eq!(code, 0, "{complaint}");
        output
    }

    /// The same with `--json`, whose output it reads.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = self.good(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// What a command complains about that must fail.
    pub(crate) fn bad(&self, arguments: &[&str]) -> String {
        let (code, output, complaint) = self.run(arguments);
        assert_eq!(code, 1, "{output}{complaint}");
        complaint
    }

    /// Starts serving and waits for the ready line.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Serving {
        self.start(arguments).ready()
    }

    /// Starts serving.
    pub(crate) fn start(&self, arguments: &[&str]) -> Starting {
        let mut command = self.command(arguments);
        command.args(["--json", "serve"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let complaints = BufReader::new(child.stderr.take().unwrap());
        Starting(Serving { child, complaints, ready: Value::Null })
    }
}

/// A process that is not ready yet.
pub(crate) struct Starting(pub(crate) Serving);

impl Starting {
    /// Waits until the process has taken SIGHUP over from the system, whose default ends it. Answers false when it ended.
    pub(crate) fn wait_until_it_catches_signals(&mut self) -> bool {
        let status = format!("/proc/{}/status", self.0.child.id());
        while self.0.child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            // The lowest bit is SIGHUP, signal 1; SIGTERM is 15.
            let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            if mask.is_some_and(|mask| mask & 1 == 1 && mask >> 14 & 1 == 1) {
                return true;
            }
        }
        false
    }

    /// Waits for the ready line.
    pub(crate) fn ready(self) -> Serving {
        let mut serving = self.0;
        let mut line = String::new();
        BufReader::new(serving.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        serving.ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut complaint = String::new();
            serving.complaints.read_to_string(&mut complaint).unwrap();
            panic!("not ready: {complaint}")
        });
        serving
    }
}

/// The folder as the program sees it.
fn real(path: &Path) -> String {
    fs::canonicalize(path).unwrap().display().to_string()
}

impl Serving {
    /// The process's id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let done =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(done.unwrap().success());
    }

    /// Whether the process has not ended.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it at once, as a loss of power would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Status and text of what an anonymous visitor is answered who logs in to the demo.
    pub(crate) fn visit(&self) -> (u16, String) {
        let address = self.ready["http"].as_str().unwrap().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let head = "POST /auth/v1/signin/anonymously?client_id=demo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), text.to_owned())
    }

    /// Status and text of a path of the control listener.
    pub(crate) fn control(&self, path: &str) -> (u16, String) {
        let address = self.ready["control"].as_str().unwrap().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), text.to_owned())
    }

    /// The notices up to and including the first of this name.
    pub(crate) fn notices_until(&mut self, name: &str) -> Vec<Value> {
        let mut notices = Vec::new();
        let mut line = String::new();
        while self.complaints.read_line(&mut line).unwrap() > 0 {
            let notice: Value = serde_json::from_str(&line).unwrap();
            line.clear();
            let is_last = notice["notice"] == name;
            notices.push(notice);
            if is_last {
                return notices;
            }
        }
        panic!("the program ended before it said {name}: {notices:?}");
    }

    /// Ends it in order; answers its exit code and its last notices.
    pub(crate) fn stop(mut self) -> (i32, String) {
        self.signal("TERM");
        let mut rest = String::new();
        self.complaints.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // A process that has ended already cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
