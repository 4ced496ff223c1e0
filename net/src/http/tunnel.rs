//! A connection to an upstream that switched protocols: bytes in both directions, in a protocol that we do not read.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::stream::Stream;

/// Bytes that travel at once in one direction.
const PIECE_BYTES: usize = 8 << 10;

/// How long either side may take to hear that it is over.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// The upstream's side of an upgraded connection.
pub struct Tunnel(pub(super) Box<dyn Stream>);

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// One side closed, and the other side took everything that was under way.
    Closed,
    /// Nothing travelled in either direction for too long.
    Idle,
}

impl Tunnel {
    /// Passes bytes both ways until one side closes, breaks, or nothing moves in either direction for `idle_max`. Adds the
    /// bytes that the client took to `sent`, also when this is dropped.
    pub async fn join<S>(self, client: S, idle_max: Duration, sent: &AtomicU64) -> TunnelEnd
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut client_read, mut client_write) = tokio::io::split(client);
        let (mut upstream_read, mut upstream_write) = tokio::io::split(self.0);
        let moved = Moved { begun: Instant::now(), last_ms: AtomicU64::new(0) };
        // Each direction by itself: a side that does not read keeps nobody from reading what it wrote.
        let uncounted = AtomicU64::new(0);
        let end = tokio::select! {
            () = pump(&mut client_read, &mut upstream_write, &moved, &uncounted) => TunnelEnd::Closed,
            () = pump(&mut upstream_read, &mut client_write, &moved, sent) => TunnelEnd::Closed,
            () = moved.idle(idle_max) => TunnelEnd::Idle,
        };
        // Both sides learn of the end; how they take it changes nothing.
        let farewell = async { tokio::join!(client_write.shutdown(), upstream_write.shutdown()) };
        let _ = tokio::time::timeout(SHUTDOWN_MAX, farewell).await;
        end
    }
}

/// When a byte moved last.
struct Moved {
    begun: Instant,
    last_ms: AtomicU64,
}

impl Moved {
    fn touch(&self) {
        let now_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Ends when nothing moved for so long.
    async fn idle(&self, idle_max: Duration) {
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let due = self.begun + last + idle_max;
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

/// Copies until the end or an error of either side.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Moved,
    count: &AtomicU64,
) {
    loop {
        let Ok(piece) = next_piece(from).await else { return };
        if piece.is_empty() {
            return;
        }
        moved.touch();
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let Ok(written @ 1..) = to.write(rest).await else { return };
            moved.touch();
            count.fetch_add(written as u64, Ordering::Relaxed);
            rest = &rest[written..];
        }
        if to.flush().await.is_err() {
            return;
        }
    }
}

/// What arrives next; nothing at the end. Its room is on the stack while it is waited for: a tunnel is idle nearly all of its
/// time, and keeps no buffer then.
async fn next_piece(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    poll_fn(|context| {
        let mut room = [const { MaybeUninit::uninit() }; PIECE_BYTES];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *from).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().to_vec()))
    })
    .await
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    fn tunnel() -> (Tunnel, DuplexStream, DuplexStream, DuplexStream) {
        let (upstream, far_upstream) = duplex(64);
        let (client, far_client) = duplex(64);
        (Tunnel(Box::new(upstream)), far_upstream, client, far_client)
    }

    #[tokio::test]
    async fn a_side_that_only_writes_blocks_nobody() {
        let (tunnel, far_upstream, client, mut far_client) = tunnel();
        tokio::spawn(async move {
            let sent = AtomicU64::new(0);
            tunnel.join(client, Duration::from_secs(60), &sent).await
        });
        // The upstream says everything again; the client writes far more than fits anywhere before it reads.
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(far_upstream);
            tokio::io::copy(&mut read, &mut write).await
        });
        let (mut read, mut write) = tokio::io::split(&mut far_client);
        let writing = async { write.write_all(&[1; 100_000]).await.unwrap() };
        let mut seen = vec![0; 100_000];
        tokio::join!(writing, async { read.read_exact(&mut seen).await.unwrap() });
        assert_eq!(seen, [1; 100_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_that_nobody_reads_ends_idle() {
        let (tunnel, mut far_upstream, client, _far_client) = tunnel();
        let flooding = tokio::spawn(async move { far_upstream.write_all(&[1; 100_000]).await });
        let sent = AtomicU64::new(0);
        let end = tunnel.join(client, Duration::from_secs(60), &sent).await;
        assert_eq!(end, TunnelEnd::Idle);
        assert_eq!(sent.load(Ordering::Relaxed), 64);
        assert!(flooding.await.unwrap().is_err());
    }
}
