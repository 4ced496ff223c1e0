//! Pipelines of one to four stages, and orders.
//!
//! A stage that depends on an order stands behind one that leaves no ties. A group loses the order of its members' stages,
//! so that its results are sorted by their `_id` once more.

use bson::{Bson, Document};

use super::document::{Kind, path, path_of};
use super::random::Random;
use super::update::number_path;
use super::{expression, filter, one};

/// An order by one or two fields, and by `_id` at the end.
pub(super) fn order(random: &mut Random) -> Document {
    let mut order = Document::new();
    for _ in 0..random.between(1, 2) {
        order.insert(path(random).0, direction(random));
    }
    if !order.contains_key("_id") {
        order.insert("_id", direction(random));
    }
    order
}

fn direction(random: &mut Random) -> i32 {
    *random.pick(&[1, -1])
}

pub(super) fn pipeline(random: &mut Random, from: &str) -> Vec<Document> {
    let mut stages = Vec::new();
    for _ in 0..random.between(0, 2) {
        stages.extend(shape_kept(random, from));
    }
    stages.extend(if random.chance(60) { last(random) } else { shape_kept(random, from) });
    stages
}

/// Stages after which documents still look like documents of the collection.
fn shape_kept(random: &mut Random, from: &str) -> Vec<Document> {
    match random.below(8) {
        0 | 1 => vec![one("$match", filter::filter(random, false))],
        2 => vec![one("$addFields", computed(random))],
        3 => vec![one("$sort", order(random))],
        4 => vec![one("$sort", order(random)), one("$skip", random.between(0, 3))],
        5 => vec![one("$sort", order(random)), one("$limit", random.between(1, 4))],
        6 => vec![one("$unwind", unwind(random)), one("$sort", order(random))],
        _ => vec![one("$lookup", lookup(random, from))],
    }
}

/// Stages that give other documents.
fn last(random: &mut Random) -> Vec<Document> {
    match random.below(7) {
        0 => vec![one("$project", projected(random))],
        1 | 2 => vec![one("$group", group(random)), one("$sort", one("_id", 1))],
        3 => vec![one("$count", "count")],
        4 => {
            let path = path_of(random, Kind::Text);
            let mut order = one("count", -1);
            order.insert("_id", 1);
            vec![one("$sortByCount", format!("${path}")), one("$sort", order)]
        }
        5 => vec![one("$bucket", bucket(random))],
        _ => {
            let is_document = one("$eq", vec![Bson::from(one("$type", "$o")), "object".into()]);
            let choice = vec![is_document.into(), Bson::from("$o"), one("none", true).into()];
            vec![one("$replaceRoot", one("newRoot", one("$cond", choice)))]
        }
    }
}

fn computed(random: &mut Random) -> Document {
    let mut fields = Document::new();
    for name in ["p", "q"].into_iter().take(1 + random.below(2)) {
        fields.insert(name, expression::any(random, 2));
    }
    fields
}

fn projected(random: &mut Random) -> Document {
    match random.below(3) {
        0 => {
            let mut fields = one(random.word(&["n", "o.n", "l.s", "t"]), 0);
            fields.insert(random.word(&["s", "x", "d"]), 0);
            fields
        }
        1 => {
            let mut fields = one(random.word(&["n", "o.n", "l.s", "t"]), 1);
            fields.insert(random.word(&["s", "x", "d"]), 1);
            if random.chance(30) {
                fields.insert("_id", 0);
            }
            fields
        }
        _ => {
            let mut fields = computed(random);
            fields.insert("n", 1);
            fields
        }
    }
}

fn unwind(random: &mut Random) -> Bson {
    let path = format!("${}", random.word(&["t", "u", "l", "n", "x"]));
    if random.chance(40) {
        return path.into();
    }
    let mut unwind = one("path", path);
    if random.chance(60) {
        unwind.insert("includeArrayIndex", "index");
    }
    unwind.insert("preserveNullAndEmptyArrays", random.chance(60));
    unwind.into()
}

fn lookup(random: &mut Random, from: &str) -> Document {
    let mut lookup = one("from", from);
    lookup.insert("localField", number_path(random));
    lookup.insert("foreignField", random.word(&["n", "_id", "u"]));
    lookup.insert("as", "joined");
    lookup
}

fn group(random: &mut Random) -> Document {
    let key = match random.below(5) {
        0 => Bson::Null,
        1 => "$s".into(),
        2 => "$b".into(),
        3 => expression::number_of(random, 1),
        _ => "$n".into(),
    };
    let mut group = one("_id", key);
    for name in ["p", "q"].into_iter().take(1 + random.below(2)) {
        group.insert(name, accumulator(random));
    }
    group
}

fn accumulator(random: &mut Random) -> Document {
    match random.below(4) {
        0 => one("$sum", 1),
        1 => one(random.word(&["$sum", "$avg"]), expression::number_of(random, 1)),
        2 => one(random.word(&["$min", "$max"]), expression::any(random, 0)),
        _ => one("$push", expression::any(random, 0)),
    }
}

fn bucket(random: &mut Random) -> Document {
    let mut bucket = one("groupBy", random.word(&["$n", "$m"]));
    bucket.insert("boundaries", vec![-2, 0, 3]);
    bucket.insert("default", "other");
    bucket.insert("output", one("count", one("$sum", 1)));
    bucket
}
