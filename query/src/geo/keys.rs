//! What a document puts into a geo index.

use std::collections::BTreeSet;

use bson::{Bson, Document};

use super::cell::{CellRange, cell};
use super::near::each_geometry;
use super::shape::Shape;
use crate::error::{Error, Kind, Result};
use crate::key::{FORMAT, KeyRange, TAG_ELSEWHERE, TAG_PLACE};
use crate::path::Path;

/// The key of everything that is more than a point. It is nowhere in particular, so each walk through a geo index reads it
/// too.
pub const ELSEWHERE_KEY: [u8; 2] = [FORMAT, TAG_ELSEWHERE];

/// The distinct keys of `document` in a geo index over `path`, ascending: one for each point, [`ELSEWHERE_KEY`] for other
/// geometries, none if the field is missing, null or an empty array.
///
/// # Errors
/// `InvalidValue` naming the path where something is no geometry, `TooLarge` beyond `keys_max` keys.
pub fn index_keys(document: &Document, path: &Path, keys_max: usize) -> Result<Vec<Vec<u8>>> {
    let mut keys = BTreeSet::new();
    let mut refusal = None;
    each_geometry(document, path, &mut |value| match key_of(value) {
        // One more than fits shows that there are too many.
        Ok(key) if keys.len() <= keys_max => drop(keys.insert(key)),
        Ok(_) => {}
        Err(error) => drop(refusal.get_or_insert(error)),
    });
    if let Some(error) = refusal {
        return Err(error.at(path));
    }
    if keys.len() > keys_max {
        let message = format!("document has more than {keys_max} keys in one index");
        return Err(Error::new(Kind::TooLarge, message).at(path));
    }
    Ok(keys.into_iter().collect())
}

/// The keys of the points in a range of cells.
pub fn key_range(cells: &CellRange) -> KeyRange {
    let key = |cell: &[u8]| [&[FORMAT, TAG_PLACE], cell].concat();
    let mut to = key(&cells.to);
    // The first key after: nothing stands between a key and itself with a zero.
    to.push(0);
    KeyRange { from: key(&cells.from), to }
}

fn key_of(value: &Bson) -> Result<Vec<u8>> {
    let shape = Shape::parse(value)?;
    Ok(match shape.point() {
        Some(point) => [&[FORMAT, TAG_PLACE], cell(point).as_slice()].concat(),
        None => ELSEWHERE_KEY.to_vec(),
    })
}
