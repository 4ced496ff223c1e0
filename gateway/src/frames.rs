//! Where frames of a WebSocket begin and end (RFC 6455 section 5.2), followed in bytes that pass by: headers are looked at,
//! payloads are counted. Pure, bounded, and copies nothing but the header under way.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use yunzhan_base::socket::CloseReason;

/// How long a client may take to agree that a socket is over.
pub(crate) const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Two bytes, eight of a long length, four of a mask.
const HEADER_BYTES_MAX: usize = 14;

/// What a control frame may carry; larger numbers announce a longer length.
const SHORT_PAYLOAD_MAX: u8 = 125;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const OPCODE_CLOSE: u8 = 0x8;

/// Who sends the frames: a client masks them, a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// Follows the frames of one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames {
    sender: Sender,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes of a header were seen; none of them between two frames.
    Header { bytes: [u8; HEADER_BYTES_MAX], count: usize },
    /// So many bytes of a payload are still to come.
    Payload { pending: u64, is_close: bool },
    /// A Close frame passed, after which nothing may follow.
    Closed,
    /// This is no WebSocket: nobody knows where anything begins.
    Lost,
}

/// What the bytes of a header say.
enum Header {
    /// So many bytes of it are needed before it says more.
    Needs(usize),
    Whole {
        payload_bytes: u64,
        is_close: bool,
    },
    Nonsense,
}

/// A Close frame with the reason's code and words, as this sender writes it.
pub(crate) fn close_frame(reason: CloseReason, sender: Sender) -> Vec<u8> {
    let mut payload = reason.code().to_be_bytes().to_vec();
    payload.extend_from_slice(reason.text().as_bytes());
    let length = u8::try_from(payload.len()).expect("a reason is a few words");
    debug_assert!(length <= SHORT_PAYLOAD_MAX);
    let mut frame = vec![FIN | OPCODE_CLOSE, length];
    if sender == Sender::Client {
        frame[1] |= MASKED;
        // The hasher's keys are random, which is all that a mask has to be.
        let mask = RandomState::new().build_hasher().finish().to_be_bytes();
        let mask = &mask[..4];
        frame.extend_from_slice(mask);
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
    frame.extend_from_slice(&payload);
    frame
}

// === impl Frames ===

impl Frames {
    /// The frames of a connection on which none was sent yet.
    pub(crate) const fn of(sender: Sender) -> Self {
        Self { sender, state: State::BETWEEN }
    }

    pub(crate) const fn sender(&self) -> Sender {
        self.sender
    }

    /// Follows bytes that were sent.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let followed = self.feed_to_boundary(bytes);
            bytes = &bytes[followed..];
        }
    }

    /// Follows bytes to the end of the frame under way, and gives how many they were: all, when it ends later.
    pub(crate) fn feed_to_boundary(&mut self, bytes: &[u8]) -> usize {
        let mut followed = 0;
        while followed < bytes.len() {
            followed += self.step(&bytes[followed..]);
            if self.is_between() || self.is_closed() {
                break;
            }
        }
        followed
    }

    /// Whether the next byte begins a frame.
    pub(crate) const fn is_between(&self) -> bool {
        matches!(self.state, State::Header { count: 0, .. })
    }

    /// Whether a whole Close frame passed.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether what passed cannot be frames.
    pub(crate) const fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// Follows one step, and gives how many bytes that were: one at least.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match &mut self.state {
            State::Closed | State::Lost => bytes.len(),
            State::Payload { pending, is_close } => {
                let count = bytes.len().min(usize::try_from(*pending).unwrap_or(usize::MAX));
                self.state = State::payload(*pending - count as u64, *is_close);
                count
            }
            State::Header { bytes: header, count } => {
                let needed = match read_header(&header[..*count], self.sender) {
                    Header::Needs(needed) => needed - *count,
                    Header::Whole { .. } | Header::Nonsense => unreachable!("left below"),
                };
                let added = needed.min(bytes.len());
                header[*count..*count + added].copy_from_slice(&bytes[..added]);
                *count += added;
                match read_header(&header[..*count], self.sender) {
                    Header::Needs(_) => {}
                    Header::Whole { payload_bytes, is_close } => {
                        self.state = State::payload(payload_bytes, is_close);
                    }
                    Header::Nonsense => self.state = State::Lost,
                }
                added
            }
        }
    }
}

/// Reads a header as far as its bytes go.
fn read_header(bytes: &[u8], sender: Sender) -> Header {
    let &[first, second, ref rest @ ..] = bytes else { return Header::Needs(2) };
    let (opcode, short) = (first & OPCODE, second & !MASKED);
    let is_masked = second & MASKED != 0;
    let is_control = opcode >= OPCODE_CLOSE;
    let is_whole_control = first & FIN != 0 && short <= SHORT_PAYLOAD_MAX;
    let is_known = matches!(opcode, 0x0..=0x2 | 0x8..=0xa);
    if !is_known || is_masked != (sender == Sender::Client) || (is_control && !is_whole_control) {
        return Header::Nonsense;
    }
    let length_bytes = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let needed = 2 + length_bytes + if is_masked { 4 } else { 0 };
    if bytes.len() < needed {
        return Header::Needs(needed);
    }
    let payload_bytes = match length_bytes {
        0 => u64::from(short),
        _ => rest[..length_bytes].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    if payload_bytes > i64::MAX as u64 {
        return Header::Nonsense;
    }
    Header::Whole { payload_bytes, is_close: opcode == OPCODE_CLOSE }
}

// === impl State ===

impl State {
    const BETWEEN: Self = Self::Header { bytes: [0; HEADER_BYTES_MAX], count: 0 };

    /// In a payload of which so much is to come.
    const fn payload(pending: u64, is_close: bool) -> Self {
        match (pending, is_close) {
            (0, true) => Self::Closed,
            (0, false) => Self::BETWEEN,
            _ => Self::Payload { pending, is_close },
        }
    }
}

#[cfg(test)]
mod tests;
