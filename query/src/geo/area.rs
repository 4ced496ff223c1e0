//! The area that `$geoWithin` and `$geoIntersects` ask about.

use bson::Bson;

use super::cover::CellBox;
use super::plane;
use super::point::{EARTH_RADIUS_M, Point, double};
use super::shape::{Shape, check_meridian};
use crate::error::{Error, Kind, Result};

/// Most corners of one area: it is held against every candidate.
const CORNERS_MAX: usize = 1000;

/// Degrees by which the box around an area is larger than it, so that no rounding leaves a point outside.
const MARGIN_DEGREES: f64 = 1e-7;

/// An area of the earth.
#[derive(Clone, Debug, PartialEq)]
pub enum Area {
    /// A geometry: `$geometry`, and `$box` and `$polygon` as polygons.
    Shape(Shape),
    /// All points within a distance along great circles: `$centerSphere`.
    Cap {
        /// The middle.
        center: Point,
        /// Metres to the edge, which belongs to it.
        radius_m: f64,
    },
    /// All points within a distance on the flat map: `$center`.
    Circle {
        /// The middle.
        center: Point,
        /// Degrees to the edge, which belongs to it.
        radius_degrees: f64,
    },
}

impl Area {
    /// Reads the operand of `$geoWithin`: `$geometry` (a polygon or several), `$centerSphere`, `$center`, `$box`, `$polygon`.
    ///
    /// # Errors
    /// `InvalidOperator`, `InvalidValue`, `TooLarge` beyond 1,000 corners.
    pub fn parse_within(operand: &Bson) -> Result<Self> {
        let (operator, value) = only_field(operand)?;
        let area = match operator {
            "$geometry" => geometry(value).and_then(|shape| match shape {
                Shape::Polygons(_) => Ok(Self::Shape(shape)),
                _ => Err(Error::value("needs a Polygon or a MultiPolygon")),
            }),
            "$centerSphere" => circle(value)
                .map(|(center, radians)| Self::Cap { center, radius_m: radians * EARTH_RADIUS_M }),
            "$center" => circle(value)
                .map(|(center, radius_degrees)| Self::Circle { center, radius_degrees }),
            "$box" => rectangle(value),
            "$polygon" => polygon(value),
            other => return Err(Error::unknown_operator(other)),
        };
        area.map_err(|error| error.operator(operator.to_owned()))
    }

    /// Reads the operand of `$geoIntersects`: `$geometry` of any kind.
    ///
    /// # Errors
    /// `InvalidOperator`, `InvalidValue`, `TooLarge` beyond 1,000 positions.
    pub fn parse_intersects(operand: &Bson) -> Result<Self> {
        match only_field(operand)? {
            ("$geometry", value) => {
                geometry(value).map(Self::Shape).map_err(|error| error.operator("$geometry"))
            }
            (other, _) => Err(Error::unknown_operator(other)),
        }
    }

    /// Whether all of `shape` lies in the area. A line or a polygon lies in a circle if its corners do, and in one of several
    /// polygons, not in their union.
    pub fn contains(&self, shape: &Shape) -> bool {
        match self {
            Self::Cap { center, radius_m } => {
                all_positions(shape, &|point| center.distance_m(point) <= *radius_m)
            }
            Self::Circle { center, radius_degrees } => all_positions(shape, &|point| {
                let (east, north) = (point.lng() - center.lng(), point.lat() - center.lat());
                east.hypot(north) <= *radius_degrees
            }),
            Self::Shape(Shape::Polygons(polygons)) => {
                let within = |test: &dyn Fn(&[Vec<Point>]) -> bool| {
                    polygons.iter().any(|polygon| test(polygon))
                };
                match shape {
                    Shape::Points(points) => points
                        .iter()
                        .all(|point| within(&|outer| plane::is_in_polygon(*point, outer))),
                    Shape::Lines(lines) => lines
                        .iter()
                        .all(|line| within(&|outer| plane::line_within_polygon(line, outer))),
                    Shape::Polygons(inner) => inner
                        .iter()
                        .all(|inner| within(&|outer| plane::polygon_within_polygon(inner, outer))),
                }
            }
            Self::Shape(_) => false,
        }
    }

    /// Whether `shape` has a point in the area; for circles, a corner.
    pub fn intersects(&self, shape: &Shape) -> bool {
        match self {
            Self::Shape(own) => own.intersects(shape),
            Self::Cap { .. } | Self::Circle { .. } => {
                let mut any = false;
                shape.each_position(&mut |point| {
                    any |= self.contains(&Shape::Points(vec![point]));
                });
                any
            }
        }
    }

    /// How many corners the area has: holding something against it takes this many steps for each position.
    pub fn corners(&self) -> usize {
        match self {
            Self::Shape(shape) => shape.positions(),
            Self::Cap { .. } | Self::Circle { .. } => 1,
        }
    }

    /// Rectangles in which every point of the area lies.
    pub(super) fn boxes(&self) -> Vec<CellBox> {
        match self {
            Self::Shape(shape) => vec![CellBox::around(shape.bounds(), MARGIN_DEGREES)],
            Self::Cap { center, radius_m } => CellBox::around_cap(*center, *radius_m),
            Self::Circle { center, radius_degrees } => {
                let mut bounds = Shape::Points(vec![*center]).bounds();
                bounds.west -= radius_degrees;
                bounds.east += radius_degrees;
                bounds.south -= radius_degrees;
                bounds.north += radius_degrees;
                vec![CellBox::around(bounds, MARGIN_DEGREES)]
            }
        }
    }
}

fn all_positions(shape: &Shape, test: &dyn Fn(Point) -> bool) -> bool {
    let mut all = true;
    shape.each_position(&mut |point| all = all && test(point));
    all
}

fn only_field(operand: &Bson) -> Result<(&str, &Bson)> {
    let fields: Option<Vec<_>> = operand.as_document().map(|document| document.iter().collect());
    match fields.as_deref() {
        Some([(operator, value)]) => Ok((operator.as_str(), value)),
        _ => Err(Error::value("needs a document with one area")),
    }
}

fn geometry(value: &Bson) -> Result<Shape> {
    if value.as_document().is_none() {
        return Err(Error::value("needs a GeoJSON geometry"));
    }
    let shape = Shape::parse(value)?;
    check_corners(shape.positions())?;
    Ok(shape)
}

fn check_corners(count: usize) -> Result<()> {
    if count > CORNERS_MAX {
        let message = format!("area has over {CORNERS_MAX} corners");
        return Err(Error::new(Kind::TooLarge, message));
    }
    Ok(())
}

/// `[[lng, lat], radius]`.
fn circle(value: &Bson) -> Result<(Point, f64)> {
    let malformed = || Error::value("needs a center and a radius");
    let Some([center, radius]) = value.as_array().map(Vec::as_slice) else {
        return Err(malformed());
    };
    let radius = double(radius).ok_or_else(malformed)?;
    if !(radius.is_finite() && radius >= 0.0) {
        return Err(Error::value("radius must be a number from 0"));
    }
    Ok((Point::parse(center)?, radius))
}

/// `[[lng, lat], [lng, lat]]`, two opposite corners.
fn rectangle(value: &Bson) -> Result<Area> {
    let Some([a, b]) = value.as_array().map(Vec::as_slice) else {
        return Err(Error::value("needs two corners"));
    };
    let (a, b) = (Point::parse(a)?, Point::parse(b)?);
    let ring = [
        (a.lng(), a.lat()),
        (b.lng(), a.lat()),
        (b.lng(), b.lat()),
        (a.lng(), b.lat()),
        (a.lng(), a.lat()),
    ];
    let ring = ring.into_iter().map(|(lng, lat)| Point::new(lng, lat)).collect::<Result<_>>()?;
    Ok(Area::Shape(Shape::Polygons(vec![vec![ring]])))
}

/// `[[lng, lat], …]`, closed or not.
fn polygon(value: &Bson) -> Result<Area> {
    let corners = value.as_array().filter(|corners| corners.len() >= 3);
    let corners = corners.ok_or_else(|| Error::value("needs at least three corners"))?;
    check_corners(corners.len())?;
    let mut ring = corners.iter().map(Point::parse).collect::<Result<Vec<_>>>()?;
    if ring.first() != ring.last() {
        ring.extend(ring.first().copied());
    }
    check_meridian(&ring)?;
    Ok(Area::Shape(Shape::Polygons(vec![vec![ring]])))
}
