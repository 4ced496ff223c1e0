//! UTF-8 as IIS would spell it in an address.

use super::base64_hex::DIGITS;

/// Each character beyond ASCII becomes `%uHHHH`, with five digits where four do not do.
///
/// A byte that begins a character and is not followed by the rest vanishes; one that begins nothing stays. A surrogate
/// and what is spelled longer than it must be are written so, and their first byte behind. Unlike in ModSecurity, null
/// bytes stay.
pub(super) fn to_unicode(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match *first {
            0..=0xBF | 0xF8..=0xFF => out.push(*first),
            0xC0..=0xF7 => {
                if *first >= 0xF5 {
                    out.push(*first);
                }
                if let Some((code, length)) = character(*first, tail) {
                    push_code(code, out);
                    if is_wrong(code, length) {
                        out.push(*first);
                    }
                    rest = &tail[length - 1..];
                }
            }
        }
    }
}

/// `%u` and at least four digits.
fn push_code(code: u32, out: &mut Vec<u8>) {
    let digits = (u32::BITS - code.leading_zeros()).div_ceil(4).max(4);
    out.extend_from_slice(b"%u");
    for at in (0..digits).rev() {
        out.push(DIGITS[(code >> (4 * at) & 15) as usize]);
    }
}

/// The number that a sequence spells, whether it may or not, and how many bytes it has.
fn character(first: u8, tail: &[u8]) -> Option<(u32, usize)> {
    let (bits, length) = match first {
        0xC0..=0xDF => (first & 0x1F, 2),
        0xE0..=0xEF => (first & 0x0F, 3),
        _ => (first & 0x07, 4),
    };
    let mut code = u32::from(bits);
    for byte in tail.get(..length - 1)? {
        if byte & 0xC0 != 0x80 {
            return None;
        }
        code = code << 6 | u32::from(byte & 0x3F);
    }
    Some((code, length))
}

/// A surrogate, or longer than it must be.
fn is_wrong(code: u32, length: usize) -> bool {
    let least = [0, 0, 0x80, 0x800, 0x1_0000][length];
    code < least || (0xD800..=0xDFFF).contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_four_digits_or_more() {
        for code in (0..0x20_0000).step_by(37).chain([0xF_FFFF, 0x10_0000, 0x1F_FFFF]) {
            let mut out = Vec::new();
            push_code(code, &mut out);
            assert_eq!(out, format!("%u{code:04x}").into_bytes());
        }
    }
}
