//! A file to directives in words: comments, lines that go on, quotes.

use super::cursor::Cursor;
use super::{ARGUMENTS_MAX, LINE_BYTES_MAX};

/// A directive's words, or why it has none.
pub(super) struct Line {
    /// Where it begins, from 1.
    pub(super) number: u32,
    /// The directive's name and its arguments, without their quotes.
    pub(super) words: Result<Vec<Vec<u8>>, String>,
}

/// Logical lines that are neither empty nor comments. A line that ends with a backslash goes on in the next one, also
/// where it is a comment.
pub(super) struct Lines<'a> {
    cursor: Cursor<'a>,
    /// Of the line that comes next, from 1.
    number: u32,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        Self { cursor: Cursor::new(text), number: 1 }
    }

    /// The next logical line, or `None` at the end.
    fn logical(&mut self) -> Option<Vec<u8>> {
        if self.cursor.is_done() {
            return None;
        }
        let mut line = Vec::new();
        loop {
            line.extend_from_slice(self.cursor.take_while(|byte| byte != b'\n'));
            self.number = self.number.saturating_add(1);
            if self.cursor.eat(b'\n') && line.last() == Some(&b'\r') {
                line.pop();
            }
            if line.last() != Some(&b'\\') || self.cursor.is_done() {
                return Some(line);
            }
            line.pop();
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        loop {
            let number = self.number;
            let line = self.logical()?;
            let line = line.trim_ascii();
            if !line.is_empty() && line[0] != b'#' {
                return Some(Line { number, words: words(line) });
            }
        }
    }
}

fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("the line has {} bytes, more than {LINE_BYTES_MAX}", line.len()));
    }
    let mut cursor = Cursor::new(line);
    let mut words = Vec::new();
    loop {
        cursor.skip_space();
        let word = match cursor.peek() {
            None => return Ok(words),
            Some(quote @ (b'"' | b'\'')) => {
                cursor.next();
                let word = cursor.quoted(quote)?;
                if cursor.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                    return Err("text stands directly behind a closing quote".into());
                }
                word
            }
            Some(_) => cursor.take_while(|byte| !byte.is_ascii_whitespace()).to_vec(),
        };
        if words.len() > ARGUMENTS_MAX {
            return Err(format!("more than {ARGUMENTS_MAX} arguments"));
        }
        words.push(word);
    }
}
