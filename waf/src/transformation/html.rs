//! HTML's character references, as far as ModSecurity knows them.
//!
//! A number counts with its low byte, however many digits it has; a semicolon is not required. ModSecurity 3.0.13 and
//! later look at two or three digits only and swallow letters that follow a name (`&ltscript` becomes `<`): here
//! nothing is swallowed, and a name ends where it ends, as in browsers.

/// Names, and the byte that each stands for: no name begins another.
const NAMES: [(&[u8], u8); 5] =
    [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xA0)];

pub(super) fn entity_decode(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(start) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(&rest[..start]);
        let after = &rest[start + 1..];
        rest = match reference(after) {
            Some((byte, length)) => {
                out.push(byte);
                let after = &after[length..];
                after.strip_prefix(b";").unwrap_or(after)
            }
            None => {
                out.push(b'&');
                after
            }
        };
    }
    out.extend_from_slice(rest);
}

/// The byte that a reference stands for and its length without `&` and `;`.
fn reference(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'#', b'x' | b'X', digits @ ..] => {
            number(digits, 16).map(|(byte, length)| (byte, length + 2))
        }
        [b'#', digits @ ..] => number(digits, 10).map(|(byte, length)| (byte, length + 1)),
        _ => NAMES.iter().find_map(|(name, byte)| {
            let start = text.get(..name.len())?;
            start.eq_ignore_ascii_case(name).then_some((*byte, name.len()))
        }),
    }
}

/// The low byte of a number and how many digits it has.
fn number(text: &[u8], radix: u32) -> Option<(u8, usize)> {
    let digits = text.iter().map_while(|byte| char::from(*byte).to_digit(radix));
    let (number, length) = digits.fold((0_u32, 0), |(number, length), digit| {
        (number.wrapping_mul(radix).wrapping_add(digit), length + 1)
    });
    (length > 0).then_some((number as u8, length))
}
