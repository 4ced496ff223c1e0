//! Writing one line of JSON into a shared buffer: no map, no allocation of its own.

use std::io::Write as _;
use std::net::SocketAddr;

/// Builds one object, field by field, at the end of a buffer.
pub(crate) struct Line<'b> {
    buffer: &'b mut Vec<u8>,
    first: bool,
}

impl<'b> Line<'b> {
    /// Begins an object.
    pub(crate) fn begin(buffer: &'b mut Vec<u8>) -> Self {
        buffer.push(b'{');
        Self { buffer, first: true }
    }

    /// A field with text. At most `chars_max` characters of it.
    pub(crate) fn text(&mut self, name: &'static str, value: &str, chars_max: usize) -> &mut Self {
        self.name(name);
        self.buffer.push(b'"');
        // Nearly every path and name is short and plain, and is then copied whole.
        // To the end without a branch, so that many bytes are looked at together.
        let is_plain = value.bytes().fold(true, |all, byte| all & is_plain(byte));
        if value.len() <= chars_max && is_plain {
            self.buffer.extend_from_slice(value.as_bytes());
        } else {
            value.chars().take(chars_max).for_each(|c| push_escaped(self.buffer, c));
        }
        self.buffer.push(b'"');
        self
    }

    /// A field with something that prints as plain ASCII without quotes or backslashes: numbers, times, addresses.
    pub(crate) fn plain(
        &mut self,
        name: &'static str,
        quoted: bool,
        value: impl std::fmt::Display,
    ) -> &mut Self {
        self.name(name);
        let quote: &[u8] = if quoted { b"\"" } else { b"" };
        self.buffer.extend_from_slice(quote);
        // Writing to a Vec cannot fail.
        let _ = write!(self.buffer, "{value}");
        self.buffer.extend_from_slice(quote);
        self
    }

    /// A field with text of ours that needs no escape: names, ids, digits.
    pub(crate) fn word(&mut self, name: &'static str, value: &str) -> &mut Self {
        debug_assert!(value.bytes().all(is_plain), "{value}");
        self.name(name);
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(value.as_bytes());
        self.buffer.push(b'"');
        self
    }

    /// A field with a list of objects, each written by `write`.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        items: impl Iterator<Item = T>,
        write: impl Fn(&mut Line<'_>, T),
    ) -> &mut Self {
        self.name(name);
        self.buffer.push(b'[');
        for (at, item) in items.enumerate() {
            if at > 0 {
                self.buffer.push(b',');
            }
            let mut line = Line { buffer: self.buffer, first: true };
            line.buffer.push(b'{');
            write(&mut line, item);
            line.buffer.push(b'}');
        }
        self.buffer.push(b']');
        self
    }

    /// A field with a whole number.
    pub(crate) fn number(&mut self, name: &'static str, value: u64) -> &mut Self {
        self.name(name);
        self.buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self
    }

    /// A field with an address and its port.
    pub(crate) fn address(&mut self, name: &'static str, value: SocketAddr) -> &mut Self {
        let SocketAddr::V4(v4) = value else { return self.plain(name, true, value) };
        self.name(name);
        let mut digits = itoa::Buffer::new();
        let mut before = b'"';
        for octet in v4.ip().octets() {
            self.buffer.push(before);
            self.buffer.extend_from_slice(digits.format(octet).as_bytes());
            before = b'.';
        }
        self.buffer.push(b':');
        self.buffer.extend_from_slice(digits.format(v4.port()).as_bytes());
        self.buffer.push(b'"');
        self
    }

    /// Ends the object and the line.
    pub(crate) fn end(&mut self) {
        self.buffer.extend_from_slice(b"}\n");
    }

    fn name(&mut self, name: &'static str) {
        if !std::mem::take(&mut self.first) {
            self.buffer.push(b',');
        }
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }
}

/// Whether a byte stands for itself inside a JSON string.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn push_escaped(buffer: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => buffer.extend_from_slice(&[b'\\', c as u8]),
        '\n' => buffer.extend_from_slice(b"\\n"),
        c if c.is_control() => {
            let _ = write!(buffer, "\\u{:04x}", u32::from(c));
        }
        c => buffer.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_whatever_it_holds() {
        let mut buffer = Vec::new();
        Line::begin(&mut buffer)
            .text("a", "\"\\\n\u{1}\u{7f}云", 6)
            .plain("b", false, 7)
            .text("c", "long", 2)
            .number("d", u64::MAX)
            .address("e", ([192, 168, 0, 1], 65535).into())
            .address("f", (std::net::Ipv6Addr::LOCALHOST, 80).into())
            .end();
        let line = String::from_utf8(buffer).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "a": "\"\\\n\u{1}\u{7f}云", "b": 7, "c": "lo", "d": u64::MAX,
            "e": "192.168.0.1:65535", "f": "[::1]:80",
        });
        assert_eq!(value, expected);
    }
}
