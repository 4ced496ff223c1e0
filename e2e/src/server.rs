//! A real server: the program as its users run it, on free ports and in a data folder of its own.
//!
//! It ends when it is dropped; when a test fails, what it said is printed. [`Server::kill`], [`Server::terminate`] and
//! [`Server::restart`] are what happens to servers.

mod log;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;
use yunzhan_base::DataDir;
use yunzhan_engine::sql::testing::Fresh;

use crate::http::{Answer, Http};
use crate::program;
use crate::shell::Output;
use crate::wechat::WeChat;

use self::log::Log;

/// Names a file of rules against attacks that guard every server of the tests instead of those that are built in.
const WAF_RULES_VARIABLE: &str = "YUNZHAN_TEST_WAF_RULES";

/// A debug build on a busy machine starts in a second; more means that it hangs.
const READY_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longer than the server's own bound on draining.
const END_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a line of the log is waited for.
const LINE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Where a server keeps its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// In its data folder.
    #[default]
    Sqlite,
    /// In a schema of its own on the server that `YUNZHAN_TEST_MYSQL` names.
    Mysql,
}

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    config: Option<String>,
}

/// A serving process, its data folder and what it said.
pub struct Server {
    folder: TempDir,
    options: Options,
    /// The schema, when it is not SQLite; dropped after the process.
    database: Option<Fresh>,
    child: Child,
    log: Arc<Log>,
    ready: Value,
}

// === impl Options ===

impl Options {
    /// Sets a key of the configuration, such as `identity.refresh_grace`, through its environment variable.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    /// Takes this stand-in for WeChat.
    #[must_use]
    pub fn with_wechat(self, wechat: &WeChat) -> Self {
        self.with("identity.wechat_url", wechat.base_url())
    }

    /// Writes `yunzhan.toml` before the first start.
    #[must_use]
    pub fn configured(mut self, config: &str) -> Self {
        self.config = Some(config.to_owned());
        self
    }

    fn variables(&self) -> impl Iterator<Item = (String, &str)> {
        let variable = |key: &str| format!("YUNZHAN_{}", key.replace('.', "__").to_uppercase());
        self.settings.iter().map(move |(key, value)| (variable(key), value.as_str()))
    }
}

// === impl Server: starting ===

impl Server {
    /// Starts a server on SQLite in a fresh data folder, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; the message shows what it said.
    pub async fn start(options: Options) -> Self {
        Self::start_on(Backend::Sqlite, options).await.expect("SQLite is everywhere")
    }

    /// The same on this backend; none when this machine lacks it, which was then reported.
    ///
    /// # Panics
    /// As [`Self::start`], and when the backend is required and absent.
    pub async fn start_on(backend: Backend, mut options: Options) -> Option<Self> {
        let mut database = None;
        if backend == Backend::Mysql {
            let mut fresh = Fresh::mysql().await?;
            let url = fresh.config().mysql_url.clone().expect("an address of the schema");
            options = options.with("sql.mysql_url", url.expose_str().expect("an address is text"));
            database = Some(fresh);
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        if let Some(config) = &options.config {
            let data = folder.path().join("data");
            std::fs::create_dir(&data).expect("a new folder");
            std::fs::write(data.join("yunzhan.toml"), config).expect("a new file");
        }
        let log = Arc::new(Log::default());
        let (child, ready) = serve(folder.path(), &options, &log).await;
        Some(Self { folder, options, database, child, log, ready })
    }

    /// Starts the program again on the same data folder, after [`Self::kill`] or [`Self::terminate`].
    ///
    /// # Panics
    /// When the process before still runs, or the next one does not become ready.
    pub async fn restart(&mut self) {
        let ended = self.child.try_wait().expect("the state of a child of ours");
        assert!(ended.is_some(), "the server still runs");
        (self.child, self.ready) = serve(self.folder.path(), &self.options, &self.log).await;
    }
}

/// Starts the process and waits for its ready line.
async fn serve(folder: &Path, options: &Options, log: &Arc<Log>) -> (Child, Value) {
    let mut command = command(program::path().await, folder, options);
    command.arg("serve").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let seen = log.follow(&mut child);
    let ready = log.wait_from(seen, READY_WAIT_MAX, |line| {
        let value: Value = serde_json::from_str(line).ok()?;
        (value["ready"] == true).then_some(value)
    });
    let Some(ready) = ready.await else {
        // Ends a process that hangs; one that ended by itself stays ended.
        let _ = child.kill();
        panic!("the server did not become ready:\n{}", log.text());
    };
    (child, ready)
}

/// Runs the program on the folder `data` in this one, until it ends by itself.
///
/// # Panics
/// When it cannot be started.
pub async fn run(folder: &Path, options: &Options, arguments: &[&str]) -> Output {
    let mut command = command(program::path().await, folder, options);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    Output::from(output.expect("no panic").expect("the program starts"))
}

/// The program with our data folder and settings, and nothing of the machine's environment.
fn command(program: &Path, folder: &Path, options: &Options) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(
            ["http", "https", "control"]
                .map(|name| (format!("YUNZHAN_LISTEN__{}", name.to_uppercase()), "127.0.0.1:0")),
        )
        // The same stories can be told with other rules in front: honest clients must notice nothing.
        .envs(std::env::var_os(WAF_RULES_VARIABLE).map(|rules| ("YUNZHAN_WAF__RULES", rules)))
        .envs(options.variables())
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--json")
        .stdin(Stdio::null());
    command
}

// === impl Server: what it offers ===

impl Server {
    /// The clients' door.
    pub fn http(&self) -> Http {
        Http::at(self.url("http"))
    }

    /// One of the URLs of the ready line: `http`, `https` or `control`.
    ///
    /// # Panics
    /// When the ready line names none.
    pub fn url(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.ready))
    }

    /// The ready line.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Its data folder.
    pub fn data(&self) -> DataDir {
        DataDir::new(self.folder.path().join("data"))
    }

    /// The schema that holds its rows, where that is not SQLite.
    pub fn schema(&self) -> Option<&Fresh> {
        self.database.as_ref()
    }

    /// A folder that lives as long as the server, for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The operator's token.
    ///
    /// # Panics
    /// When the server left none.
    pub fn control_token(&self) -> String {
        std::fs::read_to_string(self.data().control_token()).expect("the operator's token")
    }

    /// Calls a control route as the operator. `Null` sends no body.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn control(&self, method: Method, path: &str, body: &Value) -> Answer {
        let http = Http::at(self.url("control"));
        let request = http.request(method, path).bearer(&self.control_token());
        if body.is_null() { request.send().await } else { request.json(body).send().await }
    }

    /// Runs another verb of the program on the same data folder.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        run(self.folder.path(), &self.options, arguments).await
    }

    /// Everything that its processes have said so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Memory of the process in bytes, as the kernel counts what is resident.
    ///
    /// # Panics
    /// When the kernel does not tell.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that the process has had at once, in bytes.
    ///
    /// # Panics
    /// When the kernel does not tell.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let path = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let status = std::fs::read_to_string(path).expect("the state of a child of ours");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok()).expect("a number of kB") * 1024
    }
}

// === impl Server: what happens to it ===

impl Server {
    /// Ends the process as a power failure would: it hears nothing of it.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process of ours");
        self.child.wait().expect("a process of ours");
    }

    /// Asks the process to end in order, and waits until it has.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(END_WAIT_MAX, self.log.closed()).await;
        ended.unwrap_or_else(|_| panic!("the server did not end:\n{}", self.log.text()));
        self.child.wait().expect("a process of ours")
    }

    /// Sends a signal by its name without `SIG`.
    ///
    /// # Panics
    /// When there is no such signal or process.
    pub fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &process]).status();
        assert!(sent.expect("kill runs").success(), "cannot send {name}");
    }

    /// Waits until the log has a line with this text after the first `seen` lines, and gives the line.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn said(&self, seen: usize, text: &str) -> String {
        let line = |line: &str| line.contains(text).then(|| line.to_owned());
        let found = self.log.wait_from(seen, LINE_WAIT_MAX, line).await;
        found.unwrap_or_else(|| panic!("nothing said {text:?}:\n{}", self.log.text()))
    }

    /// Lines of the log so far, for [`Self::said`].
    pub fn lines_said(&self) -> usize {
        self.log.len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A process that ended already is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.log.print();
        }
    }
}
