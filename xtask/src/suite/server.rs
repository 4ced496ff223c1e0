//! A fresh server with one environment, as a user makes it: the program, its CLI, and a schema of its own on MySQL.

use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Engine;
use xtask::process::Process;

/// A first start makes keys and a certificate.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The address of a server on which schemas may be made and dropped; the tests of the workspace read the same variable.
const MYSQL_VARIABLE: &str = "YUNZHAN_TEST_MYSQL";
/// The environment that the suite works in.
pub(super) const ENV: &str = "suite";

/// A serving process and what its clients must know.
pub(super) struct Server {
    process: Process,
    /// Dropped after the process.
    _schema: Option<Schema>,
    /// The clients' door.
    pub(super) url: String,
    /// Name and secret of the environment's key.
    pub(super) key: (String, String),
}

/// Starts it in this folder, with an environment and a key.
pub(super) fn start(folder: &Path, program: &Path, engine: Engine) -> Result<Server> {
    let schema = match engine {
        Engine::Sqlite => None,
        Engine::Mysql => Some(Schema::make()?),
    };
    let data = folder.join("data");
    let config = folder.join("yunzhan.toml");
    let mut text = LISTENERS.to_owned();
    if let Some(schema) = &schema {
        // As a literal string of TOML, so that no character of a password means anything.
        text.push_str(&format!("\n[sql]\nmysql_url = '{}'\n", schema.url()));
    }
    std::fs::write(&config, text).context("cannot write the configuration")?;

    let program = program.display().to_string();
    let words = [&program, "--data", &display(&data), "--config", &display(&config)];
    let own: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let serve = [own.as_slice(), &["--json".to_owned(), "serve".to_owned()]].concat();
    let mut process = Process::start(&serve, &folder.join("server.log"))?;
    let url = process.wait_for(START_TIMEOUT, url)?;
    let key = add_environment(&own)?;
    Ok(Server { process, _schema: schema, url, key })
}

const LISTENERS: &str = "\
[listen]
http = \"127.0.0.1:0\"
https = \"127.0.0.1:0\"
control = \"127.0.0.1:0\"
";

impl Server {
    /// Ends it in order.
    pub(super) fn stop(self) -> Result<()> {
        self.process.stop()
    }
}

/// The address in the ready line, which may stand among notices.
fn url(output: &str) -> Option<String> {
    output.lines().find_map(|line| {
        let ready: Value = serde_json::from_str(line).ok()?;
        ready.get("http")?.as_str().map(|url| url.trim_end_matches('/').to_owned())
    })
}

fn add_environment(own: &[String]) -> Result<(String, String)> {
    let (program, options) = own.split_first().context("the program's name comes first")?;
    let output = Command::new(program)
        .args(options)
        .args(["--json", "env", "add", ENV])
        .stdin(Stdio::null())
        .output()
        .context("cannot run the program")?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot add an environment: {}", why.trim());
    key(&output.stdout).context("the new environment has no key")
}

fn key(answer: &[u8]) -> Option<(String, String)> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let text = |name: &str| answer.get("key")?.get(name)?.as_str().map(str::to_owned);
    Some((text("secret_id")?, text("secret_key")?))
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

// === Schema ===

/// A schema on MySQL, made and dropped with the database's own client: this tool names no driver.
struct Schema {
    address: Address,
    name: String,
}

/// The parts of `mysql://user:password@host:port`.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Schema {
    fn make() -> Result<Self> {
        let address = std::env::var(MYSQL_VARIABLE);
        let address = address
            .with_context(|| format!("{MYSQL_VARIABLE} names no server for --engine mysql"))?;
        let address = Address::read(&address)
            .with_context(|| format!("{MYSQL_VARIABLE} is not mysql://user:password@host:port"))?;
        let name = format!("yunzhan_suite_{}", process::id());
        address.execute(&format!("CREATE DATABASE {name}"))?;
        Ok(Self { address, name })
    }

    fn url(&self) -> String {
        let Address { user, password, host, port } = &self.address;
        format!("mysql://{user}:{password}@{host}:{port}/{}", self.name)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // A schema that stays behind is in nobody's way: its name holds the number of a process that is gone.
        let _ = self.address.execute(&format!("DROP DATABASE {}", self.name));
    }
}

impl Address {
    fn read(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("mysql://")?.trim_end_matches('/');
        let (who, place) = rest.rsplit_once('@')?;
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, port) = place.split_once(':').unwrap_or((place, "3306"));
        let text = str::to_owned;
        (!port.contains('/')).then(|| Self {
            user: text(user),
            password: text(password),
            host: text(host),
            port: text(port),
        })
    }

    fn execute(&self, statement: &str) -> Result<()> {
        let Some(client) = ["mariadb", "mysql"].into_iter().find_map(program) else {
            bail!("--engine mysql needs the client program of MariaDB or MySQL");
        };
        let output = Command::new(client)
            .args(["-h", &self.host, "-P", &self.port, "-u", &self.user, "-e", statement])
            .env("MYSQL_PWD", &self.password)
            .stdin(Stdio::null())
            .output()
            .context("cannot run the database's client")?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{statement}: {}", why.trim());
        Ok(())
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let found = Command::new(name).arg("--version").output();
    found.is_ok_and(|output| output.status.success()).then(|| PathBuf::from(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_four_parts() {
        let parts = |url: &str| {
            let address = Address::read(url)?;
            Some([address.user, address.password, address.host, address.port].join(" "))
        };
        assert_eq!(parts("mysql://a:b@c:1/").unwrap(), "a b c 1");
        assert_eq!(parts("mysql://a@c").unwrap(), "a  c 3306");
        assert_eq!(parts("mysql://a@c:1/schema"), None);
        assert_eq!(parts("http://a@c"), None);
    }
}
