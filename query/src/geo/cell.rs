//! Eight bytes for a point, so that what is near mostly begins alike.
//!
//! Longitude and latitude become 32 bits each, a step of 9 millimetres or less, and their bits take turns, longitude first.
//! A square of the map whose side is a power of two of such steps is then one range of cells.

use super::point::Point;

/// A point in the order of an index.
pub type Cell = [u8; 8];

/// Steps of longitude around the earth, and of latitude from pole to pole.
const STEPS: f64 = 4_294_967_296.0;

/// The cells `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellRange {
    /// The first cell.
    pub from: Cell,
    /// The last cell.
    pub to: Cell,
}

/// The cell that `point` lies in.
pub fn cell(point: Point) -> Cell {
    interleave(column(point.lng()), row(point.lat())).to_be_bytes()
}

/// The middle of a cell: at most 7 millimetres from any point in it.
pub fn point_of(cell: Cell) -> Point {
    let bits = u64::from_be_bytes(cell);
    let (column, row) = (gather(bits >> 1), gather(bits));
    let lng = (f64::from(column) + 0.5) / STEPS * 360.0 - 180.0;
    let lat = (f64::from(row) + 0.5) / STEPS * 180.0 - 90.0;
    Point::new(lng, lat).expect("every cell is on the earth")
}

/// The step of longitude: clamped, so also for degrees a little off the map.
pub(super) fn column(lng: f64) -> u32 {
    step((lng + 180.0) / 360.0)
}

/// The step of latitude.
pub(super) fn row(lat: f64) -> u32 {
    step((lat + 90.0) / 180.0)
}

/// The number of the cell at `column` and `row`.
pub(super) fn interleave(column: u32, row: u32) -> u64 {
    (spread(column) << 1) | spread(row)
}

fn step(share: f64) -> u32 {
    // A conversion from a double ends at the ends of the integers, which is the clamping.
    (share * STEPS) as u32
}

/// Puts a zero before each bit.
fn spread(bits: u32) -> u64 {
    let mut bits = u64::from(bits);
    for (shift, mask) in MASKS.iter().rev() {
        bits = (bits | (bits << shift)) & mask;
    }
    bits
}

/// Takes every second bit.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & MASKS[0].1;
    for window in MASKS.windows(2) {
        bits = (bits | (bits >> window[0].0)) & window[1].1;
    }
    ((bits | (bits >> 16)) & 0xffff_ffff) as u32
}

/// How far groups of bits move, and where they stand afterwards: single bits, pairs, and so on.
const MASKS: [(u32, u64); 5] = [
    (1, 0x5555_5555_5555_5555),
    (2, 0x3333_3333_3333_3333),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (8, 0x00ff_00ff_00ff_00ff),
    (16, 0x0000_ffff_0000_ffff),
];
