//! The part that is being read.

use std::borrow::Cow;

use super::Ending;
use super::disposition::Disposition;

/// A part: its head, and of its content what is kept.
#[derive(Default)]
pub(super) struct Part {
    pub(super) headers: Vec<Header>,
    pub(super) disposition: Disposition,
    pub(super) state: State,
    pub(super) content: Content,
}

impl Part {
    pub(super) fn is_file(&self) -> bool {
        !self.disposition.filename.is_empty()
    }

    pub(super) fn held_bytes(&self) -> usize {
        let header = |header: &Header| {
            header.line.capacity() + header.folded.as_ref().map_or(0, Vec::capacity)
        };
        self.content.bytes.capacity() + self.headers.iter().map(header).sum::<usize>()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Headers,
    Content,
    /// The part cannot be read.
    Broken,
}

/// A header of a part.
pub(super) struct Header {
    /// The first line, without its end.
    pub(super) line: Vec<u8>,
    /// Where its name ends.
    pub(super) colon: usize,
    /// The value where further lines continue it.
    pub(super) folded: Option<Vec<u8>>,
}

impl Header {
    pub(super) fn name(&self) -> &[u8] {
        &self.line[..self.colon]
    }

    pub(super) fn value(&self) -> &[u8] {
        self.folded.as_deref().unwrap_or_else(|| self.line[self.colon + 1..].trim_ascii_start())
    }

    /// Continues the value.
    pub(super) fn fold(&mut self, text: &[u8]) {
        let mut value = self.folded.take().unwrap_or_else(|| self.value().to_vec());
        value.push(b' ');
        value.extend_from_slice(text);
        self.folded = Some(value);
    }

    /// Name and value, on one line.
    pub(super) fn whole(&self) -> Cow<'_, [u8]> {
        match &self.folded {
            Some(value) => [self.name(), b": ", value].concat().into(),
            None => self.line.as_slice().into(),
        }
    }
}

/// The content of a part.
#[derive(Default)]
pub(super) struct Content {
    /// Its beginning.
    pub(super) bytes: Vec<u8>,
    /// How long it is.
    pub(super) len: u64,
    /// The end of its last line, which belongs to the boundary if one follows.
    pub(super) ending: Ending,
}

impl Content {
    /// Whether no byte of it has come.
    pub(super) fn is_fresh(&self) -> bool {
        self.len == 0 && self.ending == Ending::Body
    }

    /// Bytes of a piece that are kept where so many may be.
    pub(super) fn missing(&self, piece: &[u8], bytes_max: usize) -> usize {
        bytes_max.saturating_sub(self.bytes.len()).min(piece.len())
    }

    /// Counts a piece, and keeps of it what fits.
    pub(super) fn push(&mut self, piece: &[u8], bytes_max: usize) {
        self.len += piece.len() as u64;
        self.bytes.extend_from_slice(&piece[..self.missing(piece, bytes_max)]);
    }
}
