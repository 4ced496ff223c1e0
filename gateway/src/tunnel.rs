//! A WebSocket that passes through to an upstream: bytes in both directions, until one side closes or the gateway ends it.
//!
//! Messages are not read. What is followed is where frames begin ([`Frames`]), so that the end can be told in the protocol's
//! own words: the frame under way is completed, a Close frame follows it, and the other side's own is waited for. Where that
//! is not possible in time, the connections are cut.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};
use yunzhan_base::socket::CloseReason;

use crate::frames::{CLOSE_MAX, Frames, Sender, close_frame};

/// Bytes that travel at once in one direction.
const PIECE_BYTES: usize = 8 << 10;

/// How long the rest of a frame under way may take when the tunnel ends, with the Close frame behind it.
const FRAME_END_MAX: Duration = Duration::from_secs(2);

/// How long either side may take to hear that the connection is over.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// Passes bytes both ways until one side closes or breaks, nothing moves in either direction for `idle_max`, or `end` says
/// why it is over, which both sides are then told. Gives the bytes that the client took.
pub(crate) async fn pass<C, U>(
    client: C,
    upstream: U,
    idle_max: Duration,
    end: impl Future<Output = CloseReason>,
) -> u64
where
    C: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let (client_read, client_write) = tokio::io::split(client);
    let (upstream_read, upstream_write) = tokio::io::split(upstream);
    let moved = Moved { begun: Instant::now(), last_ms: AtomicU64::new(0) };
    let mut up = Direction::new(client_read, upstream_write, Sender::Client);
    let mut down = Direction::new(upstream_read, client_write, Sender::Server);
    // Each direction by itself: a side that does not read keeps nobody from reading what it wrote.
    let ended = tokio::select! {
        () = up.pass(&moved) => None,
        () = down.pass(&moved) => None,
        () = moved.idle(idle_max) => Some(CloseReason::Policy),
        reason = end => Some(reason),
    };
    let (mut is_client_told, mut is_upstream_told) = (false, false);
    if let Some(reason) = ended {
        // Whatever ended the client's access, it is not the upstream's fault: its client goes away.
        let telling = async { tokio::join!(down.close(reason), up.close(CloseReason::GoingAway)) };
        (is_client_told, is_upstream_told) = telling.await;
    }
    let Direction { source: of_client, to: mut to_upstream, .. } = up;
    let Direction { source: of_upstream, to: mut to_client, bytes } = down;
    let leave_client = async {
        match is_client_told {
            true => leave(Some(of_client), &mut to_client).await,
            false => linger(of_client, &mut to_client).await,
        }
    };
    tokio::join!(leave_client, leave(is_upstream_told.then_some(of_upstream), &mut to_upstream));
    bytes
}

/// Ends the connection of a client whose upstream ended the socket. What it still sends is passed over: a connection that is
/// dropped with bytes unread is reset, and a client in the middle of a message would not hear what the upstream said.
async fn linger<R: AsyncRead + Unpin>(
    mut of_client: Source<R>,
    to: &mut (impl AsyncWrite + Unpin),
) {
    if matches!(timeout(SHUTDOWN_MAX, to.shutdown()).await, Ok(Ok(()))) {
        let _ = timeout(CLOSE_MAX, of_client.pass_over()).await;
    }
}

/// Ends one side's connection, after it said that it knows where it was told. How it takes that changes nothing.
async fn leave<R: AsyncRead + Unpin>(told: Option<Source<R>>, to: &mut (impl AsyncWrite + Unpin)) {
    if let Some(mut source) = told {
        let _ = timeout(CLOSE_MAX, source.pass_over()).await;
    }
    let _ = timeout(SHUTDOWN_MAX, to.shutdown()).await;
}

/// One side's bytes on their way to the other.
struct Direction<R, W> {
    source: Source<R>,
    to: W,
    /// That were taken.
    bytes: u64,
}

/// What one side sends: a piece of it that was read, and where its frames begin.
struct Source<R> {
    from: R,
    /// What is pending; nothing while more is waited for.
    piece: Vec<u8>,
    taken: usize,
    /// Of all that is no longer pending.
    frames: Frames,
}

// === impl Direction ===

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Direction<R, W> {
    fn new(from: R, to: W, sender: Sender) -> Self {
        let (piece, frames) = (Vec::new(), Frames::of(sender));
        Self { source: Source { from, piece, taken: 0, frames }, to, bytes: 0 }
    }

    /// Passes bytes on until the end or an error of either side. May be dropped at any time, and then be closed.
    async fn pass(&mut self, moved: &Moved) {
        while self.source.fill().await {
            moved.touch();
            while !self.source.pending().is_empty() {
                if !self.write(usize::MAX).await {
                    return;
                }
                moved.touch();
            }
            if self.to.flush().await.is_err() {
                return;
            }
        }
    }

    /// Writes at most so many of the pending bytes; false when nobody takes them.
    async fn write(&mut self, bytes_max: usize) -> bool {
        let pending = self.source.pending();
        let pending = &pending[..pending.len().min(bytes_max)];
        let Ok(written @ 1..) = self.to.write(pending).await else { return false };
        self.source.advance(written);
        self.bytes += written as u64;
        true
    }

    /// Completes the frame under way and says that the socket is over, and why. False when that cannot be told.
    async fn close(&mut self, reason: CloseReason) -> bool {
        let telling = async {
            if !self.end_frame().await {
                return false;
            }
            // Whoever sent a Close frame may send nothing behind it.
            if !self.source.frames.is_closed() {
                let frame = close_frame(reason, self.source.frames.sender());
                if self.to.write_all(&frame).await.is_err() {
                    return false;
                }
            }
            self.to.flush().await.is_ok()
        };
        timeout(FRAME_END_MAX, telling).await.unwrap_or(false)
    }

    async fn end_frame(&mut self) -> bool {
        loop {
            let frames = &self.source.frames;
            if frames.is_lost() {
                return false;
            }
            if frames.is_between() || frames.is_closed() {
                return true;
            }
            if !self.source.fill().await {
                return false;
            }
            let mut ahead = self.source.frames;
            let bytes_max = ahead.feed_to_boundary(self.source.pending());
            if !self.write(bytes_max).await {
                return false;
            }
        }
    }
}

// === impl Source ===

impl<R: AsyncRead + Unpin> Source<R> {
    /// Reads a piece when none is pending; false at the end.
    async fn fill(&mut self) -> bool {
        if self.pending().is_empty() {
            (self.piece, self.taken) = (Vec::new(), 0);
            let Ok(piece) = next_piece(&mut self.from).await else { return false };
            self.piece = piece;
        }
        !self.piece.is_empty()
    }

    fn pending(&self) -> &[u8] {
        &self.piece[self.taken..]
    }

    /// So many bytes are no longer pending.
    fn advance(&mut self, count: usize) {
        self.frames.feed(&self.piece[self.taken..][..count]);
        self.taken += count;
    }

    /// Passes over what is still sent, until a Close frame or the end.
    async fn pass_over(&mut self) {
        while !self.frames.is_closed() && self.fill().await {
            self.advance(self.pending().len());
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

/// When a byte moved last.
struct Moved {
    begun: Instant,
    last_ms: AtomicU64,
}

// === impl Moved ===

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

#[cfg(test)]
mod tests;
