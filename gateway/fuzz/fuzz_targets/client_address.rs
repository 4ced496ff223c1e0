//! Whatever a client writes into the lists of addresses, what a trusted proxy appends to them counts.

#![no_main]

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use yunzhan_gateway::client_address::{TrustedProxies, client, forwarded, forwarded_for};

/// Who the proxy says it is.
const CLIENT: &str = "203.0.113.7";

fuzz_target!(|bytes: &[u8]| {
    let trusted = TrustedProxies::new(["10.0.0.0/8".parse().expect("a network")]);
    let proxy: SocketAddr = "10.0.0.1:443".parse().expect("an address");
    let stranger: SocketAddr = "[::ffff:192.0.2.1]:443".parse().expect("an address");
    let Ok(written) = HeaderValue::from_bytes(bytes) else { return };
    for (name, own) in [("x-forwarded-for", CLIENT.to_owned()), ("forwarded", format!("for={CLIENT}"))] {
        let mut headers = HeaderMap::new();
        headers.insert(name, written.clone());
        let seen = client(proxy, &headers, &trusted).address;
        assert_eq!(seen.ip(), seen.ip().to_canonical(), "IPv4 is IPv4");
        assert_eq!(client(stranger, &headers, &trusted).address.ip().to_string(), "192.0.2.1");
        let next = forwarded_for(&headers, proxy, &trusted);
        assert!(next.as_bytes().ends_with(b"10.0.0.1"));
        forwarded(&headers, proxy, &trusted);

        let appended = [bytes, b", ", own.as_bytes()].concat();
        headers.insert(name, HeaderValue::from_bytes(&appended).expect("two values of headers"));
        let seen = client(proxy, &headers, &trusted).address;
        assert_eq!(seen.ip().to_string(), CLIENT, "appended to a line");
        headers.insert(name, written.clone());
        headers.append(name, HeaderValue::from_str(&own).expect("an address"));
        let seen = client(proxy, &headers, &trusted).address;
        assert_eq!(seen.ip().to_string(), CLIENT, "appended as a line");
    }
});
