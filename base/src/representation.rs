//! Conditional requests and ranges (RFC 9110 sections 13 and 14), in one place for files, blobs and cached answers.
//!
//! Whoever has bytes to serve says what they are, a [`Representation`], and how to open a part of them:
//!
//! ```
//! # use bytes::Bytes;
//! # use http::{HeaderMap, HeaderValue, Method, header};
//! # use yunzhan_base::{Body, representation::Representation};
//! # let (method, mut headers, content) = (Method::GET, HeaderMap::new(), Bytes::from_static(b"0123456789"));
//! # headers.insert(header::RANGE, HeaderValue::from_static("bytes=2-4"));
//! let what = Representation { length: 10, ..Representation::of(HeaderValue::from_static("text/plain")) };
//! let response = what.respond(&method, &headers, |range| {
//!     Ok(Body::from(content.slice(range.start as usize..range.end as usize)))
//! });
//! # assert_eq!(response.unwrap().headers()[header::CONTENT_RANGE], "bytes 2-4/10");
//! ```
//!
//! A request for several ranges is answered with one part where the ranges touch or overlap, and otherwise with the whole
//! representation: both are permitted (sections 14.2 and 15.3.7), and no client of a mini-program reads a multipart answer.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};

use crate::body::Body;
use crate::error::Result;

/// Ranges of one request that are looked at. A request with more is answered with the whole representation: nobody who plays
/// a video or goes on with a download needs as many (RFC 9110 section 17.15).
const RANGES_MAX: usize = 16;

/// The first second of the year 10000, which HTTP cannot write.
const UNIX_S_END: u64 = 253_402_300_800;

/// What is served, before anybody asked for a part of it or said what they have already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    /// Entity tag as it is sent, with its quotes. A strong one promises the same bytes; a weak one begins with `W/`.
    pub etag: Option<HeaderValue>,
    /// When it was last changed; whole seconds count. Left out where it may change again within the same second, since a
    /// range is taken to belong to a representation of the same second.
    pub last_modified: Option<SystemTime>,
    /// Its media type, as `Content-Type` says it.
    pub media_type: HeaderValue,
    /// All its bytes.
    pub length: u64,
}

/// What a request is given of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    Whole,
    /// These bytes, of which there is at least one.
    Part(Range<u64>),
    /// Nothing: the client has it already.
    NotModified,
    /// Nothing: it is not what the client wants to act on.
    PreconditionFailed,
    /// Nothing: the ranges lie behind its end.
    NotSatisfiable,
}

impl Selection {
    /// The status that says so.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Whole => StatusCode::OK,
            Self::Part(_) => StatusCode::PARTIAL_CONTENT,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::NotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }
}

// === impl Representation ===

impl Representation {
    /// An empty representation of this type, without validators.
    pub const fn of(media_type: HeaderValue) -> Self {
        Self { etag: None, last_modified: None, media_type, length: 0 }
    }

    /// Answers GET and HEAD with status, validators, type, length and the bytes that `open` gives for the selected range.
    ///
    /// `open` is called at most once, with a range of at least one byte, and for GET only. Its body has exactly that many
    /// bytes. Fields that this page does not name, such as `Cache-Control` and `Vary`, the caller adds to the answer, also
    /// to a 304. An error is one of `open`.
    pub fn respond(
        &self,
        method: &Method,
        headers: &HeaderMap,
        open: impl FnOnce(Range<u64>) -> Result<Body>,
    ) -> Result<Response<Body>> {
        let selection = self.select(method, headers);
        let range = match &selection {
            Selection::Whole => 0..self.length,
            Selection::Part(range) => range.clone(),
            _ => 0..0,
        };
        let length = range.end - range.start;
        let is_opened = *method != Method::HEAD && length > 0;
        let mut response = Response::new(if is_opened { open(range)? } else { Body::Empty });
        *response.status_mut() = selection.status();
        self.describe(&selection, length, response.headers_mut());
        Ok(response)
    }

    /// Decides what a request is given, in the order of RFC 9110 section 13.2.2. Also for methods that write, such as PUT:
    /// there [`Selection::Whole`] means that the write may go on.
    pub fn select(&self, method: &Method, headers: &HeaderMap) -> Selection {
        if self.is_unwanted(headers) {
            return Selection::PreconditionFailed;
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if self.is_known(headers, reads) {
            return if reads { Selection::NotModified } else { Selection::PreconditionFailed };
        }
        // Ranges are defined for GET alone (section 14.2).
        if *method != Method::GET || !self.may_be_parted(headers) {
            return Selection::Whole;
        }
        single(headers, header::RANGE).map_or(Selection::Whole, |range| select(range, self.length))
    }

    /// `If-Match`, and where it is absent `If-Unmodified-Since`: whether the client wants to act on another state.
    fn is_unwanted(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(header::IF_MATCH) {
            return !self.is_listed(headers, header::IF_MATCH, is_same_strongly);
        }
        let since = date(headers, header::IF_UNMODIFIED_SINCE);
        since.zip(self.last_modified_s()).is_some_and(|(since, modified)| modified > since)
    }

    /// `If-None-Match`, and where it is absent `If-Modified-Since`: whether the client has this state already.
    fn is_known(&self, headers: &HeaderMap, reads: bool) -> bool {
        if headers.contains_key(header::IF_NONE_MATCH) {
            return self.is_listed(headers, header::IF_NONE_MATCH, is_same_weakly);
        }
        let since = date(headers, header::IF_MODIFIED_SINCE).filter(|_| reads);
        since.zip(self.last_modified_s()).is_some_and(|(since, modified)| modified <= since)
    }

    /// `If-Range`: whether a part may be given. The client must name exactly what it has a part of.
    fn may_be_parted(&self, headers: &HeaderMap) -> bool {
        if !headers.contains_key(header::IF_RANGE) {
            return true;
        }
        let Some(validator) = single(headers, header::IF_RANGE) else { return false };
        if validator.starts_with(b"\"") || validator.starts_with(b"W/") {
            return self
                .etag
                .as_ref()
                .is_some_and(|own| is_same_strongly(own.as_bytes(), validator));
        }
        let date = date(headers, header::IF_RANGE);
        date.is_some() && date == self.last_modified_s()
    }

    /// Whether a field lists this representation's tag, or says `*`, which is every representation.
    fn is_listed(
        &self,
        headers: &HeaderMap,
        name: HeaderName,
        is_same: fn(&[u8], &[u8]) -> bool,
    ) -> bool {
        headers.get_all(name).iter().map(|list| list.as_bytes().trim_ascii()).any(|list| {
            let own = self.etag.as_ref().map(HeaderValue::as_bytes);
            list == b"*" || own.is_some_and(|own| EntityTags(list).any(|tag| is_same(own, tag)))
        })
    }

    /// Seconds since 1970, where HTTP can write them.
    fn last_modified_s(&self) -> Option<u64> {
        let since = self.last_modified?.duration_since(UNIX_EPOCH).ok()?;
        Some(since.as_secs()).filter(|seconds| *seconds < UNIX_S_END)
    }

    /// Writes the fields of the answer.
    fn describe(&self, selection: &Selection, length: u64, fields: &mut HeaderMap) {
        let is_not_modified = *selection == Selection::NotModified;
        let has_content = matches!(selection, Selection::Whole | Selection::Part(_));
        if let Some(etag) = self.etag.as_ref().filter(|_| has_content || is_not_modified) {
            fields.insert(header::ETAG, etag.clone());
        }
        // A 304 repeats no more than caches need (section 15.4.5).
        let is_dated = has_content || (is_not_modified && self.etag.is_none());
        if let Some(seconds) = self.last_modified_s().filter(|_| is_dated) {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            fields.insert(header::LAST_MODIFIED, value(&text));
        }
        if has_content {
            fields.insert(header::CONTENT_TYPE, self.media_type.clone());
        }
        if !is_not_modified {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if has_content || *selection == Selection::NotSatisfiable {
            fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        let content_range = match selection {
            Selection::Part(range) => {
                format!("bytes {}-{}/{}", range.start, range.end - 1, self.length)
            }
            Selection::NotSatisfiable => format!("bytes */{}", self.length),
            _ => return,
        };
        fields.insert(header::CONTENT_RANGE, value(&content_range));
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and letters")
}

/// The value of a field that may stand once only. What stands twice contradicts itself and counts as absent.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(value.as_bytes().trim_ascii())
}

/// Seconds since 1970 of a date in one of the three forms of RFC 9110 section 5.6.7. One that is malformed is absent.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let text = std::str::from_utf8(single(headers, name)?).ok()?;
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// The entity tags of a list, each with its quotes, up to the first that is malformed.
struct EntityTags<'a>(&'a [u8]);

impl<'a> Iterator for EntityTags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_tag = |byte: &u8| !matches!(byte, b' ' | b'\t' | b',');
        let (_, list) = self.0.split_at(self.0.iter().position(is_tag)?);
        let prefix = if list.starts_with(b"W/") { 2 } else { 0 };
        let opaque = list[prefix..].strip_prefix(b"\"")?;
        let length = prefix + 2 + opaque.iter().position(|byte| *byte == b'"')?;
        let (tag, rest) = list.split_at(length);
        self.0 = rest;
        Some(tag)
    }
}

/// Equal bytes (RFC 9110 section 8.8.3.2).
fn is_same_strongly(a: &[u8], b: &[u8]) -> bool {
    a == b && !a.starts_with(b"W/")
}

/// Equal enough to be used in the other's stead.
fn is_same_weakly(a: &[u8], b: &[u8]) -> bool {
    opaque(a) == opaque(b)
}

/// A tag without the mark of a weak one.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// What a `Range` field selects of so many bytes. A field that is malformed, or in another unit than bytes, is no field; nor
/// is one for nothing: clients that ask for ranges always then learn that it is empty (RFC 9110 section 14.2).
fn select(field: &[u8], length: u64) -> Selection {
    let Some(mut ranges) = ranges(field, length).filter(|_| length > 0) else {
        return Selection::Whole;
    };
    ranges.sort_unstable_by_key(|range| range.start);
    let Some(mut part) = ranges.first().cloned() else { return Selection::NotSatisfiable };
    for range in &ranges {
        if range.start > part.end {
            return Selection::Whole;
        }
        part.end = part.end.max(range.end);
    }
    Selection::Part(part)
}

/// The ranges that begin before the end of the representation; nothing where the field does not count.
fn ranges(field: &[u8], length: u64) -> Option<Vec<Range<u64>>> {
    let (unit, set) = std::str::from_utf8(field).ok()?.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut ranges = Vec::new();
    let mut count = 0;
    for spec in set.split(',').map(|spec| spec.trim_matches([' ', '\t'])) {
        // Empty elements of a list are passed over (RFC 9110 section 5.6.1.2).
        if !spec.is_empty() {
            count += 1;
            ranges.extend(range(spec, length)?);
        }
    }
    (1..=RANGES_MAX).contains(&count).then_some(ranges)
}

/// One range: malformed, behind the end, or some bytes.
fn range(spec: &str, length: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (Position::read(first)?, Position::read(last)?);
    let range = match (first, last) {
        (Position::Absent, Position::Absent) => return None,
        (Position::Absent, Position::At(suffix)) => length.saturating_sub(suffix)..length,
        (Position::At(first), Position::Absent) => first..length,
        (Position::At(first), Position::At(last)) if last < first => return None,
        (Position::At(first), Position::At(last)) => first..last.saturating_add(1).min(length),
    };
    Some((range.start < range.end).then_some(range))
}

/// A number beside the hyphen of a range.
#[derive(Clone, Copy)]
enum Position {
    Absent,
    /// Numbers that have no room are larger than any representation, and so is the largest one that has.
    At(u64),
}

impl Position {
    /// Digits alone: no sign and no blank.
    fn read(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::Absent),
            _ if !text.bytes().all(|byte| byte.is_ascii_digit()) => None,
            _ => Some(Self::At(text.parse().unwrap_or(u64::MAX))),
        }
    }
}

#[cfg(test)]
mod tests;
