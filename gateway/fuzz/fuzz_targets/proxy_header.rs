//! Whatever bytes a proxy sends, they are a header, the beginning of one, or neither, however they are cut into packets.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_gateway::proxy_protocol::{HEADER_BYTES_MAX, Parsed, parse};

/// Every packet boundary is tried up to here; headers with long extensions are no different behind it.
const CUTS_MAX: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    let is_incomplete = |end: usize| parse(&bytes[..end]) == Parsed::Incomplete;
    match parse(bytes) {
        Parsed::Header(header) => {
            assert!(header.bytes <= bytes.len().min(HEADER_BYTES_MAX));
            assert!((0..header.bytes.min(CUTS_MAX)).all(is_incomplete), "a beginning is no header");
            assert_eq!(parse(&bytes[..header.bytes]), Parsed::Header(header), "what follows is not looked at");
            assert!(header.source.is_none_or(|it| it.ip() == it.ip().to_canonical()), "IPv4 is IPv4");
        }
        Parsed::Incomplete => {
            assert!(bytes.len() < HEADER_BYTES_MAX);
            assert!((0..bytes.len().min(CUTS_MAX)).all(is_incomplete));
        }
        Parsed::Invalid(_) => {
            let longer = [bytes, b"\n"].concat();
            assert!(matches!(parse(&longer), Parsed::Invalid(_)), "what is wrong stays wrong");
        }
    }
});
