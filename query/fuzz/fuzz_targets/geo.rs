//! Two places or areas, one line each: nothing panics, no ring and no covering misses a point.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_query::ejson::{ReadOptions, read};
use yunzhan_query::geo::{Area, CellRange, Point, Rings, Shape, cell, covering, index_keys, point_of};
use yunzhan_query::{Bson, Document, Path};

fn holds(ranges: &[CellRange], point: Point) -> bool {
    ranges.iter().any(|range| range.from <= cell(point) && cell(point) <= range.to)
}

/// Everything nearer than a ring says was seen, and nothing twice.
fn check_rings(center: Point, other: Point) {
    let distance = center.distance_m(other);
    let mut seen = 0;
    for ring in Rings::new(center, 50.0, 0.0, f64::INFINITY) {
        assert!(ring.ranges.len() <= 16);
        seen += usize::from(holds(&ring.ranges, other));
        assert!(seen > 0 || distance >= ring.certain_to_m, "missed at {distance} m");
    }
    assert_eq!(seen, 1);
}

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions::at(0);
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut next = || lines.next().and_then(|line| read(line, &options).ok());
    let (Some(first), Some(second)) = (next(), next()) else { return };
    let path = Path::parse("at").expect("valid");
    let _ = index_keys(&Document::from_iter([("at".to_owned(), second.clone())]), &path, 1000);
    let Ok(shape) = Shape::parse(&second) else { return };
    if let (Ok(center), Some(other)) = (Point::parse(&first), shape.point()) {
        assert!(other.distance_m(point_of(cell(other))) < 0.01);
        check_rings(center, other);
    }
    for area in areas(&first) {
        assert!(!area.contains(&shape) || area.intersects(&shape), "within and yet not in touch");
        if let (Some(point), true) = (shape.point(), area.intersects(&shape)) {
            assert!(holds(&covering(&area, 16), point), "the covering misses a point");
        }
    }
});

fn areas(value: &Bson) -> impl Iterator<Item = Area> {
    [Area::parse_within(value), Area::parse_intersects(value)].into_iter().flatten()
}
