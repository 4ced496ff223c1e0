//! `@pm`: many phrases at once, compared without the case of ASCII.

use aho_corasick::AhoCorasick;

/// Phrases and what finds them.
#[derive(Debug)]
pub(crate) struct Phrases {
    /// As they were written; none is empty.
    pub(crate) phrases: Vec<Vec<u8>>,
    automaton: AhoCorasick,
}

impl Phrases {
    /// Phrases of an argument: separated by spaces, perhaps in quotation marks as a whole; between bars bytes as
    /// hexadecimal digits, as in Snort's rules (`a|20 62|c`).
    pub(super) fn parse(argument: &[u8]) -> Result<Self, String> {
        let text = unquoted(argument).and_then(unescaped);
        let text = text.as_deref().unwrap_or(argument);
        let words = text.split(u8::is_ascii_whitespace);
        Self::of(words.filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// Phrases of a file, one a line, spaces included. Lines that begin with `#` are comments.
    pub(super) fn parse_lines(text: &[u8]) -> Result<Self, String> {
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines = lines.filter(|line| !matches!(line.trim_ascii_start(), [] | [b'#', ..]));
        Self::of(lines.map(<[u8]>::to_vec).collect())
    }

    fn of(phrases: Vec<Vec<u8>>) -> Result<Self, String> {
        let mut builder = AhoCorasick::builder();
        let automaton = builder.ascii_case_insensitive(true).build(&phrases);
        let automaton = automaton.map_err(|error| format!("the phrases are too many: {error}"))?;
        Ok(Self { phrases, automaton })
    }

    pub(super) fn is_match(&self, value: &[u8]) -> bool {
        self.automaton.is_match(value)
    }

    /// The phrase whose match ends first.
    pub(super) fn find(&self, value: &[u8]) -> Option<&[u8]> {
        let found = self.automaton.find(value)?;
        Some(&self.phrases[found.pattern().as_usize()])
    }
}

/// What is between quotation marks around the whole.
fn unquoted(argument: &[u8]) -> Option<&[u8]> {
    let text = argument.trim_ascii_start();
    let inner = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    (!inner.is_empty()).then_some(inner)
}

/// Resolves bars and backslashes; nothing if the text is not written so, for then it stands for itself.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut is_binary, mut is_escaped, mut high) = (false, false, None);
    for byte in text {
        match byte {
            b'|' => is_binary = !is_binary,
            b'\\' if !is_escaped => is_escaped = true,
            byte if is_binary => {
                let digit = char::from(*byte).to_digit(16)? as u8;
                match high.take() {
                    None => high = Some(digit),
                    Some(high) => out.push(high << 4 | digit),
                }
            }
            b':' | b';' | b'\\' | b'"' if is_escaped => {
                out.push(*byte);
                is_escaped = false;
            }
            _ if is_escaped => return None,
            byte => out.push(*byte),
        }
    }
    Some(out)
}
