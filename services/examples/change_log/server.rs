//! A `mariadbd` of one's own, in a temporary folder.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Outcome;

/// How the binary log is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Binlog {
    /// Not at all.
    Off,
    /// With a sync at each group of commits.
    Synced,
}

/// A server, which ends with this.
pub(crate) struct Server {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Binlog {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Synced => "synced",
        }
    }
}

impl Server {
    pub(crate) fn start(binlog: Binlog) -> Outcome<Self> {
        let folder = TempDir::new()?;
        let data = folder.path().join("data");
        let datadir = format!("--datadir={}", data.display());
        let install = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                &datadir,
                "--auth-root-authentication-method=normal",
                "--user=root",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !install.success() {
            return Err("mariadb-install-db failed".into());
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("mariadbd");
        command.args(["--no-defaults", &datadir, "--user=root", "--bind-address=127.0.0.1"]);
        command.arg(format!("--port={port}"));
        command.arg(format!("--socket={}", folder.path().join("socket").display()));
        command.args(["--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=512M"]);
        if matches!(binlog, Binlog::Synced) {
            command.args(["--log-bin=binlog", "--sync-binlog=1", "--server-id=1"]);
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { process, port, _folder: folder };
        server.wait()?;
        Ok(server)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "nothing else tells when another process listens"
    )]
    fn wait(&self) -> Outcome {
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if begun.elapsed() > Duration::from_secs(30) {
                return Err("mariadbd does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub(crate) fn url(&self, schema: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{schema}", self.port)
    }

    pub(crate) fn create(&self, schema: &str) -> Outcome {
        let made = Command::new("mariadb")
            .args(["--no-defaults", "--host=127.0.0.1", "--user=root"])
            .arg(format!("--port={}", self.port))
            .arg(format!("--execute=CREATE DATABASE {schema}"))
            .status()?;
        if made.success() { Ok(()) } else { Err("the schema cannot be made".into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
