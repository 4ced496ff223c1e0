//! The file of the log, on a disk that may be full, in a folder from which somebody may take it away.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use yunzhan_base::Clock;
use yunzhan_base::event::{Events, Level};

use super::rotation::{self, Day, Keep};
use crate::line::Line;

/// Written by one thread, in whole lines.
pub(super) struct LogFile {
    path: PathBuf,
    keep: Keep,
    clock: Clock,
    events: Events,
    present: Present,
    /// The size at which a new file begins; further away while rotation fails.
    rotate_at_bytes: u64,
    /// Lines lost since the last one that was written: they found the buffer full, or the disk refused them.
    lost: u64,
    is_failing: bool,
}

/// The file that is written now.
struct Present {
    file: File,
    /// Device and inode: which file it is, whatever its name is by now.
    identity: (u64, u64),
    bytes: u64,
    day: Day,
    /// Whether the file ends within a line.
    is_torn: bool,
}

// === impl LogFile ===

impl LogFile {
    /// Opens the file at its end. What goes wrong later is told to `events`, which must not lead back to the log.
    pub(super) fn open(path: &Path, keep: Keep, clock: Clock, events: Events) -> io::Result<Self> {
        let present = Present::open(path, clock.now_ms())?;
        rotation::prune(path, keep.files);
        Ok(Self {
            path: path.to_owned(),
            keep,
            clock,
            events,
            present,
            rotate_at_bytes: keep.file_bytes_max,
            lost: 0,
            is_failing: false,
        })
    }

    /// Writes whole lines, and how many were lost before them. What the disk refuses is lost, and counted in the first line
    /// that it takes again.
    pub(super) fn write(&mut self, lines: &mut Vec<u8>, dropped: u64) {
        let before = lines.len();
        self.lost += dropped;
        if self.lost > 0 {
            Line::begin(lines).plain("lines_dropped", false, self.lost).end();
        }
        if lines.is_empty() {
            return;
        }
        match self.try_write(lines) {
            Ok(()) => {
                self.recovered();
                self.lost = 0;
            }
            Err(error) => {
                let ours = lines[..before].iter();
                self.lost += ours.filter(|byte| **byte == b'\n').count() as u64;
                self.failed(&error);
            }
        }
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.follow()?;
        self.rotate_if_due();
        self.present.append(lines)
    }

    /// Opens the file anew when its name means another file or none: it was deleted, or moved by a tool that rotates logs.
    /// Else takes its size over, which is another one after a tool has copied and truncated it.
    fn follow(&mut self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.present.identity => {
                self.present.bytes = found.len();
            }
            Ok(_) => self.reopen()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.reopen()?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.present = Present::open(&self.path, self.clock.now_ms())?;
        self.rotate_at_bytes = self.keep.file_bytes_max;
        Ok(())
    }

    /// Begins a new file when this one is full or of another day. Where that fails the file grows on, and the next attempt
    /// is made when it has grown by as much again.
    fn rotate_if_due(&mut self) {
        let is_later_day = self.present.day.has_passed(self.clock.now_ms());
        let is_full = self.present.bytes >= self.rotate_at_bytes;
        let is_due = is_full || (self.keep.daily && is_later_day && self.present.bytes > 0);
        if !is_due {
            return;
        }
        let rotated = rotation::shift(&self.path, self.keep.files).and_then(|()| self.reopen());
        if let Err(error) = rotated {
            self.rotate_at_bytes = self.present.bytes.saturating_add(self.keep.file_bytes_max);
            let text = format!(
                "{} cannot make room for the next file and grows on: {error}",
                self.path.display()
            );
            self.events.notice(Level::Error, "access_log_not_rotated", &text);
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let text = format!(
                "{} cannot be written, its lines are lost and counted: {error}",
                self.path.display()
            );
            self.events.notice(Level::Error, "access_log_failed", &text);
        }
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            let text =
                format!("{} is written again, {} lines were lost", self.path.display(), self.lost);
            self.events.notice(Level::Warn, "access_log_recovered", &text);
        }
    }
}

// === impl Present ===

impl Present {
    fn open(path: &Path, now_ms: i64) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let found = file.metadata()?;
        let bytes = found.len();
        let day = Day::of(if bytes == 0 { now_ms } else { modified_ms(&found) });
        let is_torn = bytes > 0 && last_byte(&file, bytes)? != b'\n';
        Ok(Self { file, identity: identity(&found), bytes, day, is_torn })
    }

    /// Appends all or, as far as the disk lets us, nothing: half a line would spoil the next one too.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.is_torn = false;
            self.bytes += 1;
        }
        match self.file.write_all(lines) {
            Ok(()) => {
                self.bytes += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_torn = self.file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn modified_ms(file: &Metadata) -> i64 {
    file.mtime().saturating_mul(1000)
}

fn last_byte(file: &File, bytes: u64) -> io::Result<u8> {
    let mut last = [0];
    file.read_exact_at(&mut last, bytes - 1)?;
    Ok(last[0])
}
