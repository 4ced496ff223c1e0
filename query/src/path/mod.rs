//! Dotted paths into documents: `a.b.0.c`.
//!
//! Reading ([`Path::visit`]) follows MongoDB: a path goes through arrays, into each document in them, and a segment of
//! digits may also name a position. Writing (`place.rs`) never goes through an array implicitly.

pub(crate) mod place;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::fmt;

use bson::{Bson, Document};

use crate::document::DOCUMENT_DEPTH_MAX;
use crate::error::{Error, Kind, Result};

/// A longer path could not lead into any document.
const SEGMENTS_MAX: usize = DOCUMENT_DEPTH_MAX;

/// A segment of digits is tried in two ways at each array (a position, and a field of the items), so a hostile pair of path
/// and document costs 2 to the power of this.
pub(crate) const POSITIONS_MAX: usize = 8;

/// Positions have at most this many digits; more digits are a field name.
const POSITION_DIGITS_MAX: usize = 7;

/// A parsed path with at least one segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    segments: Box<[Segment]>,
}

/// What a path ends in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End<'d> {
    /// The field is not there.
    Missing,
    /// The value of a field. An array counts with each of its items too.
    Field(&'d Bson),
    /// The item that the path names by its position. An array there counts as one value.
    Item(&'d Bson),
}

/// A field name that may also be a position in an array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Segment {
    pub(crate) name: Box<str>,
    pub(crate) position: Option<usize>,
}

impl Path {
    /// Parses `a.b.c`.
    ///
    /// # Errors
    /// `InvalidPath` for an empty segment, a NUL, more than 100 segments, or more than 8 that are positions.
    pub fn parse(text: &str) -> Result<Self> {
        if text.split('.').any(str::is_empty) {
            return Err(Error::new(Kind::InvalidPath, "field path has an empty part").at(text));
        }
        // BSON ends a field name with NUL.
        if text.contains('\0') {
            return Err(Error::new(Kind::InvalidPath, "field path contains NUL").at(text));
        }
        if text.split('.').count() > SEGMENTS_MAX {
            return Err(Error::new(
                Kind::InvalidPath,
                format!("field path has over {SEGMENTS_MAX} parts"),
            )
            .at(text));
        }
        let segments: Box<[Segment]> = text.split('.').map(Segment::new).collect();
        let path = Self { segments };
        if path.positions() > POSITIONS_MAX {
            let message = format!("field path has over {POSITIONS_MAX} positions");
            return Err(Error::new(Kind::InvalidPath, message).at(text));
        }
        Ok(path)
    }

    /// The top-level field that the path begins with.
    pub fn field(&self) -> &str {
        &self.segments[0].name
    }

    /// Whether `self` is `other` or an ancestor of it.
    pub fn contains(&self, other: &Self) -> bool {
        other.segments.starts_with(&self.segments)
    }

    /// Whether the path is written like this.
    pub fn is(&self, text: &str) -> bool {
        let mut parts = text.split('.');
        self.segments.iter().all(|segment| parts.next() == Some(&*segment.name))
            && parts.next().is_none()
    }

    /// How many segments may be positions in an array.
    pub(crate) fn positions(&self) -> usize {
        self.segments.iter().filter(|segment| segment.position.is_some()).count()
    }

    /// The path of these segments, of which there is at least one. Where they name places that were found, positions are
    /// not counted: such a path leads one way.
    pub(crate) fn of(segments: &[Segment]) -> Self {
        assert!(!segments.is_empty(), "a path has a segment");
        Self { segments: segments.into() }
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Shows `see` every end of this path until it answers true, and returns whether it did.
    ///
    /// An array on the way shows the values of its documents and nothing for its other
    /// items, so it may show nothing at all; an array at the end is shown as a whole.
    pub fn visit<'d>(&self, document: &'d Document, see: &mut dyn FnMut(End<'d>) -> bool) -> bool {
        visit_document(document, &self.segments, see)
    }

    /// The value at this path if no array is on the way.
    pub fn get<'d>(&self, document: &'d Document) -> Option<&'d Bson> {
        let (last, parents) = self.segments.split_last()?;
        let mut document = document;
        for segment in parents {
            document = document.get(&segment.name)?.as_document()?;
        }
        document.get(&last.name)
    }
}

impl<'d> End<'d> {
    /// The value as a whole.
    pub fn value(self) -> Option<&'d Bson> {
        match self {
            Self::Missing => None,
            Self::Field(value) | Self::Item(value) => Some(value),
        }
    }

    /// The items that count besides the value.
    pub fn items(self) -> Option<&'d [Bson]> {
        match self {
            Self::Field(Bson::Array(items)) => Some(items),
            _ => None,
        }
    }
}

impl Segment {
    /// The item at a position of an array.
    pub(crate) fn at(position: usize) -> Self {
        Self { name: position.to_string().into(), position: Some(position) }
    }

    fn new(name: &str) -> Self {
        Self { name: name.into(), position: parse_position(name) }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "." })?;
            f.write_str(&segment.name)?;
        }
        Ok(())
    }
}

/// `0`, or digits without a leading zero.
fn parse_position(name: &str) -> Option<usize> {
    let digits =
        name.len() <= POSITION_DIGITS_MAX && name.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = name == "0" || !name.starts_with('0');
    if digits && canonical { name.parse().ok() } else { None }
}

pub(crate) fn visit_document<'d>(
    document: &'d Document,
    segments: &[Segment],
    see: &mut dyn FnMut(End<'d>) -> bool,
) -> bool {
    let (segment, rest) = segments.split_first().expect("a path has a segment for each level");
    match document.get(&segment.name) {
        value if rest.is_empty() => see(value.map_or(End::Missing, End::Field)),
        Some(Bson::Document(child)) => visit_document(child, rest, see),
        Some(Bson::Array(items)) => visit_array(items, rest, see),
        _ => see(End::Missing),
    }
}

/// As [`Path::visit`], from a value on that may be the end already.
pub(crate) fn visit_value<'d>(
    value: &'d Bson,
    segments: &[Segment],
    see: &mut dyn FnMut(End<'d>) -> bool,
) -> bool {
    match value {
        value if segments.is_empty() => see(End::Field(value)),
        Bson::Document(document) => visit_document(document, segments, see),
        Bson::Array(items) => visit_array(items, segments, see),
        _ => see(End::Missing),
    }
}

fn visit_array<'d>(
    items: &'d [Bson],
    segments: &[Segment],
    see: &mut dyn FnMut(End<'d>) -> bool,
) -> bool {
    visit_position(items, segments, see)
        || items.iter().any(|item| match item {
            Bson::Document(document) => visit_document(document, segments, see),
            _ => false,
        })
}

fn visit_position<'d>(
    items: &'d [Bson],
    segments: &[Segment],
    see: &mut dyn FnMut(End<'d>) -> bool,
) -> bool {
    let (segment, rest) = segments.split_first().expect("a path has a segment for each level");
    let Some(item) = segment.position.and_then(|position| items.get(position)) else {
        return false;
    };
    match item {
        item if rest.is_empty() => see(End::Item(item)),
        Bson::Document(document) => visit_document(document, rest, see),
        Bson::Array(items) => visit_array(items, rest, see),
        _ => false,
    }
}
