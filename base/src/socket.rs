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
    /// 1002: the client's frames break the protocol.
    Protocol,
    /// 1007: a text is not UTF-8.
    NotUtf8,
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

/// The gateway's way to the service: what the client sends.
#[derive(Debug)]
pub struct SocketInbox(mpsc::Sender<Message>);

/// The gateway's way from the service: what the client gets.
#[derive(Debug)]
pub struct SocketOutbox(mpsc::Receiver<Message>);

/// The socket's other side is gone: the client left, or the gateway ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

// === impl CloseReason ===

impl CloseReason {
    /// The code on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::Policy => 1008,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
        }
    }

    /// A few words beside the code.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Normal => "done",
            Self::GoingAway => "the server is restarting; connect again",
            Self::Protocol => "the frame breaks the protocol",
            Self::NotUtf8 => "a text is not UTF-8",
            Self::Policy => "the session has ended",
            Self::TooLarge => "the message is too large",
            Self::Internal => "an internal error",
        }
    }
}

// === impl Socket ===

impl SocketInbox {
    /// Waits until the service has room for a message, or is gone.
    pub async fn ready(&mut self) -> Result<(), Closed> {
        poll_fn(|context| self.0.poll_ready(context)).await.map_err(|_| Closed)
    }

    /// Hands a message over, after [`SocketInbox::ready`].
    pub fn deliver(&mut self, message: Message) -> Result<(), Closed> {
        self.0.start_send(message).map_err(|_| Closed)
    }
}

impl SocketOutbox {
    /// The next message that the service sends; none once it is done.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await
    }
}

impl Socket {
    /// A new socket: the service's side, and the gateway's ways to and from it.
    pub fn open() -> (Self, SocketInbox, SocketOutbox) {
        let (to_service, incoming) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (outgoing, from_service) = mpsc::channel(MESSAGES_WAITING_MAX);
        (Self { incoming, outgoing }, SocketInbox(to_service), SocketOutbox(from_service))
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
