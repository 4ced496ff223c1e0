//! The stream under hyper: it notes what arrives and whether the client takes what is sent, and writes targets as browsers do.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::exchange::ConnectionFacts;
use crate::head_scan::HeadScan;

/// A stream that notes arriving bytes, and what HTTP/1 heads among them say of their bodies.
pub(crate) struct ObservedStream<S> {
    stream: S,
    facts: Arc<ConnectionFacts>,
    scan: Option<HeadScan>,
    /// What did not fit when a target was written anew.
    pending: Vec<u8>,
    /// The wait for a client that still sends what nobody reads.
    linger: Option<Linger>,
}

struct Linger {
    until: Pin<Box<Sleep>>,
    bytes: u64,
}

/// How long a client may go on sending a body that was refused, until it reads the answer.
const LINGER_TIME_MAX: Duration = Duration::from_secs(10);

/// How much of it: four times the largest upload that routes accept by default.
const LINGER_BYTES_MAX: u64 = 64 << 20;

/// How much of it at once.
const LINGER_READ_BYTES: usize = 8 << 10;

// === impl ObservedStream ===

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.pending.is_empty() {
            self.fill_from_pending(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Self { facts, scan, pending, .. } = &mut *self;
        let (Some(scan), arrived) = (scan, &buffer.filled()[before..]) else { return polled };
        if arrived.is_empty() {
            return polled;
        }
        // The bytes of a body have a length that was declared: not one of them may become three.
        let is_target = scan.is_in_first_line()
            && facts.activity.is_between_requests()
            && facts.activity.body_bytes_due() == 0;
        let escaped = if is_target { escaped_target(arrived) } else { None };
        facts.activity.bytes_arrived(arrived, scan);
        if let Some(escaped) = escaped {
            *pending = escaped;
            buffer.set_filled(before);
            self.fill_from_pending(buffer);
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> ObservedStream<S> {
    /// Passes over what a client still sends of a body that was refused. Closing at once would reset the connection, and the
    /// client would lose the answer that says why (RFC 9112 section 9.6).
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Linger {
            until: Box::pin(tokio::time::sleep(LINGER_TIME_MAX)),
            bytes: 0,
        });
        let mut scratch = [const { MaybeUninit::uninit() }; LINGER_READ_BYTES];
        loop {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    linger.bytes += buffer.filled().len() as u64;
                    if linger.bytes > LINGER_BYTES_MAX {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return linger.until.as_mut().poll(context),
            }
        }
    }
}

impl<S> ObservedStream<S> {
    pub(crate) fn new(stream: S, facts: Arc<ConnectionFacts>, multiplexed: bool) -> Self {
        Self {
            stream,
            facts,
            scan: (!multiplexed).then(HeadScan::default),
            pending: Vec::new(),
            linger: None,
        }
    }

    fn fill_from_pending(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.pending.len().min(buffer.remaining());
        buffer.put_slice(&self.pending[..count]);
        self.pending.drain(..count);
    }
}

/// Bytes that have no place in a target (RFC 3986) and that old clients send all the same, written as every browser writes
/// them. Only the first line is looked at; nothing where there is nothing to do.
fn escaped_target(arrived: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memchr(b'\n', arrived).unwrap_or(arrived.len());
    memchr::memchr3(b'"', b'<', b'>', &arrived[..end])?;
    let mut escaped = Vec::with_capacity(arrived.len() + 64);
    for &byte in &arrived[..end] {
        match byte {
            b'"' => escaped.extend_from_slice(b"%22"),
            b'<' => escaped.extend_from_slice(b"%3C"),
            b'>' => escaped.extend_from_slice(b"%3E"),
            byte => escaped.push(byte),
        }
    }
    escaped.extend_from_slice(&arrived[end..]);
    Some(escaped)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ObservedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.facts.activity.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.facts.activity.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        // TLS takes bytes before the client does.
        self.facts.activity.wrote(&if polled.is_pending() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(0))
        });
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if !self.facts.activity.has_unread_body() {
            return Poll::Ready(Ok(()));
        }
        self.poll_linger(context).map(Ok)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::head_scan::Lengths;

    /// What a connection reads of bytes that arrive at once, after a request that declared a body of so many bytes.
    async fn read_behind(body_bytes: u64, arriving: &str) -> (String, Option<Lengths>) {
        let remote = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let facts = Arc::new(ConnectionFacts::new(remote, false, "http/1.1"));
        let mut scan = HeadScan::default();
        facts.activity.bytes_arrived(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", &mut scan);
        facts.activity.request_began(body_bytes);
        facts.activity.request_ended();
        let (stream, pending) = (arriving.as_bytes(), Vec::new());
        let mut noted = ObservedStream {
            stream,
            facts: Arc::clone(&facts),
            scan: Some(scan),
            pending,
            linger: None,
        };
        let mut read = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut noted, &mut read).await.unwrap();
        (String::from_utf8(read).unwrap(), facts.activity.request_began(0))
    }

    #[tokio::test]
    async fn a_body_that_nobody_waited_for_stays_as_long_as_it_is() {
        let next = "GET /a<b HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let (read, lengths) = read_behind(0, next).await;
        assert!(read.starts_with("GET /a%3Cb HTTP/1.1"), "{read}");
        assert_eq!(lengths.map(|it| it.content_length), Some(2));

        let body = "<\"\"\"> #\r\n\r\n";
        let (read, lengths) = read_behind(body.len() as u64, body).await;
        assert_eq!((read.as_str(), lengths), (body, None), "the body is no target and no head");

        let (read, lengths) = read_behind(body.len() as u64, &format!("{body}{next}")).await;
        assert_eq!(read, format!("{body}{next}"));
        assert_eq!(lengths.map(|it| (it.content_length, it.has_fragment)), Some((2, false)));
    }
}
