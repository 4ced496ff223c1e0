//! Places: distances, shapes, and that no walk through an index misses one.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{
    Area, CellRange, Point, Rings, Shape, cell, covering, index_keys, key_range, point_of,
};
use crate::key::ENTRIES_MAX;
use crate::path::Path;
use crate::testing::{doc, value};

fn point(lng: f64, lat: f64) -> Point {
    Point::new(lng, lat).unwrap()
}

#[test]
fn distances_on_the_sphere() {
    let km = |a: (f64, f64), b: (f64, f64)| {
        (point(a.0, a.1).distance_m(point(b.0, b.1)) / 1000.0).round()
    };
    assert_eq!(km((116.4074, 39.9042), (121.4737, 31.2304)), 1068.0);
    assert_eq!(km((0.0, 0.0), (180.0, 0.0)), 20037.0);
    assert_eq!(km((179.5, 0.0), (-179.5, 0.0)), 111.0);
    assert_eq!(km((0.0, 90.0), (77.0, 90.0)), 0.0);
}

/// How each line is read as a shape, or why it is none.
fn check_shapes(lines: &str, expected: &Expect) {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let result = match Shape::parse(&value(line)) {
            Ok(shape) => {
                format!("{} positions, point {}", shape.positions(), shape.point().is_some())
            }
            Err(error) => error.to_string(),
        };
        format!("{line} -> {result}\n")
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn shapes_and_what_is_none() {
    check_shapes(
        r#"
        [116.4,39.9]
        {"type":"Point","coordinates":[116.4,39.9]}
        {"type":"Point","coordinates":[116.4,39.9,50]}
        {"type":"MultiPoint","coordinates":[[1,2],[3,4]]}
        {"type":"LineString","coordinates":[[1,2],[3,4]]}
        {"type":"MultiLineString","coordinates":[[[1,2],[3,4]]]}
        {"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]}
        {"type":"MultiPolygon","coordinates":[[[[0,0],[4,0],[4,4],[0,0]]]]}
        [180.1,0]
        [0,{"$numberDouble":"NaN"}]
        [1,2,3]
        ["1",2]
        5
        {"type":"Point"}
        {"coordinates":[1,2]}
        {"type":"Point","coordinates":[1]}
        {"type":"Circle","coordinates":[1,2]}
        {"type":"LineString","coordinates":[[1,2]]}
        {"type":"LineString","coordinates":[[179,0],[-179,0]]}
        {"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,1]]]}
        {"type":"Polygon","coordinates":[]}
        "#,
        &expect![[r#"
            [116.4,39.9] -> 1 positions, point true
            {"type":"Point","coordinates":[116.4,39.9]} -> 1 positions, point true
            {"type":"Point","coordinates":[116.4,39.9,50]} -> 1 positions, point true
            {"type":"MultiPoint","coordinates":[[1,2],[3,4]]} -> 2 positions, point false
            {"type":"LineString","coordinates":[[1,2],[3,4]]} -> 2 positions, point false
            {"type":"MultiLineString","coordinates":[[[1,2],[3,4]]]} -> 2 positions, point false
            {"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]} -> 4 positions, point false
            {"type":"MultiPolygon","coordinates":[[[[0,0],[4,0],[4,4],[0,0]]]]} -> 4 positions, point false
            [180.1,0] -> longitude must be from -180 to 180
            [0,{"$numberDouble":"NaN"}] -> latitude must be from -90 to 90
            [1,2,3] -> needs a pair of longitude and latitude
            ["1",2] -> a coordinate must be a number
            5 -> needs a pair of longitude and latitude
            {"type":"Point"} -> geometry has no coordinates
            {"coordinates":[1,2]} -> geometry has no type
            {"type":"Point","coordinates":[1]} -> a position needs longitude and latitude
            {"type":"Circle","coordinates":[1,2]} -> geometry must be one of Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon
            {"type":"LineString","coordinates":[[1,2]]} -> needs an array of at least 2 positions
            {"type":"LineString","coordinates":[[179,0],[-179,0]]} -> an edge may not cross the 180th meridian: split the shape there
            {"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,1]]]} -> a ring of a polygon must end where it begins
            {"type":"Polygon","coordinates":[]} -> needs an array of coordinates
        "#]],
    );
}

#[test]
fn areas_that_are_none() {
    let error = |text: &str| Area::parse_within(&value(text)).unwrap_err().to_string() + "\n";
    let ring: Vec<_> = (0..1001).map(|n| format!("[{},0]", n % 100)).collect();
    let errors = [
        error("1"),
        error(r#"{"$geometry":{"type":"Point","coordinates":[1,2]}}"#),
        error(r#"{"$geometry":[1,2]}"#),
        error(r#"{"$centerSphere":[[1,2],-1]}"#),
        error(r#"{"$centerSphere":[[1,2]]}"#),
        error(r#"{"$box":[[1,2]]}"#),
        error(r#"{"$polygon":[[1,2],[3,4]]}"#),
        error(&format!(r#"{{"$polygon":[{}]}}"#, ring.join(","))),
        error(r#"{"$circle":[[1,2],1]}"#),
        error(r#"{"$box":[[1,2],[3,4]],"$center":1}"#),
    ];
    expect![[r#"
        needs a document with one area
        needs a Polygon or a MultiPolygon, operator $geometry
        needs a GeoJSON geometry, operator $geometry
        radius must be a number from 0, operator $centerSphere
        needs a center and a radius, operator $centerSphere
        needs two corners, operator $box
        needs at least three corners, operator $polygon
        area has over 1000 corners, operator $polygon
        unknown operator, operator $circle
        needs a document with one area
    "#]]
    .assert_eq(&errors.concat());
}

#[test]
fn keys_of_a_document() {
    let keys = |text: &str| match index_keys(&doc(text), &Path::parse("at").unwrap(), ENTRIES_MAX) {
        Ok(keys) => keys
            .iter()
            .map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => error.to_string(),
    };
    let lines: String = [
        r#"{}"#,
        r#"{"at":null}"#,
        r#"{"at":[]}"#,
        r#"{"at":[0,0]}"#,
        r#"{"at":{"type":"Point","coordinates":[-180,-90]}}"#,
        r#"{"at":{"type":"Point","coordinates":[180,90]}}"#,
        r#"{"at":[[0,0],[-180,-90],[0,0]]}"#,
        r#"{"at":[{"type":"Point","coordinates":[0,0]},{"type":"LineString","coordinates":[[0,0],[1,1]]}]}"#,
        r#"{"at":"x"}"#,
        r#"{"at":[0,91]}"#,
        r#"{"at":[[0,0],"x"]}"#,
    ]
    .iter()
    .map(|text| format!("{text} -> {}\n", keys(text)))
    .collect();
    expect![[r#"
        {} -> 
        {"at":null} -> 
        {"at":[]} -> 
        {"at":[0,0]} -> 0190c000000000000000
        {"at":{"type":"Point","coordinates":[-180,-90]}} -> 01900000000000000000
        {"at":{"type":"Point","coordinates":[180,90]}} -> 0190ffffffffffffffff
        {"at":[[0,0],[-180,-90],[0,0]]} -> 01900000000000000000 0190c000000000000000
        {"at":[{"type":"Point","coordinates":[0,0]},{"type":"LineString","coordinates":[[0,0],[1,1]]}]} -> 0190c000000000000000 0198
        {"at":"x"} -> needs a pair of longitude and latitude, at field at
        {"at":[0,91]} -> latitude must be from -90 to 90, at field at
        {"at":[[0,0],"x"]} -> needs a pair of longitude and latitude, at field at
    "#]].assert_eq(&lines);
}

fn any_point() -> BoxedStrategy<Point> {
    let lng = prop_oneof![
        -180.0..=180.0_f64,
        prop::sample::select(vec![-180.0, 180.0, 0.0, 179.9999, -179.9999, 116.4])
    ];
    let lat = prop_oneof![
        -90.0..=90.0_f64,
        prop::sample::select(vec![-90.0, 90.0, 0.0, 89.9999, -89.9999, 39.9])
    ];
    (lng, lat).prop_map(|(lng, lat)| point(lng, lat)).boxed()
}

/// A point within `metres` or so of `from`, in any direction, also over a pole or the meridian.
fn moved(from: Point, metres: f64, bearing: f64) -> Point {
    let (angle, lat) = (metres / super::EARTH_RADIUS_M, from.lat().to_radians());
    let to_lat =
        (lat.sin() * angle.cos() + lat.cos() * angle.sin() * bearing.cos()).clamp(-1.0, 1.0).asin();
    let east =
        (bearing.sin() * angle.sin() * lat.cos()).atan2(angle.cos() - lat.sin() * to_lat.sin());
    let lng = (from.lng() + east.to_degrees() + 540.0).rem_euclid(360.0) - 180.0;
    point(lng.clamp(-180.0, 180.0), to_lat.to_degrees().clamp(-90.0, 90.0))
}

fn holds(ranges: &[CellRange], point: Point) -> bool {
    let cell = cell(point);
    ranges.iter().any(|range| range.from <= cell && cell <= range.to)
}

fn any_shape() -> BoxedStrategy<Shape> {
    let near = || (-8..=8_i32, -8..=8_i32).prop_map(|(x, y)| point(x.into(), y.into()));
    let rectangle = (-8..8_i32, -8..8_i32, 1..6_i32, 1..6_i32).prop_map(|(x, y, width, height)| {
        let (west, east) = (f64::from(x), f64::from((x + width).min(10)));
        let (south, north) = (f64::from(y), f64::from((y + height).min(10)));
        let ring = vec![
            point(west, south),
            point(east, south),
            point(east, north),
            point(west, north),
            point(west, south),
        ];
        Shape::Polygons(vec![vec![ring]])
    });
    prop_oneof![
        prop::collection::vec(near(), 1..3).prop_map(Shape::Points),
        prop::collection::vec(near(), 2..4).prop_map(|line| Shape::Lines(vec![line])),
        rectangle,
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_cell_is_its_point(point in any_point()) {
        let back = point_of(cell(point));
        prop_assert!(point.distance_m(back) < 0.01);
        prop_assert_eq!(cell(back), cell(point));
    }

    #[test]
    fn what_is_within_also_intersects(area in any_shape(), shape in any_shape()) {
        let area = Area::Shape(area);
        prop_assert!(!area.contains(&shape) || area.intersects(&shape));
    }

    #[test]
    fn intersecting_goes_both_ways(a in any_shape(), b in any_shape()) {
        prop_assert_eq!(a.intersects(&b), b.intersects(&a));
        prop_assert!(a.intersects(&a));
    }

    #[test]
    fn a_cap_holds_what_is_near_enough(center in any_point(), other in any_point(), radius_m in 0.0..2e7) {
        let shape = Shape::Points(vec![other]);
        let near = center.distance_m(other) <= radius_m;
        prop_assert_eq!(Area::Cap { center, radius_m }.contains(&shape), near);
    }

    /// The promise of the rings: after each, everything nearer than it says was seen, and nothing twice.
    #[test]
    fn rings_miss_no_point(
        center in any_point(),
        metres in prop_oneof![0.0..200.0_f64, 0.0..20_000.0, 0.0..2.1e7],
        bearing in 0.0..std::f64::consts::TAU,
        first_m in prop_oneof![Just(0.0), 0.0..1e5, Just(f64::INFINITY)],
        min_m in prop_oneof![Just(0.0), 0.0..1e6],
        max_m in prop_oneof![Just(f64::INFINITY), 0.0..1e7],
    ) {
        let other = moved(center, metres, bearing);
        let distance = center.distance_m(other);
        let (mut seen, mut all, mut reached) = (0, Vec::new(), -1.0);
        for ring in Rings::new(center, first_m, min_m, max_m) {
            prop_assert!(ring.ranges.len() <= 16, "{} ranges", ring.ranges.len());
            prop_assert!(ring.certain_to_m > reached);
            reached = ring.certain_to_m;
            seen += usize::from(holds(&ring.ranges, other));
            prop_assert!(seen > 0 || distance >= ring.certain_to_m, "{distance} m is not seen within {reached} m");
            prop_assert!(ring.ranges.windows(2).all(|pair| pair[0].to < pair[1].from));
            all.extend(ring.ranges);
        }
        prop_assert!(seen == 1 || (seen == 0 && distance > max_m), "{distance} m is seen {seen} times");
        prop_assert!(reached >= max_m);
        all.sort();
        prop_assert!(all.windows(2).all(|pair| pair[0].to < pair[1].from));
    }

    /// What an index walk costs: at worst a small multiple of the circle, except near the poles.
    #[test]
    fn rings_are_not_much_larger_than_their_circles(lng in -180.0..180.0_f64, lat in -60.0..60.0_f64) {
        let center = point(lng, lat);
        let mut read = 0.0;
        for ring in Rings::new(center, 50.0, 0.0, 20_000.0) {
            let cells: f64 = ring.ranges.iter().map(|range| {
                (u64::from_be_bytes(range.to) - u64::from_be_bytes(range.from)) as f64
            }).sum();
            let square_metre = (4_294_967_296.0_f64 / 40_075_000.0) * (4_294_967_296.0 / 20_037_500.0);
            read += cells / square_metre * lat.to_radians().cos();
            let circle = std::f64::consts::PI * ring.certain_to_m.powi(2);
            prop_assert!(read < 16.0 * circle, "{} m: {}", ring.certain_to_m, read / circle);
        }
    }

    #[test]
    fn coverings_miss_no_point(
        center in any_point(),
        radius_m in prop_oneof![0.0..1000.0_f64, 0.0..2e7],
        share in 0.0..1.0_f64,
        bearing in 0.0..std::f64::consts::TAU,
        ranges_max in 0..40_usize,
    ) {
        let area = Area::Cap { center, radius_m };
        let ranges = covering(&area, ranges_max);
        prop_assert!(!ranges.is_empty() && ranges.len() <= ranges_max.max(1));
        prop_assert!(ranges.windows(2).all(|pair| pair[0].to < pair[1].from));
        let other = moved(center, radius_m * share, bearing);
        let inside = area.contains(&Shape::Points(vec![other]));
        prop_assert!(!inside || holds(&ranges, other));
    }

    #[test]
    fn coverings_of_shapes_miss_no_point(shape in any_shape(), other in (-8..=8_i32, -8..=8_i32)) {
        let other = point(other.0.into(), other.1.into());
        let area = Area::Shape(shape);
        let ranges = covering(&area, 16);
        prop_assert!(!area.intersects(&Shape::Points(vec![other])) || holds(&ranges, other));
    }

    #[test]
    fn ranges_of_keys_hold_the_keys_of_their_points(a in any_point(), b in any_point(), other in any_point()) {
        let (from, to) = (cell(a).min(cell(b)), cell(a).max(cell(b)));
        let range = CellRange { from, to };
        let document = bson::doc! { "at": [other.lng(), other.lat()] };
        let keys = index_keys(&document, &Path::parse("at").unwrap(), ENTRIES_MAX).unwrap();
        let keys_range = key_range(&range);
        let inside = keys_range.from <= keys[0] && keys[0] < keys_range.to;
        prop_assert_eq!(inside, holds(&[range], other));
    }
}
