//! The one way in which SecLang text is walked: a byte at a time, forwards, so that steps can be counted.

/// What begins with a quote and has no end.
pub(super) const UNCLOSED: &str = "a quote is not closed";

/// A place in bytes.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What has not been walked.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        #[cfg(test)]
        steps::count();
        Some(byte)
    }

    /// Steps over one byte if it is this one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        if is_there {
            self.next();
        }
        is_there
    }

    pub(super) fn take_while(&mut self, mut wanted: impl FnMut(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(&mut wanted) {
            self.next();
        }
        &self.bytes[start..self.at]
    }

    pub(super) fn skip_space(&mut self) {
        self.take_while(|byte| byte.is_ascii_whitespace());
    }

    /// Text up to the closing quote, the opening one being behind us; `\` before the quote stands for the quote, and
    /// every other backslash for itself. The backslashes before a quote count: two are not an escape.
    ///
    /// # Errors
    /// When no quote closes it.
    pub(super) fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        let mut is_escaped = false;
        while let Some(byte) = self.next() {
            match byte {
                _ if byte == quote && is_escaped => {
                    text.pop();
                    text.push(byte);
                }
                _ if byte == quote => return Ok(text),
                _ => text.push(byte),
            }
            is_escaped = byte == b'\\' && !is_escaped;
        }
        Err(UNCLOSED.into())
    }
}

/// Counts steps of this thread, for the test that the work grows no faster than the text.
#[cfg(test)]
pub(super) mod steps {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        STEPS.with(|steps| steps.set(steps.get() + 1));
    }

    /// Steps since it was last asked.
    pub(in crate::seclang) fn take() -> u64 {
        STEPS.with(|steps| steps.replace(0))
    }
}
