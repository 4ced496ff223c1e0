//! Base64 and hexadecimal digits.

use super::hex_pair;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
pub(super) const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What each byte stands for in Base64; 255 for those that are no digit.
static SEXTETS: [u8; 256] = sextets();

const fn sextets() -> [u8; 256] {
    let (mut table, mut at) = ([255; 256], 0);
    while at < ALPHABET.len() {
        table[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    table
}

/// Collects digits of six bits and gives bytes as they become whole.
#[derive(Default)]
struct Sextets {
    bits: u32,
    count: usize,
}

impl Sextets {
    fn push(&mut self, sextet: u8, out: &mut Vec<u8>) {
        self.bits = self.bits << 6 | u32::from(sextet);
        self.count += 1;
        match self.count % 4 {
            1 => {}
            2 => out.push((self.bits >> 4) as u8),
            3 => out.push((self.bits >> 2) as u8),
            _ => out.push(self.bits as u8),
        }
    }
}

/// Strict: up to the first null byte; nothing at all if a byte there does not belong.
pub(super) fn base64_decode(value: &[u8], out: &mut Vec<u8>) {
    let end = memchr::memchr(0, value).unwrap_or(value.len());
    if strict(&value[..end], out).is_none() {
        out.clear();
    }
}

fn strict(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut sextets, mut padding) = (Sextets::default(), 0);
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match *first {
            b'\n' => {}
            b'\r' if tail.first() == Some(&b'\n') => {}
            b' ' if is_before_line_end(tail) => {}
            b'=' if padding < 2 => padding += 1,
            digit if padding == 0 && SEXTETS[usize::from(digit)] < 64 => {
                sextets.push(SEXTETS[usize::from(digit)], out);
            }
            _ => return None,
        }
    }
    // A group is four digits, padding counted; what is left of a group says nothing.
    let hanging = (sextets.count + padding) % 4;
    let from_group = (sextets.count % 4).saturating_sub(1);
    if hanging != 0 {
        out.truncate(out.len() - from_group);
    }
    Some(())
}

/// Spaces may stand before the end of a line or of the value.
fn is_before_line_end(tail: &[u8]) -> bool {
    match tail {
        [] | [b'\n' | b' ', ..] | [b'\r', b'\n', ..] => true,
        [_, ..] => false,
    }
}

/// Forgiving: what is no digit is passed over; padding after a lone digit of a group undoes everything.
pub(super) fn base64_decode_ext(value: &[u8], out: &mut Vec<u8>) {
    let mut sextets = Sextets::default();
    for byte in value {
        let sextet = SEXTETS[usize::from(*byte)];
        if sextet < 64 {
            sextets.push(sextet, out);
        } else if *byte == b'=' && sextets.count % 4 == 1 {
            out.clear();
            return;
        }
    }
}

pub(super) fn base64_encode(value: &[u8], out: &mut Vec<u8>) {
    for group in value.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let sextet = bits >> (18 - 6 * digit) & 63;
            out.push(if digit > group.len() { b'=' } else { ALPHABET[sextet as usize] });
        }
    }
}

/// Pairs of digits to bytes; bytes that are no digits count by the same arithmetic, and a last lone one is dropped.
pub(super) fn hex_decode(value: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: u8| {
        let from = if byte >= b'A' { (byte & 0xDF).wrapping_sub(b'A' - 10) } else { byte };
        if byte >= b'A' { from } else { from.wrapping_sub(b'0') }
    };
    let pairs = value.chunks_exact(2);
    out.extend(pairs.map(|pair| digit(pair[0]).wrapping_mul(16).wrapping_add(digit(pair[1]))));
}

pub(super) fn hex_encode(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        push_hex(*byte, out);
    }
}

pub(super) fn push_hex(byte: u8, out: &mut Vec<u8>) {
    out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// `0x` and pairs of digits become the bytes that they spell.
pub(super) fn sql_hex_decode(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        let digits = match rest {
            [b'0', b'x' | b'X', digits @ ..] if hex_pair(digits).is_some() => digits,
            _ => {
                out.push(*first);
                rest = tail;
                continue;
            }
        };
        rest = digits;
        while let Some(byte) = hex_pair(rest) {
            out.push(byte);
            rest = &rest[2..];
        }
    }
}
