//! `$geoNear`: documents by their distance from a point. Whoever has the index runs it; here is what it asks.

use bson::{Bson, Document};

use super::parse::{Parser, check_field, natural};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::number::Number;

/// A parsed `$geoNear`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GeoNear {
    /// Longitude and latitude in degrees.
    pub near: [f64; 2],
    /// Whether the point was given as GeoJSON: distances are in metres then, otherwise in radians or, on a plane, degrees.
    pub is_geojson: bool,
    /// Where the distance is written to.
    pub distance_field: String,
    /// Whether distances are on a sphere; always so for GeoJSON.
    pub is_spherical: bool,
    /// The least distance of a result, in the unit of the point.
    pub min_distance: Option<f64>,
    /// The greatest distance of a result, in the unit of the point.
    pub max_distance: Option<f64>,
    /// What else a result must match.
    pub query: Filter,
    /// The field with the place, if several are indexed.
    pub key: Option<String>,
    /// Most results, from the old option `limit` or `num`.
    pub limit: Option<u64>,
    /// Where the place that was measured is written to.
    pub include_locs: Option<String>,
    /// What the distance is multiplied by before it is written.
    pub distance_multiplier: f64,
}

impl GeoNear {
    pub(super) fn parse(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document().ok_or_else(|| Error::value("needs a document"))?;
        let near = document.get("near").ok_or_else(|| Error::value("lacks near, a point"))?;
        let (near, is_geojson) = point(near).map_err(|error| error.at("near"))?;
        let mut stage = Self {
            near,
            is_geojson,
            distance_field: String::new(),
            is_spherical: is_geojson,
            min_distance: None,
            max_distance: None,
            query: Filter::all(),
            key: None,
            limit: None,
            include_locs: None,
            distance_multiplier: 1.0,
        };
        for (name, value) in document.iter().filter(|(name, _)| *name != "near") {
            stage.option(name, value, parser).map_err(|error| error.at(name))?;
        }
        if stage.distance_field.is_empty() {
            return Err(Error::value("lacks distanceField"));
        }
        Ok(stage)
    }

    fn option(&mut self, name: &str, value: &Bson, parser: &mut Parser<'_>) -> Result<()> {
        match name {
            "distanceField" => self.distance_field = field(value)?,
            "spherical" => {
                let spherical = value.as_bool().ok_or_else(|| Error::value("needs true or false"));
                self.is_spherical = spherical? || self.is_geojson;
            }
            "minDistance" => self.min_distance = Some(distance(value)?),
            "maxDistance" => self.max_distance = Some(distance(value)?),
            "query" => {
                let query = value.as_document().ok_or_else(|| Error::value("needs a filter"))?;
                self.query = parser.filter(query)?;
            }
            "key" => self.key = Some(field(value)?),
            "limit" | "num" => self.limit = Some(natural(value)?),
            "includeLocs" => self.include_locs = Some(field(value)?),
            "distanceMultiplier" => self.distance_multiplier = distance(value)?,
            // Old options without a meaning today.
            "uniqueDocs" => {}
            _ => return Err(Error::value("has no such option")),
        }
        Ok(())
    }
}

fn field(value: &Bson) -> Result<String> {
    let name = value.as_str().ok_or_else(|| Error::value("needs a field path"))?;
    check_field(name)?;
    Ok(name.to_owned())
}

fn number(value: &Bson) -> Option<f64> {
    match Number::of(value)? {
        Number::Int(int) => Some(int as f64),
        Number::Double(double) => Some(double).filter(|double| double.is_finite()),
    }
}

fn distance(value: &Bson) -> Result<f64> {
    let distance = number(value).filter(|distance| *distance >= 0.0);
    distance.ok_or_else(|| Error::value("needs a number from 0"))
}

/// `{"type":"Point","coordinates":[longitude,latitude]}` or a pair of coordinates.
fn point(value: &Bson) -> Result<([f64; 2], bool)> {
    let (coordinates, is_geojson) = match value {
        Bson::Document(document) if is_point(document) => (document.get("coordinates"), true),
        Bson::Array(_) => (Some(value), false),
        _ => (None, false),
    };
    let pair = coordinates.and_then(Bson::as_array).map(Vec::as_slice);
    let pair = match pair {
        Some([longitude, latitude]) => number(longitude).zip(number(latitude)),
        _ => None,
    };
    let inside = |(longitude, latitude): &(f64, f64)| {
        !is_geojson || longitude.abs() <= 180.0 && latitude.abs() <= 90.0
    };
    let pair = pair.filter(inside).ok_or_else(|| Error::value("needs a point"))?;
    Ok(([pair.0, pair.1], is_geojson))
}

fn is_point(document: &Document) -> bool {
    document.get("type").and_then(Bson::as_str) == Some("Point")
}
