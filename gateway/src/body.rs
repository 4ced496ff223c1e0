//! The request's body at the gateway: still arriving, held whole, or handed on as a stream.
//!
//! Whoever needs all of it ([`RequestBody::hold`]) pays for it from the [`Budget`] of held bodies. Whoever only wants to see it
//! pass installs a [`Watch`], and the body is then held nowhere: each piece is watched, then handed on, and the last one only
//! after the watch agreed to the whole. An upstream that counts bytes, or waits for the end of its chunks, so never takes a
//! body for whole that was refused.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use yunzhan_base::body::{BodyError, Watch, into_error};
use yunzhan_base::{Body, Error, Kind, Result};

use crate::budget::{Budget, Share};

/// Where the body is.
pub(crate) struct RequestBody {
    state: State,
    watch: Option<Box<dyn Watch>>,
    end: StreamEnd,
}

enum State {
    /// Still on the connection.
    Unread(Body),
    /// All of it is here; a copy costs a reference count. Its share of the budget is given back with the exchange.
    Held(Bytes, Share),
    /// Streamed to whoever answers.
    Gone,
}

/// How a streamed body ended, for whoever handed it on.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamEnd(Arc<AtomicU8>);

/// States of a [`StreamEnd`]; 0 is neither.
const WHOLE: u8 = 1;
const BROKEN: u8 = 2;

// === impl RequestBody ===

impl RequestBody {
    /// A body as it comes from the connection. An empty one is held from the start.
    pub(crate) fn new(body: Body) -> Self {
        let state = match body {
            Body::Held(bytes) => State::Held(bytes, Share::default()),
            body if body.is_end_stream() => State::Held(Bytes::new(), Share::default()),
            body => State::Unread(body),
        };
        Self { state, watch: None, end: StreamEnd::default() }
    }

    /// Reads the body whole. Over `bytes_max` it is refused before a byte is read when its length is declared, and as soon
    /// as it is exceeded otherwise; `budget` bounds all bodies together.
    pub(crate) async fn hold(&mut self, bytes_max: usize, budget: &Budget) -> Result<Bytes> {
        if let State::Unread(_) = &self.state {
            let State::Unread(body) = std::mem::replace(&mut self.state, State::Gone) else {
                unreachable!("asked above")
            };
            let (bytes, share) = collect(body, bytes_max, budget).await?;
            self.state = State::Held(bytes, share);
        }
        match &self.state {
            State::Held(bytes, _) if bytes.len() > bytes_max => Err(too_large(bytes_max as u64)),
            State::Held(bytes, _) => Ok(bytes.clone()),
            _ => Err(Error::internal("the body was streamed away before it was needed")),
        }
    }

    /// The body for whoever answers: a copy when it is held, else the stream itself, once.
    pub(crate) fn stream(&mut self, bytes_max: u64) -> Result<Body> {
        if let Some(declared) = self.declared_bytes().filter(|declared| *declared > bytes_max) {
            return Err(too_large(bytes_max).with_detail(format!("{declared} bytes were declared")));
        }
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Held(..) if self.watch.is_some() => {
                Err(Error::internal("a body that is held was to be judged while it streams"))
            }
            State::Held(bytes, share) => {
                self.state = State::Held(bytes.clone(), share);
                Ok(bytes.into())
            }
            State::Unread(body) => {
                let (declared_bytes, watch) = (body.size_hint().exact(), self.watch.take());
                let end = self.end.clone();
                let watched = Watched {
                    body,
                    declared_bytes,
                    bytes: 0,
                    bytes_max,
                    watch,
                    end,
                    // No server of ours reads them, and they were not judged.
                    passes_trailers: false,
                };
                Ok(Body::streaming(watched))
            }
            State::Gone => Err(Error::internal("the body was streamed away already")),
        }
    }

    /// Has every piece of the body seen by `watch` when it is streamed. A body that is held needs no watch: it is here.
    pub(crate) fn watch(&mut self, watch: Box<dyn Watch>) {
        self.watch = Some(watch);
    }

    /// Puts another body in the place of one that was not read: what later stages see is decoded.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the seam of stages that decode bodies; held by a test")
    )]
    pub(crate) fn replace(&mut self, make: impl FnOnce(Body) -> Body) {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Unread(body) => State::Unread(make(body)),
            State::Held(bytes, _) => State::Unread(make(bytes.into())),
            State::Gone => State::Gone,
        };
    }

    /// Its length, when it is known: held, or declared by the client.
    pub(crate) fn declared_bytes(&self) -> Option<u64> {
        match &self.state {
            State::Held(bytes, _) => Some(bytes.len() as u64),
            State::Unread(body) => body.size_hint().exact(),
            State::Gone => None,
        }
    }

    /// Gives the held bytes and their share of the budget back: nobody will send them again.
    pub(crate) fn let_go(&mut self) {
        if let State::Held(..) = self.state {
            self.state = State::Held(Bytes::new(), Share::default());
        }
    }

    /// How the stream ended that [`RequestBody::stream`] gave.
    pub(crate) fn stream_end(&self) -> StreamEnd {
        self.end.clone()
    }

    /// Whether it is known that there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.state, State::Held(bytes, _) if bytes.is_empty())
    }

    /// Whether it stays on the connection: nobody has asked for it, or whoever did gave up before its end.
    pub(crate) fn is_unread(&self) -> bool {
        match self.state {
            State::Unread(_) => true,
            State::Held(..) => false,
            State::Gone => !self.end.is_whole(),
        }
    }

    /// Whether all of it is here, so that the same bytes can be sent again.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.state, State::Held(..))
    }
}

// === impl StreamEnd ===

impl StreamEnd {
    /// Whether it was read to its end, and the watch agreed to it.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.load(Ordering::Acquire) == WHOLE
    }

    /// Whether it broke, by the client's fault or by the watch's word.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire) == BROKEN
    }
}

/// The refusal of a body over its bound.
pub(crate) fn too_large(bytes_max: u64) -> Error {
    if bytes_max == 0 {
        return Error::new(Kind::TooLarge, "this address takes no body");
    }
    Error::new(
        Kind::TooLarge,
        format!("the body is larger than {bytes_max} bytes; split it or upload it as a file"),
    )
}

/// The same body, seen by `watch` piece by piece.
pub(crate) fn observed(body: Body, watch: Box<dyn Watch>) -> Body {
    let declared_bytes = body.size_hint().exact();
    let (bytes_max, end) = (u64::MAX, StreamEnd::default());
    Body::streaming(Watched {
        body,
        declared_bytes,
        bytes: 0,
        bytes_max,
        watch: Some(watch),
        end,
        passes_trailers: true,
    })
}

async fn collect(mut body: Body, bytes_max: usize, budget: &Budget) -> Result<(Bytes, Share)> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > bytes_max {
        return Err(too_large(bytes_max as u64));
    }
    let mut share = Share::default();
    budget.cover(&mut share, declared)?;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(data) = body.next().await {
        let data = data.map_err(into_error)?;
        let length = first.len() + all.len() + data.len();
        if length > bytes_max {
            return Err(too_large(bytes_max as u64));
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

/// A body on its way to whoever answers: bounded, watched, and whole only when both agreed.
struct Watched {
    body: Body,
    declared_bytes: Option<u64>,
    bytes: u64,
    bytes_max: u64,
    watch: Option<Box<dyn Watch>>,
    end: StreamEnd,
    /// Whether what stands behind the last byte travels too.
    passes_trailers: bool,
}

impl Watched {
    fn chunk(&mut self, data: &Bytes) -> Result<()> {
        self.bytes += data.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        if let Some(watch) = &mut self.watch {
            watch.chunk(data)?;
        }
        // Whoever counts bytes takes the last of them for the end.
        let is_last = self.declared_bytes == Some(self.bytes) || self.body.is_end_stream();
        if is_last { self.whole() } else { Ok(()) }
    }

    fn whole(&mut self) -> Result<()> {
        // Asked once: a length that was reached, trailers and the end may all say so.
        if let Some(mut watch) = self.watch.take() {
            watch.end()?;
        }
        self.end.0.store(WHOLE, Ordering::Release);
        Ok(())
    }

    fn seen(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BodyError>>,
    ) -> Result<Option<Frame<Bytes>>> {
        let Some(frame) = frame.transpose().map_err(into_error)? else {
            return self.whole().map(|()| None);
        };
        // Trailers end the body. They travel only behind an answer, whose watch is asked first all the same.
        if !frame.is_data() {
            self.whole()?;
            return Ok(self.passes_trailers.then_some(frame));
        }
        if let Some(data) = frame.data_ref() {
            // A clone of bytes is a reference count; the frame keeps its own.
            let data = data.clone();
            self.chunk(&data)?;
        }
        Ok(Some(frame))
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.end.is_broken() {
            // Whoever asks again after an error must not take it for a clean end.
            let text = "the body broke off before its end";
            return Poll::Ready(Some(Err(Error::new(Kind::Malformed, text).into())));
        }
        if this.end.is_whole() && !this.passes_trailers {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        let seen = this.seen(frame);
        if seen.is_err() {
            this.end.0.store(BROKEN, Ordering::Release);
        }
        Poll::Ready(seen.map_err(BodyError::from).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_whole() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::budget::HeldBodies;

    /// Pieces that are there already, with a declared length or without.
    struct Pieces(VecDeque<&'static str>, Option<u64>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let piece = self.0.pop_front();
            Poll::Ready(piece.map(|piece| match piece {
                "<broken>" => Err("reset".into()),
                piece => Ok(Frame::data(Bytes::from_static(piece.as_bytes()))),
            }))
        }

        fn size_hint(&self) -> SizeHint {
            self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn pieces(pieces: &[&'static str], is_declared: bool) -> Body {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Body::streaming(Pieces(pieces.iter().copied().collect(), is_declared.then_some(length)))
    }

    /// Writes down what it sees; refuses a piece or an end on demand.
    struct Scribe(Arc<Mutex<String>>, &'static str);

    impl Watch for Scribe {
        fn chunk(&mut self, bytes: &Bytes) -> Result<()> {
            let text = std::str::from_utf8(bytes).unwrap();
            self.0.lock().unwrap().push_str(text);
            match text == self.1 {
                true => Err(Error::new(Kind::PermissionDenied, "no")),
                false => Ok(()),
            }
        }

        fn end(&mut self) -> Result<()> {
            self.0.lock().unwrap().push('.');
            match self.1 {
                "end" => Err(Error::new(Kind::PermissionDenied, "no")),
                _ => Ok(()),
            }
        }
    }

    /// What a reader gets of a watched body, and what the watch saw.
    async fn read(body: Body, bytes_max: u64, refuse: &'static str) -> (String, String) {
        let seen = Arc::new(Mutex::new(String::new()));
        let mut body = RequestBody::new(body);
        body.watch(Box::new(Scribe(Arc::clone(&seen), refuse)));
        let end = body.stream_end();
        let mut stream = match body.stream(bytes_max) {
            Ok(stream) => stream,
            Err(error) => return (error.to_string(), String::new()),
        };
        let mut read = String::new();
        loop {
            match stream.next().await {
                None => break,
                Some(Ok(bytes)) => read.push_str(std::str::from_utf8(&bytes).unwrap()),
                Some(Err(error)) => {
                    read.push_str(&format!("!{error}"));
                    break;
                }
            }
        }
        read.push_str(if end.is_whole() { " whole" } else { " not whole" });
        let seen = seen.lock().unwrap().clone();
        (read, seen)
    }

    #[tokio::test]
    async fn a_body_ends_cleanly_only_after_its_watch_agreed() {
        for is_declared in [true, false] {
            let check = async |refuse, read_of: &str, seen: &str| {
                let got = read(pieces(&["one", "two"], is_declared), 100, refuse).await;
                assert_eq!(got, (read_of.to_owned(), seen.to_owned()), "{refuse} {is_declared}");
            };
            check("", "onetwo whole", "onetwo.").await;
            check("two", "one!no not whole", "onetwo").await;
            // Who counts bytes must not get the last of them before the end was agreed to; who waits for the last chunk may.
            let refused_at_end =
                if is_declared { "one!no not whole" } else { "onetwo!no not whole" };
            check("end", refused_at_end, "onetwo.").await;
        }
    }

    #[tokio::test]
    async fn a_body_over_its_bound_breaks_off_and_a_declared_one_never_begins() {
        let over = "the body is larger than 5 bytes; split it or upload it as a file";
        let (read_of, _) = read(pieces(&["one", "two"], false), 5, "").await;
        assert_eq!(read_of, format!("one!{over} not whole"));
        let (read_of, seen) = read(pieces(&["one", "two"], true), 5, "").await;
        assert_eq!((read_of.as_str(), seen.as_str()), (over, ""));
    }

    /// One piece, and a trailer behind it.
    struct WithTrailer(u8);

    impl http_body::Body for WithTrailer {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            self.0 += 1;
            Poll::Ready(match self.0 {
                1 => Some(Ok(Frame::data(Bytes::from_static(b"one")))),
                2 => Some(Ok(Frame::trailers(http::HeaderMap::new()))),
                _ => None,
            })
        }
    }

    #[tokio::test]
    async fn trailers_are_an_end_that_the_watch_must_agree_to() {
        let refused = read(Body::streaming(WithTrailer(0)), 100, "end").await;
        assert_eq!(refused, ("one!no not whole".into(), "one.".into()));
        let passed = read(Body::streaming(WithTrailer(0)), 100, "").await;
        assert_eq!(passed, ("one whole".into(), "one.".into()));
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_not_whole() {
        let (read_of, seen) = read(pieces(&["one", "<broken>"], false), 100, "").await;
        assert_eq!(read_of, "one!the body ended before its declared length not whole");
        assert_eq!(seen, "one");
    }

    #[tokio::test]
    async fn held_bodies_are_paid_from_the_budget_and_small_ones_are_not() {
        let held = HeldBodies::default();
        let budget = Budget::new(64 << 10, held.clone());
        let large: &'static str = Box::leak("x".repeat(20 << 10).into_boxed_str());
        let mut body = RequestBody::new(pieces(&[large, large], true));
        body.hold(1 << 20, &budget).await.unwrap();
        assert_eq!(held.bytes(), 40 << 10);
        let mut second = RequestBody::new(pieces(&[large, large], true));
        assert_eq!(second.hold(1 << 20, &budget).await.unwrap_err().kind(), Kind::TooManyAtOnce);
        let mut small = RequestBody::new(pieces(&["a", "b"], false));
        assert_eq!(small.hold(1 << 20, &budget).await.unwrap(), "ab");
        drop(body);
        assert_eq!(held.bytes(), 0);
    }

    #[tokio::test]
    async fn a_stage_may_put_another_body_in_the_place_of_the_one_that_arrives() {
        let mut body = RequestBody::new(pieces(&["encoded"], true));
        body.replace(|_encoded| "decoded".into());
        assert_eq!(
            body.hold(100, &Budget::new(0, HeldBodies::default())).await.unwrap(),
            "decoded"
        );
    }
}
