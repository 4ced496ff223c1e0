//! The access log: one line of JSON for each request and each failed connection.
//!
//! A request formats its line into a shared [`buffer`]; a thread of its own writes the buffer into the [`file`] every 200 ms
//! or when it is full. When the disk does not keep up, lines are dropped and counted: a log never stops the traffic it tells
//! of. [`format`] says what a line holds, [`rotation`] when a new file begins.

mod buffer;
mod file;
mod format;
mod rotation;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use yunzhan_base::Clock;
use yunzhan_base::event::{Event, Events, Observe, RequestEnded};

use buffer::{Batch, Buffer, WRITE_BYTES};
use file::LogFile;
pub use rotation::Keep;

/// Routes that machines ask all day.
const PROBES: [&str; 3] = ["server.healthz", "server.readyz", "server.metrics"];

/// Takes events and writes lines. Dropping it writes what waits.
pub(crate) struct AccessLog {
    buffer: Arc<Buffer>,
    clock: Clock,
    writer: Mutex<Option<JoinHandle<()>>>,
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the file at its end and starts the writer. Faults of the file are told to `notices`, which may not hold this log:
    /// it would tell itself of its own faults.
    pub(crate) fn open(path: &Path, keep: Keep, clock: Clock, notices: Events) -> io::Result<Self> {
        let mut file = LogFile::open(path, keep, clock.clone(), notices)?;
        let buffer = Arc::new(Buffer::default());
        let taken = Arc::clone(&buffer);
        let writer = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_until_end(&taken, &mut file))?;
        Ok(Self { buffer, clock, writer: Mutex::new(Some(writer)) })
    }

    /// Writes what waits and ends the writer; lines of events that come later are lost.
    pub(crate) fn end(&self) {
        self.buffer.end();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

impl Observe for AccessLog {
    fn observe(&self, event: &Event<'_>) {
        let now_ms = || self.clock.now_ms();
        match event {
            Event::RequestEnded(request) if is_probe(request) => {}
            Event::RequestEnded(request) => {
                self.buffer.append(|lines| format::request_line(lines, now_ms(), request));
            }
            Event::AttackSuspected(attack) => {
                self.buffer.append(|lines| format::attack_line(lines, now_ms(), attack));
            }
            Event::ConnectionFailed(failed) => {
                self.buffer.append(|lines| format::connection_line(lines, now_ms(), failed));
            }
            Event::SqlEnded(_)
            | Event::StorageChanged(_)
            | Event::AccessEnded(_)
            | Event::Notice(_) => {}
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.end();
    }
}

/// Probes of an orchestrator come every few seconds and say nothing while all is well.
fn is_probe(request: &RequestEnded<'_>) -> bool {
    request.status.is_success() && PROBES.contains(&request.facts.route)
}

/// The writer's life. Two buffers take turns: one is written while the other fills.
fn write_until_end(buffer: &Buffer, file: &mut LogFile) {
    let mut spare = Vec::new();
    loop {
        let Batch { mut lines, dropped, is_last } = buffer.take(spare);
        file.write(&mut lines, dropped);
        if is_last {
            return;
        }
        lines.clear();
        lines.shrink_to(2 * WRITE_BYTES);
        spare = lines;
    }
}
