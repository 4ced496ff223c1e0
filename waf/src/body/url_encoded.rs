//! `application/x-www-form-urlencoded`: bodies, and the query of every request.

use super::Fill;
use crate::seclang::ast::Variable;

/// Reads `name=value` pairs between separators. An escape that a cut leaves unfinished is no mistake.
pub(crate) fn url_encoded(
    text: &[u8],
    separator: u8,
    is_cut: bool,
    fill: &mut dyn Fill,
) -> Result<(), String> {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    let mut is_sound = true;
    let text = if is_cut { without_half_escape(text) } else { text };
    for pair in text.split(|&byte| byte == separator).filter(|pair| !pair.is_empty()) {
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let name = decoded(&pair[..at], &mut name, &mut is_sound);
        let value = decoded(pair.get(at + 1..).unwrap_or_default(), &mut value, &mut is_sound);
        fill.argument(name, value)?;
    }
    if !is_sound {
        fill.set(Variable::UrlencodedError, b"1");
    }
    Ok(())
}

/// The text decoded; itself, where nothing in it is encoded.
fn decoded<'t>(text: &'t [u8], out: &'t mut Vec<u8>, is_sound: &mut bool) -> &'t [u8] {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return text;
    }
    *is_sound &= decode(text, out);
    out
}

/// The text up to a `%` at its end that lacks one of its digits.
fn without_half_escape(text: &[u8]) -> &[u8] {
    let last = &text[text.len().saturating_sub(2)..];
    let half = last.iter().position(|&byte| byte == b'%').map_or(0, |at| last.len() - at);
    &text[..text.len() - half]
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
    use super::{decode, url_encoded};
    use crate::body::testing::Told;

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

    #[test]
    fn a_cut_is_no_mistake() {
        let check = |text: &str, is_cut: bool, wanted: &str| {
            let mut told = Told::default();
            assert_eq!(url_encoded(text.as_bytes(), b'&', is_cut, &mut told), Ok(()));
            assert_eq!(told.0.join("; "), wanted, "{text}");
        };
        check("a=1&b=%4", true, "a=1; b=");
        check("a=1&b=2%", true, "a=1; b=2");
        check("a=1&b=%41", true, "a=1; b=A");
        check("a=%zz&b=%4", true, "a=%zz; b=; UrlencodedError=1");
        check("a=1&b=%4", false, "a=1; b=%4; UrlencodedError=1");
    }
}
