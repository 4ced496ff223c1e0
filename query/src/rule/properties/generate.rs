//! Generated rules, queries and documents: few values and few fields, so that things meet.

use bson::{Bson, Document};
use proptest::prelude::*;

use super::plain::{Constant, Rules, World};
use super::{DOCUMENTS, QUERIES};
use crate::testing::{doc, text};

const FIELDS: [&str; 4] = ["a", "b", "c", "a.b"];

fn any_of<T: Clone + std::fmt::Debug + 'static>(items: &[T]) -> BoxedStrategy<T> {
    prop::sample::select(items.to_vec()).boxed()
}

fn scalar() -> BoxedStrategy<Bson> {
    any_of(&["x", "y", "o1", "o1", "u1"])
        .prop_map(Bson::from)
        .boxed()
        .prop_union(any_of(&[0_i32, 1, 2, 3]).prop_map(Bson::from).boxed())
        .or(any_of(&[Bson::Double(1.0), Bson::Double(1.5), Bson::Int64(2)]))
        .or(any_of(&[Bson::Null, true.into(), false.into()]))
        .boxed()
}

fn field_value() -> BoxedStrategy<Bson> {
    let inner = || {
        prop_oneof![
            4 => scalar(),
            1 => prop::collection::vec(scalar(), 0..3).prop_map(Bson::Array),
        ]
    };
    let document = || {
        prop::option::of(inner())
            .prop_map(|b| Bson::Document(b.map(|b| ("b".to_owned(), b)).into_iter().collect()))
    };
    prop_oneof![
        6 => scalar(),
        2 => prop::collection::vec(scalar(), 0..4).prop_map(Bson::Array),
        2 => document(),
        1 => prop::collection::vec(prop_oneof![document(), inner()], 0..3).prop_map(Bson::Array),
    ]
    .boxed()
}

fn document() -> BoxedStrategy<Document> {
    let fields = ["a", "b", "c"].map(|name| {
        prop::option::weighted(0.85, field_value())
            .prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    });
    fields.prop_map(|fields| fields.into_iter().flatten().collect()).boxed()
}

/// What the client writes.
fn data() -> BoxedStrategy<Document> {
    (scalar(), field_value()).prop_map(|(a, b)| bson::doc! { "a": a, "b": b }).boxed()
}

/// What may be compared by order.
fn constant() -> BoxedStrategy<Constant> {
    let literal = prop_oneof![
        any_of(&["x", "y", "o1"]).prop_map(Bson::from),
        any_of(&[1_i64, 2]).prop_map(Bson::from),
        any_of(&[Bson::Double(1.5)]),
    ];
    prop_oneof![
        4 => literal.prop_map(Constant::Literal),
        2 => Just(Constant::Openid),
        1 => Just(Constant::Uid),
        1 => Just(Constant::Now),
        1 => Just(Constant::Data("a")),
        1 => any_of(&["x", "y", "z"]).prop_map(|id| Constant::Got(id, "v")),
        1 => Just(Constant::Keyed("v")),
    ]
    .boxed()
}

/// What is compared for equality only.
fn equality() -> BoxedStrategy<Constant> {
    let odd = any_of(&[Bson::Null, true.into(), false.into()]);
    prop_oneof![
        8 => constant(),
        2 => odd.prop_map(Constant::Literal),
        1 => Just(Constant::Data("b")),
        1 => (any_of(&["x", "y"]), any_of(&["n", "l"])).prop_map(|(id, f)| Constant::Got(id, f)),
        1 => any_of(&["l", "n"]).prop_map(Constant::Keyed),
    ]
    .boxed()
}

fn list() -> BoxedStrategy<Constant> {
    prop_oneof![
        3 => prop::collection::vec(equality(), 0..4).prop_map(Constant::List),
        1 => (any_of(&["x", "y", "z"]), any_of(&["l", "n", "v"])).prop_map(|(id, f)| Constant::Got(id, f)),
        1 => any_of(&["l", "v"]).prop_map(Constant::Keyed),
    ]
    .boxed()
}

fn clause() -> BoxedStrategy<Rules> {
    let same = any_of(&["==", "==", "!="]);
    let field = any_of(&FIELDS);
    let top = any_of(&["a", "b", "c"]);
    let ordered = any_of(&["<", "<=", ">", ">="]);
    prop_oneof![
        1 => any::<bool>().prop_map(Rules::Truth),
        1 => field.clone().prop_map(Rules::Bare),
        6 => (field.clone(), same.clone(), equality()).prop_map(|(f, o, c)| Rules::Compare(f, o, c)),
        2 => (field.clone(), ordered, constant()).prop_map(|(f, o, c)| Rules::Compare(f, o, c)),
        3 => (field.clone(), list()).prop_map(|(f, c)| Rules::Compare(f, "in", c)),
        2 => (equality(), field).prop_map(|(c, f)| Rules::Holds(c, f)),
        1 => (equality(), same.clone(), equality()).prop_map(|(l, o, r)| Rules::Constants(l, o, r)),
        1 => (equality(), list()).prop_map(|(l, r)| Rules::Constants(l, "in", r)),
        1 => (top.clone(), same, top).prop_map(|(l, o, r)| Rules::Fields(l, o, r)),
    ]
    .boxed()
}

fn rules() -> BoxedStrategy<Rules> {
    clause()
        .prop_recursive(3, 8, 3, |inner| {
            let several = || prop::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                1 => inner.clone().prop_map(|rule| Rules::Not(Box::new(rule))),
                2 => several().prop_map(Rules::All),
                2 => several().prop_map(Rules::Any),
            ]
        })
        .boxed()
}

fn test() -> BoxedStrategy<Bson> {
    let several = || prop::collection::vec(scalar(), 0..4);
    let single = any_of(&["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]);
    let positive = (single, field_value()).prop_map(|(o, v)| bson::doc! { o: v });
    let listed =
        (any_of(&["$in", "$nin", "$all"]), several()).prop_map(|(o, v)| bson::doc! { o: v });
    let simple = prop_oneof![3 => positive, 2 => listed].boxed();
    let other = any_of(&[
        bson::doc! { "$exists": true },
        bson::doc! { "$exists": false },
        bson::doc! { "$size": 1 },
        bson::doc! { "$elemMatch": { "b": 1 } },
        bson::doc! { "$regex": "^x" },
    ]);
    let operators = prop_oneof![
        4 => simple.clone(),
        2 => simple.clone().prop_map(|test| bson::doc! { "$not": test }),
        1 => simple.clone().prop_map(|test| bson::doc! { "$elemMatch": test }),
        1 => (simple.clone(), simple).prop_map(|(mut a, b)| { a.extend(b); a }),
        1 => other,
    ];
    prop_oneof![3 => field_value(), 4 => operators.prop_map(Bson::Document)].boxed()
}

fn query() -> BoxedStrategy<Document> {
    let fields = prop::collection::vec((any_of(&FIELDS), test()), 0..3)
        .prop_map(|tests| tests.into_iter().map(|(f, t)| (f.to_owned(), t)).collect::<Document>());
    fields
        .prop_recursive(2, 6, 3, |inner| {
            let parts = prop::collection::vec(inner.clone(), 1..3);
            (any_of(&["$and", "$or", "$or", "$nor"]), parts, inner).prop_map(
                |(o, parts, mut more)| {
                    more.insert(o, parts);
                    more
                },
            )
        })
        .boxed()
}

/// How a query comes about: by chance, or from the rule, as a client would write it who knows it.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    ByChance,
    AsTheRule,
    AsTheRuleAnd,
    AsTheRuleOr,
    /// Nearly as the rule.
    Mistaken,
}

#[derive(Clone, Debug)]
pub(super) struct Generated {
    pub(super) rule: Rules,
    pub(super) openid: Option<&'static str>,
    pub(super) data: Document,
    pub(super) queries: Vec<(Asked, Document)>,
    pub(super) documents: Vec<Document>,
}

pub(super) fn generated() -> impl Strategy<Value = Generated> {
    let asked = any_of(&[
        Asked::ByChance,
        Asked::AsTheRule,
        Asked::AsTheRuleAnd,
        Asked::AsTheRuleOr,
        Asked::Mistaken,
    ]);
    let openid = any_of(&[Some("o1"), Some("o1"), Some("x"), None]);
    let queries = prop::collection::vec((asked, query()), QUERIES);
    let documents = prop::collection::vec(document(), DOCUMENTS);
    (rules(), openid, data(), queries, documents).prop_map(
        |(rule, openid, data, queries, documents)| Generated {
            rule,
            openid,
            data,
            queries,
            documents,
        },
    )
}

impl Generated {
    pub(super) fn query(&self, asked: &Asked, chance: &Document) -> Document {
        let nothing = Document::new();
        let of = |rule: &Rules, pin: Document, key: Option<Bson>| {
            let world = World { openid: self.openid, doc: &nothing, data: &self.data, key };
            let filter = rule.filter(true, &world)?;
            Some(if rule.is_keyed() {
                bson::doc! { "$and": [pin, filter] }
            } else {
                filter
            })
        };
        let own = || {
            let filter = of(&self.rule, bson::doc! { "c": "x" }, Some("x".into()));
            filter.unwrap_or_else(|| chance.clone())
        };
        match asked {
            Asked::ByChance => chance.clone(),
            Asked::AsTheRule => own(),
            Asked::AsTheRuleAnd => bson::doc! { "$and": [own(), chance.clone()] },
            Asked::AsTheRuleOr => bson::doc! { "$or": [own(), chance.clone()] },
            Asked::Mistaken => {
                let filter = of(&self.rule.slightly_other(), bson::doc! { "c": ["x"] }, None);
                let asked = text(&filter.unwrap_or_else(|| chance.clone()));
                doc(&asked.replace(r#""$eq":null"#, r#""$exists":false"#))
            }
        }
    }

    /// Whether a filter alone can say what the rule says, so that the filter must be admitted.
    pub(super) fn is_complete(&self, asked: &Asked) -> bool {
        matches!(asked, Asked::AsTheRule | Asked::AsTheRuleAnd) && !has_fields(&self.rule)
    }
}

fn has_fields(rule: &Rules) -> bool {
    match rule {
        Rules::Fields(..) => true,
        Rules::Not(inner) => has_fields(inner),
        Rules::All(rules) | Rules::Any(rules) => rules.iter().any(has_fields),
        _ => false,
    }
}
