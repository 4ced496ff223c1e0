//! Rectangles of the map, and the ranges of cells that cover them.

use std::collections::BinaryHeap;

use super::area::Area;
use super::cell::{CellRange, column, interleave, row};
use super::plane::Bounds;
use super::point::{EARTH_RADIUS_M, Point};

/// Metres by which the box around a cap is larger than it, for the rounding to cells and of sines.
const MARGIN_M: f64 = 0.05;

/// Share of the radius by which it is larger besides.
const MARGIN_SHARE: f64 = 1e-9;

/// Ranges of cells, ascending and disjoint, in which every point of `area` lies; at most `ranges_max`, of which at least
/// one is taken for granted. More ranges cover less that is not asked for.
pub fn covering(area: &Area, ranges_max: usize) -> Vec<CellRange> {
    let boxes = area.boxes();
    let mut done = Vec::new();
    let mut open = BinaryHeap::from([Quad::WORLD]);
    while let Some(quad) = open.pop() {
        if boxes.iter().any(|wanted| wanted.contains(&quad)) || quad.shift == 0 {
            done.push(quad);
            continue;
        }
        let parts = quad.parts().filter(|part| boxes.iter().any(|wanted| wanted.meets(part)));
        let parts: Vec<Quad> = parts.collect();
        if done.len() + open.len() + parts.len() > ranges_max.max(1) {
            done.push(quad);
            break;
        }
        open.extend(parts);
    }
    merged(done.into_iter().chain(open).map(Quad::range))
}

/// Sorts ranges and joins those that touch.
pub(super) fn merged(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<CellRange> {
    let mut sorted: Vec<(u64, u64)> = ranges.collect();
    sorted.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
    for (from, to) in sorted {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    let range =
        |(from, to): (u64, u64)| CellRange { from: from.to_be_bytes(), to: to.to_be_bytes() };
    joined.into_iter().map(range).collect()
}

/// A rectangle in steps of longitude and latitude, edges included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CellBox {
    pub(super) west: u32,
    pub(super) east: u32,
    pub(super) south: u32,
    pub(super) north: u32,
}

impl CellBox {
    /// The steps of `bounds`, which are made larger by `margin` degrees on each side.
    pub(super) fn around(bounds: Bounds, margin: f64) -> Self {
        Self {
            west: column(bounds.west - margin),
            east: column(bounds.east + margin),
            south: row(bounds.south - margin),
            north: row(bounds.north + margin),
        }
    }

    /// One box, or two where the cap crosses the 180th meridian. A cap with a pole in it goes all around the earth.
    pub(super) fn around_cap(center: Point, radius_m: f64) -> Vec<Self> {
        let angle = (radius_m * (1.0 + MARGIN_SHARE) + MARGIN_M) / EARTH_RADIUS_M;
        let height = angle.to_degrees();
        let (south, north) = (center.lat() - height, center.lat() + height);
        let sides = |west: f64, east: f64| Self::around(Bounds { west, east, south, north }, 0.0);
        if south <= -90.0 || north >= 90.0 {
            return vec![sides(-180.0, 180.0)];
        }
        // The cap touches its meridians farther from the equator than its middle is.
        let width = (angle.sin() / center.lat().to_radians().cos()).min(1.0).asin().to_degrees();
        let width = width * (1.0 + MARGIN_SHARE) + f64::EPSILON;
        let (west, east) = (center.lng() - width, center.lng() + width);
        if west < -180.0 {
            vec![sides(-180.0, east), sides(west + 360.0, 180.0)]
        } else if east > 180.0 {
            vec![sides(west, 180.0), sides(-180.0, east - 360.0)]
        } else {
            vec![sides(west, east)]
        }
    }

    fn contains(&self, quad: &Quad) -> bool {
        let (east, north) = quad.far_corner();
        self.west <= quad.west
            && east <= self.east
            && self.south <= quad.south
            && north <= self.north
    }

    fn meets(&self, quad: &Quad) -> bool {
        let (east, north) = quad.far_corner();
        self.west <= east
            && quad.west <= self.east
            && self.south <= north
            && quad.south <= self.north
    }
}

/// A square of `2^shift` steps whose corner is a multiple of its side: one range of cells. The greatest are the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quad {
    shift: u32,
    west: u32,
    south: u32,
}

impl Quad {
    const WORLD: Self = Self { shift: 32, west: 0, south: 0 };

    /// The square of this size in which the step at `west` and `south` lies.
    pub(super) fn at(shift: u32, west: u32, south: u32) -> Self {
        let mask = !side_less_one(shift);
        Self { shift, west: west & mask, south: south & mask }
    }

    pub(super) fn range(self) -> (u64, u64) {
        let (east, north) = self.far_corner();
        (interleave(self.west, self.south), interleave(east, north))
    }

    fn far_corner(&self) -> (u32, u32) {
        let side = side_less_one(self.shift);
        (self.west | side, self.south | side)
    }

    fn parts(self) -> impl Iterator<Item = Self> {
        let shift = self.shift.saturating_sub(1);
        let half = 1 << shift;
        [(0, 0), (0, half), (half, 0), (half, half)].into_iter().map(move |(east, north)| Self {
            shift,
            west: self.west | east,
            south: self.south | north,
        })
    }
}

fn side_less_one(shift: u32) -> u32 {
    1_u32.checked_shl(shift).map_or(u32::MAX, |side| side - 1)
}
