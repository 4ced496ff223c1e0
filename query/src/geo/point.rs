//! A point, and how far two of them are apart.

use bson::{Bson, Document};

use crate::error::{Error, Result};
use crate::number::Number;

/// The radius that turns angles into metres: MongoDB's, so that the same documents are within the same distances.
pub const EARTH_RADIUS_M: f64 = 6_378_100.0;

/// Longitude and latitude in degrees, always finite and on the earth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    lng: f64,
    lat: f64,
}

impl Point {
    /// A point at `lng` degrees east and `lat` degrees north.
    ///
    /// # Errors
    /// `InvalidValue` unless longitude is within 180 and latitude within 90 degrees.
    pub fn new(lng: f64, lat: f64) -> Result<Self> {
        if !(-180.0..=180.0).contains(&lng) {
            return Err(Error::value("longitude must be from -180 to 180"));
        }
        if !(-90.0..=90.0).contains(&lat) {
            return Err(Error::value("latitude must be from -90 to 90"));
        }
        Ok(Self { lng, lat })
    }

    /// Reads a GeoJSON `Point` or a pair `[longitude, latitude]`.
    ///
    /// # Errors
    /// `InvalidValue`.
    pub fn parse(value: &Bson) -> Result<Self> {
        match value {
            Bson::Document(document)
                if document.get_str("type").is_ok_and(|kind| kind == "Point") =>
            {
                Self::position(coordinates(document)?)
            }
            Bson::Array(_) => Self::pair(value),
            _ => Err(Error::value("needs a Point or a pair of longitude and latitude")),
        }
    }

    /// Degrees east of Greenwich.
    pub fn lng(self) -> f64 {
        self.lng
    }

    /// Degrees north of the equator.
    pub fn lat(self) -> f64 {
        self.lat
    }

    /// Metres along the great circle to `other`: the angle between the two directions from the middle of the earth, by
    /// sine and cosine, which is exact for near and for opposite points, and to the last digit what MongoDB computes.
    pub fn distance_m(self, other: Self) -> f64 {
        let ([ax, ay, az], [bx, by, bz]) = (self.direction(), other.direction());
        let cross = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
        let sine = (cross[0] * cross[0] + cross[1] * cross[1] + cross[2] * cross[2]).sqrt();
        EARTH_RADIUS_M * sine.atan2(ax * bx + ay * by + az * bz)
    }

    /// The direction as a vector of length 1.
    fn direction(self) -> [f64; 3] {
        let (lat, lng) = (self.lat.to_radians(), self.lng.to_radians());
        [lat.cos() * lng.cos(), lat.cos() * lng.sin(), lat.sin()]
    }

    /// A position of GeoJSON: two numbers, and perhaps an altitude, which counts for nothing.
    pub(super) fn position(value: &Bson) -> Result<Self> {
        match value.as_array().map(Vec::as_slice) {
            Some([lng, lat] | [lng, lat, _]) => Self::new(degrees(lng)?, degrees(lat)?),
            _ => Err(Error::value("a position needs longitude and latitude")),
        }
    }

    /// Exactly two numbers.
    pub(crate) fn pair(value: &Bson) -> Result<Self> {
        match value.as_array().map(Vec::as_slice) {
            Some([lng, lat]) => Self::new(degrees(lng)?, degrees(lat)?),
            _ => Err(Error::value("needs a pair of longitude and latitude")),
        }
    }
}

/// The coordinates of a geometry.
pub(super) fn coordinates(geometry: &Document) -> Result<&Bson> {
    geometry.get("coordinates").ok_or_else(|| Error::value("geometry has no coordinates"))
}

/// A number as a double; infinite ones and NaN are in no range and are refused there.
pub(super) fn double(value: &Bson) -> Option<f64> {
    Some(match Number::of(value)? {
        Number::Int(int) => int as f64,
        Number::Double(double) => double,
    })
}

fn degrees(value: &Bson) -> Result<f64> {
    double(value).ok_or_else(|| Error::value("a coordinate must be a number"))
}
