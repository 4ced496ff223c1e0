//! A WebSocket as a service sees it: two bounded channels of messages. Framing, pings, bounds and the end are the gateway's.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_core::Stream;

/// Messages that may wait in either direction before the other side has to.
pub const MESSAGES_WAITING_MAX: usize = 16;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text in UTF-8.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

/// Why a socket ends, with its code (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// 1000: done.
    Normal,
    /// 1001: the server drains; connect again, somebody else answers.
    GoingAway,
    /// 1008: the session was revoked, the address banned, the environment deleted, or a bound was reached.
    Policy,
    /// 1009: a message was larger than its bound.
    TooLarge,
    /// 1011: a fault of ours.
    Internal,
}

/// The service's side of a WebSocket.
#[derive(Debug)]
pub struct Socket {
    incoming: mpsc::Receiver<Message>,
    outgoing: mpsc::Sender<Message>,
}

/// The gateway's side of a [`Socket`].
#[derive(Debug)]
pub struct SocketPeer {
    /// What the client sent.
    pub incoming: mpsc::Sender<Message>,
    /// What the service sends.
    pub outgoing: mpsc::Receiver<Message>,
}

/// The socket's other side is gone: the client left, or the gateway ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

// === impl CloseReason ===

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Normal, Self::GoingAway, Self::Policy, Self::TooLarge, Self::Internal];

    /// The code on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Policy => 1008,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
        }
    }
}

// === impl Socket ===

impl Socket {
    /// Both sides of a new socket.
    pub fn pair() -> (Self, SocketPeer) {
        let (to_service, incoming) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (outgoing, from_service) = mpsc::channel(MESSAGES_WAITING_MAX);
        (Self { incoming, outgoing }, SocketPeer { incoming: to_service, outgoing: from_service })
    }

    /// The next message; none once the client is gone or the gateway ended the socket.
    pub async fn receive(&mut self) -> Option<Message> {
        poll_fn(|context| Pin::new(&mut self.incoming).poll_next(context)).await
    }

    /// Sends a message, after waiting for a client that takes them slowly.
    pub async fn send(&mut self, message: Message) -> Result<(), Closed> {
        poll_fn(|context| self.outgoing.poll_ready(context)).await.map_err(|_| Closed)?;
        self.outgoing.start_send(message).map_err(|_| Closed)
    }
}
