//! Lines of bytes are a whole request and its response: method, target, headers up to an empty line, the body up to a line
//! of `%%`, and the body of the response. Nothing panics, and a refusal stays one.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use yunzhan_waf::Verdict;
use yunzhan_waf_fuzz::begin;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (method, target, mut rest) = (next(), next(), next());
    let mut transaction = begin();
    transaction.request_line(method, target, b"HTTP/1.1");
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        transaction.request_header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    let first = transaction.request_headers_end();
    let end = rest.windows(4).position(|window| window == b"\n%%\n");
    let (body, answer) = match end {
        Some(end) => (&rest[..end], &rest[end + 4..]),
        None => (rest, &b""[..]),
    };
    for chunk in body.chunks(7) {
        transaction.request_body(&Bytes::copy_from_slice(chunk));
    }
    let second = transaction.request_end();
    assert!(first == Verdict::Pass || second == first, "a refusal stays one");
    transaction.response_header(b"content-type", b"text/html");
    transaction.response_headers_end(200, b"HTTP/1.1");
    transaction.response_body(&Bytes::copy_from_slice(answer));
    let third = transaction.response_end();
    assert!(second == Verdict::Pass || third == second, "a refusal stays one");
    transaction.log();
});
