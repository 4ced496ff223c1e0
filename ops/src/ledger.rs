//! The audit's records on disk: one line of JSON each, in a file that is only ever appended to.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use yunzhan_base::audit::{Ledger, Record};
use yunzhan_base::event::{Events, Level};
use yunzhan_base::{DataDir, Error, Kind, Result};

/// Nobody but the owner reads, lists or enters.
const FOLDER_MODE: u32 = 0o700;

/// Appends records and syncs each: what the audit shows must survive the machine. Acts are rare, requests are not acts.
pub struct FileLedger {
    file: Mutex<File>,
    events: Events,
}

impl FileLedger {
    /// Opens the ledger at its end.
    pub fn open(dir: &DataDir, events: Events) -> Result<Self> {
        let folder = dir.ledger();
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder);
        made.map_err(|error| failed("make folder", &folder, error))?;
        let path = dir.ledger().join("audit.jsonl");
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let file = file.map_err(|error| failed("open", &path, error))?;
        Ok(Self { file: Mutex::new(file), events })
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)?;
        file.sync_data()
    }
}

impl Ledger for FileLedger {
    fn append(&self, record: &Record) {
        if let Err(error) = self.write(record) {
            let text = format!(
                "the record of {} by {} was not written: {error}",
                record.action, record.actor
            );
            self.events.notice(Level::Error, "ledger_failed", &text);
        }
    }
}

/// A fault of a path: what was tried, on which.
fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let message = format!("cannot {what} {}: {error}", path.display());
    Error::new(Kind::Unavailable, message).because(error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn records_are_lines_that_stay() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::new(root.path());
        let record = Record {
            at_ms: 7,
            env: Some("demo".parse().unwrap()),
            actor: "operator".into(),
            action: "env.add",
            subject: "demo".into(),
            succeeded: true,
        };
        for _ in 0..2 {
            FileLedger::open(&dir, Events::default()).unwrap().append(&record);
        }
        let line = r#"{"at_ms":7,"env":"demo","actor":"operator","action":"env.add","subject":"demo","succeeded":true}"#;
        let text = std::fs::read_to_string(dir.ledger().join("audit.jsonl")).unwrap();
        assert_eq!(text, format!("{line}\n{line}\n"));
    }
}
