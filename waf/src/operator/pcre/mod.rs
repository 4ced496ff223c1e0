//! From PCRE's spelling of a pattern to that of the `regex` crate, which takes linear time and therefore less.
//!
//! What the crate does not know but can say otherwise is said otherwise; what no finite automaton can do (looking
//! around, back-references, recursion) is refused by its name. Both languages agree on the rest with the options that
//! `rx` sets: bytes, ASCII alone for classes and case, `.` for every byte.
//!
//! `$` is the very end of the value, as in ModSecurity 2 (`PCRE_DOLLAR_ENDONLY`) and Coraza. ModSecurity 3 also takes
//! the end of a line, and `^` the start of one (`PCRE_MULTILINE`); the Core Rule Set is written so that it does not
//! matter, and says `(?m)` where it means lines.

mod class;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

/// How many groups may be open at once; the crate's own bound is 250.
const DEPTH_MAX: usize = 200;

/// A group or the whole, as far as it was read.
#[derive(Default)]
struct Frame {
    /// Whether white space and comments are passed over (`x`).
    is_extended: bool,
    /// Whether what was just read may give nothing back once it matched (`(?>…)`, `a++`). Without anything behind it,
    /// that makes no difference.
    holds: bool,
    /// The same for the alternatives before this one.
    held: bool,
    /// Whether the group itself is one that gives nothing back.
    is_atomic: bool,
}

struct Translation<'a> {
    pattern: &'a [u8],
    at: usize,
    out: String,
    frames: Vec<Frame>,
    groups: usize,
}

/// Translates a pattern.
///
/// # Errors
/// A sentence that names what cannot be done.
pub(super) fn translate(pattern: &[u8]) -> Result<String, String> {
    let groups = memchr::memchr_iter(b'(', pattern).count();
    let frames = vec![Frame::default()];
    let mut it = Translation { pattern, at: 0, out: String::new(), frames, groups };
    while let Some(byte) = it.next() {
        it.item(byte)?;
    }
    if it.frames.len() > 1 {
        return Err("a group is not closed".into());
    }
    Ok(it.out)
}

fn refuse<T>(what: &str) -> Result<T, String> {
    Err(format!("{what} cannot be matched in linear time and is not supported"))
}

/// A byte as the crate takes it for itself, wherever it stands.
fn push_byte(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() {
        out.push(char::from(byte));
    } else {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// A character as its bytes in UTF-8; several are one item.
fn push_character(character: char, out: &mut String) {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).as_bytes();
    if let [byte] = bytes {
        return push_byte(*byte, out);
    }
    out.push_str("(?:");
    bytes.iter().for_each(|byte| push_byte(*byte, out));
    out.push(')');
}

/// What a numeric escape spells.
enum Code {
    Byte(u8),
    Wide(char),
}

impl Translation<'_> {
    fn rest(&self) -> &[u8] {
        &self.pattern[self.at..]
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.pattern.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, text: &[u8]) -> bool {
        let is_there = self.rest().starts_with(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    /// What stands before the next `end`, and passes over both.
    fn until(&mut self, end: u8) -> Option<&[u8]> {
        let length = memchr::memchr(end, self.rest())?;
        let from = self.at;
        self.at += length + 1;
        Some(&self.pattern[from..from + length])
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the whole is never closed")
    }

    fn item(&mut self, byte: u8) -> Result<(), String> {
        if self.frame().is_extended && self.skips(byte) {
            return Ok(());
        }
        match byte {
            b')' => return self.close(),
            b'|' => {
                let frame = self.frame();
                frame.held |= std::mem::take(&mut frame.holds);
                self.out.push('|');
                return Ok(());
            }
            _ if self.frame().holds => {
                return refuse(
                    "a group or quantifier that gives nothing back, with more behind it,",
                );
            }
            b'(' => return self.open(),
            b'[' => class::translate(self)?,
            b'\\' => self.escape()?,
            b'^' | b'$' | b'.' => self.out.push(char::from(byte)),
            b'*' | b'+' | b'?' => {
                self.out.push(char::from(byte));
                self.quantifier_end();
            }
            b'{' => self.brace(),
            byte if byte.is_ascii() => push_byte(byte, &mut self.out),
            _ => self.beyond_ascii(),
        }
        Ok(())
    }

    /// White space, or a comment to the end of its line.
    fn skips(&mut self, byte: u8) -> bool {
        if byte == b'#' {
            let length = memchr::memchr(b'\n', self.rest());
            self.at = length.map_or(self.pattern.len(), |length| self.at + length + 1);
        }
        byte == b'#' || matches!(byte, b' ' | b'\t'..=b'\r')
    }

    /// A character that the pattern spells in UTF-8, else a byte.
    fn beyond_ascii(&mut self) {
        self.at -= 1;
        match self.utf8() {
            Some(character) => push_character(character, &mut self.out),
            None => {
                let byte = self.pattern[self.at];
                self.at += 1;
                push_byte(byte, &mut self.out);
            }
        }
    }

    /// The character that stands next, if it is one beyond ASCII.
    fn utf8(&mut self) -> Option<char> {
        let rest = self.rest();
        let character = rest[..rest.len().min(4)].utf8_chunks().next()?.valid().chars().next()?;
        if character.is_ascii() {
            return None;
        }
        self.at += character.len_utf8();
        Some(character)
    }

    /// `{` begins a quantifier or stands for itself.
    fn brace(&mut self) {
        let length = memchr::memchr(b'}', self.rest());
        let inner = length.map(|length| &self.rest()[..length]);
        let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let is_quantifier = inner.is_some_and(|inner| {
            let comma = memchr::memchr(b',', inner).unwrap_or(inner.len());
            let most = inner.get(comma + 1..).unwrap_or_default();
            is_number(&inner[..comma]) && (most.is_empty() || is_number(most))
        });
        let (Some(inner), true) = (inner, is_quantifier) else {
            return push_byte(b'{', &mut self.out);
        };
        let (length, text) = (inner.len() + 1, String::from_utf8_lossy(inner).into_owned());
        let _ = write!(self.out, "{{{text}}}");
        self.at += length;
        self.quantifier_end();
    }

    /// `?` for as few as can be, `+` for giving nothing back.
    fn quantifier_end(&mut self) {
        if self.take(b"?") {
            self.out.push('?');
        } else if self.take(b"+") {
            self.frame().holds = true;
        }
    }

    fn close(&mut self) -> Result<(), String> {
        if self.frames.len() == 1 {
            return Err("a group is closed that was not opened".into());
        }
        let closed = self.frames.pop().unwrap_or_default();
        self.out.push(')');
        self.frame().holds = closed.is_atomic || closed.holds || closed.held;
        Ok(())
    }

    fn push_frame(&mut self, is_atomic: bool, is_extended: bool) -> Result<(), String> {
        if self.frames.len() > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} groups are open"));
        }
        self.frames.push(Frame { is_extended, is_atomic, ..Frame::default() });
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        let is_extended = self.frame().is_extended;
        if self.rest().starts_with(b"*") {
            return refuse("a control verb `(*…)`");
        }
        if !self.take(b"?") {
            self.out.push('(');
            return self.push_frame(false, is_extended);
        }
        if self.take(b">") {
            self.out.push_str("(?:");
            return self.push_frame(true, is_extended);
        }
        let (skipped, end) = match self.rest() {
            [b'=' | b'!', ..] => return refuse("look-ahead"),
            [b'<', b'=' | b'!', ..] => return refuse("look-behind"),
            [b'|', ..] => return refuse("a group that resets numbers `(?|…)`"),
            [b'(', ..] => return refuse("a condition `(?(…)…)`"),
            [b'R' | b'&' | b'0'..=b'9' | b'+', ..]
            | [b'-', b'0'..=b'9', ..]
            | [b'P', b'>' | b'=', ..] => return refuse("recursion or a reference to a group"),
            [b'C', ..] => return refuse("a callout"),
            [b'P', b'<', ..] => (2, b'>'),
            [b'<', ..] => (1, b'>'),
            [b'\'', ..] => (1, b'\''),
            [b'#', ..] => {
                self.until(b')').ok_or("a comment is not closed")?;
                return Ok(());
            }
            _ => return self.flags(is_extended),
        };
        self.at += skipped;
        let name = self.until(end).ok_or("the name of a group does not end")?;
        let name = String::from_utf8_lossy(name).into_owned();
        let _ = write!(self.out, "(?<{name}>");
        self.push_frame(false, is_extended)
    }

    /// `(?flags)` and `(?flags:…)`. `x` is dealt with here and never handed on.
    fn flags(&mut self, mut is_extended: bool) -> Result<(), String> {
        let (mut on, mut off, mut is_off) = (String::new(), String::new(), false);
        loop {
            match self.next() {
                Some(b'-') if !is_off => is_off = true,
                Some(b'x') => is_extended = !is_off,
                Some(flag @ (b'i' | b'm' | b's' | b'U')) => {
                    if is_off { &mut off } else { &mut on }.push(char::from(flag));
                }
                Some(end @ (b':' | b')')) => {
                    let minus = if off.is_empty() { "" } else { "-" };
                    let flags = format!("{on}{minus}{off}");
                    return self.flags_end(end, &flags, is_extended);
                }
                _ => return Err("a group begins with `(?` and something unknown".into()),
            }
        }
    }

    fn flags_end(&mut self, end: u8, flags: &str, is_extended: bool) -> Result<(), String> {
        if end == b':' {
            let _ = write!(self.out, "(?{flags}:");
            return self.push_frame(false, is_extended);
        }
        self.frame().is_extended = is_extended;
        if !flags.is_empty() {
            let _ = write!(self.out, "(?{flags})");
        }
        Ok(())
    }

    /// What stands behind a backslash outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        let byte = self.next().ok_or("a backslash ends the pattern")?;
        let same = match byte {
            b'b' | b'B' | b'd' | b'D' | b's' | b'S' | b'w' | b'W' | b'A' | b'z' => {
                self.out.push('\\');
                self.out.push(char::from(byte));
                return Ok(());
            }
            b'G' => "\\A",
            b'Z' => "(?:\\n?\\z)",
            b'N' => "[^\\n]",
            b'C' => "(?s:.)",
            b'R' => "(?:\\r\\n|[\\n-\\r\\x85])",
            b'K' => return refuse("`\\K`"),
            b'X' | b'p' | b'P' => return refuse("a class of Unicode's characters"),
            b'k' | b'g' => return refuse("a back-reference"),
            b'1'..=b'9' if !self.is_octal(byte) => return refuse("a back-reference"),
            b'Q' => {
                self.quoted();
                return Ok(());
            }
            b'E' => return Ok(()),
            _ => {
                if let Some(set) = class::named(byte) {
                    class::push(&set, false, &mut self.out);
                } else {
                    match self.code(byte)? {
                        Code::Byte(byte) => push_byte(byte, &mut self.out),
                        Code::Wide(character) => push_character(character, &mut self.out),
                    }
                }
                return Ok(());
            }
        };
        self.out.push_str(same);
        Ok(())
    }

    /// Whether a digit behind a backslash begins a number in octal: there are two digits, and not as many groups.
    fn is_octal(&self, first: u8) -> bool {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
        let number = std::iter::once(&first).chain(digits);
        let reference =
            number.clone().take(4).fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
        number.count() > 1 && reference > self.groups && first < b'8'
    }

    fn quoted(&mut self) {
        while !self.rest().is_empty() && !self.take(b"\\E") {
            if let Some(byte) = self.next() {
                push_byte(byte, &mut self.out);
            }
        }
    }

    /// The byte or character that an escape stands for, in a class or outside of one.
    fn code(&mut self, byte: u8) -> Result<Code, String> {
        Ok(Code::Byte(match byte {
            b'a' => 0x07,
            b'e' => 0x1B,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'c' => self.next().ok_or("`\\c` ends the pattern")?.to_ascii_uppercase() ^ 0x40,
            b'x' => return self.hexadecimal(),
            b'o' if self.take(b"{") => {
                let digits = self.until(b'}').ok_or("`\\o{` is not closed")?;
                return number(digits, 8);
            }
            b'0'..=b'7' => {
                let more =
                    self.rest().iter().take(2).take_while(|byte| matches!(byte, b'0'..=b'7'));
                let length = more.count();
                let digits = &self.pattern[self.at - 1..self.at + length];
                let code = number(digits, 8)?;
                self.at += length;
                return Ok(code);
            }
            byte => byte,
        }))
    }

    fn hexadecimal(&mut self) -> Result<Code, String> {
        if self.take(b"{") {
            let digits = self.until(b'}').ok_or("`\\x{` is not closed")?;
            return number(digits, 16);
        }
        let length = self.rest().iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let code = if length == 0 { Code::Byte(0) } else { number(&self.rest()[..length], 16)? };
        self.at += length;
        Ok(code)
    }
}

/// A number below 256 is a byte, a larger one a character.
fn number(digits: &[u8], radix: u32) -> Result<Code, String> {
    let text = String::from_utf8_lossy(digits);
    let wrong = || format!("`{text}` is no number of a character");
    let number = u32::from_str_radix(text.trim(), radix).map_err(|_| wrong())?;
    match u8::try_from(number) {
        Ok(byte) => Ok(Code::Byte(byte)),
        Err(_) => char::from_u32(number).map(Code::Wide).ok_or_else(wrong),
    }
}
