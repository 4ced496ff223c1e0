//! A file system for tests that records what SQLite writes and syncs, so that a test can say what a loss of power at any
//! moment would have left.

mod shim;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What happened to a file, or what a test noted meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes were handed to the system.
    Write {
        /// The file.
        path: Arc<Path>,
        /// Where in it.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The file was cut or grown to this many bytes.
    Truncate {
        /// The file.
        path: Arc<Path>,
        /// Its new length.
        bytes: u64,
    },
    /// Everything written to the file until now is on the disk.
    Sync {
        /// The file.
        path: Arc<Path>,
    },
    /// The file was deleted.
    Delete {
        /// The file.
        path: Arc<Path>,
    },
    /// A test's own mark.
    Note(u64),
}

/// What remains of writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing is lost: the process was killed, the machine lives on.
    Process,
    /// Every one of them is lost: the worst that a loss of power does to a disk that keeps its promises.
    Power,
}

/// The record of one file system.
pub struct Recorder {
    name: String,
    events: Mutex<Vec<Event>>,
    /// The result code of every write, when it is not 0.
    refusal: AtomicI32,
}

// === impl Recorder ===

impl Recorder {
    /// Makes a file system and registers it with SQLite for the rest of the process, which a test can afford.
    pub fn register() -> &'static Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("recorder-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let recorder = Box::leak(Box::new(Self { name, events: Mutex::default(), refusal: AtomicI32::new(0) }));
        shim::register(recorder);
        recorder
    }

    /// The name under which SQLite knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a mark to the record.
    pub fn note(&self, mark: u64) {
        self.add(Event::Note(mark));
    }

    /// The record until now.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().expect("no panic while held").clone()
    }

    /// Lets every write fail with this result code of SQLite's, such as that of a full disk; 0 ends it.
    pub fn refuse_writes(&self, code: i32) {
        self.refusal.store(code, Ordering::SeqCst);
    }

    fn refusal(&self) -> i32 {
        self.refusal.load(Ordering::SeqCst)
    }

    fn add(&self, event: Event) {
        self.events.lock().expect("no panic while held").push(event);
    }
}

/// A file as the process sees it, and as the disk has it for certain.
#[derive(Default)]
struct Content {
    written: Vec<u8>,
    synced: Option<Vec<u8>>,
}

/// The files that are there after a crash behind the last of `events`, each at its old path.
pub fn files_after(events: &[Event], loss: Loss) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files: BTreeMap<PathBuf, Content> = BTreeMap::new();
    for event in events {
        match event {
            Event::Write { path, offset, bytes } => {
                write_at(&mut files.entry(path.to_path_buf()).or_default().written, *offset, bytes);
            }
            Event::Truncate { path, bytes } => {
                let length = usize::try_from(*bytes).expect("a file of a test");
                files.entry(path.to_path_buf()).or_default().written.resize(length, 0);
            }
            Event::Sync { path } => {
                let content = files.entry(path.to_path_buf()).or_default();
                content.synced = Some(content.written.clone());
            }
            Event::Delete { path } => drop(files.remove(path.as_ref())),
            Event::Note(_) => {}
        }
    }
    let left = |content: Content| match loss {
        Loss::Process => Some(content.written),
        Loss::Power => content.synced,
    };
    files.into_iter().filter_map(|(path, content)| Some((path, left(content)?))).collect()
}

/// Writes such files below `to` instead of `from`.
pub fn restore(files: &BTreeMap<PathBuf, Vec<u8>>, from: &Path, to: &Path) {
    for (path, bytes) in files {
        let path = to.join(path.strip_prefix(from).expect("a file of the test's folder"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the test's");
        fs::write(path, bytes).expect("a file of the test's");
    }
}

fn write_at(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize::try_from(offset).expect("a file of a test");
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_synced_survives_a_loss_of_power() {
        let path: Arc<Path> = Path::new("/data/a").into();
        let write = |offset, bytes: &[u8]| Event::Write {
            path: Arc::clone(&path),
            offset,
            bytes: bytes.to_vec(),
        };
        let events = [write(0, b"ab"), Event::Sync { path: Arc::clone(&path) }, write(1, b"xyz")];
        let left = |events: &[Event], loss| files_after(events, loss).into_values().next();
        assert_eq!(left(&events[..1], Loss::Power), None);
        assert_eq!(left(&events[..1], Loss::Process).as_deref(), Some(b"ab".as_slice()));
        assert_eq!(left(&events, Loss::Power).as_deref(), Some(b"ab".as_slice()));
        assert_eq!(left(&events, Loss::Process).as_deref(), Some(b"axyz".as_slice()));
    }
}
