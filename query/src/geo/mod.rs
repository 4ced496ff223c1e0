//! Places on the earth: points and shapes, how far, whether inside, and keys by which an index finds what is near.
//!
//! A place is a GeoJSON geometry or a pair `[longitude, latitude]`, in degrees (`point.rs`, `shape.rs`). Distances are great
//! circles on a sphere with MongoDB's radius. What lies within a shape is decided in the plane of longitude and latitude
//! (`plane.rs`, `area.rs`): an edge is straight on such a map, where MongoDB draws a great circle. In a city or a district
//! the two are centimetres apart; an edge from Shanghai to Urumqi is bent by some hundred kilometres. For that reason, too,
//! no shape may cross the 180th meridian.
//!
//! For indexes, `cell.rs` makes eight bytes of a point so that what is near has mostly a common beginning; `rings.rs` and
//! `cover.rs` say which ranges of such cells to read, and `keys.rs` what a document puts into a geo index.

mod area;
mod cell;
mod cover;
mod keys;
mod near;
mod plane;
mod point;
mod rings;
mod shape;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

pub use area::Area;
pub use cell::{Cell, CellRange, cell, point_of};
pub use cover::covering;
pub use keys::{ELSEWHERE_KEY, index_keys, key_range};
pub use near::{Near, distance_m};
pub use point::{EARTH_RADIUS_M, Point};
pub use rings::{FIRST_M, HALF_WAY_M, Ring, Rings};
pub use shape::Shape;

pub(crate) use near::Reach;
