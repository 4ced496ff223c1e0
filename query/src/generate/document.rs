//! What a document looks like, and which values a field has.

use bson::{Bson, DateTime, Document};

use super::one;
use super::random::Random;

/// The types that fields have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Truth,
    Date,
    /// An array of numbers and texts.
    Tags,
    /// An array of numbers.
    Numbers,
    /// A document with `n`, `s` and `t`.
    Part,
    /// An array of such documents.
    Parts,
    /// A GeoJSON point.
    Place,
    /// Anything.
    Any,
}

/// The fields of a document.
const FIELDS: &[(&str, Kind)] = &[
    ("n", Kind::Number),
    ("m", Kind::Number),
    ("s", Kind::Text),
    ("b", Kind::Truth),
    ("d", Kind::Date),
    ("t", Kind::Tags),
    ("u", Kind::Numbers),
    ("o", Kind::Part),
    ("l", Kind::Parts),
    ("g", Kind::Place),
    ("x", Kind::Any),
];

/// Paths with the kind of value that is mostly there, at the end of the path or in the arrays on it.
const PATHS: &[(&str, Kind)] = &[
    ("n", Kind::Number),
    ("m", Kind::Number),
    ("s", Kind::Text),
    ("b", Kind::Truth),
    ("d", Kind::Date),
    ("t", Kind::Tags),
    ("u", Kind::Numbers),
    ("x", Kind::Any),
    ("o", Kind::Part),
    ("o.n", Kind::Number),
    ("o.s", Kind::Text),
    ("o.t", Kind::Tags),
    ("l", Kind::Parts),
    ("l.n", Kind::Number),
    ("l.s", Kind::Text),
    ("l.t", Kind::Tags),
    ("l.0.n", Kind::Number),
    ("t.0", Kind::Any),
    ("u.1", Kind::Number),
    ("absent", Kind::Any),
    ("_id", Kind::Number),
];

const TEXTS: &[&str] = &["", "a", "b", "ab", "abc", "A", "aB c", "茶", "茶叶", "龙井", "é"];

/// Around changes of year, week and month, in milliseconds since 1970; the first one lies before it.
const DATES: &[i64] = &[
    -86_400_000,
    0,
    951_782_400_000,
    1_546_214_400_000,
    1_577_836_799_999,
    1_709_164_800_000,
    1_764_028_800_123,
];

/// A document with this `_id`.
pub(super) fn document(random: &mut Random, id: i32) -> Document {
    let mut document = one("_id", id);
    for (name, kind) in FIELDS {
        if random.chance(85) {
            document.insert(*name, unsteady(random, *kind));
        }
    }
    document
}

/// A path of a document, and the kind that is mostly there.
pub(super) fn path(random: &mut Random) -> (&'static str, Kind) {
    *random.pick(PATHS)
}

/// A path where mostly this is.
pub(super) fn path_of(random: &mut Random, kind: Kind) -> &'static str {
    let fitting: Vec<_> = PATHS.iter().filter(|(_, own)| *own == kind).collect();
    random.pick(&fitting).0
}

/// A value of this kind, or now and then of another one.
pub(super) fn unsteady(random: &mut Random, kind: Kind) -> Bson {
    match random.below(100) {
        0..3 => Bson::Null,
        3..7 => value(random, Kind::Any),
        _ => value(random, kind),
    }
}

/// A value of this kind.
pub(super) fn value(random: &mut Random, kind: Kind) -> Bson {
    match kind {
        Kind::Number => number(random),
        Kind::Text => random.word(TEXTS).into(),
        Kind::Truth => random.chance(50).into(),
        Kind::Date => Bson::DateTime(DateTime::from_millis(*random.pick(DATES))),
        Kind::Tags => Bson::Array(random.some(0, 4, tag)),
        Kind::Numbers => Bson::Array(random.some(0, 4, number)),
        Kind::Part => Bson::Document(part(random)),
        Kind::Parts => Bson::Array(random.some(0, 3, |random| Bson::Document(part(random)))),
        Kind::Place => Bson::Document(place(random)),
        Kind::Any => any(random),
    }
}

/// An item of an array of numbers and texts.
pub(super) fn tag(random: &mut Random) -> Bson {
    match random.below(20) {
        0 => Bson::Null,
        1 => Bson::Array(random.some(0, 2, number)),
        2..9 => number(random),
        _ => value(random, Kind::Text),
    }
}

/// A small number, as each of the types of numbers.
pub(super) fn number(random: &mut Random) -> Bson {
    let small = random.between(-2, 6);
    match random.below(6) {
        0..3 => Bson::Int32(small),
        3 => Bson::Int64(small.into()),
        4 => Bson::Double(small.into()),
        _ => Bson::Double(f64::from(small) + 0.5),
    }
}

fn any(random: &mut Random) -> Bson {
    const KINDS: &[Kind] =
        &[Kind::Number, Kind::Text, Kind::Truth, Kind::Date, Kind::Tags, Kind::Part, Kind::Parts];
    if random.chance(10) {
        return Bson::Null;
    }
    let kind = *random.pick(KINDS);
    value(random, kind)
}

fn part(random: &mut Random) -> Document {
    let mut part = Document::new();
    for (name, kind) in [("n", Kind::Number), ("s", Kind::Text), ("t", Kind::Tags)] {
        if random.chance(75) {
            let value = if random.chance(5) { Bson::Null } else { value(random, kind) };
            part.insert(name, value);
        }
    }
    part
}

/// Around one lake, a few hundred metres apart.
fn place(random: &mut Random) -> Document {
    let near = |random: &mut Random, centre: f64| {
        Bson::Double(centre + f64::from(random.between(-20, 20)) / 1000.0)
    };
    let coordinates = vec![near(random, 120.15), near(random, 30.25)];
    let mut place = one("type", "Point");
    place.insert("coordinates", coordinates);
    place
}
