//! Whatever a client sends, an upstream sees nothing or exactly one well-formed request with one framing.

#![no_main]

mod rig;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|request: &[u8]| {
    let (upstream, _) = rig::exchange(request, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    if upstream.is_empty() {
        return;
    }
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Request::new(&mut headers);
    if parsed.parse(&upstream).expect("well-formed HTTP").is_complete() {
        let count = |name: &str| parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
        assert!(count("content-length") + count("transfer-encoding") <= 1, "one framing at the most");
        assert_eq!(count("host"), 1);
        assert_eq!(count("x-forwarded-for"), 1);
        assert_eq!(count("connection") + count("upgrade") + count("te"), 0);
    }
});
