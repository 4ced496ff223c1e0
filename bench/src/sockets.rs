//! Memory of an idle WebSocket, and whether every client hears that the server goes.

use std::io::{Read, Write};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Effort;
use super::idle::{Opener, SETTLE, Stream, Transport};
use super::streams::{Started, Streams, Target, Way};
use super::table::{Aim, Row, Section};
use super::tools::progress;
use super::upstream::{ECHO, KEY, MESSAGE, read_head};
use xtask::process::pause;

/// Sockets that are held at once.
const SOCKETS: usize = 10_000;
const SOCKETS_QUICK: usize = 1_000;
/// Sockets opened and closed before the first look, so that tables of the server have their size.
const WARM_SOCKETS: usize = 50;
/// Clients that send without a pause while the server drains.
const BUSY: usize = 50;
/// Files of a process beside its sockets: our server keeps up to 1024 of them free of clients.
const OTHER_FILES: u64 = 1500;
/// What an idle socket may cost, by the acceptance of documents' watches.
const SOCKET_KIB: f64 = 24.0;

/// A frame of a kilobyte, masked with zeroes: its head is 126 and two bytes of length.
const BUSY_BYTES: u16 = 1024;

/// Takes both kinds of figures.
pub(super) fn measure(streams: &Streams, effort: Effort) -> Result<[Section; 2]> {
    let files = raise_files()?;
    let wanted = if effort == Effort::Full { SOCKETS } else { SOCKETS_QUICK };
    // A proxy has two connections of each socket, and so has this process, which is both ends.
    let most = usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX);
    let passed = wanted.min(most);
    let mut rows = Vec::new();
    for is_tls in [false, true] {
        let kind = if is_tls { "TLS" } else { "plain" };
        progress(&format!("{passed} idle sockets passed through, {kind}"));
        let theirs = kib_each(streams, Way::Nginx, is_tls, passed)?;
        let ours = kib_each(streams, Way::Passed, is_tls, passed)?;
        let aim = Some(Aim::Most(SOCKET_KIB));
        rows.push(Row::beside(&format!("passed through, {kind}, {passed}"), theirs, ours, aim));
    }
    let mut deaf_rows = Vec::new();
    for is_tls in [false, true] {
        let kind = if is_tls { "TLS" } else { "plain" };
        progress(&format!("{wanted} idle sockets of a service, {kind}"));
        let (kib, deaf) = served(streams, is_tls, wanted)?;
        let name = format!("served in process, {kind}, {wanted}");
        rows.push(Row::alone(&name, kib, Some(Aim::Most(SOCKET_KIB))));
        let name = format!("{wanted} idle and {BUSY} busy, {kind}");
        deaf_rows.push(Row::alone(&name, deaf as f64, Some(Aim::Most(0.0))));
    }
    Ok([
        Section { title: "memory of an idle WebSocket, KiB, rules on", rows },
        Section { title: "clients that do not hear 1001 at a drain", rows: deaf_rows },
    ])
}

/// As many files as this process may have, and how many those are.
fn raise_files() -> Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files")?;
    Ok(maximum.unwrap_or(u64::MAX))
}

fn kib_each(streams: &Streams, way: Way, is_tls: bool, count: usize) -> Result<f64> {
    let started = streams.start(way, &format!("sockets-{way:?}-{is_tls}"))?;
    let (bytes, held) = bytes_each(&started, is_tls, count)?;
    ensure!(started.upstream.sockets() >= count, "not every socket reached the upstream");
    drop(held);
    started.server.process.stop()?;
    Ok(bytes / 1024.0)
}

/// Kibibytes of a socket, and how many clients did not hear 1001 when the server was told to go.
fn served(streams: &Streams, is_tls: bool, count: usize) -> Result<(f64, usize)> {
    let started = streams.start(Way::Served, &format!("sockets-served-{is_tls}"))?;
    let (bytes, mut held) = bytes_each(&started, is_tls, count)?;
    let busy = open(&started, is_tls, BUSY)?;
    let open_now = started.metric("yunzhan_sockets_open")?;
    ensure!(open_now == Some((count + BUSY) as f64), "{open_now:?} sockets are open");
    let talking: Vec<_> =
        busy.into_iter().map(|stream| thread::spawn(move || talk(stream))).collect();
    let process = started.server.process;
    let stopping = thread::spawn(move || process.stop());
    let heard = |code: Result<u16>| code.is_ok_and(|code| code == 1001);
    let deaf_idle = held.iter_mut().filter_map(|stream| (!heard(close_code(stream))).then_some(()));
    let deaf_idle = deaf_idle.count();
    let talked = talking.into_iter().map(|thread| thread.join().expect("a client does not panic"));
    let deaf_busy = talked.filter(|code| !matches!(code, Ok(1001))).count();
    drop(held);
    stopping.join().expect("stopping does not panic")?;
    Ok((bytes / 1024.0, deaf_idle + deaf_busy))
}

fn bytes_each(
    started: &Started,
    is_tls: bool,
    count: usize,
) -> Result<(f64, Vec<Box<dyn Stream>>)> {
    drop(open(started, is_tls, WARM_SOCKETS)?);
    pause(SETTLE);
    let before = started.server.process.resident_bytes()?;
    let held = open(started, is_tls, count)?;
    pause(SETTLE);
    let after = started.server.process.resident_bytes()?;
    Ok((after.saturating_sub(before) as f64 / count as f64, held))
}

/// Opens sockets, each of which has said one message and heard it again.
fn open(started: &Started, is_tls: bool, count: usize) -> Result<Vec<Box<dyn Stream>>> {
    let transport = if is_tls { Transport::Tls(&started.certificate) } else { Transport::Plain };
    let opener = Opener::new(&started.server, &transport)?;
    let target = started.target(Target::Socket);
    let handshake = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 MicroMessenger/8.0.50\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    let open = |_| {
        let mut stream = opener.open()?;
        stream.write_all(handshake.as_bytes())?;
        stream.flush()?;
        let (head, rest) = read_head(&mut stream)?;
        ensure!(head.starts_with("HTTP/1.1 101 ") && rest.is_empty(), "no socket: {head}");
        stream.write_all(MESSAGE)?;
        stream.flush()?;
        let mut echo = [0; ECHO.len()];
        stream.read_exact(&mut echo).context("no echo")?;
        ensure!(echo == ECHO, "not the message: {echo:?}");
        Ok(stream)
    };
    (0..count).map(open).collect()
}

/// Sends and hears messages without a pause until the server closes; gives its code.
fn talk(mut stream: Box<dyn Stream>) -> Result<u16> {
    let mut message = vec![0x82, 0x80 | 126];
    message.extend(BUSY_BYTES.to_be_bytes());
    message.resize(message.len() + 4 + usize::from(BUSY_BYTES), 0);
    loop {
        stream.write_all(&message)?;
        stream.flush()?;
        loop {
            match read_frame(&mut stream)? {
                (0x82, _) => break,
                (0x88, payload) => return farewell(&mut stream, &payload),
                _ => {}
            }
        }
    }
}

/// The code with which the server closes a socket that says nothing.
fn close_code(stream: &mut Box<dyn Stream>) -> Result<u16> {
    loop {
        match read_frame(stream)? {
            (0x88, payload) => return farewell(stream, &payload),
            (0x89, _) => {}
            (first, _) => bail!("a frame {first:#x} that nobody asked for"),
        }
    }
}

/// Says that the close was heard, as clients do.
fn farewell(stream: &mut Box<dyn Stream>, payload: &[u8]) -> Result<u16> {
    let [high, low, ..] = payload else { bail!("a close without a code") };
    // The server may be gone, since it waits a moment only.
    let _ = stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, *high, *low]);
    let _ = stream.flush();
    Ok(u16::from_be_bytes([*high, *low]))
}

fn read_frame(stream: &mut Box<dyn Stream>) -> Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            usize::from(u16::from_be_bytes(length))
        }
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok((head[0], payload))
}
