//! Uploads through the rules: how fast they pass, what the process grows by, and what is held of them.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Effort;
use super::load::{Answer, exchange};
use super::streams::{Started, Streams, Target, Way};
use super::table::{Aim, Row, Section};
use super::tools::progress;
use xtask::process::pause;

/// Bytes of a file at full speed, and of one at a phone's.
const FAST_MIB: u64 = 1024;
const FAST_MIB_QUICK: u64 = 128;
const SLOW_MIB: u64 = 16;
const SLOW_MIB_QUICK: u64 = 1;
/// Bytes of a form: more than rules look at, all of which they keep.
const FORM_MIB: u64 = 32;
/// A phone's pace.
const SLOW_BYTES_PER_S: u64 = 200_000;
/// Pieces of a second at that pace.
const SLOW_PIECES_PER_S: u64 = 20;
/// What is written at once at full speed.
const FAST_PIECE_BYTES: u64 = 64 << 10;
/// How long a server may take with the end of an upload.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the acceptance asks for: the process grows by so much, and so much is held beyond what the rules look at at most
/// (`SecRequestBodyLimit` of those that ship).
const GROWTH_MIB: f64 = 16.0;
const HELD_KIB: f64 = (RULES_BODY_BYTES + (1 << 20)) as f64 / 1024.0;
const RULES_BODY_BYTES: u64 = 13_107_200;

/// What stands around a file in a form's parts.
const FILE_BEGIN: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\
                          Content-Type: application/octet-stream\r\n\r\n";
const FILE_END: &str = "\r\n--b--\r\n";

const MIB: f64 = (1 << 20) as f64;

/// One upload.
#[derive(Clone, Copy)]
struct Upload {
    mib: u64,
    kind: Kind,
}

/// What is sent, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A file in a form's parts, of which rules keep next to nothing.
    File,
    /// The same from a phone.
    SlowFile,
    /// One value of a form without parts, which rules keep as far as they look at it.
    Form,
}

/// What came of it.
struct Figures {
    mib_per_s: f64,
    growth_mib: f64,
    /// The most that was held, where the server tells.
    held_kib: Option<f64>,
}

/// Uploads at both speeds on each way.
pub(super) fn measure(streams: &Streams, effort: Effort) -> Result<[Section; 3]> {
    let is_full = effort == Effort::Full;
    let fast = Upload { mib: if is_full { FAST_MIB } else { FAST_MIB_QUICK }, kind: Kind::File };
    let slow =
        Upload { mib: if is_full { SLOW_MIB } else { SLOW_MIB_QUICK }, kind: Kind::SlowFile };
    let form = Upload { mib: FORM_MIB, kind: Kind::Form };
    let ways = [Way::Nginx, Way::Passed, Way::Served];
    let mut sections = [
        Section { title: "uploads with rules on, MiB a second", rows: Vec::new() },
        Section { title: "growth of memory by an upload, MiB", rows: Vec::new() },
        Section {
            title: "held of an upload at most, KiB (up to 16 do not count)",
            rows: Vec::new(),
        },
    ];
    for upload in [fast, form] {
        progress(&format!("{} at full speed", upload.name()));
        upload.rows(&mut sections, ways.map(|way| upload.run(streams, way)))?;
    }
    progress(&format!("{}, all at once", slow.name()));
    let measured = thread::scope(|scope| {
        ways.map(|way| scope.spawn(move || slow.run(streams, way)))
            .map(|thread| thread.join().expect("an upload does not panic"))
    });
    slow.rows(&mut sections, measured)?;
    Ok(sections)
}

impl Upload {
    fn name(self) -> String {
        match self.kind {
            Kind::File => format!("{} MiB", self.mib),
            Kind::SlowFile => format!("{} MiB at 200 KB/s", self.mib),
            Kind::Form => format!("{} MiB of a form", self.mib),
        }
    }

    /// The rows of one upload: beside the peer's on the way to an upstream, alone to a service.
    fn rows(self, sections: &mut [Section; 3], measured: [Result<Figures>; 3]) -> Result<()> {
        let [theirs, passed, served] = measured;
        let (theirs, passed, served) = (theirs?, passed?, served?);
        let upstream = format!("{} to an upstream", self.name());
        let service = format!("{} to a service in process", self.name());
        let [speed, growth, held] = sections;
        speed.rows.push(Row::beside(&upstream, theirs.mib_per_s, passed.mib_per_s, None));
        speed.rows.push(Row::alone(&service, served.mib_per_s, None));
        // What rules keep of a form has its own aim.
        let aim = (self.kind != Kind::Form).then_some(Aim::Most(GROWTH_MIB));
        growth.rows.push(Row::beside(&upstream, theirs.growth_mib, passed.growth_mib, aim));
        growth.rows.push(Row::alone(&service, served.growth_mib, aim));
        for (name, figures) in [(&upstream, passed), (&service, served)] {
            let kib = figures.held_kib.context("our servers tell what they hold")?;
            held.rows.push(Row::alone(name, kib, Some(Aim::Most(HELD_KIB))));
        }
        Ok(())
    }

    /// Sends one file to a server that was just started; fails unless the answer is 200 and every byte arrived.
    fn run(self, streams: &Streams, way: Way) -> Result<Figures> {
        let started = streams.start(way, &format!("upload-{way:?}-{:?}", self.kind))?;
        let before = started.server.process.resident_bytes()?;
        started.server.process.forget_peak()?;
        let begun = Instant::now();
        let sent = self.send(&started).with_context(|| format!("{way:?}: {}", self.name()))?;
        let elapsed = begun.elapsed();
        let peak = started.server.process.peak_bytes()?;
        let held = started.metric("yunzhan_held_body_peak_bytes")?;
        started.server.process.stop()?;
        Ok(Figures {
            mib_per_s: sent as f64 / MIB / elapsed.as_secs_f64(),
            growth_mib: peak.saturating_sub(before) as f64 / MIB,
            held_kib: held.map(|bytes| bytes / 1024.0),
        })
    }

    fn send(self, started: &Started) -> Result<u64> {
        let (media_type, begin, end) = match self.kind {
            Kind::Form => ("application/x-www-form-urlencoded", "note=", "&end=1"),
            Kind::File | Kind::SlowFile => {
                ("multipart/form-data; boundary=b", FILE_BEGIN, FILE_END)
            }
        };
        let bytes = self.mib << 20;
        let length = begin.len() as u64 + bytes + end.len() as u64;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 MicroMessenger/8.0.50\r\n\
             Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{begin}",
            started.target(Target::Upload)
        );
        let mut stream = TcpStream::connect(started.server.plain).context("cannot connect")?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(head.as_bytes())?;
        self.send_file(&mut stream, bytes)?;
        let Answer { status, body } = exchange(&mut stream, &mut Vec::new(), end.as_bytes())?;
        let text = String::from_utf8_lossy(&body);
        ensure!(status == 200, "status {status}: {text}");
        ensure!(text == length.to_string(), "{text} of {length} bytes arrived");
        Ok(length)
    }

    fn send_file(self, stream: &mut TcpStream, bytes: u64) -> Result<()> {
        let is_slow = self.kind == Kind::SlowFile;
        let piece_bytes =
            if is_slow { SLOW_BYTES_PER_S / SLOW_PIECES_PER_S } else { FAST_PIECE_BYTES };
        let piece = vec![0x5a; usize::try_from(piece_bytes)?];
        let begun = Instant::now();
        let mut sent = 0;
        while sent < bytes {
            let next = piece_bytes.min(bytes - sent);
            stream.write_all(piece.get(..usize::try_from(next)?).unwrap_or_default())?;
            sent += next;
            if is_slow {
                let due = begun + Duration::from_micros(sent * 1_000_000 / SLOW_BYTES_PER_S);
                pause(due.saturating_duration_since(Instant::now()));
            }
        }
        Ok(())
    }
}
