//! The request's body: read once, up to a bound, and then shared by everyone who needs it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use yunzhan_base::{Body, Error, Kind, Result};
use yunzhan_net::timed::Timed;

/// What one permit of the budget stands for.
const PERMIT_BYTES: usize = 1024;

/// Bodies up to this size cost no more than the connection's own buffers do, and always pass: whoever fills the budget with
/// uploads must not stop everybody's small requests.
const SMALL_BODY_BYTES: usize = 16 << 10;

/// The memory that held bodies of one gateway may take together. Each body has a bound of its own, but thousands of
/// connections may each hold one, and an anonymous login is enough to send it.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// Where the body is.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// Still on the connection.
    Unread(Incoming),
    /// All of it is here; a copy costs a reference count. Its share of the budget is given back with the exchange.
    Held(Bytes, Option<OwnedSemaphorePermit>),
    /// Streamed to an upstream.
    Gone,
}

// === impl Budget ===

impl Budget {
    /// A budget of so many bytes, rounded down to whole permits.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / PERMIT_BYTES).min(Semaphore::MAX_PERMITS))))
    }

    /// Makes `share` large enough for `bytes`, or refuses: waiting would hold the connection as well.
    fn cover(&self, share: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<()> {
        if bytes <= SMALL_BODY_BYTES {
            return Ok(());
        }
        let has = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(lacks) = bytes.div_ceil(PERMIT_BYTES).checked_sub(has).filter(|lacks| *lacks > 0)
        else {
            return Ok(());
        };
        let lacks = u32::try_from(lacks).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.0).try_acquire_many_owned(lacks).map_err(|_| {
            Error::new(
                Kind::TooManyAtOnce,
                "too many large requests are under way; try again in a moment",
            )
        })?;
        match share {
            Some(share) => share.merge(more),
            None => *share = Some(more),
        }
        Ok(())
    }
}

// === impl RequestBody ===

impl RequestBody {
    /// An empty body is held from the start.
    pub(crate) fn new(body: Incoming) -> Self {
        if body.is_end_stream() { Self::Held(Bytes::new(), None) } else { Self::Unread(body) }
    }

    /// Reads the body whole. Over `bytes_max` it is refused before a byte is read when its length is declared, and as soon
    /// as it is exceeded otherwise; `wait_max` bounds the time as a whole, `budget` all bodies together.
    pub(crate) async fn hold(
        &mut self,
        bytes_max: usize,
        wait_max: Duration,
        budget: &Budget,
    ) -> Result<Bytes> {
        if let Self::Unread(_) = self {
            let Self::Unread(body) = std::mem::replace(self, Self::Gone) else {
                unreachable!("asked above")
            };
            let read = tokio::time::timeout(wait_max, collect(body, bytes_max, budget));
            let (bytes, share) = read.await.map_err(|_| late(wait_max))??;
            *self = Self::Held(bytes, share);
        }
        match self {
            Self::Held(bytes, _) if bytes.len() > bytes_max => Err(too_large(bytes_max)),
            Self::Held(bytes, _) => Ok(bytes.clone()),
            _ => Err(Error::internal("the body was streamed away before it was needed")),
        }
    }

    /// The body for an upstream: a copy when it is held, else the stream itself, once.
    pub(crate) fn forward(&mut self, wait_max: Duration, bytes_max: usize) -> Result<Body> {
        match std::mem::replace(self, Self::Gone) {
            Self::Held(bytes, share) => {
                *self = Self::Held(bytes.clone(), share);
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

    /// Whether it is known that there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Held(bytes, _) if bytes.is_empty())
    }

    /// Whether the same bytes can be sent again.
    pub(crate) fn can_replay(&self) -> bool {
        matches!(self, Self::Held(..))
    }
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(
        Kind::TooLarge,
        format!("the body is larger than {bytes_max} bytes; split it or upload it as a file"),
    )
}

fn late(wait_max: Duration) -> Error {
    Error::new(Kind::Timeout, format!("the body did not arrive within {} s", wait_max.as_secs()))
}

async fn collect(
    mut body: Incoming,
    bytes_max: usize,
    budget: &Budget,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>)> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > bytes_max {
        return Err(too_large(bytes_max));
    }
    let mut share = None;
    budget.cover(&mut share, declared)?;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broke = |error| {
            Error::new(Kind::Malformed, "the body ended before its declared length").because(error)
        };
        let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
        let length = first.len() + all.len() + data.len();
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        // Nearly every body arrives in one piece and is then never copied.
        if first.is_empty() && all.is_empty() {
            budget.cover(&mut share, length)?;
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(declared.max(length));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        // A body without a declared length doubles its room as it grows, and pays for that room.
        if all.capacity() - all.len() < data.len() {
            all.reserve(data.len().max(all.len()));
        }
        budget.cover(&mut share, all.capacity())?;
        all.extend_from_slice(&data);
    }
    Ok((if all.is_empty() { first } else { all.freeze() }, share))
}
