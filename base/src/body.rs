//! The body of a request or an answer on its way through the house.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::error;

/// An error of a body that streams: a broken connection, a bound that was reached.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

type Boxed = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>;

/// A body behind a pointer. Whoever polls it owns it, so the lock is never contended; it is what lets a call that holds a
/// body be shared between threads.
pub struct Stream(Mutex<Boxed>);

impl Stream {
    fn get_mut(&mut self) -> &mut Boxed {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(&self, look: impl FnOnce(&Boxed) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Bytes that are there already, or a stream of them with trailers. Answers of built-in services never allocate for it.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// All of it.
    Held(Bytes),
    /// As it comes.
    Streaming(Stream),
}

/// Sees a body piece by piece while it streams, and may end it.
pub trait Watch: Send {
    /// The next bytes. On an error the body breaks off instead of handing them on.
    fn chunk(&mut self, bytes: &Bytes) -> error::Result<()>;

    /// There are no more. Called before the last piece is handed on, so that whoever reads the body takes it for whole only
    /// when this said yes.
    fn end(&mut self) -> error::Result<()>;
}

impl Body {
    /// A body that arrives bit by bit.
    pub fn streaming<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::Streaming(Stream(Mutex::new(Box::pin(body))))
    }

    /// The bytes that are here. A body that is still arriving has none to show.
    pub fn held(&self) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        match self {
            Self::Held(bytes) => bytes,
            Self::Empty | Self::Streaming(_) => &NOTHING,
        }
    }

    /// The next bytes, none at the end. Trailers are passed over.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let frame = std::future::poll_fn(|context| {
                http_body::Body::poll_frame(Pin::new(&mut *self), context)
            });
            match frame.await?.map(Frame::into_data) {
                Ok(Ok(bytes)) => return Some(Ok(bytes)),
                Ok(Err(_trailers)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The error that broke a body as one of ours: what the gateway put there, or a broken connection.
pub fn into_error(error: BodyError) -> error::Error {
    match error.downcast::<error::Error>() {
        Ok(own) => *own,
        Err(other) => {
            let text = "the body ended before its declared length";
            error::Error::new(error::Kind::Malformed, text).because(other)
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Held(bytes) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Held(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Streaming(stream) => stream.get_mut().as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Held(_) => false,
            Self::Streaming(stream) => stream.look(http_body::Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Held(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streaming(stream) => stream.look(http_body::Body::size_hint),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies hold people's data; a log needs the size at most.
        match self {
            Self::Empty => f.write_str("Body(empty)"),
            Self::Held(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Self::Streaming(_) => f.write_str("Body(streaming)"),
        }
    }
}
