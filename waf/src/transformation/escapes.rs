//! Backslashes: of C, of JavaScript and of CSS.

use super::whitespace::SPACES;
use super::{hex_digit, hex_pair, hex_quad, narrow};

/// What stands for a letter behind a backslash in C.
const fn control(letter: u8) -> Option<u8> {
    match letter {
        b'a' => Some(0x07),
        b'b' => Some(0x08),
        b'f' => Some(0x0C),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(0x0B),
        _ => None,
    }
}

/// The number that up to three octal digits spell, and how many they are; none is no number.
fn octal(text: &[u8]) -> Option<(u16, usize)> {
    let digits = text.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte));
    let (number, length) = digits
        .fold((0, 0), |(number, length), digit| (number * 8 + u16::from(digit - b'0'), length + 1));
    (length > 0).then_some((number, length))
}

/// Copies what is between backslashes and lets `read` say what an escape stands for, and how many bytes it takes. What
/// follows the backslash is never empty; a backslash at the very end is a matter of `last`.
fn unescape(
    value: &[u8],
    out: &mut Vec<u8>,
    last: Option<u8>,
    read: impl Fn(&[u8]) -> (Option<u8>, usize),
) {
    out.reserve(value.len());
    let mut rest = value;
    while let Some(start) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..start]);
        let after = &rest[start + 1..];
        if after.is_empty() {
            out.extend(last);
            return;
        }
        let (byte, length) = read(after);
        out.extend(byte);
        rest = &after[length..];
    }
    out.extend_from_slice(rest);
}

/// The escapes of C. What is none loses its backslash.
pub(super) fn escape_seq_decode(value: &[u8], out: &mut Vec<u8>) {
    unescape(value, out, Some(b'\\'), |text| {
        if let Some(byte) = control(text[0]) {
            return (Some(byte), 1);
        }
        if let [b'x' | b'X', digits @ ..] = text {
            return hex_pair(digits).map_or((Some(text[0]), 1), |byte| (Some(byte), 3));
        }
        let octal = octal(text).map(|(number, length)| (Some(number as u8), length));
        octal.unwrap_or((Some(text[0]), 1))
    });
}

/// The escapes of JavaScript. What is none loses its backslash.
pub(super) fn js_decode(value: &[u8], out: &mut Vec<u8>) {
    unescape(value, out, Some(b'\\'), |text| {
        let wide = text.strip_prefix(b"u").and_then(hex_quad).map(|code| (Some(narrow(code)), 5));
        let pair = || text.strip_prefix(b"x").and_then(hex_pair).map(|byte| (Some(byte), 3));
        let octal = || {
            let (number, length) = octal(text)?;
            // A third digit that would not fit into a byte does not belong.
            let fits = number <= 0xFF;
            Some(if fits { (Some(number as u8), length) } else { (Some((number / 8) as u8), 2) })
        };
        let plain = || (Some(control(text[0]).unwrap_or(text[0])), 1);
        wide.or_else(pair).or_else(octal).unwrap_or_else(plain)
    });
}

/// The escapes of CSS: up to six digits, of which the last two count, and a space that follows them.
pub(super) fn css_decode(value: &[u8], out: &mut Vec<u8>) {
    unescape(value, out, None, |text| {
        let digits = text.iter().take(6).take_while(|byte| hex_digit(**byte).is_some()).count();
        match (digits, text[0]) {
            (0, b'\n') => (None, 1),
            (0, byte) => (Some(byte), 1),
            _ => {
                let has_space = text.get(digits).is_some_and(|byte| SPACES.has(*byte));
                (Some(css_character(&text[..digits])), digits + usize::from(has_space))
            }
        }
    });
}

/// The byte that one to six digits stand for.
fn css_character(digits: &[u8]) -> u8 {
    let number = digits.iter().fold(0_u32, |number, digit| {
        number << 4 | u32::from(hex_digit(*digit).unwrap_or_default())
    });
    // Full-width forms are looked for in numbers of at least four digits that fit into sixteen bits.
    if digits.len() >= 4 && number <= 0xFFFF { narrow(number as u16) } else { number as u8 }
}
