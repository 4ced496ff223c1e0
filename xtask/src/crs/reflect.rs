//! A backend that answers as it is told: a request to `/reflect` has status, headers and body of its answer in its JSON body;
//! every other request is answered with nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Starts it on a free port; it ends with the process.
pub(super) fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let address = listener.local_addr().context("cannot tell the port")?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || while_open(stream));
        }
    });
    Ok(address)
}

fn while_open(stream: TcpStream) {
    let Ok(reading) = stream.try_clone() else { return };
    let (mut reader, mut stream) = (BufReader::new(reading), stream);
    while let Some((target, body)) = request(&mut reader) {
        let answer = if target.starts_with("/reflect") { reflected(&body) } else { plain() };
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// One request's target and body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let first = line(reader)?;
    let target = first.split(' ').nth(1)?.to_owned();
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let header = line(reader)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "transfer-encoding" => is_chunked = true,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while is_chunked {
        let size = usize::from_str_radix(line(reader)?.split(';').next()?.trim(), 16).ok()?;
        let mut chunk = vec![0; size];
        reader.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk);
        line(reader)?;
        is_chunked = size > 0;
    }
    Some((target, body))
}

fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let count = reader.read_line(&mut line).ok()?;
    (count > 0).then(|| line.trim_end().to_owned())
}

fn plain() -> Vec<u8> {
    answer(200, "", b"")
}

fn reflected(body: &[u8]) -> Vec<u8> {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let status = told.get("status").and_then(Value::as_u64).unwrap_or(200);
    let mut headers = String::new();
    for (name, value) in told.get("headers").and_then(Value::as_object).into_iter().flatten() {
        headers.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap_or_default()));
    }
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    let body = match text("encodedBody") {
        Some(encoded) => STANDARD.decode(encoded).unwrap_or_default(),
        None => text("body").unwrap_or_default().as_bytes().to_vec(),
    };
    answer(status, &headers, &body)
}

fn answer(status: u64, headers: &str, body: &[u8]) -> Vec<u8> {
    let has_type = headers.to_ascii_lowercase().contains("content-type:");
    let media = if has_type { "" } else { "Content-Type: text/plain\r\n" };
    let head =
        format!("HTTP/1.1 {status} Told\r\n{media}{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
