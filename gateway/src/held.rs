//! The request's body: read once, up to a bound, and then shared by everyone who needs it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use yunzhan_base::{Body, Error, Kind, Result};
use yunzhan_net::timed::Timed;

/// Where the body is.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// Still on the connection.
    Unread(Incoming),
    /// All of it is here; a copy costs a reference count.
    Held(Bytes),
    /// Streamed to an upstream.
    Gone,
}

impl RequestBody {
    /// An empty body is held from the start.
    pub(crate) fn new(body: Incoming) -> Self {
        if body.is_end_stream() { Self::Held(Bytes::new()) } else { Self::Unread(body) }
    }

    /// Reads the body whole. Over `bytes_max` it is refused before a byte is read when its length is declared, and as soon
    /// as it is exceeded otherwise; `wait_max` bounds the time as a whole.
    pub(crate) async fn hold(&mut self, bytes_max: usize, wait_max: Duration) -> Result<Bytes> {
        match std::mem::replace(self, Self::Gone) {
            Self::Held(bytes) => *self = Self::Held(bytes),
            Self::Gone => {
                return Err(Error::internal("the body was streamed away before it was needed"));
            }
            Self::Unread(body) => {
                let read = tokio::time::timeout(wait_max, collect(body, bytes_max));
                let bytes = read.await.map_err(|_| {
                    Error::new(
                        Kind::Timeout,
                        format!("the body did not arrive within {} s", wait_max.as_secs()),
                    )
                })??;
                *self = Self::Held(bytes);
            }
        }
        let Self::Held(bytes) = self else { unreachable!("held above") };
        if bytes.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        Ok(bytes.clone())
    }

    /// The body for an upstream: a copy when it is held, else the stream itself, once.
    pub(crate) fn forward(&mut self, wait_max: Duration, bytes_max: usize) -> Result<Body> {
        match std::mem::replace(self, Self::Gone) {
            Self::Held(bytes) => {
                *self = Self::Held(bytes.clone());
                Ok(bytes.into())
            }
            Self::Unread(body) if body.size_hint().lower() > bytes_max as u64 => {
                Err(too_large(bytes_max))
            }
            Self::Unread(body) => {
                let bounded = http_body_util::Limited::new(Timed::new(body, wait_max), bytes_max);
                Ok(Body::streaming(bounded))
            }
            Self::Gone => Err(Error::internal("the body was streamed away already")),
        }
    }

    /// Whether the same bytes can be sent again.
    pub(crate) fn can_replay(&self) -> bool {
        matches!(self, Self::Held(_))
    }
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(
        Kind::TooLarge,
        format!("the body is larger than {bytes_max} bytes; split it or upload it as a file"),
    )
}

async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Bytes> {
    let declared = body.size_hint().lower();
    if declared > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broke = |error| {
            Error::new(Kind::Malformed, "the body ended before its declared length").because(error)
        };
        let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
        if first.len() + more.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        // Nearly every body arrives in one piece and is then never copied.
        if first.is_empty() && more.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}
