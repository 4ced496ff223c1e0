//! The framing of a served WebSocket, octet by octet: the chapters of the public Autobahn test suite, in cases of our own.
//!
//! A case is what a client sends and what the echo service's gateway says, both as text. Frames stand between bars:
//! `OPCODE[+] PAYLOAD`, where `+` means that the message goes on; a payload is `#HEX`, `x*LENGTH`, or the text itself. A
//! `wait` stands where the client reads a frame before it goes on. What the server does otherwise than the suite would like
//! is in [`DEVIATIONS`], with the reason.

use std::fmt::Write;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Served, serve};

type Case = (&'static str, &'static str);

/// Chapter 1: every form of a length, in both kinds of message.
const LENGTHS: &[Case] = &[
    ("text", "text"),
    ("text x*1", "text x*1"),
    ("text x*125", "text x*125"),
    ("text x*126", "text x*126"),
    ("text x*127", "text x*127"),
    ("text x*128", "text x*128"),
    ("text x*65535", "text x*65535"),
    ("text x*65536", "text x*65536"),
    ("binary", "binary"),
    ("binary x*1", "binary x*1"),
    ("binary x*125", "binary x*125"),
    ("binary x*126", "binary x*126"),
    ("binary x*127", "binary x*127"),
    ("binary x*128", "binary x*128"),
    ("binary x*65535", "binary x*65535"),
    ("binary x*65536", "binary x*65536"),
    ("binary #00fffefdfcfb00ff", "binary #00fffefdfcfb00ff"),
];

/// Chapter 2: pings are answered with what they hold, pongs that nobody asked for are passed over.
const PINGS: &[Case] = &[
    ("ping", "pong"),
    ("ping hello", "pong hello"),
    ("ping #00fffefdfcfb00ff", "pong #00fffefdfcfb00ff"),
    ("ping x*125", "pong x*125"),
    ("ping x*126", "close 1002"),
    ("pong", ""),
    ("pong unasked", ""),
    ("pong unasked | ping after", "pong after"),
    ("pong x*126", "close 1002"),
    ("ping 1 | ping 2 | ping 3 | ping 4", "pong 1 | pong 2 | pong 3 | pong 4"),
    ("ping+ half", "close 1002"),
];

/// Chapter 3: bits that no extension has given a meaning.
const RESERVED_BITS: &[Case] = &[
    ("rsv1:text a", "close 1002"),
    ("text a | wait | rsv2:text b", "text a | close 1002"),
    ("text a | wait | rsv3:binary b | ping", "text a | close 1002"),
    ("rsv1:ping", "close 1002"),
    ("rsv2:pong", "close 1002"),
    ("rsv3:close 1000", "close 1002"),
    ("text+ a | rsv1:cont b", "close 1002"),
];

/// Chapter 4: operations that do not exist.
const RESERVED_OPERATIONS: &[Case] = &[
    ("op3", "close 1002"),
    ("op4 data", "close 1002"),
    ("text a | wait | op5 | ping", "text a | close 1002"),
    ("op6 data", "close 1002"),
    ("op7", "close 1002"),
    ("op11", "close 1002"),
    ("op12 data", "close 1002"),
    ("text a | wait | op13 | ping", "text a | close 1002"),
    ("op14 data", "close 1002"),
    ("op15", "close 1002"),
];

/// Chapter 5: messages in pieces.
const FRAGMENTS: &[Case] = &[
    ("text+ he | cont llo", "text hello"),
    ("binary+ #00 | cont+ #01 | cont #02", "binary #000102"),
    ("text+ | cont+ | cont", "text"),
    ("text+ | cont+ middle | cont", "text middle"),
    ("text+ he | ping between | cont llo", "pong between | text hello"),
    ("text+ a | ping 1 | cont+ b | ping 2 | cont c", "pong 1 | pong 2 | text abc"),
    ("text+ he | pong unasked | cont llo", "text hello"),
    ("text+ he | close 1000", "close 1000"),
    ("cont alone", "close 1002"),
    ("cont+ alone | text a", "close 1002"),
    ("text a | wait | cont b", "text a | close 1002"),
    ("text+ a | text b", "close 1002"),
    ("text+ a | binary b", "close 1002"),
    ("text+ a | text+ b | cont c", "close 1002"),
    ("text+ a | cont b | wait | cont c", "text ab | close 1002"),
    ("ping+ a | cont b", "close 1002"),
];

/// Chapter 6: text is UTF-8, also where a character lies in two pieces, and what is none ends at its piece.
const TEXTS: &[Case] = &[
    ("text 云栈", "text 云栈"),
    ("text+ #ce | cont #bae1bdb9cf83cebcceb5", "text #cebae1bdb9cf83cebcceb5"),
    ("text+ #f0 | cont+ #90 | cont+ #80 | cont #80", "text #f0908080"),
    ("text+ 云 | ping between | cont 栈", "pong between | text 云栈"),
    // The first and the last of each length, and those that are no characters but may stand in a text.
    ("text #00", "text #00"),
    ("text #7f", "text #7f"),
    ("text #c280", "text #c280"),
    ("text #dfbf", "text #dfbf"),
    ("text #e0a080", "text #e0a080"),
    ("text #ed9fbf", "text #ed9fbf"),
    ("text #ee8080", "text #ee8080"),
    ("text #efbfbd", "text #efbfbd"),
    ("text #efbfbe", "text #efbfbe"),
    ("text #efbfbf", "text #efbfbf"),
    ("text #f0908080", "text #f0908080"),
    ("text #f48fbfbf", "text #f48fbfbf"),
    // What continues nothing, what is cut off, and bytes that occur nowhere.
    ("text #80", "close 1007"),
    ("text #bf", "close 1007"),
    ("text #ce", "close 1007"),
    ("text #e282", "close 1007"),
    ("text #f09080", "close 1007"),
    ("text #cece", "close 1007"),
    ("text #fe", "close 1007"),
    ("text #ff", "close 1007"),
    // More bytes than needed, halves of pairs, and what lies beyond the last.
    ("text #c0af", "close 1007"),
    ("text #c1bf", "close 1007"),
    ("text #e080af", "close 1007"),
    ("text #e09fbf", "close 1007"),
    ("text #f08080af", "close 1007"),
    ("text #f08fbfbf", "close 1007"),
    ("text #eda080", "close 1007"),
    ("text #edbfbf", "close 1007"),
    ("text #f4908080", "close 1007"),
    ("text #f888808080", "close 1007"),
    ("text #fc8480808080", "close 1007"),
    ("text+ #ce | cont #ce", "close 1007"),
    ("text+ #ce | cont", "close 1007"),
    // The rest of the message never comes.
    ("text+ #ceba | cont+ #eda080", "close 1007"),
    ("text+ #ff", "close 1007"),
    ("text+ fine | cont+ #f4 | cont+ #90", "close 1007"),
    ("binary #fffe", "binary #fffe"),
];

/// Chapter 7: the end, with the codes that may be said and those that may not.
const CLOSES: &[Case] = &[
    ("close", "close"),
    ("close 1000", "close 1000"),
    ("close 1000 bye", "close 1000 bye"),
    ("close 1000 x*123", "close 1000 x*123"),
    ("close 1000 x*124", "close 1002"),
    ("close #03", "close 1002"),
    ("close #03e8ff", "close 1007"),
    ("close #03e8eda080", "close 1007"),
    ("close 1000 | text late", "close 1000"),
    ("close 1000 | ping late", "close 1000"),
    ("close 1000 | close 1000", "close 1000"),
    ("text+ a | close 1000 | cont b", "close 1000"),
    ("close 1001", "close 1001"),
    ("close 1002", "close 1002"),
    ("close 1003", "close 1003"),
    ("close 1007", "close 1007"),
    ("close 1008", "close 1008"),
    ("close 1009", "close 1009"),
    ("close 1010", "close 1010"),
    ("close 1011", "close 1011"),
    ("close 1012", "close 1012"),
    ("close 1013", "close 1013"),
    ("close 3000", "close 3000"),
    ("close 3999", "close 3999"),
    ("close 4000", "close 4000"),
    ("close 4999", "close 4999"),
    ("close 0", "close 1002"),
    ("close 999", "close 1002"),
    ("close 1004", "close 1002"),
    ("close 1005", "close 1002"),
    ("close 1006", "close 1002"),
    ("close 1015", "close 1002"),
    ("close 1016", "close 1002"),
    ("close 1100", "close 1002"),
    ("close 2000", "close 1002"),
    ("close 2999", "close 1002"),
    ("close 5000", "close 1002"),
    ("close 65535", "close 1002"),
    ("text go", "close 1000 done"),
];

/// Masks and bounds, which the suite has in its chapters 9 and 10.
const BOUNDS: &[Case] = &[
    ("unmasked:text a", "close 1002"),
    ("unmasked:ping", "close 1002"),
    ("unmasked:close 1000", "close 1002"),
    ("text x*65537", "close 1009"),
    ("binary+ x*65536 | cont x*1", "close 1009"),
    ("text+ x*40000 | cont+ x*40000", "close 1009"),
];

/// What the suite, or a strict reader of RFC 6455, would like otherwise.
const DEVIATIONS: &[Case] = &[
    // Registered after the RFC (1014, bad gateway); the library takes it for unknown. The socket ends either way.
    ("close 1014", "close 1002"),
];

const WAIT_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn frames_are_answered_as_the_suite_asks() {
    let served = serve(|_| {}, None).await;
    let chapters = [
        LENGTHS,
        PINGS,
        RESERVED_BITS,
        RESERVED_OPERATIONS,
        FRAGMENTS,
        TEXTS,
        CLOSES,
        BOUNDS,
        DEVIATIONS,
    ];
    let mut wrong = String::new();
    for (sent, expected) in chapters.concat() {
        let expected = expected_of(expected);
        let answered = Peer::connect(&served).await.play(sent, &expected).await;
        if answered != expected {
            writeln!(wrong, "{sent}\n  expected {expected}\n  answered {answered}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Where a frame is cut by the network says nothing.
#[tokio::test]
async fn frames_may_arrive_octet_by_octet() {
    let served = serve(|_| {}, None).await;
    for (sent, expected) in [
        ("text x*126", "text x*126"),
        ("text+ 云 | ping between | cont 栈", "pong between | text 云栈"),
        ("text #eda080", "close 1007"),
        ("op3", "close 1002"),
        ("close 1000 bye", "close 1000 bye"),
    ] {
        let mut peer = Peer::connect(&served).await;
        peer.piece_bytes = 1;
        let expected = expected_of(expected);
        assert_eq!(peer.play(sent, &expected).await, expected, "{sent}");
    }
}

/// A client that sends all of a message before it reads hears why the message was too large.
#[tokio::test]
async fn a_client_that_is_not_through_with_its_message_hears_the_code() {
    let served = serve(|_| {}, None).await;
    for (sent, code) in [
        ("binary x*16777216", "close 1009"),
        ("op3 x*16777216", "close 1002"),
        ("ping x*60000", "close 1002"),
    ] {
        let mut peer = Peer::connect(&served).await;
        let frame = Frame::parse(sent).bytes();
        peer.stream.write_all(&frame).await.unwrap_or_else(|error| panic!("{sent}: {error}"));
        assert_eq!(peer.read_frame().await.as_deref(), Some(code), "{sent}");
        assert_eq!(peer.read_frame().await, None, "{sent}");
    }
}

/// What is expected, spelled as frames of the server's are.
fn expected_of(frames: &str) -> String {
    let frames = frames.split(" | ").filter(|frame| !frame.is_empty()).map(Frame::parse);
    frames.map(|frame| shown(frame.first, &frame.payload)).collect::<Vec<_>>().join(" | ")
}

/// A client behind a handshake that went well.
struct Peer {
    stream: TcpStream,
    /// How much is written at once.
    piece_bytes: usize,
}

impl Peer {
    async fn connect(served: &Served) -> Self {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let handshake = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(handshake.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self { stream, piece_bytes: usize::MAX }
    }

    /// Sends the frames of a case and gives what came back. A case that does not end the socket is ended by the client,
    /// so that nothing more than expected came.
    async fn play(&mut self, sent: &str, expected: &str) -> String {
        let mut answered = Vec::new();
        for frame in sent.split(" | ") {
            match frame {
                "wait" => answered.extend(self.read_frame().await),
                frame => self.write(frame).await,
            }
        }
        let ends = expected.split(" | ").any(|frame| frame.starts_with("close"));
        if !ends {
            let frames = expected.split(" | ").filter(|frame| !frame.is_empty()).count();
            while answered.len() < frames
                && let Some(frame) = self.read_frame().await
            {
                answered.push(frame);
            }
            self.write("close 1000").await;
        }
        while let Some(frame) = self.read_frame().await {
            let is_close = frame.starts_with("close");
            answered.push(frame);
            if is_close {
                // The other half of the farewell; a server that failed the socket may be gone already.
                let _ = self.stream.write_all(&Frame::parse("close 1000").bytes()).await;
            }
        }
        if !ends {
            assert_eq!(answered.pop().as_deref(), Some("close 1000"), "{sent}");
        }
        answered.join(" | ")
    }

    async fn write(&mut self, frame: &str) {
        let bytes = Frame::parse(frame).bytes();
        for piece in bytes.chunks(self.piece_bytes.min(bytes.len())) {
            // A server that failed the socket takes no more.
            if self.stream.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The next frame as text; none at the end.
    async fn read_frame(&mut self) -> Option<String> {
        let read = async {
            let first = self.stream.read_u8().await.ok()?;
            let length = match self.stream.read_u8().await.ok()? {
                126 => u64::from(self.stream.read_u16().await.ok()?),
                127 => self.stream.read_u64().await.ok()?,
                // A mask's bit would make it longer than any frame of ours.
                length => length.into(),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(shown(first, &payload))
        };
        tokio::time::timeout(WAIT_MAX, read).await.unwrap_or_else(|_| Some("silence".into()))
    }
}

/// A frame that a client sends.
struct Frame {
    /// The bits before the operation, and the operation.
    first: u8,
    is_masked: bool,
    payload: Vec<u8>,
}

const OPERATIONS: [(&str, u8); 6] =
    [("cont", 0), ("text", 1), ("binary", 2), ("close", 8), ("ping", 9), ("pong", 10)];

impl Frame {
    fn parse(text: &str) -> Self {
        let (kind, payload) = text.split_once(' ').unwrap_or((text, ""));
        let (flag, kind) = kind.split_once(':').unwrap_or(("", kind));
        let bits = match flag {
            "rsv1" => 0x40,
            "rsv2" => 0x20,
            "rsv3" => 0x10,
            _ => 0,
        };
        let last = if kind.ends_with('+') { 0 } else { 0x80 };
        let kind = kind.trim_end_matches('+');
        let known =
            OPERATIONS.iter().find(|(name, _)| *name == kind).map(|(_, operation)| *operation);
        let operation = known.unwrap_or_else(|| kind.strip_prefix("op").unwrap().parse().unwrap());
        let payload = match operation {
            8 => close_payload(payload),
            _ => bytes_of(payload),
        };
        Self { first: last | bits | operation, is_masked: flag != "unmasked", payload }
    }

    fn bytes(&self) -> Vec<u8> {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let mask_bit = if self.is_masked { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        match self.payload.len() {
            length @ 0..126 => bytes.push(mask_bit | length as u8),
            length @ 126..65536 => {
                bytes.push(mask_bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(mask_bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if !self.is_masked {
            bytes.extend(&self.payload);
            return bytes;
        }
        bytes.extend(MASK);
        bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

fn bytes_of(payload: &str) -> Vec<u8> {
    if let Some(hex) = payload.strip_prefix('#') {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        return (0..hex.len()).step_by(2).map(byte).collect();
    }
    match payload.strip_prefix("x*") {
        Some(length) => vec![b'x'; length.parse().unwrap()],
        None => payload.into(),
    }
}

fn close_payload(payload: &str) -> Vec<u8> {
    let (code, reason) = payload.split_once(' ').unwrap_or((payload, ""));
    match code.parse::<u16>() {
        Ok(code) => [&code.to_be_bytes()[..], &bytes_of(reason)].concat(),
        Err(_) => bytes_of(payload),
    }
}

/// A frame of the server's as text. Its reasons are left out where they are its own words for a code.
fn shown(first: u8, payload: &[u8]) -> String {
    let operation = OPERATIONS.iter().find(|(_, operation)| *operation == first & 0x0f);
    let name = operation.map_or("unknown", |(name, _)| *name);
    let bits = if first & 0xf0 == 0x80 { "" } else { "odd bits: " };
    let payload = match (name, payload) {
        ("close", [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            let is_echo = !reason.contains(&b' ');
            format!("{code} {}", if is_echo { payload_of(reason) } else { String::new() })
        }
        (_, payload) => payload_of(payload),
    };
    format!("{bits}{name} {payload}").trim_end().to_owned()
}

fn payload_of(payload: &[u8]) -> String {
    if !payload.is_empty() && payload.iter().all(|byte| *byte == b'x') {
        return format!("x*{}", payload.len());
    }
    match std::str::from_utf8(payload) {
        Ok(text) if text.chars().all(|char| char.is_alphanumeric() || char == ' ') => {
            text.to_owned()
        }
        _ => payload.iter().fold("#".to_owned(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        }),
    }
}
