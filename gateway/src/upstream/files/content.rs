//! An open file of a folder: what is said of it, and its bytes as a body.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;
use yunzhan_base::Body;
use yunzhan_base::body::BodyError;
use yunzhan_base::representation::Representation;

use super::{entity_tag, media_type};

/// Bytes that are read at once, and held for one answer: a disk gives them in less time than a change of threads takes.
const CHUNK_BYTES: u64 = 64 << 10;

/// A file that changed so lately may change again without another date: kernels count time in steps of some milliseconds,
/// HTTP in seconds.
const SETTLED_MS: i64 = 1000;

/// Files of images and of reproducible builds carry the first day of 1970, which says nothing.
const UNDATED_S: i64 = 86_400;

/// A file that was opened, with what is said of it.
pub(super) struct OpenFile {
    file: Arc<File>,
    state: State,
    /// All its bytes, where it is small and they were asked for.
    bytes: Option<Bytes>,
    pub(super) representation: Representation,
}

/// What tells whether the bytes are still those that were promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    length: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl OpenFile {
    /// Looks at an open file; blocks. With `is_read` a small one is read.
    pub(super) fn new(file: File, name: &str, now_ms: i64, is_read: bool) -> io::Result<Self> {
        let facts = file.metadata()?;
        let state = State::of(&facts);
        let whole = 0..state.length;
        let is_read = is_read && state.length <= CHUNK_BYTES;
        let bytes = is_read.then(|| read(&file, whole, state)).transpose()?;
        let representation = describe(&facts, name, now_ms);
        Ok(Self { file: Arc::new(file), state, bytes, representation })
    }

    /// These of its bytes.
    pub(super) fn body(self, range: Range<u64>) -> Body {
        match self.bytes {
            Some(bytes) => Body::from(bytes.slice(range.start as usize..range.end as usize)),
            None => {
                let Self { file, state, .. } = self;
                Body::streaming(Reading { file, state, rest: range, chunk: None })
            }
        }
    }
}

/// Validators, type and length. The tag is made of what the file system says, without reading the file; the time of the
/// last change of the inode is part of it, since builds may give every file the same date and inodes are used again.
fn describe(facts: &Metadata, name: &str, now_ms: i64) -> Representation {
    let identity = [
        facts.mtime(),
        facts.mtime_nsec(),
        facts.ctime(),
        facts.ctime_nsec(),
        facts.ino().cast_signed(),
    ];
    let modified_ms =
        facts.mtime().saturating_mul(1000).saturating_add(facts.mtime_nsec() / 1_000_000);
    let age_ms = now_ms.saturating_sub(modified_ms);
    let prefix = if age_ms.unsigned_abs() < SETTLED_MS.unsigned_abs() { "W/" } else { "" };
    let is_dated = age_ms >= SETTLED_MS && facts.mtime() >= UNDATED_S;
    Representation {
        etag: Some(entity_tag(prefix, facts.len(), &identity.map(i64::to_le_bytes).concat())),
        last_modified: is_dated.then(|| facts.modified().ok()).flatten(),
        media_type: media_type::of(name),
        length: facts.len(),
    }
}

// === impl State ===

impl State {
    fn of(facts: &Metadata) -> Self {
        Self { length: facts.len(), modified_s: facts.mtime(), modified_ns: facts.mtime_nsec() }
    }
}

/// Reads these bytes of a file, and fails if it is not in this state any more; blocks.
fn read(file: &File, range: Range<u64>, state: State) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    // After the bytes were read: what changed before then shows, and what changes later is not among them.
    if State::of(&file.metadata()?) == state {
        Ok(bytes.into())
    } else {
        Err(io::Error::other("the file changed while it was sent"))
    }
}

/// A body that is read chunk by chunk on a thread where waiting for a disk hurts nobody.
struct Reading {
    file: Arc<File>,
    state: State,
    /// What was not sent yet.
    rest: Range<u64>,
    /// The chunk that is being read: the first of the rest.
    chunk: Option<JoinHandle<io::Result<Bytes>>>,
}

impl http_body::Body for Reading {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let Self { file, state, rest, chunk } = &mut *self;
        let reading = chunk.get_or_insert_with(|| {
            let (file, state) = (Arc::clone(file), *state);
            let range = rest.start..rest.end.min(rest.start + CHUNK_BYTES);
            tokio::task::spawn_blocking(move || read(&file, range, state))
        });
        let read = ready!(Pin::new(reading).poll(context));
        *chunk = None;
        match read.map_err(io::Error::other).and_then(|read| read) {
            Ok(bytes) => {
                rest.start += bytes.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Err(error) => {
                rest.start = rest.end;
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.end - self.rest.start)
    }
}
