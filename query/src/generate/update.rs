//! Updates: one to three changes of fields that do not touch one another.

use bson::{Bson, Document};

use super::document::{Kind, number, path_of, tag, unsteady, value};
use super::one;
use super::random::Random;

/// What an update may change; each path but the last begins in another field than the others.
const TARGETS: &[(&str, Kind)] = &[
    ("n", Kind::Number),
    ("m", Kind::Number),
    ("s", Kind::Text),
    ("b", Kind::Truth),
    ("d", Kind::Date),
    ("t", Kind::Tags),
    ("u", Kind::Numbers),
    ("o.n", Kind::Number),
    ("l.0.n", Kind::Number),
    ("x", Kind::Any),
    ("new", Kind::Any),
    ("deep.down", Kind::Number),
];

pub(super) fn update(random: &mut Random) -> Document {
    let mut update = Document::new();
    let mut touched = Vec::new();
    for _ in 0..random.between(1, 3) {
        let (path, kind) = *random.pick(TARGETS);
        if touched.contains(&path) {
            continue;
        }
        touched.push(path);
        let (operator, operand) = change(random, path, kind);
        let entry = update.entry(operator.to_owned()).or_insert_with(|| Document::new().into());
        if let Bson::Document(fields) = entry {
            fields.insert(path, operand);
        }
    }
    update
}

fn change(random: &mut Random, path: &str, kind: Kind) -> (&'static str, Bson) {
    match (random.below(10), kind) {
        (0 | 1, _) => ("$set", unsteady(random, kind)),
        (2, _) => ("$unset", "".into()),
        (3, _) => (random.word(&["$min", "$max"]), value(random, kind)),
        (4, _) if !path.contains('.') => ("$rename", format!("renamed_{path}").into()),
        (_, Kind::Number) => arithmetic(random),
        (_, Kind::Tags | Kind::Numbers) => array(random),
        (_, kind) => ("$set", value(random, kind)),
    }
}

fn arithmetic(random: &mut Random) -> (&'static str, Bson) {
    match random.below(5) {
        0..3 => ("$inc", number(random)),
        3 => ("$mul", number(random)),
        _ => {
            let operation = random.word(&["and", "or", "xor"]);
            ("$bit", one(operation, random.between(0, 7)).into())
        }
    }
}

fn array(random: &mut Random) -> (&'static str, Bson) {
    match random.below(8) {
        0 => ("$push", tag(random)),
        1 | 2 => ("$push", several(random).into()),
        3 => ("$addToSet", tag(random)),
        4 => ("$addToSet", one("$each", random.some(0, 3, tag)).into()),
        5 => ("$pop", (*random.pick(&[1, -1])).into()),
        6 => ("$pullAll", random.some(0, 2, tag).into()),
        _ if random.chance(50) => ("$pull", tag(random)),
        _ => {
            let bound = number(random);
            ("$pull", one(random.word(&["$gt", "$gte", "$lt", "$ne"]), bound).into())
        }
    }
}

/// The operand of `$push` with its modifiers.
fn several(random: &mut Random) -> Document {
    let mut push = one("$each", random.some(0, 3, tag));
    if random.chance(40) {
        push.insert("$position", random.between(-2, 3));
    }
    if random.chance(40) {
        push.insert("$sort", *random.pick(&[1, -1]));
    }
    if random.chance(40) {
        push.insert("$slice", random.between(-2, 3));
    }
    push
}

/// A path of numbers, for whoever computes.
pub(super) fn number_path(random: &mut Random) -> &'static str {
    path_of(random, Kind::Number)
}
