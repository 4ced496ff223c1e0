//! The fields of a `multipart/form-data` body (RFC 7578), as strictly as the SDKs write it: CRLF everywhere, nothing before
//! the first boundary, nothing after the last, one `Content-Disposition` a part.

use yunzhan_base::{Error, Result};

use super::head::NAMES_MAX;
use super::params;
use super::refused;

/// The beginning of the header's value; also what is signed of it.
pub(super) const CONTENT_TYPE: &str = "multipart/form-data";

/// The longest boundary in bytes (RFC 2046, 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// One field. A part with a content type of its own is bytes and stays as it is; text is trimmed, as it is signed.
pub(super) struct Field<'b> {
    pub(super) name: &'b str,
    pub(super) value: &'b [u8],
    pub(super) is_bytes: bool,
}

/// Reads the fields.
pub(super) fn read<'b>(content_type: &str, body: &'b [u8]) -> Result<Vec<Field<'b>>> {
    let boundary = boundary(content_type).ok_or_else(malformed)?;
    let delimiter = format!("--{boundary}");
    let next_delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes()).ok_or_else(malformed)?;
    let mut fields = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        if fields.len() == NAMES_MAX {
            return Err(malformed());
        }
        let (part, after) = split_once(part, next_delimiter.as_bytes()).ok_or_else(malformed)?;
        fields.push(read_part(part).ok_or_else(malformed)?);
        rest = after;
    }
    match rest {
        b"--" | b"--\r\n" => Ok(fields),
        _ => Err(malformed()),
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let parameter = content_type.strip_prefix(CONTENT_TYPE)?.split(';').nth(1)?;
    let value = parameter.trim().strip_prefix("boundary=")?.trim_matches('"');
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&value.len());
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    (fits && plain).then_some(value)
}

fn read_part(part: &[u8]) -> Option<Field<'_>> {
    let (head, content) = split_once(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(head).ok()?;
    let mut name = None;
    let mut is_bytes = false;
    for line in head.split("\r\n") {
        let (field, value) = line.split_once(':')?;
        if field.eq_ignore_ascii_case("content-disposition") {
            if name.replace(field_name(value.trim())?).is_some() {
                return None;
            }
        } else if field.eq_ignore_ascii_case("content-type") {
            is_bytes = true;
        }
    }
    let value = if is_bytes {
        content
    } else {
        params::trim(std::str::from_utf8(content).ok()?).as_bytes()
    };
    Some(Field { name: name?, value, is_bytes })
}

/// `form-data; name="x"`, perhaps with a file name behind it.
fn field_name(disposition: &str) -> Option<&str> {
    let (name, rest) = disposition.strip_prefix("form-data; name=\"")?.split_once('"')?;
    (rest.is_empty() || rest.starts_with(';')).then_some(name)
}

fn split_once<'b>(bytes: &'b [u8], separator: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let position = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..position], &bytes[position + separator.len()..]))
}

fn malformed() -> Error {
    refused("the signed form is malformed")
}
