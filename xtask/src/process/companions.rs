//! Processes that work for a server and belong to a daemon of this machine, found by what they call themselves.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Stat;

/// The processes of PostgreSQL that serve one database: what its backends use, and what the postmaster's ended children
/// used, among which are the workers of parallel queries. The log's writers and the checkpointer are not counted.
pub struct Companions {
    postmaster: u32,
    /// The database's name between blanks, as a backend's title has it.
    title: String,
}

impl Companions {
    /// Finds the postmaster behind a database to which somebody is connected.
    ///
    /// # Errors
    /// When no process of this machine serves the database.
    pub fn of_database(name: &str) -> Result<Self> {
        let title = format!(" {name} ");
        let backend = processes()?.into_iter().find(|process| process.serves(&title));
        let backend = backend.with_context(|| {
            format!("no process in /proc serves the database {name}: PostgreSQL must run on this machine")
        })?;
        Ok(Self { postmaster: backend.stat.parent, title })
    }

    /// Processor time so far; only differences mean anything.
    pub fn cpu(&self) -> Result<Duration> {
        let processes = processes()?;
        let time = |process: &Seen| {
            if process.id == self.postmaster {
                process.stat.ended_children
            } else if process.stat.parent == self.postmaster && process.serves(&self.title) {
                process.stat.own
            } else {
                Duration::ZERO
            }
        };
        Ok(processes.iter().map(time).sum())
    }
}

/// A process of this machine.
struct Seen {
    id: u32,
    stat: Stat,
    /// Its command line, which PostgreSQL's processes overwrite with what they do.
    title: String,
}

impl Seen {
    /// Whether it is a backend of the database, such as `postgres: 15/main: postgres shop 127.0.0.1(41476) idle`, or a
    /// worker of a parallel query, which ends with its query.
    fn serves(&self, database: &str) -> bool {
        self.title.starts_with("postgres: ")
            && (self.title.contains(database) || self.title.contains(": parallel worker for PID "))
    }
}

fn processes() -> Result<Vec<Seen>> {
    let entries = fs::read_dir("/proc").context("cannot list /proc")?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // A process may end while it is read.
    let see = |id: u32| {
        let stat = Stat::read(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?;
        let title = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        Some(Seen { id, stat, title: String::from_utf8_lossy(&title).into_owned() })
    };
    Ok(names.filter_map(|name| name.parse().ok().and_then(see)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_known_by_its_title() {
        let serves = |title: &str| {
            let stat = Stat { parent: 1, own: Duration::ZERO, ended_children: Duration::ZERO };
            Seen { id: 2, stat, title: title.to_owned() }.serves(" shop ")
        };
        assert!(serves("postgres: 15/main: postgres shop 127.0.0.1(41476) idle"));
        assert!(serves("postgres: 15/main: parallel worker for PID 27453"));
        assert!(!serves("postgres: 15/main: postgres shop2 127.0.0.1(41476) idle"));
        assert!(!serves("psql -d shop -c SELECT"));
    }
}
