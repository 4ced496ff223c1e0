//! Sends a request as its bytes stand there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::case::Case;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long to wait for more of an answer that has begun.
const SILENCE: Duration = Duration::from_millis(300);

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    /// The id by which the log tells of the request.
    pub(super) request_id: Option<String>,
}

/// Sends a case; whatever goes wrong is an answer without a status.
pub(super) fn send(address: SocketAddr, case: &Case) -> Answer {
    let bytes = exchange(address, &case.bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut id = head.lines().filter_map(|line| line.split_once(": "));
    let id = id.find(|(name, _)| name.eq_ignore_ascii_case("x-request-id"));
    Answer { status, request_id: id.map(|(_, value)| value.to_owned()) }
}

fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    let (mut answer, mut room) = (Vec::new(), [0; 8192]);
    loop {
        match stream.read(&mut room) {
            Ok(0) | Err(_) => return Ok(answer),
            Ok(count) => {
                answer.extend_from_slice(&room[..count]);
                stream.set_read_timeout(Some(SILENCE))?;
            }
        }
    }
}
