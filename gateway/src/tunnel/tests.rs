//! Tunnels between two far ends, and what each of them hears of the end.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

const IDLE_MAX: Duration = Duration::from_secs(60);

/// A tunnel between two far ends, which is told to end by a word.
struct Passing {
    client: DuplexStream,
    upstream: DuplexStream,
    end: Arc<Notify>,
    passing: JoinHandle<u64>,
}

/// Lets bytes pass; so many fit between a far end and the tunnel.
fn passing(buffer_bytes: usize, reason: CloseReason) -> Passing {
    let (upstream, far_upstream) = duplex(buffer_bytes);
    let (client, far_client) = duplex(buffer_bytes);
    let end = Arc::new(Notify::new());
    let told = Arc::clone(&end);
    let passing = tokio::spawn(async move {
        let end = async {
            told.notified().await;
            reason
        };
        pass(client, upstream, IDLE_MAX, end).await
    });
    Passing { client: far_client, upstream: far_upstream, end, passing }
}

/// The code of a Close frame's bytes, and the bytes behind it.
fn code_of(bytes: &[u8]) -> (u16, &[u8]) {
    assert_eq!(bytes[0], 0x88, "{bytes:?}");
    let (length, is_masked) = (usize::from(bytes[1] & 0x7f), bytes[1] & 0x80 != 0);
    let mask = if is_masked { [bytes[2], bytes[3]] } else { [0, 0] };
    let at = if is_masked { 6 } else { 2 };
    (u16::from_be_bytes([bytes[at] ^ mask[0], bytes[at + 1] ^ mask[1]]), &bytes[at + length..])
}

async fn read_to_end(from: &mut DuplexStream) -> Vec<u8> {
    let mut read = Vec::new();
    from.read_to_end(&mut read).await.unwrap();
    read
}

#[tokio::test]
async fn a_side_that_only_writes_blocks_nobody() {
    let Passing { mut client, upstream, .. } = passing(64, CloseReason::GoingAway);
    // The upstream says everything again; the client writes far more than fits anywhere before it reads.
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(upstream);
        tokio::io::copy(&mut read, &mut write).await
    });
    let (mut read, mut write) = tokio::io::split(&mut client);
    let writing = async { write.write_all(&[1; 100_000]).await.unwrap() };
    let mut seen = vec![0; 100_000];
    tokio::join!(writing, async { read.read_exact(&mut seen).await.unwrap() });
    assert_eq!(seen, [1; 100_000]);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_nobody_reads_ends_idle() {
    let Passing { client: _client, mut upstream, passing, .. } =
        passing(64, CloseReason::GoingAway);
    tokio::spawn(async move { upstream.write_all(&[1; 100_000]).await });
    let begun = Instant::now();
    assert_eq!(passing.await.unwrap(), 64);
    assert!(begun.elapsed() >= IDLE_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_silent_tunnel_is_told_that_it_was_silent() {
    let Passing { mut client, upstream: _upstream, passing, .. } =
        passing(1024, CloseReason::GoingAway);
    assert_eq!(code_of(&read_to_end(&mut client).await), (1008, &[][..]));
    passing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn both_sides_are_told_between_two_frames_and_not_waited_for_once_they_agree() {
    let Passing { mut client, mut upstream, end, passing } = passing(1024, CloseReason::Policy);
    let mut seen = [0; 4];
    // Two bytes of a text of four; the client is in the middle of a header.
    upstream.write_all(&[0x81, 4, b'h', b'a']).await.unwrap();
    client.read_exact(&mut seen).await.unwrap();
    client.write_all(&[0x81]).await.unwrap();
    upstream.read_exact(&mut seen[..1]).await.unwrap();
    let begun = Instant::now();
    end.notify_one();
    tokio::task::yield_now().await;
    upstream.write_all(&[b'l', b'f', 0x81, 1, b'x']).await.unwrap();
    client.write_all(&[0x82, 0, 0, 0, 0, b'y', b'y', 0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    let read = read_to_end(&mut client).await;
    assert_eq!(read[..2], *b"lf", "the rest of the frame, and not the next one");
    assert_eq!(code_of(&read[2..]), (1008, &[][..]));
    let mut read = vec![0; 7];
    upstream.read_exact(&mut read).await.unwrap();
    assert_eq!(read, [0x82, 0, 0, 0, 0, b'y', b'y']);
    upstream.write_all(&[0x88, 0]).await.unwrap();
    assert_eq!(code_of(&read_to_end(&mut upstream).await), (1001, &[][..]));
    passing.await.unwrap();
    assert!(begun.elapsed() < CLOSE_MAX, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_does_not_end_and_what_is_no_frame_are_cut() {
    for bytes in [&[0x82, 100, 1, 2][..], b"\x81\x84 no server masks"] {
        let Passing { mut client, mut upstream, end, passing } =
            passing(1024, CloseReason::GoingAway);
        upstream.write_all(bytes).await.unwrap();
        let mut seen = vec![0; bytes.len()];
        client.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, bytes);
        let begun = Instant::now();
        end.notify_one();
        assert_eq!(read_to_end(&mut client).await, b"", "{bytes:?}");
        passing.await.unwrap();
        assert!(begun.elapsed() <= FRAME_END_MAX + CLOSE_MAX, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_said_goodbye_says_it_once_and_whoever_never_does_is_left() {
    let Passing { mut client, mut upstream, end, passing } = passing(1024, CloseReason::GoingAway);
    upstream.write_all(&[0x88, 2, 3, 0xe8]).await.unwrap();
    let mut seen = [0; 4];
    client.read_exact(&mut seen).await.unwrap();
    let begun = Instant::now();
    end.notify_one();
    assert_eq!(read_to_end(&mut client).await, b"", "a second Close frame");
    passing.await.unwrap();
    assert!(begun.elapsed() >= CLOSE_MAX, "the client had its time: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_keeps_no_tunnel() {
    let Passing { client: _client, mut upstream, end, passing } =
        passing(16, CloseReason::GoingAway);
    // One frame of 65535 bytes, of which a few arrive.
    tokio::spawn(async move {
        upstream.write_all(&[0x82, 126, 0xff, 0xff]).await.unwrap();
        upstream.write_all(&[0; 0xffff]).await
    });
    tokio::task::yield_now().await;
    let begun = Instant::now();
    end.notify_one();
    passing.await.unwrap();
    assert!(begun.elapsed() <= FRAME_END_MAX + CLOSE_MAX, "{:?}", begun.elapsed());
}
