//! The audit's records on disk: one line of JSON each, in a file that is only ever appended to.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;
use yunzhan_base::audit::{Appended, Ledger, Record};
use yunzhan_base::event::{Events, Level};
use yunzhan_base::{DataDir, Error, Kind, Result};

/// Nobody but the owner reads, lists or enters.
const FOLDER_MODE: u32 = 0o700;

/// Records that wait for the disk. More at once than a server has acts under way is a disk that stands still.
const WAITING_MAX: usize = 4096;

/// Records that one sync makes durable; what waits longer than that is not helped by waiting for more.
const GROUP_MAX: usize = 256;

/// Bytes of the disk that are kept for the ledger ahead of its end: some two thousand acts. A full disk then stops the database
/// before it stops the audit, and what was refused for want of space is on record.
const RESERVED_BYTES: u64 = 1 << 20;

/// Appends records on a thread of its own, several with one sync: what the audit shows must survive the machine, and no worker
/// of the runtime waits for a disk.
pub struct FileLedger {
    waiting: SyncSender<Waiting>,
}

/// A record that waits for the disk, and who waits for it.
struct Waiting {
    line: Vec<u8>,
    done: oneshot::Sender<Result<()>>,
}

/// The thread's side.
struct Writer {
    file: File,
    /// Where the last whole line ends.
    end: u64,
    /// Up to where the disk has room for us.
    reserved: u64,
    events: Events,
}

impl FileLedger {
    /// Opens the ledger at its end.
    pub fn open(dir: &DataDir, events: Events) -> Result<Self> {
        let folder = dir.ledger();
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder);
        made.map_err(|error| failed("make folder", &folder, error))?;
        let path = dir.ledger().join("audit.jsonl");
        let opened =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        let writer = opened.and_then(|file| Writer::at_end(file, events));
        let writer = writer.map_err(|error| failed("open", &path, error))?;
        let (waiting, waits) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("ledger".into());
        let started = thread.spawn(move || writer.run(&waits));
        started.map_err(|error| failed("start the writer of", &path, error))?;
        Ok(Self { waiting })
    }
}

impl Ledger for FileLedger {
    fn append(&self, record: Record) -> Appended {
        let sent = serde_json::to_vec(&record).map_err(not_written).and_then(|mut line| {
            line.push(b'\n');
            let (done, written) = oneshot::channel();
            match self.waiting.try_send(Waiting { line, done }) {
                Ok(()) => Ok(written),
                Err(TrySendError::Full(_)) => Err(not_written("too many records wait for it")),
                Err(TrySendError::Disconnected(_)) => Err(not_written("its writer has ended")),
            }
        });
        Box::pin(async move { sent?.await.map_err(not_written)? })
    }
}

// === impl Writer ===

impl Writer {
    /// A line that a crash cut short stays as it is, on a line of its own.
    fn at_end(mut file: File, events: Events) -> io::Result<Self> {
        let mut end = file.seek(SeekFrom::End(0))?;
        if end > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                end += 1;
            }
        }
        let mut writer = Self { file, end, reserved: 0, events };
        writer.reserve();
        Ok(writer)
    }

    /// Until the ledger is gone.
    fn run(mut self, waits: &Receiver<Waiting>) {
        while let Ok(first) = waits.recv() {
            let group: Vec<_> =
                std::iter::once(first).chain(waits.try_iter().take(GROUP_MAX - 1)).collect();
            let lines: Vec<u8> = group.iter().flat_map(|waiting| &waiting.line).copied().collect();
            let written = self.write(&lines);
            if let Err(error) = &written {
                let text = format!("the audit cannot be written, acts are refused: {error}");
                self.events.notice(Level::Error, "ledger_failed", &text);
            }
            for Waiting { done, .. } in group {
                // Who has left does not need to know.
                let _ = done.send(written.as_ref().map(drop).map_err(not_written));
            }
        }
    }

    /// All of it or, as far as the disk lets us, nothing: what was refused must not be read as having been about to happen.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.end += lines.len() as u64,
            Err(_) => {
                // Cutting gives what was reserved back, too.
                self.reserved = 0;
                self.file.set_len(self.end)?;
            }
        }
        self.reserve();
        written
    }

    /// Takes room ahead of the end, in large steps. Where the file system has no such thing, there is none.
    fn reserve(&mut self) {
        if self.reserved > self.end + RESERVED_BYTES / 2 {
            return;
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            let flags = FallocateFlags::KEEP_SIZE;
            if fallocate(&self.file, flags, self.end, RESERVED_BYTES).is_ok() {
                self.reserved = self.end + RESERVED_BYTES;
            }
        }
    }
}

/// A fault of a path: what was tried, on which.
fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let message = format!("cannot {what} {}: {error}", path.display());
    Error::new(Kind::Unavailable, message).because(error)
}

fn not_written(why: impl std::fmt::Display) -> Error {
    let message = "the audit takes no record now, and nothing is done without one; try again";
    Error::new(Kind::Unavailable, message).with_detail(why.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use yunzhan_base::Act;

    use super::*;

    fn record() -> Record {
        let act = Act::of_operator("env.add", "demo").in_env(&"demo".parse().unwrap());
        Record::intent(&act, "a1", 7)
    }

    #[tokio::test]
    async fn records_are_lines_that_stay() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::new(root.path());
        // As a program wrote it that ended in the middle of a line.
        std::fs::create_dir_all(dir.ledger()).unwrap();
        let path = dir.ledger().join("audit.jsonl");
        std::fs::write(&path, r#"{"at_ms":1"#).unwrap();
        for _ in 0..2 {
            FileLedger::open(&dir, Events::default()).unwrap().append(record()).await.unwrap();
        }
        let line = r#"{"at_ms":7,"env":"demo","actor":"operator","action":"env.add","subject":"demo","succeeded":false,"phase":"intent","act":"a1"}"#;
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, format!("{{\"at_ms\":1\n{line}\n{line}\n"));
    }

    #[tokio::test]
    async fn many_at_once_are_all_there() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::new(root.path());
        let ledger = FileLedger::open(&dir, Events::default()).unwrap();
        let all: Vec<_> = (0..1000).map(|_| tokio::spawn(ledger.append(record()))).collect();
        for one in all {
            one.await.unwrap().unwrap();
        }
        let text = std::fs::read_to_string(dir.ledger().join("audit.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 1000);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_a_refusal() {
        // Every write fails here with "no space left on device".
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut writer = Writer { file: full, end: 0, reserved: 0, events: Events::default() };
        assert!(writer.write(b"line\n").is_err());
    }
}
