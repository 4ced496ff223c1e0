//! Names of things: environments and requests.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Kind};

/// The longest environment id in bytes: it is a part of folder names, host names and keys.
pub const ENV_ID_BYTES_MAX: usize = 63;

/// A mini-program's own world. Lower-case letters, digits and `-`, beginning with a letter, at most 63 bytes.
/// Cheap to clone; every stored row, cache key and metric label carries it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvId(Arc<str>);

impl EnvId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|first| first.is_ascii_lowercase());
        let continues_well =
            bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !starts_well || !continues_well || text.len() > ENV_ID_BYTES_MAX {
            return Err(Error::new(
                Kind::EnvNotFound,
                "an environment id has 1 to 63 of a-z, 0-9 and '-', and begins with a letter",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for EnvId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EnvId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one request in answers, logs and events; unique across processes. Written as 32 hexadecimal digits, so that it
/// can serve as the trace id of W3C Trace Context.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u128);

/// Hands out request ids: a random process half, and a counter that is mixed so that neighbours look different.
pub struct RequestIds {
    process: u64,
    next: AtomicU64,
}

// === impl RequestIds ===

impl RequestIds {
    /// Seeds the ids of one process; `seed` is random.
    pub fn new(seed: [u8; 16]) -> Self {
        let (process, next) = seed.split_at(8);
        let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a half of 16 bytes"));
        // W3C forbids the all-zero trace id; a set bit in the process half rules it out.
        Self { process: half(process) | 1, next: AtomicU64::new(half(next)) }
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        RequestId((u128::from(self.process) << 64) | u128::from(mix(count)))
    }
}

/// The finisher of SplitMix64: a bijection, so two counts never give the same id.
const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

// === impl RequestId ===

impl RequestId {
    /// The id of requests that were refused before one was given, and of tests.
    pub const NONE: Self = Self(0);

    /// The 32 hexadecimal digits, without an allocation.
    pub fn hex(self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (index, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            text[2 * index] = DIGITS[usize::from(byte >> 4)];
            text[2 * index + 1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl FromStr for RequestId {
    type Err = Error;

    /// Reads what [`RequestId`] is written as.
    fn from_str(text: &str) -> Result<Self, Error> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number
            .map(Self)
            .ok_or_else(|| Error::new(Kind::Malformed, "a request id has 32 hexadecimal digits"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).expect("hexadecimal digits"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_ids_are_names_fit_for_hosts_and_folders() {
        for good in ["demo", "shop-1", "a"] {
            assert!(good.parse::<EnvId>().is_ok(), "{good}");
        }
        for bad in ["", "1shop", "Shop", "shop_1", "../etc", &"a".repeat(64)] {
            assert!(bad.parse::<EnvId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn request_ids_differ_and_print_as_32_digits() {
        let ids = RequestIds::new([7; 16]);
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        assert_eq!(first.to_string().len(), 32);
        assert_eq!(first.to_string().parse::<RequestId>().ok(), Some(first));
        assert!("+f".repeat(16).parse::<RequestId>().is_err());
        assert_eq!(RequestId::NONE.to_string(), "0".repeat(32));
    }
}
