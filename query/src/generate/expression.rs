//! Expressions of pipelines, by the type of their result. They nest two deep.

use bson::{Bson, Document};

use super::document::{Kind, number, value};
use super::one;
use super::random::Random;

/// An operator with its operand.
fn call(operator: &str, operand: impl Into<Bson>) -> Bson {
    Bson::Document(one(operator, operand))
}

/// An expression of any type, with the depth that is left.
pub(super) fn any(random: &mut Random, depth: usize) -> Bson {
    match random.below(6) {
        0 | 1 => number_of(random, depth),
        2 => text(random, depth),
        3 => truth(random, depth),
        4 => list(random, depth),
        _ => date(random),
    }
}

/// A number, null where there is none.
pub(super) fn number_of(random: &mut Random, depth: usize) -> Bson {
    if depth == 0 || random.chance(25) {
        return if random.chance(30) { number(random) } else { numbers_field(random) };
    }
    let inner = |random: &mut Random| number_of(random, depth - 1);
    match random.below(14) {
        0 | 1 => call("$add", random.some(1, 3, inner)),
        2 => call("$multiply", random.some(1, 3, inner)),
        3 => call("$subtract", vec![inner(random), inner(random)]),
        4 => call("$divide", vec![inner(random), Bson::Int32(*random.pick(&[2, 4]))]),
        5 => call("$mod", vec![inner(random), Bson::Int32(*random.pick(&[2, 3]))]),
        6 => call(random.word(&["$abs", "$ceil", "$floor"]), inner(random)),
        7 => call("$size", list(random, depth - 1)),
        8 => call(random.word(&["$sum", "$avg", "$min", "$max"]), "$u"),
        9 => call(random.word(&["$strLenCP", "$strLenBytes"]), text(random, 0)),
        10 => call("$ifNull", vec![inner(random), number(random)]),
        11 => choice(random, inner),
        12 => call(random.word(DATE_PARTS), "$d"),
        _ => call("$cmp", vec![inner(random), inner(random)]),
    }
}

const DATE_PARTS: &[&str] = &[
    "$year",
    "$month",
    "$dayOfMonth",
    "$dayOfYear",
    "$dayOfWeek",
    "$hour",
    "$minute",
    "$second",
    "$millisecond",
    "$week",
    "$isoWeek",
    "$isoDayOfWeek",
    "$isoWeekYear",
];

/// A text.
fn text(random: &mut Random, depth: usize) -> Bson {
    if depth == 0 || random.chance(25) {
        return call("$ifNull", vec![Bson::from("$s"), "茶a".into()]);
    }
    let inner = |random: &mut Random| text(random, depth - 1);
    match random.below(6) {
        0 => call("$concat", random.some(1, 3, inner)),
        1 => call(random.word(&["$toLower", "$toUpper"]), inner(random)),
        2 => call(
            "$substrCP",
            vec![inner(random), random.between(0, 2).into(), random.between(0, 3).into()],
        ),
        3 => choice(random, inner),
        4 => {
            let mut form = one("date", "$d");
            form.insert("format", "%Y-%m-%d %H:%M:%S.%L");
            form.insert("onNull", "-");
            call("$dateToString", form)
        }
        _ => inner(random),
    }
}

/// A truth.
pub(super) fn truth(random: &mut Random, depth: usize) -> Bson {
    const COMPARISONS: &[&str] = &["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"];
    if depth == 0 || random.chance(40) {
        let pair = match random.below(3) {
            0 => vec![numbers_field(random), number(random)],
            1 => vec!["$s".into(), value(random, Kind::Text)],
            _ => vec!["$n".into(), "$m".into()],
        };
        return call(random.word(COMPARISONS), pair);
    }
    let inner = |random: &mut Random| truth(random, depth - 1);
    match random.below(6) {
        0 => call("$and", random.some(0, 3, inner)),
        1 => call("$or", random.some(0, 3, inner)),
        2 => call("$not", vec![inner(random)]),
        3 => call("$in", vec![number_of(random, 0), list(random, 0)]),
        4 => call(
            random.word(&["$setEquals", "$setIsSubset"]),
            vec![list(random, 0), list(random, 0)],
        ),
        _ => call(random.word(COMPARISONS), vec![any(random, depth - 1), any(random, depth - 1)]),
    }
}

/// An array.
fn list(random: &mut Random, depth: usize) -> Bson {
    if depth == 0 || random.chance(30) {
        return Bson::Document(array_field(random.word(&["t", "u"])));
    }
    let inner = |random: &mut Random| list(random, depth - 1);
    match random.below(8) {
        0 => call("$concatArrays", random.some(1, 2, inner)),
        1 => call("$reverseArray", inner(random)),
        2 => call("$slice", vec![inner(random), random.between(-2, 2).into()]),
        3 => call("$setUnion", vec![inner(random), inner(random)]),
        4 => call("$setIntersection", vec![inner(random), inner(random)]),
        5 => call("$setDifference", vec![inner(random), inner(random)]),
        6 => {
            let mut map = one("input", inner(random));
            map.insert("as", "item");
            map.insert("in", call("$ifNull", vec![Bson::from("$$item"), number(random)]));
            call("$map", map)
        }
        _ => {
            let mut filter = one("input", inner(random));
            filter.insert("as", "item");
            filter.insert("cond", call("$gt", vec![Bson::from("$$item"), number(random)]));
            call("$filter", filter)
        }
    }
}

/// The array in a field, or an empty one where something else is: most operators refuse anything else.
fn array_field(name: &str) -> Document {
    let field = Bson::String(format!("${name}"));
    let mut choice = one("if", call("$isArray", vec![field.clone()]));
    choice.insert("then", field);
    choice.insert("else", Vec::<Bson>::new());
    one("$cond", choice)
}

fn date(random: &mut Random) -> Bson {
    if random.chance(50) { "$d".into() } else { value(random, Kind::Date) }
}

fn choice(random: &mut Random, mut make: impl FnMut(&mut Random) -> Bson) -> Bson {
    let condition = truth(random, 0);
    call("$cond", vec![condition, make(random), make(random)])
}

fn numbers_field(random: &mut Random) -> Bson {
    random.word(&["$n", "$m", "$o.n"]).into()
}
