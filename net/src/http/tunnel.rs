//! A connection to an upstream that switched protocols: bytes in both directions, in a protocol that we do not read.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::stream::Stream;

/// Bytes that travel at once in one direction.
const PIECE_BYTES: usize = 8 << 10;

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
    /// Passes bytes both ways until one side closes, breaks, or neither sends anything for `idle_max`. Gives the bytes that
    /// went to the client.
    pub async fn join<S>(self, client: S, idle_max: Duration) -> (TunnelEnd, u64)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut client, mut upstream) = (client, self.0);
        let (mut from_client, mut from_upstream) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        let mut sent = 0;
        let mut last = Instant::now();
        loop {
            let end = tokio::select! {
                read = client.read(&mut from_client) => match read {
                    Ok(count @ 1..) => upstream.write_all(&from_client[..count]).await.is_err(),
                    _ => true,
                },
                read = upstream.read(&mut from_upstream) => match read {
                    Ok(count @ 1..) => {
                        sent += count as u64;
                        client.write_all(&from_upstream[..count]).await.is_err()
                    }
                    _ => true,
                },
                () = tokio::time::sleep_until(last + idle_max) => return (TunnelEnd::Idle, sent),
            };
            if end {
                // Both sides learn of the end; how the other one takes it changes nothing.
                let _ = tokio::join!(client.shutdown(), upstream.shutdown());
                return (TunnelEnd::Closed, sent);
            }
            last = Instant::now();
        }
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}
