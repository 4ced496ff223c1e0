//! MariaDB servers that a test starts by itself, with replication between them: they listen on the loopback on ports that were
//! free, keep everything in a folder that goes with them, and end with the process at the latest.
//!
//! Without `mariadbd` on the machine such tests are skipped by name; `YUNZHAN_TEST_REQUIRE=mariadbd` makes that a failure.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tempfile::TempDir;

use super::{is_required, say_skipped};

/// How long a server may take to begin: seconds on a machine that runs a whole test suite.
const START_MAX: Duration = Duration::from_secs(60);
/// Pages that InnoDB keeps in memory: tests hold little, and many servers run at once.
const BUFFER_POOL: &str = "--innodb-buffer-pool-size=24M";
/// Kills the server when the other end of its standard input closes: with the test's process, however that ends.
const GUARD: &str = r#""$@" >"$LOG" 2>&1 & pid=$!; echo $pid; read line; kill -9 $pid; wait $pid"#;

/// A server of a test's own.
pub struct Server {
    /// Its number in replication, and who wrote what.
    pub number: u32,
    port: u16,
    options: Vec<String>,
    // Before the folder, which goes when the server has ended.
    guard: Mutex<Option<Guard>>,
    folder: TempDir,
}

/// The shell that ends the server, and the server's process.
struct Guard {
    shell: Child,
    server: u32,
}

/// A primary and a replica of it.
pub struct Pair {
    /// The primary.
    pub primary: Server,
    /// A server that follows it and takes no writes.
    pub replica: Server,
}

// === impl Pair ===

impl Pair {
    /// A pair that follows. None where the program is absent.
    pub async fn start() -> Option<Self> {
        let primary = Server::start(1, &[]).await?;
        let replica = Server::start(2, &[]).await?;
        replica.follow(&primary).await;
        Some(Self { primary, replica })
    }

    /// One pair for all tests that ask for it at a time, each of which has schemas of its own.
    pub async fn shared() -> Option<Arc<Self>> {
        static SHARED: tokio::sync::Mutex<Weak<Pair>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(pair) = shared.upgrade() {
            return Some(pair);
        }
        let pair = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&pair);
        Some(pair)
    }
}

// === impl Server ===

impl Server {
    /// Starts a server with binary logs and GTIDs, and waits until it answers. None where the program is absent.
    ///
    /// # Panics
    /// When it does not begin.
    pub async fn start(number: u32, options: &[&str]) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        copy_template(folder.path())?;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let port = free_port();
        let server = Self { number, port, options, guard: Mutex::default(), folder };
        server.run().await;
        Some(server)
    }

    /// Starts it again after [`Self::kill`], on the same port and data.
    pub async fn run(&self) {
        let data = self.folder.path().join("data");
        let socket = self.folder.path().join("socket");
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard", "mariadbd", "--no-defaults", "--user=root"]);
        command.arg(format!("--datadir={}", data.display()));
        command.arg(format!("--socket={}", socket.display()));
        command.arg(format!("--port={}", self.port));
        command.arg(format!("--server-id={}", self.number));
        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--log-bin=log"]);
        command.args(["--log-slave-updates", "--gtid-strict-mode=ON", "--slave-net-timeout=5"]);
        command.args([BUFFER_POOL, "--innodb-log-file-size=8M", "--max-connections=400"]);
        // What a killed process has written is kept by the system; only a machine that fails would lose it.
        command.arg("--innodb-flush-log-at-trx-commit=2");
        command.args(&self.options);
        command.env("LOG", self.folder.path().join("log.txt"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().expect("a shell");
        let server = first_line(&mut shell).parse().expect("a process id");
        *self.lock() = Some(Guard { shell, server });
        self.wait().await;
    }

    async fn wait(&self) {
        let begun = Instant::now();
        while Conn::new(self.opts("")).await.is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log.txt"));
            assert!(begun.elapsed() < START_MAX, "{}", log().unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it, as a machine does that loses its power.
    pub fn kill(&self) {
        drop(self.lock().take());
    }

    /// Stops it where it is, as a machine does whose disk hangs; [`Self::thaw`] lets it go on.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a stopped one go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.lock().as_ref().expect("a running server").server.to_string();
        let sent = Command::new("kill").args([signal, &process]).status().expect("kill");
        assert!(sent.success(), "{signal} {process}");
    }

    /// Makes it follow another one, and take no writes.
    pub async fn follow(&self, primary: &Self) {
        let port = primary.port;
        self.run_sql(&[
            "STOP ALL SLAVES",
            &format!(
                "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='root',
                 MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1"
            ),
            "START SLAVE",
            "SET GLOBAL read_only = 1",
        ])
        .await;
    }

    /// Makes it a primary, as an operator does.
    pub async fn promote(&self) {
        self.run_sql(&["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"]).await;
    }

    /// Runs statements, one after the other.
    pub async fn run_sql(&self, statements: &[&str]) {
        let mut connection = Conn::new(self.opts("mysql")).await.expect("a connection");
        for statement in statements {
            connection.query_drop(*statement).await.unwrap_or_else(|error| {
                panic!("{statement}: {error}");
            });
        }
        connection.disconnect().await.expect("a farewell");
    }

    /// The first column of the first row.
    pub async fn ask(&self, question: &str) -> String {
        let mut connection = Conn::new(self.opts("mysql")).await.expect("a connection");
        let answer: Option<String> = connection.query_first(question).await.expect("an answer");
        connection.disconnect().await.expect("a farewell");
        answer.unwrap_or_default()
    }

    /// A connection to a schema.
    pub async fn connect(&self, schema: &str) -> Conn {
        Conn::new(self.opts(schema)).await.expect("a connection")
    }

    /// Waits until it has applied what `primary` has.
    pub async fn catch_up(&self, primary: &Self) {
        let position = primary.ask("SELECT @@gtid_binlog_pos").await;
        let waited =
            self.ask(&format!("SELECT CAST(MASTER_GTID_WAIT('{position}', 30) AS CHAR)")).await;
        assert_eq!(waited, "0", "a replica that catches up");
    }

    /// `mysql://root@127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn opts(&self, schema: &str) -> OptsBuilder {
        let schema = Some(schema.to_owned()).filter(|schema| !schema.is_empty());
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("root"))
            .db_name(schema)
            .prefer_socket(false)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Guard>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        // Its standard input closes, and the shell kills what it guards.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn first_line(shell: &mut Child) -> String {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    let output = shell.stdout.as_mut().expect("a standard output");
    BufReader::new(output).read_line(&mut line).expect("a line");
    line.trim().to_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Copies the data of a server that was never started: making them takes seconds, and copying them none. They are kept for
/// the tests that run next, in a folder of the program's version.
fn copy_template(folder: &Path) -> Option<()> {
    static TEMPLATE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let template = TEMPLATE.get_or_init(template).as_ref()?;
    let status = Command::new("cp").arg("-r").arg(template).arg(folder.join("data")).status();
    assert!(status.expect("cp").success());
    Some(())
}

fn template() -> Option<PathBuf> {
    let Ok(version) = Command::new("mariadbd").args(["--no-defaults", "--version"]).output() else {
        assert!(!is_required("mariadbd"), "mariadbd is required and absent");
        say_skipped("mariadbd (not installed)");
        return None;
    };
    let version =
        String::from_utf8_lossy(&version.stdout).replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let template = std::env::temp_dir().join(format!("yunzhan-test-{version}"));
    if !template.exists() {
        let folder = TempDir::new_in(std::env::temp_dir()).expect("a temporary folder");
        let data = folder.path().join("data");
        let made = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--innodb-log-file-size=8M", BUFFER_POOL])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .expect("mariadb-install-db");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Another process may have been faster; its template is as good.
        let _ = std::fs::rename(&data, &template);
    }
    Some(template)
}
