//! `application/x-www-form-urlencoded`: bodies, and the query of every request.

use super::Fill;
use crate::seclang::ast::Variable;

/// Reads `name=value` pairs between separators.
pub(crate) fn url_encoded(text: &[u8], separator: u8, fill: &mut dyn Fill) -> Result<(), String> {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    let mut is_sound = true;
    for pair in text.split(|&byte| byte == separator).filter(|pair| !pair.is_empty()) {
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        is_sound &= decode(&pair[..at], &mut name);
        is_sound &= decode(pair.get(at + 1..).unwrap_or_default(), &mut value);
        fill.argument(&name, &value)?;
    }
    if !is_sound {
        fill.set(Variable::UrlencodedError, b"1");
    }
    Ok(())
}

/// Decodes `%XX` and `+` into `out`. Says whether every `%` began two hexadecimal digits; one that does not stays.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (mut at, mut is_sound) = (0, true);
    while at < text.len() {
        match text[at] {
            b'+' => out.push(b' '),
            b'%' => match text.get(at + 1..at + 3).and_then(hex) {
                Some(byte) => {
                    out.push(byte);
                    at += 2;
                }
                None => {
                    out.push(b'%');
                    is_sound = false;
                }
            },
            byte => out.push(byte),
        }
        at += 1;
    }
    is_sound
}

/// The byte of two hexadecimal digits.
pub(super) fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn decodes_what_is_encoded() {
        let check = |text: &str, decoded: &str, is_sound: bool| {
            let mut out = Vec::new();
            assert_eq!(
                (decode(text.as_bytes(), &mut out), out.as_slice()),
                (is_sound, decoded.as_bytes()),
                "{text}"
            );
        };
        check("a+b%20c", "a b c", true);
        check("100%", "100%", false);
        check("%zz%41", "%zzA", false);
        check("%4", "%4", false);
    }
}
