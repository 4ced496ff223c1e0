//! Whatever stands in `Authorization: Bearer`, only the very text that the service signed is taken for it.
//!
//! The input is a list of edits of a valid token, so that the fuzzer stands before the door instead of a street away: a first
//! byte of 0 replaces the whole token, anything else cuts at a position and puts bytes in.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
mod rig;

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header};
use libfuzzer_sys::fuzz_target;
use yunzhan_base::{Access, Principal};

static RIG: LazyLock<rig::Rig> = LazyLock::new(rig::Rig::new);

fuzz_target!(|input: &[u8]| {
    let token = edited(RIG.token.as_bytes(), input);
    let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", token.as_slice()].concat()) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value);
    let uri = Uri::from_static("/auth/v1/user/me");
    let admitted = RIG.admit(Access::User, &uri, &headers, &Bytes::new());
    let is_ours = token == RIG.token.as_bytes();
    assert_eq!(matches!(admitted, Some(Principal::User(_))), is_ours);
    assert!(RIG.admit(Access::Server, &uri, &headers, &Bytes::new()).is_none());
});

fn edited(token: &[u8], input: &[u8]) -> Vec<u8> {
    match input {
        [] => token.to_vec(),
        [0, whole @ ..] => whole.to_vec(),
        [_, high, low, cut, put @ ..] => {
            let at = usize::from(u16::from_be_bytes([*high, *low])) % token.len();
            let end = (at + usize::from(*cut)).min(token.len());
            [&token[..at], put, &token[end..]].concat()
        }
        _ => token.to_vec(),
    }
}
