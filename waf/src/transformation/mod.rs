//! What is done to a value before an operator sees it: functions from bytes to bytes.

use crate::bytes::ByteSet;

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

impl Transformation {
    /// By its name, compared without case; `normalizePath` is spelled both ways. `none` is not a transformation.
    pub fn parse(_name: &str) -> Option<Self> {
        None
    }

    /// Whether it changes the value; if so, `out` holds nothing but the new one, else `out` holds anything.
    pub fn apply(self, _value: &[u8], _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Bytes of which one must be in a value that it changes. All bytes where no byte tells.
    pub fn triggers(self) -> &'static ByteSet {
        &ByteSet::ALL
    }
}
