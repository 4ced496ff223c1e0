//! Rules as the test sees them, their source text, and an evaluator written in the plainest way.

use bson::{Bson, Document};

use super::NOW_MS;
use crate::testing::doc;

/// A value in a rule that does not depend on the document, or only through `get`.
#[derive(Clone, Debug)]
pub(super) enum Constant {
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
pub(super) enum Rules {
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
pub(super) struct World<'a> {
    pub(super) openid: Option<&'static str>,
    pub(super) doc: &'a Document,
    pub(super) data: &'a Document,
    /// The item of `doc.c` that stands for it.
    pub(super) key: Option<Bson>,
}

/// What `get` finds in the collection `k`.
pub(super) fn store(id: &Bson) -> Option<Document> {
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
    pub(super) fn source(&self) -> String {
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

    pub(super) fn is_keyed(&self) -> bool {
        match self {
            Self::Compare(_, _, constant) | Self::Holds(constant, _) => constant.is_keyed(),
            Self::Constants(left, _, right) => left.is_keyed() || right.is_keyed(),
            Self::Not(inner) => inner.is_keyed(),
            Self::All(rules) | Self::Any(rules) => rules.iter().any(Self::is_keyed),
            Self::Truth(_) | Self::Bare(_) | Self::Fields(..) => false,
        }
    }

    /// The plain evaluation, for any item that may stand for `doc.c`.
    pub(super) fn allows(
        &self,
        openid: Option<&'static str>,
        doc: &Document,
        data: &Document,
    ) -> bool {
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
    pub(super) fn slightly_other(&self) -> Self {
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
    pub(super) fn filter(&self, wanted: bool, world: &World<'_>) -> Option<Document> {
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
