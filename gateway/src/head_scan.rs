//! Counts the framing headers of an HTTP/1 head as it arrives.
//!
//! hyper repairs a head with two lengths, or with a length beside a transfer coding, and does not tell. RFC 9112 section 6.3
//! allows that, but another proxy before us may have understood the same bytes differently, so [`crate::stages::framing`]
//! refuses them. It needs to know what stood there; this is the cheapest way to learn it: one `memchr` per line.

/// Enough of a line to recognise `transfer-encoding:`.
const LINE_BYTES: usize = 18;

/// What a head said about the length of its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// `Content-Length` lines, up to 3.
    pub(crate) content_length: u8,
    /// `Transfer-Encoding` lines, up to 3.
    pub(crate) transfer_encoding: u8,
    /// The target has a fragment, which hyper cuts off in silence.
    pub(crate) has_fragment: bool,
}

/// The scan of one connection's present head.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    line: [u8; LINE_BYTES],
    line_bytes: usize,
    begun: bool,
    seen: Lengths,
}

// === impl Lengths ===

impl Lengths {
    /// Both counts and a mark that a head was seen, in one byte: what an atomic can hold.
    pub(crate) fn pack(self) -> u8 {
        1 | self.content_length << 1
            | self.transfer_encoding << 3
            | u8::from(self.has_fragment) << 5
    }

    /// The reverse; nothing when no head was seen.
    pub(crate) fn unpack(packed: u8) -> Option<Self> {
        (packed & 1 == 1).then_some(Self {
            content_length: packed >> 1 & 3,
            transfer_encoding: packed >> 3 & 3,
            has_fragment: packed >> 5 & 1 == 1,
        })
    }
}

// === impl HeadScan ===

impl HeadScan {
    /// Takes the next bytes; when the head ends among them, gives the counts and how many bytes follow the end, which are
    /// not looked at.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Option<(Lengths, usize)> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.look_for_fragment(&bytes[..end]);
            self.keep(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if self.end_line() {
                let seen = self.seen;
                *self = Self::default();
                return Some((seen, bytes.len()));
            }
        }
        self.look_for_fragment(bytes);
        self.keep(bytes);
        None
    }

    /// Whether the next byte belongs to the line that holds the target.
    pub(crate) fn is_in_first_line(&self) -> bool {
        !self.begun
    }

    fn look_for_fragment(&mut self, bytes: &[u8]) {
        self.seen.has_fragment |= !self.begun && memchr::memchr(b'#', bytes).is_some();
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.line_bytes;
        let kept = &bytes[..bytes.len().min(room)];
        self.line[self.line_bytes..self.line_bytes + kept.len()].copy_from_slice(kept);
        self.line_bytes += kept.len();
    }

    /// Classifies the line that ended; says whether it was the empty one that ends a head.
    fn end_line(&mut self) -> bool {
        let line = &self.line[..self.line_bytes];
        let empty = matches!(line, b"" | b"\r");
        let counter = match line.first() {
            Some(b'c' | b'C') if starts_with(line, b"content-length:") => {
                Some(&mut self.seen.content_length)
            }
            Some(b't' | b'T') if starts_with(line, b"transfer-encoding:") => {
                Some(&mut self.seen.transfer_encoding)
            }
            _ => None,
        };
        if let Some(counter) = counter {
            *counter = (*counter + 1).min(3);
        }
        // Empty lines before the request line are allowed and end nothing (RFC 9112 section 2.2).
        let ended = empty && self.begun;
        self.begun |= !empty;
        self.line_bytes = 0;
        ended
    }
}

fn starts_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 5\r\nX: content-length: 1\r\n\
        Content-Lengths: 1\r\nTransfer-Encoding:chunked\r\nContent-Length:5\n\r\nContent-Length: 9\r\n\r\n";

    #[test]
    fn counts_do_not_depend_on_how_the_bytes_arrive() {
        let expected =
            Some(Lengths { content_length: 2, transfer_encoding: 1, has_fragment: false });
        assert_eq!(
            HeadScan::default().feed(HEAD).map(|(lengths, rest)| (Some(lengths), rest)),
            Some((expected, 21))
        );
        for split in 0..HEAD.len() {
            let mut scan = HeadScan::default();
            let (first, second) = HEAD.split_at(split);
            let found = scan.feed(first).or_else(|| scan.feed(second));
            assert_eq!(found.map(|(lengths, _)| lengths), expected, "split at {split}");
        }
        let mut scan = HeadScan::default();
        let found = HEAD.iter().find_map(|byte| scan.feed(&[*byte]));
        assert_eq!(found, expected.map(|lengths| (lengths, 0)));
    }

    #[test]
    fn packing_keeps_the_counts() {
        let lengths = Lengths { content_length: 3, transfer_encoding: 2, has_fragment: true };
        assert_eq!(Lengths::unpack(lengths.pack()), Some(lengths));
        assert_eq!(Lengths::unpack(0), None);
    }
}
