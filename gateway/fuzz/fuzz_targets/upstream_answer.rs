//! Whatever an upstream answers, the client gets well-formed HTTP or a close, and in time.

#![no_main]

mod rig;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    let request = b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (_, client) = rig::exchange(request, answer);
    if client.is_empty() {
        return;
    }
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(&client).expect("well-formed HTTP");
    if parsed.is_complete() {
        let names: Vec<_> = response.headers.iter().map(|header| header.name.to_ascii_lowercase()).collect();
        let lengths = names.iter().filter(|name| *name == "content-length").count();
        let codings = names.iter().filter(|name| *name == "transfer-encoding").count();
        assert!(lengths + codings <= 1, "one framing at the most: {names:?}");
        assert!(!names.iter().any(|name| name == "keep-alive"), "{names:?}");
    }
});
