//! JSON: each scalar is an argument whose name is the way to it, such as `json.user.tags.array_0`.
//!
//! One pass without a tree: the way is a buffer that grows and shrinks, and a value is copied only where it has escapes.

use super::{Fill, is_by_cut};

/// What every way begins with.
const ROOT: &[u8] = b"json";

/// Reads one JSON value, or the beginning of one that was cut; `depth_max` bounds nesting.
pub(crate) fn json(
    text: &[u8],
    depth_max: u64,
    is_cut: bool,
    fill: &mut dyn Fill,
) -> Result<(), String> {
    let (way, value) = (ROOT.to_vec(), Vec::new());
    let mut reader = Reader { text, at: 0, way, value, begun: None, fill };
    let read = reader.run(usize::try_from(depth_max).unwrap_or(usize::MAX));
    if read.is_err() && is_by_cut(text, reader.at, is_cut) {
        return reader.begun();
    }
    read
}

struct Reader<'r> {
    text: &'r [u8],
    at: usize,
    way: Vec<u8>,
    /// A string that had escapes.
    value: Vec<u8>,
    /// What the string is that has begun and not ended.
    begun: Option<Meaning>,
    fill: &'r mut dyn Fill,
}

/// A container that is open.
struct Level {
    /// Length of the way before its own members.
    way: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Meaning {
    Name,
    Value,
}

enum Kind {
    Object,
    /// With the place of the next item.
    Array(u64),
}

impl Reader<'_> {
    fn run(&mut self, depth_max: usize) -> Result<(), String> {
        let mut open: Vec<Level> = Vec::new();
        loop {
            // A value begins here.
            self.skip_space();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.len() >= depth_max {
                        return Err(format!("JSON nests deeper than {depth_max}"));
                    }
                    self.at += 1;
                    let kind = if bracket == b'{' { Kind::Object } else { Kind::Array(0) };
                    open.push(Level { way: self.way.len(), kind });
                    self.skip_space();
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(close) {
                        self.step(&mut open)?;
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // A value has ended here.
            if !self.close(&mut open)? {
                break;
            }
        }
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Ends what ends and goes to the next value, if there is one.
    fn close(&mut self, open: &mut Vec<Level>) -> Result<bool, String> {
        loop {
            let Some(level) = open.last() else { return Ok(false) };
            self.way.truncate(level.way);
            self.skip_space();
            match (self.peek(), &level.kind) {
                (Some(b'}'), Kind::Object) | (Some(b']'), Kind::Array(_)) => {
                    self.at += 1;
                    open.pop();
                }
                (Some(b','), _) => {
                    self.at += 1;
                    self.skip_space();
                    self.step(open)?;
                    return Ok(true);
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// Names the next value of the innermost container.
    fn step(&mut self, open: &mut [Level]) -> Result<(), String> {
        let Some(level) = open.last_mut() else { return Ok(()) };
        self.way.truncate(level.way);
        match &mut level.kind {
            Kind::Array(place) => {
                self.way.extend_from_slice(b".array_");
                self.way.extend_from_slice(place.to_string().as_bytes());
                *place += 1;
            }
            Kind::Object => {
                self.begun = Some(Meaning::Name);
                let (from, to, has_escapes) = self.string()?;
                self.way.push(b'.');
                if has_escapes {
                    self.way.extend_from_slice(&self.value);
                } else {
                    self.way.extend_from_slice(&self.text[from..to]);
                }
                self.skip_space();
                if self.peek() != Some(b':') {
                    return Err(self.unexpected());
                }
                self.at += 1;
            }
        }
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), String> {
        match self.peek() {
            Some(b'"') => {
                self.begun = Some(Meaning::Value);
                let (from, to, has_escapes) = self.string()?;
                let value = if has_escapes { self.value.as_slice() } else { &self.text[from..to] };
                self.fill.argument(&self.way, value)
            }
            Some(b'-' | b'0'..=b'9') => {
                let from = self.at;
                self.number()?;
                self.fill.argument(&self.way, &self.text[from..self.at])
            }
            _ => {
                for (word, value) in [("true", "true"), ("false", "false"), ("null", "")] {
                    if self.text[self.at..].starts_with(word.as_bytes()) {
                        self.at += word.len();
                        return self.fill.argument(&self.way, value.as_bytes());
                    }
                }
                Err(self.unexpected())
            }
        }
    }

    /// Tells the string in which a cut ended the text.
    fn begun(&mut self) -> Result<(), String> {
        match self.begun {
            None => Ok(()),
            Some(Meaning::Value) => self.fill.argument(&self.way, &self.value),
            Some(Meaning::Name) => {
                self.way.push(b'.');
                self.way.extend_from_slice(&self.value);
                self.fill.argument(&self.way, b"")
            }
        }
    }

    /// Reads a string and gives where it stands, and whether it had escapes, so that `value` holds it.
    fn string(&mut self) -> Result<(usize, usize, bool), String> {
        self.value.clear();
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let from = self.at + 1;
        let plain = |byte: &u8| *byte != b'"' && *byte != b'\\' && *byte >= 0x20;
        let len = self.text[from..].iter().take_while(|byte| plain(byte)).count();
        self.at = from + len;
        if self.peek() == Some(b'"') {
            self.at += 1;
            self.begun = None;
            return Ok((from, self.at - 1, false));
        }
        self.value.extend_from_slice(&self.text[from..self.at]);
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(byte) if byte >= 0x20 => {
                    self.value.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.unexpected()),
            }
        }
        self.at += 1;
        self.begun = None;
        Ok((from, self.at - 1, true))
    }

    fn escape(&mut self) -> Result<(), String> {
        self.at += 1;
        let byte = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.code_point(),
            _ => return Err(self.unexpected()),
        };
        self.value.push(byte);
        self.at += 1;
        Ok(())
    }

    /// `uXXXX`, and the second half of a pair behind it. Half a pair alone is U+FFFD.
    fn code_point(&mut self) -> Result<(), String> {
        let first = self.unit()?;
        let mut point = first;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 1;
            let second = self.unit()?;
            if (0xdc00..0xe000).contains(&second) {
                point = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            } else {
                self.at = before;
            }
        }
        let letter = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.value.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// The four digits behind a `u`.
    fn unit(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at + 1..self.at + 5).ok_or_else(|| self.unexpected())?;
        let value = digits
            .iter()
            .try_fold(0, |value, &byte| Some(value * 16 + char::from(byte).to_digit(16)?));
        let value = value.ok_or_else(|| self.unexpected())?;
        self.at += 5;
        Ok(value)
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`, RFC 8259 section 6.
    fn number(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), String> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { Err(self.unexpected()) }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            Some(_) => format!("JSON: unexpected byte at {}", self.at),
            None => "JSON: it ends too early".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::json;
    use crate::body::testing::Told;

    fn check(text: &str, wanted: &str) {
        let mut told = Told::default();
        let end = json(text.as_bytes(), 4, false, &mut told);
        let mut lines = told.0;
        lines.extend(end.err());
        assert_eq!(lines.join("\n"), wanted, "{text}");
    }

    #[test]
    fn scalars_by_their_ways() {
        check(
            r#"{"a":1,"b":{"c":"x","d":[true,null,{"e":-1.5e3}]}}"#,
            "json.a=1\njson.b.c=x\njson.b.d.array_0=true\njson.b.d.array_1=\njson.b.d.array_2.e=-1.5e3",
        );
        check(r#" [ "a" , [ ] , { } , "b" ] "#, "json.array_0=a\njson.array_3=b");
        check(r#""alone""#, "json=alone");
        check(r#"{"a\u0020b":"\ud83d\ude00 \n\/ \ud83d!"}"#, "json.a b=\u{1f600} \n/ \u{fffd}!");
    }

    #[test]
    fn what_a_cut_leaves_is_told_as_far_as_it_goes_and_is_no_mistake() {
        const WHOLE: &str =
            r#"{"a":[true,null,-1.5e+3,"\ud83d\ude00\n"],"name":"value","c":{"d":false}}"#;
        for len in 0..WHOLE.len() {
            let mut told = Told::default();
            assert_eq!(json(&WHOLE.as_bytes()[..len], 4, true, &mut told), Ok(()), "{len}");
        }
        let check = |text: &str, wanted: &str| {
            let mut told = Told::default();
            let end = json(text.as_bytes(), 4, true, &mut told);
            told.0.extend(end.err());
            assert_eq!(told.0.join("; "), wanted, "{text}");
        };
        check(r#"{"a":"1 union sel"#, "json.a=1 union sel");
        check(r#"{"a":"1\n2\u00"#, "json.a=1\n2");
        check(r#"{"a":1,"__proto"#, "json.a=1; json.__proto=");
        check(r#"{"a":1,"b""#, "json.a=1");
        check(r#"{"a":1,,"b":"0123456789abcdef"#, "json.a=1; JSON: unexpected byte at 7");
        check("[[[[[1, 2, 3, 4, 5, 6, 7, 8", "JSON nests deeper than 4");
    }

    #[test]
    fn what_is_not_json_is_told_and_what_came_before_stays() {
        check(r#"{"a":1,}"#, "json.a=1\nJSON: unexpected byte at 7");
        check(r#"{"a":1"#, "json.a=1\nJSON: it ends too early");
        check(r#"{"a":01}"#, "json.a=0\nJSON: unexpected byte at 6");
        check(r#"{"a" 1}"#, "JSON: unexpected byte at 5");
        check(r#"{"a":1} x"#, "json.a=1\nJSON: unexpected byte at 8");
        check("[\"a\u{1}\"]", "JSON: unexpected byte at 3");
        check(r#"["\x"]"#, "JSON: unexpected byte at 3");
        check(r#"["\u12"]"#, "JSON: unexpected byte at 3");
        check("[1}", "json.array_0=1\nJSON: unexpected byte at 2");
        check("[[[[[1]]]]]", "JSON nests deeper than 4");
        check("", "JSON: it ends too early");
    }
}
