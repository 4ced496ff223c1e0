//! The bench's own server behind both proxies: it takes WebSockets and holds them, and counts the bytes of uploads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use super::load::{find, header};

/// What is read at once of an upload.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes of a head, and more.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The handshake's key and its answer are a pair of RFC 6455 section 1.3: every client of the bench sends this key.
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A message of two bytes as clients send it, masked with zeroes, and as it comes back.
pub(super) const MESSAGE: &[u8] = b"\x81\x82\0\0\0\0hi";
pub(super) const ECHO: &[u8] = b"\x81\x02hi";

/// A running upstream. Its listener lives as long as the bench, its sockets as long as this.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Upstream {
    /// Begins to take connections.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        let address = listener.local_addr()?;
        let sockets: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let held = Arc::downgrade(&sockets);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(held) = held.upgrade() else { return };
                std::thread::spawn(move || {
                    // Whoever asked sees a connection that ends, and says so.
                    if let Ok(Some(socket)) = serve(stream) {
                        held.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
                    }
                });
            }
        });
        Ok(Self { address, sockets })
    }

    /// How many sockets it holds.
    pub(super) fn sockets(&self) -> usize {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Serves one request; gives the connection back when it became a socket.
fn serve(mut stream: TcpStream) -> Result<Option<TcpStream>> {
    stream.set_nodelay(true)?;
    let (head, mut body) = read_head(&mut stream)?;
    if header(&head, "upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes())?;
        body.resize(MESSAGE.len(), 0);
        stream.read_exact(&mut body)?;
        stream.write_all(ECHO)?;
        return Ok(Some(stream));
    }
    let length = header(&head, "content-length").context("an upload without a length")?;
    let length: u64 = length.parse().context("a length that is not a number")?;
    let mut seen = body.len() as u64;
    let mut piece = vec![0; PIECE_BYTES];
    while seen < length {
        let read = stream.read(&mut piece)?;
        ensure!(read > 0, "the upload ended after {seen} of {length} bytes");
        seen += read as u64;
    }
    let seen = seen.to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{seen}",
        seen.len()
    );
    stream.write_all(answer.as_bytes())?;
    Ok(None)
}

/// Reads a head, and gives what came behind it.
pub(super) fn read_head(stream: &mut impl Read) -> Result<(String, Vec<u8>)> {
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(length) = find(&received, b"\r\n\r\n") {
            let rest = received.split_off(length + 4);
            return Ok((String::from_utf8(received).context("a head that is not text")?, rest));
        }
        let read = stream.read(&mut piece)?;
        ensure!(read > 0, "the connection ended within a head");
        received.extend_from_slice(piece.get(..read).unwrap_or_default());
        ensure!(received.len() < HEAD_BYTES_MAX, "a head without an end");
    }
}
