//! Operators that say that bytes are not what they should be.

use crate::bytes::ByteSet;

/// The bytes that an argument of `@validateByteRange` allows: `9,10,13,32-126`.
pub(super) fn byte_range(argument: &[u8]) -> Result<ByteSet, String> {
    let text = String::from_utf8_lossy(argument);
    let mut set = ByteSet::NONE;
    for part in text.split(',').map(str::trim) {
        let wrong = || format!("`{part}` is no byte and no range of bytes");
        let number = |text: &str| text.trim().parse::<u8>().map_err(|_| wrong());
        let (from, to) = match part.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(part)?, number(part)?),
        };
        if from > to {
            return Err(wrong());
        }
        set = set.or(ByteSet::range(from, to));
    }
    Ok(set)
}

/// Whether a percent sign is not followed by two hexadecimal digits.
pub(super) fn is_wrong_url_encoding(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match &rest[at + 1..] {
            [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after;
            }
            _ => return true,
        }
    }
    false
}
