//! `$near` and `$nearSphere`: within which distance, and how far a document is away.

use bson::{Bson, Document};

use super::point::{EARTH_RADIUS_M, Point, double};
use super::shape::Shape;
use crate::error::{Error, Result};
use crate::path::Path;

/// The one condition of a filter by whose distance its results are ordered.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// Where documents hold their place.
    pub path: Path,
    /// From where distances count.
    pub point: Point,
    /// The least distance in metres; 0 unless one was asked for.
    pub min_m: f64,
    /// The greatest distance in metres; infinite unless one was asked for.
    pub max_m: f64,
}

/// How far `document` is from `point`, in metres: the nearest of the points at `path`. `None` if it has none there. Only
/// points have a distance here, not lines and polygons.
pub fn distance_m(document: &Document, path: &Path, point: Point) -> Option<f64> {
    let mut nearest: Option<f64> = None;
    each_geometry(document, path, &mut |value| {
        if let Ok(Shape::Points(points)) = Shape::parse(value) {
            for other in points {
                let distance = point.distance_m(other);
                nearest = Some(nearest.map_or(distance, |nearest| nearest.min(distance)));
            }
        }
    });
    nearest
}

/// Shows every value at `path` that may be a geometry. An array of anything but numbers holds several.
pub(super) fn each_geometry(document: &Document, path: &Path, see: &mut dyn FnMut(&Bson)) {
    path.visit(document, &mut |end| {
        match end.value() {
            Some(Bson::Array(items)) if !is_pair(items) => items.iter().for_each(&mut *see),
            Some(Bson::Null | Bson::Undefined) | None => {}
            Some(value) => see(value),
        }
        false
    });
}

/// Whether an array means one place, well written or not.
pub(crate) fn is_pair(items: &[Bson]) -> bool {
    items.first().is_some_and(|first| double(first).is_some())
}

/// A point and the distances from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reach {
    pub(crate) point: Point,
    pub(crate) min_m: f64,
    pub(crate) max_m: f64,
}

impl Reach {
    /// Reads `{$geometry, $maxDistance, $minDistance}` in metres, or `[lng, lat]` with the distances beside the operator in
    /// radians.
    pub(crate) fn parse(operand: &Bson, siblings: &Document) -> Result<Self> {
        let Some(document) =
            operand.as_document().filter(|document| !document.contains_key("type"))
        else {
            return Self::new(Point::parse(operand)?, [siblings, siblings], EARTH_RADIUS_M);
        };
        for name in document.keys() {
            if !matches!(name.as_str(), "$geometry" | "$maxDistance" | "$minDistance") {
                return Err(Error::unknown_operator(name));
            }
        }
        let geometry =
            document.get("$geometry").filter(|geometry| geometry.as_document().is_some());
        let geometry = geometry.ok_or_else(|| Error::value("needs a $geometry, a Point"))?;
        Self::new(Point::parse(geometry)?, [document, siblings], 1.0)
    }

    pub(crate) fn includes(&self, distance_m: f64) -> bool {
        (self.min_m..=self.max_m).contains(&distance_m)
    }

    /// Distances stand in the first of `places` that has them, in units of `unit_m` metres.
    fn new(point: Point, places: [&Document; 2], unit_m: f64) -> Result<Self> {
        let distance =
            |name: &'static str, absent: f64| match places.iter().find_map(|place| place.get(name))
            {
                None => Ok(absent),
                Some(value) => double(value)
                    .filter(|distance| *distance >= 0.0)
                    .map(|distance| distance * unit_m)
                    .ok_or_else(|| Error::value("needs a number from 0").operator(name)),
            };
        let min_m = distance("$minDistance", 0.0)?;
        Ok(Self { point, min_m, max_m: distance("$maxDistance", f64::INFINITY)? })
    }
}
