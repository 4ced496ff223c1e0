//! Reading an answer from a plain stream, for requests that no HTTP library would send.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Answer;

/// Reads one answer with a declared length.
pub(super) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<Answer> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(answer) = parse(&read)? {
            return Ok(answer);
        }
        let count = stream.read(&mut buffer).await?;
        ensure!(count > 0, "the answer was broken off: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..count]);
    }
}

/// The answer, once all of it is there.
fn parse(read: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = (std::str::from_utf8(&read[..end])?, &read[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a status line")?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").context("a header line")?;
        headers.append(name.parse::<HeaderName>()?, value.parse()?);
    }
    let length: usize = headers.get("content-length").context("a length")?.to_str()?.parse()?;
    let whole = body.get(..length).map(|body| Answer {
        asked: "raw bytes".to_owned(),
        status: hyper::StatusCode::from_bytes(status.as_bytes()).unwrap_or_default(),
        headers,
        body: Bytes::copy_from_slice(body),
    });
    Ok(whole)
}
