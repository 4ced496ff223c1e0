//! The boundary of a body, from its `Content-Type`.

use memchr::memmem;

use super::flags::Flags;
use super::is_space;
use crate::seclang::ast::Variable;

/// Bytes of the header.
const CONTENT_TYPE_BYTES_MAX: usize = 1024;

const MEDIA_TYPE: &[u8] = b"multipart/form-data";
const PARAMETER: &[u8] = b"boundary";

/// Finds the boundary. It is the first parameter and there is no other, but for one behind it, which is ignored.
pub(super) fn find<'h>(header: &'h [u8], flags: &mut Flags) -> Result<&'h [u8], &'static str> {
    if header.len() > CONTENT_TYPE_BYTES_MAX {
        return Err("Content-Type is too long");
    }
    let is_ours =
        header.get(..MEDIA_TYPE.len()).is_some_and(|it| it.eq_ignore_ascii_case(MEDIA_TYPE));
    if !is_ours {
        return Err("Content-Type is not multipart/form-data");
    }
    let count = parameters(header);
    if count > 1 {
        return Err("more than one boundary in Content-Type");
    }
    let at = memmem::find(header, PARAMETER).ok_or(match count {
        0 => "no boundary in Content-Type",
        _ => "capital letters in the name of the parameter boundary",
    })?;
    match header[MEDIA_TYPE.len()..at].trim_ascii() {
        b";" => {}
        b"" => flags.raise(Variable::MultipartMissingSemicolon),
        _ => return Err("Content-Type has more than a semicolon before its boundary"),
    }
    let rest = &header[at + PARAMETER.len()..];
    let equals = memchr::memchr(b'=', rest).ok_or("no = behind boundary in Content-Type")?;
    let (between, value) = (&rest[..equals], &rest[equals + 1..]);
    if !between.iter().copied().all(is_space) {
        return Err("Content-Type has a parameter whose name begins with boundary");
    }
    let is_spaced = !between.is_empty() || value.first().copied().is_some_and(is_space);
    flags.raise_if(is_spaced, Variable::MultipartBoundaryWhitespace);
    let boundary = match value {
        [b'"', inner @ .., b'"'] => {
            flags.raise(Variable::MultipartBoundaryQuoted);
            inner
        }
        [b'"', ..] | [_, .., b'"'] => return Err("half a pair of quotes around the boundary"),
        plain => plain,
    };
    if parameters(boundary) > 0 {
        return Err("a boundary in the boundary");
    }
    let end = memchr::memchr(b';', boundary).unwrap_or(boundary.len());
    let boundary = if is_sound(boundary) { boundary } else { &boundary[..end] };
    if boundary.is_empty() {
        return Err("the boundary is empty");
    }
    if is_sound(boundary) {
        Ok(boundary)
    } else {
        Err("a character in the boundary that may not be there")
    }
}

/// How often a text names the parameter and has a `=` behind it. A boundary may hold the word: Firefox writes
/// `----geckoformboundary…`, and another parameter may follow.
fn parameters(text: &[u8]) -> usize {
    let text = text.to_ascii_lowercase();
    let is_named = |at: &usize| text[at + PARAMETER.len()..].trim_ascii_start().starts_with(b"=");
    memmem::find_iter(&text, PARAMETER).filter(is_named).count()
}

/// Characters of a boundary: RFC 2046 section 5.1.1. A space may not be the last.
fn is_sound(boundary: &[u8]) -> bool {
    let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b" '()+_,-./:=?".contains(byte);
    boundary.iter().all(is_known) && boundary.last() != Some(&b' ')
}
