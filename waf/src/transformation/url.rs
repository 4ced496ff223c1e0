//! Percent-encoding.

use super::base64_hex::push_hex;
use super::best_fit::best_fit;
use super::{hex_pair, hex_quad, narrow};
use crate::bytes::ByteSet;

const PLAIN: ByteSet = ByteSet::of(b"*")
    .or(ByteSet::range(b'0', b'9'))
    .or(ByteSet::range(b'A', b'Z'))
    .or(ByteSet::range(b'a', b'z'));

/// What `urlEncode` does not leave as it is.
pub(super) const ENCODED: ByteSet = PLAIN.not();

pub(super) fn encode(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match *byte {
            b' ' => out.push(b'+'),
            byte if PLAIN.has(byte) => out.push(byte),
            byte => {
                out.push(b'%');
                push_hex(byte, out);
            }
        }
    }
}

/// `%HH` and `+`; a percent sign that begins neither stays.
pub(super) fn decode(value: &[u8], out: &mut Vec<u8>) {
    decode_with(value, out, |_| None);
}

/// As [`decode`], and `%uHHHH` as the character of US-ASCII that fits best.
pub(super) fn decode_uni(value: &[u8], out: &mut Vec<u8>) {
    decode_with(value, out, |text| match text {
        [b'u' | b'U', digits @ ..] => {
            let code = hex_quad(digits)?;
            Some((best_fit(code).unwrap_or_else(|| narrow(code)), 5))
        }
        _ => None,
    });
}

/// `wide` reads what stands behind a percent sign before `HH` is tried: the byte, and how many bytes it took.
fn decode_with(value: &[u8], out: &mut Vec<u8>, wide: impl Fn(&[u8]) -> Option<(u8, usize)>) {
    out.reserve(value.len());
    let mut rest = value;
    while let Some(start) = memchr::memchr2(b'%', b'+', rest) {
        out.extend_from_slice(&rest[..start]);
        let after = &rest[start + 1..];
        let read = || wide(after).or_else(|| hex_pair(after).map(|byte| (byte, 2)));
        let (byte, length) = match rest[start] {
            b'+' => (b' ', 0),
            percent => read().unwrap_or((percent, 0)),
        };
        out.push(byte);
        rest = &after[length..];
    }
    out.extend_from_slice(rest);
}
