//! Filters: every operator on fields of every kind, nested two deep.

use bson::{Bson, Document, Regex};

use super::document::{Kind, path, tag, unsteady, value};
use super::expression;
use super::one;
use super::random::Random;

/// Patterns that mean the same in every engine of regular expressions.
const PATTERNS: &[(&str, &str)] =
    &[("^a", ""), ("b", ""), ("^A", "i"), ("c$", ""), ("^茶", ""), ("a.*c", ""), ("^$", "")];

/// A filter of one to three parts.
pub(super) fn filter(random: &mut Random, with_expressions: bool) -> Document {
    nested(random, with_expressions, 2)
}

fn nested(random: &mut Random, with_expressions: bool, depth: usize) -> Document {
    let mut filter = Document::new();
    for _ in 0..random.between(1, 2) {
        let (name, operand) = match random.below(10) {
            0 | 1 if depth > 0 => {
                let operator = random.word(&["$and", "$or", "$or", "$nor"]);
                let parts = random.some(1, 3, |random| nested(random, with_expressions, depth - 1));
                (operator, Bson::from(parts))
            }
            2 if with_expressions && random.chance(50) => ("$expr", expression::truth(random, 1)),
            _ => {
                let (path, kind) = path(random);
                (path, tests(random, kind))
            }
        };
        filter.insert(name, operand);
    }
    filter
}

/// What a field is asked: a value, a pattern, or one or two operators.
fn tests(random: &mut Random, kind: Kind) -> Bson {
    match random.below(10) {
        0 | 1 => asked(random, kind),
        2 if matches!(kind, Kind::Text | Kind::Tags) => pattern(random),
        _ => Bson::Document(operators(random, kind)),
    }
}

fn operators(random: &mut Random, kind: Kind) -> Document {
    let mut tests = Document::new();
    for _ in 0..random.between(1, 2) {
        let (operator, operand) = operator(random, kind);
        tests.insert(operator, operand);
    }
    tests
}

fn operator(random: &mut Random, kind: Kind) -> (&'static str, Bson) {
    const COMPARISONS: &[&str] = &["$gt", "$gte", "$lt", "$lte"];
    match random.below(15) {
        0 => ("$eq", asked(random, kind)),
        1 => ("$ne", asked(random, kind)),
        2..6 => (random.word(COMPARISONS), asked(random, kind)),
        6 | 7 => ("$in", random.some(0, 3, |random| asked(random, kind)).into()),
        8 => ("$nin", random.some(0, 3, |random| asked(random, kind)).into()),
        9 => ("$exists", random.chance(50).into()),
        10 => ("$not", operators_once(random, kind).into()),
        11 if kind == Kind::Text => ("$regex", random.pick(PATTERNS).0.into()),
        11 => ("$mod", vec![Bson::from(random.between(1, 3)), random.between(0, 1).into()].into()),
        12 => ("$size", random.between(0, 3).into()),
        13 => ("$all", random.some(0, 2, tag).into()),
        _ => ("$elemMatch", item(random, kind).into()),
    }
}

fn operators_once(random: &mut Random, kind: Kind) -> Document {
    let (operator, operand) = operator(random, kind);
    // Nested negations say nothing new and take the reader's breath.
    if operator == "$not" { one("$exists", true) } else { one(operator, operand) }
}

/// The condition of `$elemMatch`: on items that are documents, or on plain ones.
fn item(random: &mut Random, kind: Kind) -> Document {
    if kind == Kind::Parts || random.chance(20) {
        let (name, kind) =
            *random.pick(&[("n", Kind::Number), ("s", Kind::Text), ("t", Kind::Tags)]);
        return one(name, tests_of_item(random, kind));
    }
    let kind = if random.chance(50) { Kind::Number } else { Kind::Text };
    one(random.word(&["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"]), value(random, kind))
}

fn tests_of_item(random: &mut Random, kind: Kind) -> Bson {
    let value = value(random, kind);
    if random.chance(40) { value } else { one(random.word(&["$gt", "$lte", "$ne"]), value).into() }
}

/// A value to compare with: of an array also one of its items.
fn asked(random: &mut Random, kind: Kind) -> Bson {
    match kind {
        Kind::Tags | Kind::Numbers if random.chance(75) => tag(random),
        _ => unsteady(random, kind),
    }
}

fn pattern(random: &mut Random) -> Bson {
    let (pattern, options) = *random.pick(PATTERNS);
    let text = |text: &str| text.try_into().expect("no NUL in it");
    Bson::RegularExpression(Regex { pattern: text(pattern), options: text(options) })
}
