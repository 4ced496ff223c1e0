//! GeoJSON geometries, as they are stored and as they are asked about.

use bson::{Bson, Document};

use super::plane::{self, Bounds};
use super::point::{Point, coordinates};
use crate::error::{Error, Kind, Result};

/// Most positions in one geometry. Holding two against each other takes the product of their numbers of steps.
const POSITIONS_MAX: usize = 10_000;

/// A geometry: one or more of one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// `Point` and `MultiPoint`.
    Points(Vec<Point>),
    /// `LineString` and `MultiLineString`: each at least two positions.
    Lines(Vec<Vec<Point>>),
    /// `Polygon` and `MultiPolygon`: each an outer ring and its holes; each ring ends where it begins.
    Polygons(Vec<Vec<Vec<Point>>>),
}

impl Shape {
    /// Reads a GeoJSON geometry or a pair `[longitude, latitude]`.
    ///
    /// # Errors
    /// `InvalidValue` for what is no geometry or crosses the 180th meridian, `TooLarge` beyond 10,000 positions.
    pub fn parse(value: &Bson) -> Result<Self> {
        match value {
            Bson::Document(geometry) => Self::parse_geometry(geometry),
            pair => Ok(Self::Points(vec![Point::pair(pair)?])),
        }
    }

    fn parse_geometry(geometry: &Document) -> Result<Self> {
        let kind = geometry.get_str("type").map_err(|_| Error::value("geometry has no type"))?;
        let coordinates = coordinates(geometry)?;
        let mut reader = Reader { positions: 0 };
        Ok(match kind {
            "Point" => Self::Points(vec![reader.position(coordinates)?]),
            "MultiPoint" => Self::Points(reader.positions(coordinates, 1)?),
            "LineString" => Self::Lines(vec![reader.line(coordinates)?]),
            "MultiLineString" => Self::Lines(reader.each(coordinates, Reader::line)?),
            "Polygon" => Self::Polygons(vec![reader.polygon(coordinates)?]),
            "MultiPolygon" => Self::Polygons(reader.each(coordinates, Reader::polygon)?),
            _ => {
                let known = "Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon";
                return Err(Error::value(format!("geometry must be one of {known}")));
            }
        })
    }

    /// The point, if the shape is just one.
    pub fn point(&self) -> Option<Point> {
        match self {
            Self::Points(points) if points.len() == 1 => points.first().copied(),
            _ => None,
        }
    }

    /// How many positions the shape has: what it costs to look at.
    pub fn positions(&self) -> usize {
        match self {
            Self::Points(points) => points.len(),
            Self::Lines(lines) => lines.iter().map(Vec::len).sum(),
            Self::Polygons(polygons) => polygons.iter().flatten().map(Vec::len).sum(),
        }
    }

    /// Whether the two have a point in common. What lies on an edge counts.
    pub fn intersects(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Points(points), shape) | (shape, Self::Points(points)) => {
                points.iter().any(|point| shape.has(*point))
            }
            (Self::Lines(a), Self::Lines(b)) => {
                a.iter().any(|a| b.iter().any(|b| plane::lines_meet(a, b)))
            }
            (Self::Lines(lines), Self::Polygons(polygons))
            | (Self::Polygons(polygons), Self::Lines(lines)) => lines.iter().any(|line| {
                polygons.iter().any(|polygon| plane::line_meets_polygon(line, polygon))
            }),
            (Self::Polygons(a), Self::Polygons(b)) => {
                a.iter().any(|a| b.iter().any(|b| plane::polygons_meet(a, b)))
            }
        }
    }

    /// Whether `point` belongs to the shape.
    fn has(&self, point: Point) -> bool {
        match self {
            Self::Points(points) => points.contains(&point),
            Self::Lines(lines) => lines.iter().any(|line| plane::is_on_line(point, line)),
            Self::Polygons(polygons) => {
                polygons.iter().any(|polygon| plane::is_in_polygon(point, polygon))
            }
        }
    }

    /// The least rectangle around the shape.
    pub(super) fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::nothing();
        self.each_position(&mut |point| bounds.add(point));
        bounds
    }

    pub(super) fn each_position(&self, see: &mut dyn FnMut(Point)) {
        match self {
            Self::Points(points) => points.iter().for_each(|point| see(*point)),
            Self::Lines(lines) => lines.iter().flatten().for_each(|point| see(*point)),
            Self::Polygons(polygons) => {
                polygons.iter().flatten().flatten().for_each(|point| see(*point));
            }
        }
    }
}

/// Reads coordinates and counts positions.
struct Reader {
    positions: usize,
}

impl Reader {
    fn position(&mut self, value: &Bson) -> Result<Point> {
        self.positions += 1;
        if self.positions > POSITIONS_MAX {
            let message = format!("geometry has over {POSITIONS_MAX} positions");
            return Err(Error::new(Kind::TooLarge, message));
        }
        Point::position(value)
    }

    fn positions(&mut self, value: &Bson, least: usize) -> Result<Vec<Point>> {
        let items = value.as_array().filter(|items| items.len() >= least);
        let items = items
            .ok_or_else(|| Error::value(format!("needs an array of at least {least} positions")))?;
        items.iter().map(|item| self.position(item)).collect()
    }

    fn each<T>(&mut self, value: &Bson, read: fn(&mut Self, &Bson) -> Result<T>) -> Result<Vec<T>> {
        let items = value.as_array().filter(|items| !items.is_empty());
        let items = items.ok_or_else(|| Error::value("needs an array of coordinates"))?;
        items.iter().map(|item| read(self, item)).collect()
    }

    fn line(&mut self, value: &Bson) -> Result<Vec<Point>> {
        let line = self.positions(value, 2)?;
        check_meridian(&line)?;
        Ok(line)
    }

    fn polygon(&mut self, value: &Bson) -> Result<Vec<Vec<Point>>> {
        self.each(value, Self::ring)
    }

    fn ring(&mut self, value: &Bson) -> Result<Vec<Point>> {
        let ring = self.positions(value, 4)?;
        if ring.first() != ring.last() {
            return Err(Error::value("a ring of a polygon must end where it begins"));
        }
        check_meridian(&ring)?;
        Ok(ring)
    }
}

/// An edge over half of the map would be meant the other way round.
pub(super) fn check_meridian(line: &[Point]) -> Result<()> {
    if line.windows(2).any(|edge| (edge[0].lng() - edge[1].lng()).abs() > 180.0) {
        let message = "an edge may not cross the 180th meridian: split the shape there";
        return Err(Error::value(message));
    }
    Ok(())
}
