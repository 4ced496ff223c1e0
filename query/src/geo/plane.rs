//! Points, lines and polygons in the plane of longitude and latitude.
//!
//! A polygon is a list of closed rings: the first is its outline, the others are holes. What lies on the edge of a polygon
//! is in it, also on the edge of a hole.

use super::point::Point;

/// A rectangle in degrees, edges included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

impl Bounds {
    pub(super) fn nothing() -> Self {
        let (least, most) = (f64::NEG_INFINITY, f64::INFINITY);
        Self { west: most, east: least, south: most, north: least }
    }

    pub(super) fn add(&mut self, point: Point) {
        self.west = self.west.min(point.lng());
        self.east = self.east.max(point.lng());
        self.south = self.south.min(point.lat());
        self.north = self.north.max(point.lat());
    }
}

/// Where a point lies with regard to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Edge,
    Outside,
}

pub(super) fn is_in_polygon(point: Point, polygon: &[Vec<Point>]) -> bool {
    let Some((outline, holes)) = polygon.split_first() else { return false };
    side(point, outline) != Side::Outside
        && !holes.iter().any(|hole| side(point, hole) == Side::Inside)
}

pub(super) fn is_on_line(point: Point, line: &[Point]) -> bool {
    edges(line).any(|(a, b)| is_on_edge(point, a, b))
}

pub(super) fn lines_meet(a: &[Point], b: &[Point]) -> bool {
    edges(a).any(|a| edges(b).any(|b| edges_meet(a, b)))
}

/// The line may also lie inside without touching an edge; then all of it does, and its first point shows it.
pub(super) fn line_meets_polygon(line: &[Point], polygon: &[Vec<Point>]) -> bool {
    line.iter().any(|point| is_in_polygon(*point, polygon))
        || polygon.iter().any(|ring| lines_meet(line, ring))
}

pub(super) fn polygons_meet(a: &[Vec<Point>], b: &[Vec<Point>]) -> bool {
    let meets_outline = |polygon, other: &[Vec<Point>]| {
        other.first().is_some_and(|line| line_meets_polygon(line, polygon))
    };
    meets_outline(a, b) || meets_outline(b, a)
}

/// Whether all of the line is in the polygon: its corners, the middle of each edge, and no edge crosses one of the polygon.
/// An edge that leaves and comes back through two corners of the polygon shows it in its middle, or is missed: for that it
/// would have to go through corners exactly.
pub(super) fn line_within_polygon(line: &[Point], polygon: &[Vec<Point>]) -> bool {
    line.iter().all(|point| is_in_polygon(*point, polygon))
        && edges(line).all(|(a, b)| {
            middle(a, b).is_none_or(|middle| is_in_polygon(middle, polygon))
                && !polygon.iter().any(|ring| edges(ring).any(|edge| edges_cross((a, b), edge)))
        })
}

/// Whether all of `inner` is in `outer`: its outline is, and no hole of `outer` is in the middle of it.
pub(super) fn polygon_within_polygon(inner: &[Vec<Point>], outer: &[Vec<Point>]) -> bool {
    let Some(outline) = inner.first() else { return false };
    let is_open = |hole: &Vec<Point>| {
        hole.iter().any(|point| {
            side(*point, outline) == Side::Inside
                && !inner[1..].iter().any(|own| side(*point, own) != Side::Outside)
        })
    };
    line_within_polygon(outline, outer) && !outer.iter().skip(1).any(is_open)
}

fn edges(line: &[Point]) -> impl Iterator<Item = (Point, Point)> {
    line.windows(2).map(|edge| (edge[0], edge[1]))
}

/// Counts the edges that a ray to the east crosses: an odd number of them means inside.
fn side(point: Point, ring: &[Point]) -> Side {
    let mut inside = false;
    for (a, b) in edges(ring) {
        if is_on_edge(point, a, b) {
            return Side::Edge;
        }
        if (a.lat() > point.lat()) != (b.lat() > point.lat()) {
            let share = (point.lat() - a.lat()) / (b.lat() - a.lat());
            if point.lng() < a.lng() + share * (b.lng() - a.lng()) {
                inside = !inside;
            }
        }
    }
    if inside { Side::Inside } else { Side::Outside }
}

/// Positive if `c` is to the left of the way from `a` to `b`, 0 on the straight line through them.
fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b.lng() - a.lng()) * (c.lat() - a.lat()) - (b.lat() - a.lat()) * (c.lng() - a.lng())
}

fn is_on_edge(point: Point, a: Point, b: Point) -> bool {
    let between = |value: f64, a: f64, b: f64| a.min(b) <= value && value <= a.max(b);
    between(point.lng(), a.lng(), b.lng())
        && between(point.lat(), a.lat(), b.lat())
        && turn(a, b, point) == 0.0
}

fn edges_meet(a: (Point, Point), b: (Point, Point)) -> bool {
    edges_cross(a, b)
        || is_on_edge(a.0, b.0, b.1)
        || is_on_edge(a.1, b.0, b.1)
        || is_on_edge(b.0, a.0, a.1)
        || is_on_edge(b.1, a.0, a.1)
}

/// Whether each goes from one side of the other to the other side.
fn edges_cross(a: (Point, Point), b: (Point, Point)) -> bool {
    let parts = |a: (Point, Point), b: (Point, Point)| {
        let (from, to) = (turn(a.0, a.1, b.0), turn(a.0, a.1, b.1));
        (from > 0.0 && to < 0.0) || (from < 0.0 && to > 0.0)
    };
    parts(a, b) && parts(b, a)
}

fn middle(a: Point, b: Point) -> Option<Point> {
    Point::new(f64::midpoint(a.lng(), b.lng()), f64::midpoint(a.lat(), b.lat())).ok()
}
