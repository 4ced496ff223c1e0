//! What is done to a value before an operator sees it: functions from bytes to bytes.
//!
//! They do what ModSecurity 3 does, quirks included, because rules were written and tuned against those. Where one does
//! not, its file says so and why. Each reads its input once and writes at most [`GROWTH_MAX`] times as much.

mod base64_hex;
mod best_fit;
mod command;
mod comments;
mod digest;
mod escapes;
mod html;
mod parity;
mod path;
#[cfg(test)]
mod tests;
mod url;
mod utf8;
mod whitespace;

use crate::bytes::ByteSet;

/// The longest output, in bytes for each byte of input; besides, at most [`LENGTH_MAX`] bytes whatever the input.
pub const GROWTH_MAX: usize = 4;

/// The longest output that does not depend on the input's length: a digest, or a length in decimal.
pub const LENGTH_MAX: usize = 20;

/// A transformation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the ModSecurity transformation of the same name")]
pub enum Transformation {
    Base64Decode,
    Base64DecodeExt,
    Base64Encode,
    CmdLine,
    CompressWhitespace,
    CssDecode,
    EscapeSeqDecode,
    HexDecode,
    HexEncode,
    HtmlEntityDecode,
    JsDecode,
    Length,
    Lowercase,
    Md5,
    NormalisePath,
    NormalisePathWin,
    ParityEven7bit,
    ParityOdd7bit,
    ParityZero7bit,
    RemoveComments,
    RemoveCommentsChar,
    RemoveNulls,
    RemoveWhitespace,
    ReplaceComments,
    ReplaceNulls,
    Sha1,
    SqlHexDecode,
    Trim,
    TrimLeft,
    TrimRight,
    Uppercase,
    UrlDecode,
    UrlDecodeUni,
    UrlEncode,
    Utf8ToUnicode,
}

/// One row for each: its name, the bytes without which it changes nothing, and what it does with its output emptied.
struct Row(Transformation, &'static str, ByteSet, fn(&[u8], &mut Vec<u8>));

const BACKSLASH: ByteSet = ByteSet::of(b"\\");
const NULL: ByteSet = ByteSet::of(b"\0");

use Transformation as T;

/// In the order of the enum.
static ROWS: [Row; 35] = [
    Row(T::Base64Decode, "base64Decode", ByteSet::ALL, base64_hex::base64_decode),
    Row(T::Base64DecodeExt, "base64DecodeExt", ByteSet::ALL, base64_hex::base64_decode_ext),
    Row(T::Base64Encode, "base64Encode", ByteSet::ALL, base64_hex::base64_encode),
    Row(T::CmdLine, "cmdLine", command::TRIGGERS, command::cmd_line),
    Row(T::CompressWhitespace, "compressWhitespace", whitespace::SPACES, whitespace::compress),
    Row(T::CssDecode, "cssDecode", BACKSLASH, escapes::css_decode),
    Row(T::EscapeSeqDecode, "escapeSeqDecode", BACKSLASH, escapes::escape_seq_decode),
    Row(T::HexDecode, "hexDecode", ByteSet::ALL, base64_hex::hex_decode),
    Row(T::HexEncode, "hexEncode", ByteSet::ALL, base64_hex::hex_encode),
    Row(T::HtmlEntityDecode, "htmlEntityDecode", ByteSet::of(b"&"), html::entity_decode),
    Row(T::JsDecode, "jsDecode", BACKSLASH, escapes::js_decode),
    Row(T::Length, "length", ByteSet::ALL, digest::length),
    Row(T::Lowercase, "lowercase", ByteSet::range(b'A', b'Z'), command::lowercase),
    Row(T::Md5, "md5", ByteSet::ALL, digest::md5),
    Row(T::NormalisePath, "normalisePath", path::TRIGGERS, path::normalise),
    Row(T::NormalisePathWin, "normalisePathWin", path::TRIGGERS_WIN, path::normalise_win),
    Row(T::ParityEven7bit, "parityEven7bit", parity::EVEN_TRIGGERS, parity::even),
    Row(T::ParityOdd7bit, "parityOdd7bit", parity::ODD_TRIGGERS, parity::odd),
    Row(T::ParityZero7bit, "parityZero7bit", ByteSet::range(0x80, 0xFF), parity::zero),
    Row(T::RemoveComments, "removeComments", ByteSet::of(b"/<-#"), comments::remove),
    Row(
        T::RemoveCommentsChar,
        "removeCommentsChar",
        ByteSet::of(b"/*<-#"),
        comments::remove_characters,
    ),
    Row(T::RemoveNulls, "removeNulls", NULL, whitespace::remove_nulls),
    Row(T::RemoveWhitespace, "removeWhitespace", whitespace::REMOVED, whitespace::remove),
    Row(T::ReplaceComments, "replaceComments", ByteSet::of(b"/"), comments::replace),
    Row(T::ReplaceNulls, "replaceNulls", NULL, whitespace::replace_nulls),
    Row(T::Sha1, "sha1", ByteSet::ALL, digest::sha1),
    Row(T::SqlHexDecode, "sqlHexDecode", ByteSet::of(b"xX"), base64_hex::sql_hex_decode),
    Row(T::Trim, "trim", whitespace::SPACES, whitespace::trim),
    Row(T::TrimLeft, "trimLeft", whitespace::SPACES, whitespace::trim_left),
    Row(T::TrimRight, "trimRight", whitespace::SPACES, whitespace::trim_right),
    Row(T::Uppercase, "uppercase", ByteSet::range(b'a', b'z'), command::uppercase),
    Row(T::UrlDecode, "urlDecode", ByteSet::of(b"%+"), url::decode),
    Row(T::UrlDecodeUni, "urlDecodeUni", ByteSet::of(b"%+"), url::decode_uni),
    Row(T::UrlEncode, "urlEncode", url::ENCODED, url::encode),
    Row(T::Utf8ToUnicode, "utf8toUnicode", ByteSet::range(0x80, 0xFF), utf8::to_unicode),
];

impl Transformation {
    /// By its name, compared without case; `normalizePath` is spelled both ways. `none` is not a transformation.
    pub fn parse(name: &str) -> Option<Self> {
        const ALSO: [(&str, Transformation); 2] =
            [("normalizePath", T::NormalisePath), ("normalizePathWin", T::NormalisePathWin)];
        let names = ROWS.iter().map(|row| (row.1, row.0)).chain(ALSO);
        names.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, it)| it)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.0)
    }

    /// As ModSecurity's manual spells it.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Whether it changes the value; if so, `out` holds nothing but the new one, else `out` holds anything.
    pub fn apply(self, value: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        (self.row().3)(value, out);
        out.as_slice() != value
    }

    /// Bytes of which one must be in a value that it changes, unless the value is empty: see
    /// [`Transformation::changes_empty`]. All bytes where no byte tells.
    pub fn triggers(self) -> &'static ByteSet {
        &self.row().2
    }

    /// Whether it makes something of an empty value, which has no byte that could tell.
    pub fn changes_empty(self) -> bool {
        matches!(self, T::Length | T::Md5 | T::Sha1)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

/// The value of a hexadecimal digit.
const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that two hexadecimal digits spell at the beginning of `text`.
fn hex_pair(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    Some(hex_digit(*high)? << 4 | hex_digit(*low)?)
}

/// The number that four hexadecimal digits spell at the beginning of `text`.
fn hex_quad(text: &[u8]) -> Option<u16> {
    let high = hex_pair(text)?;
    let low = hex_pair(&text[2..])?;
    Some(u16::from(high) << 8 | u16::from(low))
}

/// What a character beyond a byte counts as: its low byte, and full-width forms of ASCII (U+FF01 to U+FF5E) as ASCII.
const fn narrow(code: u16) -> u8 {
    let low = code as u8;
    if code >> 8 == 0xFF && low > 0 && low < 0x5F { low + 0x20 } else { low }
}
