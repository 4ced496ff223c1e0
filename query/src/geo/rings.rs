//! From a point outwards: which cells to read, and how far the points in them reach.

use super::cell::{Cell, CellRange};
use super::cover::{CellBox, Quad, merged};
use super::point::{EARTH_RADIUS_M, Point};

/// How far the first ring reaches at least, in metres: many things may be at one place.
pub const FIRST_M: f64 = 10.0;

/// How far two points are apart at the most, in metres.
pub const HALF_WAY_M: f64 = EARTH_RADIUS_M * std::f64::consts::PI;

/// How much farther each ring reaches than the one before: an area nine times as large.
const GROWTH: f64 = 3.0;

/// Most ranges that cover a ring and all within it; what remains without those already read has at most twice as many.
const COVER_RANGES_MAX: usize = 8;

/// Most squares that are joined to those ranges.
const COVER_QUADS_MAX: u64 = 64;

/// What to read next.
#[derive(Clone, Debug, PartialEq)]
pub struct Ring {
    /// Ascending and disjoint, also from those of all rings before; at most 16, and none where an earlier ring covers
    /// this one.
    pub ranges: Vec<CellRange>,
    /// Once this ring was read, every point nearer than this, in metres, has been seen. Infinite once all have.
    pub certain_to_m: f64,
}

/// Rings around a point, each after the one inside it, to the greatest distance asked for.
#[derive(Clone, Debug)]
pub struct Rings {
    center: Point,
    max_m: f64,
    /// How far the next ring reaches; `None` after the last one.
    next_m: Option<f64>,
    /// Squares of the next ring are at least this large, so that they hold those of the ring before.
    shift: u32,
    covered: Vec<CellRange>,
}

impl Rings {
    /// Rings for the points whose distance from `center` is from `min_m` to `max_m` metres. The first one reaches about
    /// `first_m` metres, or where that is not enough so far beyond `min_m` that it has as large an area there; then no ring
    /// is spent on what is nearer than `min_m` alone.
    pub fn new(center: Point, first_m: f64, min_m: f64, max_m: f64) -> Self {
        let mut first_m = first_m.max(FIRST_M).hypot(min_m);
        // Beside a very large number a small one is lost.
        if first_m <= min_m {
            first_m *= GROWTH;
        }
        Self { center, max_m, next_m: Some(first_m), shift: 0, covered: Vec::new() }
    }
}

impl Iterator for Rings {
    type Item = Ring;

    fn next(&mut self) -> Option<Ring> {
        let radius_m = self.next_m?;
        let is_all = radius_m.min(self.max_m) >= HALF_WAY_M;
        let is_last = is_all || radius_m >= self.max_m;
        self.next_m = (!is_last).then_some(radius_m * GROWTH);
        let boxes = CellBox::around_cap(self.center, radius_m.min(self.max_m).min(HALF_WAY_M));
        let (shift, cover) = cover(&boxes, self.shift);
        let ranges = without(&cover, &self.covered);
        self.shift = shift;
        self.covered = cover;
        let certain_to_m = if is_all { f64::INFINITY } else { radius_m.min(self.max_m) };
        Some(Ring { ranges, certain_to_m })
    }
}

/// Covers the boxes with squares of one size, the smallest from `2^shift` steps on that needs few enough ranges. A larger
/// square holds all smaller ones that it touches, so that each cover holds the cover of any box within.
fn cover(boxes: &[CellBox], shift: u32) -> (u32, Vec<CellRange>) {
    for shift in shift..32 {
        if boxes.iter().map(|wanted| quad_count(wanted, shift)).sum::<u64>() > COVER_QUADS_MAX {
            continue;
        }
        let quads = boxes.iter().flat_map(|wanted| quads(*wanted, shift));
        let ranges = merged(quads.map(Quad::range));
        if ranges.len() <= COVER_RANGES_MAX {
            return (shift, ranges);
        }
    }
    (32, merged(std::iter::once((0, u64::MAX))))
}

fn quad_count(wanted: &CellBox, shift: u32) -> u64 {
    let across = |from: u32, to: u32| u64::from((to >> shift) - (from >> shift)) + 1;
    across(wanted.west, wanted.east).saturating_mul(across(wanted.south, wanted.north))
}

fn quads(wanted: CellBox, shift: u32) -> impl Iterator<Item = Quad> {
    let columns = (wanted.west >> shift)..=(wanted.east >> shift);
    columns.flat_map(move |column| {
        let rows = (wanted.south >> shift)..=(wanted.north >> shift);
        rows.map(move |row| Quad::at(shift, column << shift, row << shift))
    })
}

/// The cells of `cover` that are not in `covered`; both ascending and disjoint.
fn without(cover: &[CellRange], covered: &[CellRange]) -> Vec<CellRange> {
    let mut rest = Vec::with_capacity(cover.len() + covered.len());
    for range in cover {
        let mut from = Some(range.from);
        for known in covered.iter().filter(|known| range.from <= known.to && known.from <= range.to)
        {
            let Some(start) = from else { break };
            if start < known.from {
                rest.push(CellRange { from: start, to: before(known.from) });
            }
            from = after(known.to).filter(|next| *next <= range.to);
        }
        rest.extend(from.map(|from| CellRange { from, to: range.to }));
    }
    rest
}

fn before(cell: Cell) -> Cell {
    u64::from_be_bytes(cell).saturating_sub(1).to_be_bytes()
}

fn after(cell: Cell) -> Option<Cell> {
    u64::from_be_bytes(cell).checked_add(1).map(u64::to_be_bytes)
}
