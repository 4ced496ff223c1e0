//! The peer's database: one of its own on the PostgreSQL of this machine, dropped with its value.

use std::io::{BufWriter, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

const HOST: &str = "127.0.0.1";
const PORT: &str = "5432";
const USER: &str = "postgres";

/// A database that did not exist before.
pub(super) struct Database {
    pub(super) name: String,
}

impl Database {
    /// Makes it.
    ///
    /// # Errors
    /// Names what is missing when there is no PostgreSQL that lets us in.
    pub(super) fn create() -> Result<Self> {
        let name = format!("yunzhan_bench_{}", std::process::id());
        query("postgres", &format!("CREATE DATABASE {name}")).with_context(|| {
            format!(
                "needs PostgreSQL (package postgresql) at {HOST}:{PORT} that trusts the user {USER}"
            )
        })?;
        Ok(Self { name })
    }

    /// Where it is, as the peer is told.
    pub(super) fn url(&self) -> String {
        format!("postgres://{USER}@{HOST}:{PORT}/{}", self.name)
    }

    /// Runs a statement and gives its rows, without decoration.
    pub(super) fn query(&self, sql: &str) -> Result<String> {
        query(&self.name, sql)
    }

    /// Copies lines of tab-separated columns into a table.
    pub(super) fn copy(
        &self,
        table: &str,
        columns: &str,
        lines: impl Iterator<Item = String>,
    ) -> Result<()> {
        let sql = format!(r#"COPY "{table}" ({columns}) FROM STDIN"#);
        let mut child = psql(&self.name, &sql)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run psql")?;
        // When psql ends early, its own words say more than the broken pipe.
        let written = write_lines(&mut child, lines);
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "copying into {table}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        written
    }

    /// Mebibytes on the disk.
    pub(super) fn files_mib(&self) -> Result<f64> {
        let bytes: f64 = self.query("SELECT pg_database_size(current_database())")?.parse()?;
        Ok(bytes / f64::from(1 << 20))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nobody can be told any more; its name says what it is.
        let _ = query("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn write_lines(child: &mut Child, lines: impl Iterator<Item = String>) -> Result<()> {
    let mut input = BufWriter::new(child.stdin.take().context("psql has no input")?);
    for line in lines {
        input.write_all(line.as_bytes())?;
    }
    Ok(input.flush()?)
}

fn query(database: &str, sql: &str) -> Result<String> {
    let output = psql(database, sql).stdin(Stdio::null()).output().context("cannot run psql")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{sql}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn psql(database: &str, sql: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-h", HOST, "-p", PORT, "-U", USER, "-d", database]).args([
        "--no-psqlrc",
        "--no-password",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        sql,
    ]);
    command
}
