//! Frames followed wherever they are cut, beside a reading of everything from its beginning.

use proptest::prelude::*;

use super::*;

/// Where a direction stands, in a word.
fn place(frames: &Frames) -> &'static str {
    match (frames.is_between(), frames.is_closed(), frames.is_lost()) {
        (true, false, false) => "between",
        (false, true, false) => "closed",
        (false, false, true) => "lost",
        (false, false, false) => "inside",
        more => panic!("at two places at once: {more:?}"),
    }
}

/// The same, told by reading everything again from its beginning.
fn place_by_reading(mut bytes: &[u8], sender: Sender) -> &'static str {
    let mask_bytes = if sender == Sender::Client { 4 } else { 0 };
    loop {
        let (first, second) = match bytes {
            [] => return "between",
            [_] => return "inside",
            [first, second, ..] => (*first, *second),
        };
        let opcode = first % 16;
        let is_control = opcode > 7;
        if [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].contains(&opcode)
            || (second > 127) != (mask_bytes == 4)
            || (is_control && (first < 128 || second % 128 > 125))
        {
            return "lost";
        }
        let (length, at) = match (second % 128, bytes) {
            (126, [_, _, a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            (127, [_, _, a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10)
            }
            (126 | 127, _) => return "inside",
            (short, _) => (u64::from(short), 2),
        };
        let Some(rest) = bytes.get(at + mask_bytes..) else { return "inside" };
        if length > u64::MAX / 2 {
            return "lost";
        }
        if (rest.len() as u64) < length {
            return "inside";
        }
        if opcode == 8 {
            return "closed";
        }
        bytes = &rest[usize::try_from(length).expect("it is here")..];
    }
}

/// A frame with a payload of so many bytes.
fn frame(first: u8, payload_bytes: usize, sender: Sender) -> Vec<u8> {
    let mask = if sender == Sender::Client { MASKED } else { 0 };
    let mut frame = vec![first];
    match payload_bytes {
        0..126 => frame.push(mask | u8::try_from(payload_bytes).expect("short")),
        126..0x1_0000 => {
            frame.push(mask | 126);
            frame.extend(u16::try_from(payload_bytes).expect("short").to_be_bytes());
        }
        _ => {
            frame.push(mask | 127);
            frame.extend((payload_bytes as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(if sender == Sender::Client { &[1, 2, 3, 4] } else { &[] });
    frame.resize(frame.len() + payload_bytes, 0xff);
    frame
}

#[test]
fn frames_of_every_length_are_followed_wherever_they_are_cut() {
    for sender in [Sender::Client, Sender::Server] {
        let mut bytes = Vec::new();
        let mut boundaries = vec![0];
        for payload_bytes in [0, 1, 125, 126, 127, 300, 0xffff, 0x1_0000] {
            // A text's first part, a last part with an extension's bit, and a ping between them.
            for (first, payload_bytes) in [(0x01, payload_bytes), (0x89, 5), (0xc0, payload_bytes)]
            {
                bytes.extend(frame(first, payload_bytes, sender));
                boundaries.push(bytes.len());
            }
        }
        for cut in 0..=bytes.len() {
            let mut frames = Frames::of(sender);
            frames.feed(&bytes[..cut]);
            assert_eq!(frames.is_between(), boundaries.contains(&cut), "{sender:?} at {cut}");
            frames.feed(&bytes[cut..]);
            assert!(frames.is_between(), "{sender:?} cut at {cut}");
        }
        let mut frames = Frames::of(sender);
        bytes.iter().for_each(|byte| frames.feed(&[*byte]));
        assert!(frames.is_between(), "{sender:?} byte by byte");
    }
}

#[test]
fn a_boundary_is_where_the_frame_under_way_ends() {
    let mut frames = Frames::of(Sender::Server);
    let two = [frame(0x82, 300, Sender::Server), frame(0x81, 2, Sender::Server)].concat();
    frames.feed(&two[..3]);
    assert_eq!(frames.feed_to_boundary(&two[3..]), 301);
    assert!(frames.is_between());
    assert_eq!(frames.feed_to_boundary(&two[304..306]), 2);
    assert!(!frames.is_between(), "a frame that began is not over");
}

#[test]
fn a_close_frame_is_read_as_one_and_has_its_code() {
    for sender in [Sender::Client, Sender::Server] {
        let bytes = close_frame(CloseReason::GoingAway, sender);
        let mut frames = Frames::of(sender);
        frames.feed(&bytes);
        assert_eq!(place(&frames), "closed");
        let payload = match sender {
            Sender::Server => bytes[2..].to_vec(),
            Sender::Client => {
                let mask = bytes[2..6].iter().cycle();
                bytes[6..].iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
            }
        };
        assert_eq!(payload[..2], 1001_u16.to_be_bytes());
        assert_eq!(payload[2..], *CloseReason::GoingAway.text().as_bytes());
    }
}

#[test]
fn what_is_no_frame_is_lost_for_good() {
    for (bytes, why) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "a mask of a server's"),
        (&[0x83, 0x00], "a reserved opcode"),
        (&[0x09, 0x00], "a ping in two parts"),
        (&[0x88, 0x7e, 0, 200], "a long control frame"),
        (&[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], "a length beyond all bounds"),
    ] {
        let mut frames = Frames::of(Sender::Server);
        frames.feed(bytes);
        assert_eq!(place(&frames), "lost", "{why}");
        frames.feed(&frame(0x88, 2, Sender::Server));
        assert_eq!(place(&frames), "lost", "{why}");
    }
    let mut frames = Frames::of(Sender::Client);
    frames.feed(&[0x81, 0x01]);
    assert_eq!(place(&frames), "lost", "a client masks");
}

fn pieces() -> impl Strategy<Value = (Sender, Vec<u8>)> {
    let sender = prop_oneof![Just(Sender::Client), Just(Sender::Server)];
    sender.prop_flat_map(|sender| {
        let first =
            prop_oneof![8 => Just(0x82_u8), 4 => Just(0x89), 1 => Just(0x88), 1 => any::<u8>()];
        let length = prop_oneof![8 => 0_usize..130, 1 => 0xfff0_usize..0x1_0010];
        let piece = prop_oneof![
            12 => (first, length).prop_map(move |(first, length)| frame(first, length, sender)),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(move |all| (sender, all.concat()))
    })
}

proptest! {
    #[test]
    fn following_is_reading_again((sender, bytes) in pieces(), cuts in proptest::collection::vec(any::<u16>(), 0..8)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % (bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut frames = Frames::of(sender);
        let mut fed = 0;
        for cut in cuts {
            frames.feed(&bytes[fed..cut]);
            fed = cut;
            prop_assert_eq!(place(&frames), place_by_reading(&bytes[..cut], sender), "{} bytes", cut);
        }
    }
}
