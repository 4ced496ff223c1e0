//! A load generator for HTTP/1.1 with kept connections: blocking, a thread a connection, exact in what it counts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take: a server under callgrind is fifty times slower than itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer; ours are a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What is sent.
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    /// The requests to send, over and over, as evenly as it goes; never empty.
    pub(super) pool: &'a [Vec<u8>],
    pub(super) connections: usize,
    /// How many to send in all.
    pub(super) requests: usize,
    /// When to stop although not everything is sent.
    pub(super) time_max: Duration,
}

/// What came of it.
pub(super) struct Done {
    /// Requests that were answered with a 2xx.
    pub(super) requests: usize,
    pub(super) elapsed: Duration,
    /// How long each of them took, the shortest first.
    latencies: Vec<Duration>,
}

impl Done {
    /// The latency that this share of the requests, from 0 to 1, stayed within.
    pub(super) fn latency(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

impl Load<'_> {
    /// Sends everything; fails at the first answer that is not a 2xx.
    pub(super) fn run(&self) -> Result<Done> {
        let left = AtomicUsize::new(self.requests);
        let begun = Instant::now();
        let deadline = begun + self.time_max;
        let taken = std::thread::scope(|scope| {
            let work = || self.work(&left, deadline);
            let threads: Vec<_> = (0..self.connections).map(|_| scope.spawn(work)).collect();
            let joined =
                threads.into_iter().map(|thread| thread.join().expect("a worker does not panic"));
            joined.collect::<Result<Vec<_>>>()
        })?;
        let elapsed = begun.elapsed();
        let mut latencies = taken.concat();
        latencies.sort_unstable();
        Ok(Done { requests: latencies.len(), elapsed, latencies })
    }

    fn work(&self, left: &AtomicUsize, deadline: Instant) -> Result<Vec<Duration>> {
        let mut connection = Connection::open(self.address)?;
        let mut latencies = Vec::new();
        while let Some(index) = take_one(left)
            && let Some(request) = self.pool.get(index % self.pool.len())
        {
            let begun = Instant::now();
            if begun >= deadline {
                break;
            }
            let answer = connection.ask(request)?;
            ensure!(
                (200..300).contains(&answer.status),
                "status {}: {}",
                answer.status,
                answer.text()
            );
            latencies.push(begun.elapsed());
        }
        Ok(latencies)
    }
}

/// Takes one of what is left to do, and tells which.
fn take_one(left: &AtomicUsize) -> Option<usize> {
    let less = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().and_then(less)
}

/// An answer with its body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One kept connection.
pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream, received: Vec::with_capacity(8192) })
    }

    /// Sends one request and reads its answer.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        exchange(&mut self.stream, &mut self.received, request)
    }
}

/// Sends one request over any stream and reads its answer.
pub(super) fn exchange(
    stream: &mut (impl Read + Write),
    received: &mut Vec<u8>,
    request: &[u8],
) -> Result<Answer> {
    stream.write_all(request).context("cannot send")?;
    stream.flush().context("cannot send")?;
    received.clear();
    let mut piece = [0_u8; 8192];
    loop {
        if let Some(answer) = parse(received)? {
            return Ok(answer);
        }
        let length = stream.read(&mut piece).context("cannot read the answer")?;
        ensure!(length > 0, "the server closed the connection");
        received.extend_from_slice(piece.get(..length).unwrap_or_default());
        ensure!(
            received.len() < ANSWER_BYTES_MAX,
            "the answer is larger than {ANSWER_BYTES_MAX} bytes"
        );
    }
}

/// The answer, once all of it is there.
fn parse(received: &[u8]) -> Result<Option<Answer>> {
    let Some(head_length) = find(received, b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = received.split_at(head_length + 4);
    let head = std::str::from_utf8(head).context("a head that is not text")?;
    let status =
        head.get(9..12).and_then(|code| code.parse().ok()).context("a head without a status")?;
    let body = match (header(head, "content-length"), header(head, "transfer-encoding")) {
        (Some(length), _) => {
            let length: usize = length.parse().context("a length that is not a number")?;
            body.get(..length).map(<[u8]>::to_vec)
        }
        (None, Some(_)) => unchunk(body),
        (None, None) => bail!("an answer without a length: {head}"),
    };
    Ok(body.map(|body| Answer { status, body }))
}

/// Where it stands first.
pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The value of a header of a head.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let pairs = head.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// The content of a chunked body, once its last chunk is there.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let line = find(body, b"\r\n")?;
        let size = std::str::from_utf8(body.get(..line)?).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let chunk = body.get(line + 2..)?;
        if size == 0 {
            return chunk.starts_with(b"\r\n").then_some(content);
        }
        content.extend_from_slice(chunk.get(..size)?);
        body = chunk.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn parsed(received: &str) -> Option<(u16, String)> {
        parse(received.as_bytes()).unwrap().map(|answer| (answer.status, answer.text()))
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        assert_eq!(parsed("HTTP/1.1 200 OK\r\nContent-Le"), None);
        assert_eq!(parsed("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), None);
        assert_eq!(
            parsed("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"),
            Some((200, "abc".into()))
        );
        let chunked =
            "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n";
        assert_eq!(parsed(chunked), None);
        assert_eq!(parsed(&format!("{chunked}\r\n")), Some((404, "abc".into())));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn every_request_is_sent_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move |mut stream: TcpStream| {
            let mut piece = [0; 64];
            while stream.read(&mut piece).is_ok_and(|length| length > 0) {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || serve(stream.unwrap()));
            }
        });
        let pool = &[b"GET / HTTP/1.1\r\n\r\n".to_vec(), b"GET /2 HTTP/1.1\r\n\r\n".to_vec()];
        let time_max = Duration::from_secs(10);
        let load = Load { address, pool, connections: 3, requests: 50, time_max };
        let done = load.run().unwrap();
        assert_eq!(done.requests, 50);
        assert!(done.latency(0.5) <= done.latency(0.99));
    }

    #[test]
    fn a_latency_is_that_of_a_share() {
        let latencies = (1..=101).map(Duration::from_millis).collect();
        let done = Done { requests: 101, elapsed: Duration::from_secs(1), latencies };
        assert_eq!(done.latency(0.5), Duration::from_millis(51));
        assert_eq!(done.latency(0.99), Duration::from_millis(100));
        let nothing = Done { requests: 0, elapsed: Duration::ZERO, latencies: Vec::new() };
        assert_eq!(nothing.latency(0.5), Duration::ZERO);
    }
}
