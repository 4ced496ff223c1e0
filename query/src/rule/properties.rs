//! No query is admitted that could show a document the rule denies: generated rules, callers, queries and documents, against
//! an evaluator that is written differently and knows nothing of the one it judges.

use std::cell::Cell;
use std::collections::BTreeMap;

use bson::{Bson, Document};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use super::{Admission, Caller, Decision, Facts, Fetched, Get, Rule};
use crate::filter::{Filter, Limits};
use crate::testing::{doc, text};

/// Generated rules with their callers; each meets [`QUERIES`] queries and [`DOCUMENTS`] documents, which makes over
/// 100,000 cases. The environment variable `YUNZHAN_RULE_CASES` sets another number.
const RULES: u32 = 2500;
const QUERIES: usize = 4;
const DOCUMENTS: usize = 12;

const NOW_MS: i64 = 2;

fn cases() -> u32 {
    let asked = std::env::var("YUNZHAN_RULE_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(RULES)
}

/// The only caller of the filter here.
fn filter_matches(filter: &Filter, document: &Document) -> bool {
    filter.matches(document, &crate::Budget::default()).unwrap_or(false)
}

// === rules, as this test sees them ===

/// A value in a rule that does not depend on the document, or only through `get`.
#[derive(Clone, Debug)]
enum Constant {
    Literal(Bson),
    Openid,
    Uid,
    Now,
    Data(&'static str),
    /// `get` of a written id, and the field taken from it.
    Got(&'static str, &'static str),
    /// `get` of the id in `doc.c`.
    Keyed(&'static str),
    List(Vec<Constant>),
}

#[derive(Clone, Debug)]
enum Rules {
    Truth(bool),
    Bare(&'static str),
    /// Field, operator, constant.
    Compare(&'static str, &'static str, Constant),
    /// Constant in field.
    Holds(Constant, &'static str),
    Constants(Constant, &'static str, Constant),
    Fields(&'static str, &'static str, &'static str),
    Not(Box<Rules>),
    All(Vec<Rules>),
    Any(Vec<Rules>),
}

/// Everything an evaluation may look at.
struct World<'a> {
    openid: Option<&'static str>,
    doc: &'a Document,
    data: &'a Document,
    /// The item of `doc.c` that stands for it.
    key: Option<Bson>,
}

/// What `get` finds in the collection `k`.
fn store(id: &Bson) -> Option<Document> {
    match id.as_str()? {
        "x" => Some(doc(r#"{"v":"o1","l":["x",1,null],"n":null}"#)),
        "y" => Some(doc(r#"{"v":2,"l":["o1","y"],"n":{"v":1}}"#)),
        _ => None,
    }
}

impl Constant {
    fn source(&self) -> String {
        match self {
            Self::Literal(Bson::String(text)) => format!("'{text}'"),
            Self::Literal(value) => value.to_string(),
            Self::Openid => "auth.openid".to_owned(),
            Self::Uid => "auth.uid".to_owned(),
            Self::Now => "now".to_owned(),
            Self::Data(field) => format!("request.data.{field}"),
            Self::Got(id, field) => format!("get('database.k.{id}').{field}"),
            Self::Keyed(field) => format!("get(`database.k.${{doc.c}}`)[\"{field}\"]"),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::source).collect();
                format!("[{}]", items.join(" , "))
            }
        }
    }

    fn is_keyed(&self) -> bool {
        match self {
            Self::List(items) => items.iter().any(Self::is_keyed),
            constant => matches!(constant, Self::Keyed(_)),
        }
    }

    fn value(&self, world: &World<'_>) -> Option<Bson> {
        let taken = |found: Option<&Bson>| found.cloned().filter(|value| *value != Bson::Null);
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Openid => world.openid.map(Into::into),
            Self::Uid => Some("u1".into()),
            Self::Now => Some(NOW_MS.into()),
            Self::Data(field) => taken(world.data.get(field)),
            Self::Got(id, field) => taken(store(&(*id).into())?.get(field)),
            Self::Keyed(field) => taken(store(world.key.as_ref()?)?.get(field)),
            Self::List(items) => {
                Some(Bson::Array(items.iter().filter_map(|item| item.value(world)).collect()))
            }
        }
    }
}

impl Rules {
    fn source(&self) -> String {
        let joined = |rules: &[Self], sign: &str| {
            let parts: Vec<_> = rules.iter().map(|rule| format!("({})", rule.source())).collect();
            parts.join(sign)
        };
        match self {
            Self::Truth(truth) => truth.to_string(),
            Self::Bare(field) => format!("doc.{field}"),
            Self::Compare(field, operator, constant) => {
                format!("doc.{field} {operator} {}", constant.source())
            }
            Self::Holds(constant, field) => format!("{} in doc.{field}", constant.source()),
            Self::Constants(left, operator, right) => {
                format!("{} {operator} {}", left.source(), right.source())
            }
            Self::Fields(left, operator, right) => format!("doc.{left} {operator} doc.{right}"),
            Self::Not(inner) => format!("!({})", inner.source()),
            Self::All(rules) => joined(rules, "&&"),
            Self::Any(rules) => joined(rules, " || "),
        }
    }

    fn is_keyed(&self) -> bool {
        match self {
            Self::Compare(_, _, constant) | Self::Holds(constant, _) => constant.is_keyed(),
            Self::Constants(left, _, right) => left.is_keyed() || right.is_keyed(),
            Self::Not(inner) => inner.is_keyed(),
            Self::All(rules) | Self::Any(rules) => rules.iter().any(Self::is_keyed),
            Self::Truth(_) | Self::Bare(_) | Self::Fields(..) => false,
        }
    }

    /// The plain evaluation, for any item that may stand for `doc.c`.
    fn allows(&self, openid: Option<&'static str>, doc: &Document, data: &Document) -> bool {
        let keys = match doc.get("c") {
            Some(Bson::Array(items)) if !items.is_empty() => items.clone(),
            Some(Bson::Array(_)) | None => vec![Bson::Null],
            Some(value) => vec![value.clone()],
        };
        keys.into_iter().any(|key| self.holds(&World { openid, doc, data, key: Some(key) }))
    }

    fn holds(&self, world: &World<'_>) -> bool {
        match self {
            Self::Truth(truth) => *truth,
            Self::Bare(field) => shown(world.doc, field).contains(&Bson::Boolean(true)),
            Self::Compare(field, operator, constant) => {
                let Some(value) = constant.value(world) else { return *operator == "!=" };
                let literal = matches!(constant, Constant::List(_));
                asks(&shown(world.doc, field), operator, &value, literal)
            }
            Self::Holds(constant, field) => {
                let value = constant.value(world);
                value.is_some_and(|value| asks(&shown(world.doc, field), "==", &value, true))
            }
            Self::Constants(left, operator, right) => {
                compare_plainly(operator, left.value(world), right.value(world))
            }
            Self::Fields(left, operator, right) => {
                let right = world.doc.get(right).cloned().filter(|value| *value != Bson::Null);
                let Some(value) = right else { return *operator == "!=" };
                asks(&shown(world.doc, left), operator, &value, false)
            }
            Self::Not(inner) => !inner.holds(world),
            Self::All(rules) => rules.iter().all(|rule| rule.holds(world)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(world)),
        }
    }

    /// The same with bounds on the other side of what they let in.
    fn slightly_other(&self) -> Self {
        let each = |rules: &[Self]| rules.iter().map(Self::slightly_other).collect();
        let other = |operator: &'static str| match operator {
            "<" => "<=",
            "<=" => "<",
            ">" => ">=",
            ">=" => ">",
            same => same,
        };
        match self {
            Self::Compare(field, operator, constant) => {
                Self::Compare(field, other(operator), constant.clone())
            }
            Self::Not(inner) => Self::Not(Box::new(inner.slightly_other())),
            Self::All(rules) => Self::All(each(rules)),
            Self::Any(rules) => Self::Any(each(rules)),
            same => same.clone(),
        }
    }

    /// A filter that matches exactly what the condition allows, or its contrary. `None` where there is none.
    fn filter(&self, wanted: bool, world: &World<'_>) -> Option<Document> {
        let always = |truth: bool| {
            Some(if truth == wanted { Document::new() } else { doc(r#"{"a":{"$in":[]}}"#) })
        };
        let field = |field: &str, operator: &str, value: Bson| {
            let test = bson::doc! { operator: value };
            let test = if wanted {
                test
            } else {
                bson::doc! { "$not": test }
            };
            Some(bson::doc! { field: test })
        };
        match self {
            Self::Truth(truth) => always(*truth),
            Self::Bare(name) => field(name, "$eq", true.into()),
            Self::Compare(name, operator, constant) => {
                let Some(value) = constant.value(world) else { return always(*operator == "!=") };
                let value = match (*operator, constant, value) {
                    ("in", Constant::List(_), value) => value,
                    ("in", _, Bson::Array(items)) => {
                        Bson::Array(items.into_iter().filter(|item| *item != Bson::Null).collect())
                    }
                    ("in", _, value) => Bson::Array(vec![value]),
                    (_, _, value) => value,
                };
                field(name, filter_operator(operator), value)
            }
            Self::Holds(constant, name) => match constant.value(world) {
                Some(value) => field(name, "$eq", value),
                None => always(false),
            },
            Self::Constants(left, operator, right) => {
                always(compare_plainly(operator, left.value(world), right.value(world)))
            }
            Self::Fields(..) => None,
            Self::Not(inner) => inner.filter(!wanted, world),
            Self::All(rules) | Self::Any(rules) => {
                let parts: Option<Vec<_>> =
                    rules.iter().map(|rule| rule.filter(wanted, world)).collect();
                let all = matches!(self, Self::All(_)) == wanted;
                Some(bson::doc! { if all { "$and" } else { "$or" }: parts? })
            }
        }
    }
}

fn filter_operator(operator: &str) -> &'static str {
    match operator {
        "==" => "$eq",
        "!=" => "$ne",
        "<" => "$lt",
        "<=" => "$lte",
        ">" => "$gt",
        ">=" => "$gte",
        _ => "$in",
    }
}

/// Every value that a filter would look at: arrays are opened on the way, and at the end also count as they are.
fn shown(document: &Document, path: &str) -> Vec<Bson> {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = document.get(name).cloned().unwrap_or(Bson::Null);
    match (rest.is_empty(), value) {
        (true, Bson::Array(items)) => {
            let whole = Bson::Array(items.clone());
            items.into_iter().chain([whole]).collect()
        }
        (true, value) => vec![value],
        (false, Bson::Document(inner)) => shown(&inner, rest),
        (false, Bson::Array(items)) => items
            .iter()
            .filter_map(Bson::as_document)
            .flat_map(|inner| shown(inner, rest))
            .collect(),
        (false, _) => vec![Bson::Null],
    }
}

fn asks(shown: &[Bson], operator: &str, value: &Bson, nulls: bool) -> bool {
    let any = |operator: &str, value: &Bson| {
        shown.iter().any(|one| compare_plainly(operator, Some(one.clone()), Some(value.clone())))
    };
    match (operator, value) {
        ("!=", value) => !any("==", value),
        ("in", Bson::Array(items)) => {
            items.iter().filter(|item| nulls || **item != Bson::Null).any(|item| any("==", item))
        }
        ("in", value) => any("==", value),
        (operator, value) => any(operator, value),
    }
}

fn compare_plainly(operator: &str, left: Option<Bson>, right: Option<Bson>) -> bool {
    let written_null = left == Some(Bson::Null) || right == Some(Bson::Null);
    let (Some(left), Some(right)) = (left, right) else {
        return match operator {
            "==" => written_null,
            "!=" => !written_null,
            _ => false,
        };
    };
    let order = order(&left, &right);
    match operator {
        "==" => same(&left, &right),
        "!=" => !same(&left, &right),
        "<" => order.is_some_and(std::cmp::Ordering::is_lt),
        "<=" => order.is_some_and(std::cmp::Ordering::is_le),
        ">" => order.is_some_and(std::cmp::Ordering::is_gt),
        ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
        _ => match right {
            Bson::Array(items) => items.iter().any(|item| same(item, &left)),
            right => same(&left, &right),
        },
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        _ => None,
    }
}

fn same(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Array(a), Bson::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Bson::Document(a), Bson::Document(b)) => {
            let pairs = a.iter().zip(b);
            a.len() == b.len() && pairs.into_iter().all(|((a, x), (b, y))| a == b && same(x, y))
        }
        _ => number(a).zip(number(b)).map_or(a == b, |(a, b)| a == b),
    }
}

/// Only what is written in rules here is compared by order: numbers, texts, and booleans in what is written.
fn order(a: &Bson, b: &Bson) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Bson::String(a), Bson::String(b)) => Some(a.cmp(b)),
        (Bson::Boolean(a), Bson::Boolean(b)) => Some(a.cmp(b)),
        _ => number(a)?.partial_cmp(&number(b)?),
    }
}

// === generators: few values and fields, so that things meet ===

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
enum Asked {
    ByChance,
    AsTheRule,
    AsTheRuleAnd,
    AsTheRuleOr,
    /// Nearly as the rule.
    Mistaken,
}

#[derive(Clone, Debug)]
struct Generated {
    rule: Rules,
    openid: Option<&'static str>,
    data: Document,
    queries: Vec<(Asked, Document)>,
    documents: Vec<Document>,
}

fn generated() -> impl Strategy<Value = Generated> {
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
    fn query(&self, asked: &Asked, chance: &Document) -> Document {
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
    fn is_complete(&self, asked: &Asked) -> bool {
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

// === the properties ===

fn fetch(fetched: &mut Fetched, get: Get) {
    assert_eq!(get.collection, "k");
    let found = store(&get.id);
    fetched.insert(get, found).unwrap();
}

fn decide(rule: &Rule, facts: &Facts<'_>, document: &Document) -> Decision {
    let mut fetched = Fetched::default();
    loop {
        match rule.decide(facts, Some(document), &fetched) {
            Decision::Needs(get) => fetch(&mut fetched, get),
            decided => return decided,
        }
    }
}

fn admits(rule: &Rule, facts: &Facts<'_>, query: &Document) -> bool {
    let mut fetched = Fetched::default();
    loop {
        match rule.admits(query, facts, &fetched) {
            Admission::Needs(get) => fetch(&mut fetched, get),
            Admission::Admitted => return true,
            Admission::Refused(_) => return false,
        }
    }
}

/// Counts of what happened, by name.
type Counts = BTreeMap<&'static str, u32>;

fn check(generated: &Generated, counts: &mut Counts) -> Result<(), TestCaseError> {
    let mut count = |name| *counts.entry(name).or_default() += 1;
    let source = generated.rule.source();
    let rule = match Rule::expression("read", &source) {
        Ok(rule) => rule,
        // Several rules together may have too many of them.
        Err(error) if error.message.contains("over 3 get()") => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(format!("{error} in {source}"))),
    };
    let caller = Caller {
        logged_in: true,
        openid: generated.openid.map(str::to_owned),
        uid: Some("u1".to_owned()),
        ..Caller::default()
    };
    let facts = Facts { caller: &caller, now_ms: NOW_MS, data: Some(&generated.data) };
    let allowed: Vec<bool> = generated
        .documents
        .iter()
        .map(|document| generated.rule.allows(generated.openid, document, &generated.data))
        .collect();
    for (document, allowed) in generated.documents.iter().zip(&allowed) {
        let decision = decide(&rule, &facts, document);
        let shown = text(document);
        prop_assert_eq!(
            decision == Decision::Allowed,
            *allowed,
            "{} with {}: {:?}",
            source,
            shown,
            decision
        );
        count(if *allowed { "allowed" } else { "denied" });
    }
    for (asked, chance) in &generated.queries {
        let query = generated.query(asked, chance);
        let Ok(filter) = Filter::parse(&query, &Limits::default()) else { continue };
        let admitted = admits(&rule, &facts, &query);
        let shown = text(&query);
        prop_assert!(
            admitted || !generated.is_complete(asked),
            "{source} does not admit its own filter {shown}"
        );
        count(if admitted { "admitted" } else { "refused" });
        if !admitted {
            continue;
        }
        for (document, allowed) in generated.documents.iter().zip(&allowed) {
            if filter_matches(&filter, document) {
                count("matched by an admitted query");
                prop_assert!(*allowed, "{source} admits {shown}, which matches {}", text(document));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn no_admitted_query_leaks(generated in generated()) {
        check(&generated, &mut Counts::new())?;
    }

    #[test]
    fn no_text_makes_the_parser_panic(source in "[a-c!&|=<>()\\[\\]'\"`$\\{\\}. +0-9\\\\苹]{0,40}") {
        let _ = Rule::expression("read", &source);
    }
}

/// The property would also hold if nothing were admitted, or nothing matched.
#[test]
fn enough_is_admitted_to_prove_something() {
    let counts = Cell::new(Counts::new());
    let mut runner = TestRunner::deterministic();
    let run = runner.run(&generated(), |generated| {
        let mut so_far = counts.take();
        let result = check(&generated, &mut so_far);
        counts.set(so_far);
        result
    });
    if let Err(TestError::Fail(reason, generated)) = run {
        panic!("{reason}: {generated:?}");
    }
    let counts = counts.into_inner();
    let share =
        |part: &str, rest: &str| f64::from(counts[part]) / f64::from(counts[part] + counts[rest]);
    assert!((0.2..0.8).contains(&share("allowed", "denied")), "{counts:?}");
    assert!((0.2..0.8).contains(&share("admitted", "refused")), "{counts:?}");
    assert!(counts["matched by an admitted query"] > 500, "{counts:?}");
}
