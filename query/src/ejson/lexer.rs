//! The tokens of JSON: white space, strings, numbers. Strict as RFC 8259 is.

use std::borrow::Cow;

use bson::Bson;

use crate::error::{Error, Result};

/// A cursor over text that was checked to be UTF-8 once, so that slices need no second look.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// An error of kind `Malformed` at the cursor.
    pub(super) fn error(&self, message: impl Into<Cow<'static, str>>) -> Error {
        Error::malformed(message).offset(self.at)
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Skips white space and shows the next byte.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Skips white space, and the byte too if it is `wanted`.
    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, wanted: u8) -> Result<()> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(self.error(format!("expected {:?}", char::from(wanted))))
        }
    }

    /// After an item of a list: true at a comma, false at the end of the list.
    pub(super) fn more(&mut self, end: u8) -> Result<bool> {
        if self.take(b',') {
            return Ok(true);
        }
        if self.take(end) {
            return Ok(false);
        }
        Err(self.error(format!("expected ',' or {:?}", char::from(end))))
    }

    pub(super) fn literal(&mut self, word: &'static str, value: Bson) -> Result<Bson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// A string; borrowed from the input unless it holds an escape.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"')?;
        let plain = self.plain_characters();
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                Ok(Cow::Borrowed(plain))
            }
            _ => self.string_with_escapes(plain).map(Cow::Owned),
        }
    }

    /// A number in its narrowest type: Int32, Int64, Double.
    pub(super) fn number(&mut self) -> Result<Bson> {
        let start = self.at;
        let whole = self.scan_number()?;
        let text = &self.text[start..self.at];
        if whole && let Ok(int) = text.parse::<i64>() {
            return Ok(i32::try_from(int).map_or(Bson::Int64(int), Bson::Int32));
        }
        match text.parse::<f64>() {
            Ok(double) if double.is_finite() => Ok(Bson::Double(double)),
            _ => Err(self.error("number out of range")),
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Consumes everything up to a quote, a backslash, a control character or the end.
    fn plain_characters(&mut self) -> &'a str {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
            .unwrap_or(rest.len());
        self.at += length;
        &self.text[start..self.at]
    }

    fn string_with_escapes(&mut self, plain: &str) -> Result<String> {
        let mut out = String::with_capacity(plain.len() + 16);
        out.push_str(plain);
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error("control character in a string, escape it")),
                None => return Err(self.error("unterminated string")),
            }
            out.push_str(self.plain_characters());
        }
    }

    fn escape(&mut self) -> Result<char> {
        self.at += 1;
        let letter = self.byte().ok_or_else(|| self.error("unterminated string"))?;
        let character = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.error("unknown escape in a string")),
        };
        self.at += 1;
        Ok(character)
    }

    /// `XXXX` after `\u`, together with the second half of a surrogate pair if there is one.
    fn unicode_escape(&mut self) -> Result<char> {
        let unit = self.hex_unit()?;
        let is_high = (0xd800..0xdc00).contains(&unit);
        if is_high && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            let after_first = self.at;
            self.at += 2;
            let low = self.hex_unit()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).expect("a surrogate pair is a character"));
            }
            // Not its partner: the next turn reads it again on its own.
            self.at = after_first;
        }
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex_unit(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() != 4 {
            return Err(self.error("\\u needs four hexadecimal digits"));
        }
        let mut unit = 0;
        for &digit in digits {
            let value = char::from(digit)
                .to_digit(16)
                .ok_or_else(|| self.error("\\u needs four hexadecimal digits"))?;
            unit = unit * 16 + value;
        }
        self.at += 4;
        Ok(unit)
    }

    /// Moves over a number; true if it has neither fraction nor exponent.
    fn scan_number(&mut self) -> Result<bool> {
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.scan_digits()?,
            _ => return Err(self.error("expected a digit")),
        }
        let mut whole = true;
        if self.byte() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.scan_digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.scan_digits()?;
        }
        Ok(whole)
    }

    fn scan_digits(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }
}
