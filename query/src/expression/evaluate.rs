//! From an expression and a scope to a value.
//!
//! Values that exist already are borrowed: `{"$size":"$items"}` copies nothing. The recursion is as deep as the expression,
//! which the parser bounds.

use std::borrow::Cow;

use bson::{Bson, DateTime, Document};

use super::argument::{Arguments, is_null, type_name};
use super::compare::truth;
use super::meter::{Meter, weight, weight_of_document};
use super::node::{Loop, Node, Reduction, Variable};
use super::registry::Operator;
use super::scope::Scope;
use crate::error::{Error, Result};
use crate::number::Number;
use crate::search::Search;

/// A value, borrowed where it exists already; `None` is a missing one.
pub(super) type Value<'v> = Option<Cow<'v, Bson>>;

/// A scope with the variables that the operators around a node have set.
pub(super) struct Frame<'f> {
    scope: &'f Scope<'f>,
    meter: MeterOf<'f>,
    variables: &'f [(&'f str, Value<'f>)],
    outer: Option<&'f Frame<'f>>,
}

enum MeterOf<'f> {
    Own(Meter<'f>),
    Shared(&'f Meter<'f>),
}

impl<'f> Frame<'f> {
    pub(super) fn new(scope: &'f Scope<'f>) -> Self {
        let meter = MeterOf::Own(Meter::new(scope.budget));
        Self { scope, meter, variables: &[], outer: None }
    }

    fn meter(&self) -> &Meter<'_> {
        match &self.meter {
            MeterOf::Own(meter) => meter,
            MeterOf::Shared(meter) => meter,
        }
    }

    /// This frame and more variables.
    fn with<'i>(&'i self, variables: &'i [(&'i str, Value<'i>)]) -> Frame<'i> {
        let meter = MeterOf::Shared(self.meter());
        Frame { scope: self.scope, meter, variables, outer: Some(self) }
    }

    fn named(&self, name: &str) -> Result<Option<&Bson>> {
        let mut frame = Some(self);
        while let Some(inner) = frame {
            match inner.variables.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => return Ok(value.as_deref()),
                None => frame = inner.outer,
            }
        }
        let value = self.scope.variables.get(name);
        value.ok_or_else(|| Error::value("variable is not set").at(format_args!("$${name}")))
    }
}

pub(super) fn evaluate<'v>(node: &'v Node, frame: &'v Frame<'v>) -> Result<Value<'v>> {
    let meter = frame.meter();
    let mark = meter.mark();
    meter.step(1)?;
    let value = compute(node, frame)?;
    let made = match &value {
        Some(Cow::Owned(value)) => weight(value),
        _ => 0,
    };
    meter.settle(mark, made)?;
    Ok(value)
}

fn compute<'v>(node: &'v Node, frame: &'v Frame<'v>) -> Result<Value<'v>> {
    match node {
        Node::Literal(value) => Ok(Some(Cow::Borrowed(value))),
        Node::Path(variable, names) => path(variable, names, frame),
        Node::Document(fields) => document(fields, frame),
        Node::Array(items) => array(items, frame),
        Node::Call(operator, arguments, regex) => {
            let value = call(operator, arguments, regex.as_deref(), frame);
            value.map_err(|error| error.operator(operator.name))
        }
        Node::And(parts) => all(parts, true, frame),
        Node::Or(parts) => all(parts, false, frame),
        Node::Condition(parts) => {
            let holds = truth(evaluate(&parts[0], frame)?.as_deref());
            evaluate(&parts[if holds { 1 } else { 2 }], frame)
        }
        Node::IfNull(parts) => if_null(parts, frame),
        Node::Switch(branches, default) => switch(branches, default.as_deref(), frame),
        Node::Let(variables, body) => bind(variables, body, frame),
        Node::Map(each) => map(each, frame),
        Node::Filter(each, limit) => filter(each, limit.as_deref(), frame),
        Node::Reduce(reduction) => reduce(reduction, frame),
    }
}

fn owned(value: Bson) -> Value<'static> {
    Some(Cow::Owned(value))
}

fn path<'v>(
    variable: &'v Variable,
    names: &'v [Box<str>],
    frame: &'v Frame<'v>,
) -> Result<Value<'v>> {
    let document = match variable {
        Variable::Remove => return Ok(None),
        Variable::Now => {
            let now = Bson::DateTime(DateTime::from_millis(frame.scope.now_ms));
            return Ok(if names.is_empty() { owned(now) } else { None });
        }
        Variable::Named(name) => {
            return match frame.named(name)? {
                Some(value) => walk(value, names, frame.meter()),
                None => Ok(None),
            };
        }
        Variable::Root => frame.scope.root,
        Variable::Current => frame.scope.current,
    };
    match names.split_first() {
        Some((name, rest)) => match document.get(name) {
            Some(value) => walk(value, rest, frame.meter()),
            None => Ok(None),
        },
        None => {
            frame.meter().make(weight_of_document(document))?;
            Ok(owned(Bson::Document(document.clone())))
        }
    }
}

/// Goes through an array into each document in it, and makes an array of what it finds there.
fn walk<'v>(value: &'v Bson, names: &[Box<str>], meter: &Meter<'_>) -> Result<Value<'v>> {
    let Some((name, rest)) = names.split_first() else { return Ok(Some(Cow::Borrowed(value))) };
    match value {
        Bson::Document(document) => match document.get(name) {
            Some(value) => walk(value, rest, meter),
            None => Ok(None),
        },
        Bson::Array(items) => {
            meter.step(items.len())?;
            let mut found = Vec::new();
            for item in items.iter().filter(|item| matches!(item, Bson::Document(_))) {
                if let Some(value) = walk(item, names, meter)? {
                    found.push(meter.own(value)?);
                }
            }
            Ok(owned(Bson::Array(found)))
        }
        _ => Ok(None),
    }
}

fn document<'v>(fields: &'v [(Box<str>, Node)], frame: &'v Frame<'v>) -> Result<Value<'v>> {
    let mut document = Document::new();
    for (name, node) in fields {
        if let Some(value) = evaluate(node, frame)? {
            document.insert(&**name, frame.meter().own(value)?);
        }
    }
    Ok(owned(Bson::Document(document)))
}

/// An item that is missing becomes null, so that the others keep their places.
fn array<'v>(items: &'v [Node], frame: &'v Frame<'v>) -> Result<Value<'v>> {
    let mut array = Vec::with_capacity(items.len());
    for node in items {
        let value = evaluate(node, frame)?.unwrap_or(Cow::Owned(Bson::Null));
        array.push(frame.meter().own(value)?);
    }
    Ok(owned(Bson::Array(array)))
}

fn call<'v>(
    operator: &'static Operator,
    arguments: &'v [Option<Node>],
    regex: Option<&'v Search>,
    frame: &'v Frame<'v>,
) -> Result<Value<'v>> {
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        values.push(match argument {
            None => None,
            // A named argument that is missing is null; only one that is not written has its default.
            Some(node) if operator.is_named() => {
                Some(evaluate(node, frame)?.unwrap_or(Cow::Owned(Bson::Null)))
            }
            Some(node) => evaluate(node, frame)?,
        });
    }
    let arguments = Arguments { values, meter: frame.meter(), regex };
    arguments.meter.step(arguments.len())?;
    Ok((operator.apply)(&arguments)?.map(Cow::Owned))
}

/// Whether all parts are `wanted`, or else the first that is not decides.
fn all<'v>(parts: &'v [Node], wanted: bool, frame: &'v Frame<'v>) -> Result<Value<'v>> {
    for part in parts {
        if truth(evaluate(part, frame)?.as_deref()) != wanted {
            return Ok(owned(Bson::Boolean(!wanted)));
        }
    }
    Ok(owned(Bson::Boolean(wanted)))
}

fn if_null<'v>(parts: &'v [Node], frame: &'v Frame<'v>) -> Result<Value<'v>> {
    let (last, others) = parts.split_last().expect("the parser asks for two");
    for part in others {
        let value = evaluate(part, frame)?;
        if !is_null(value.as_deref()) {
            return Ok(value);
        }
    }
    evaluate(last, frame)
}

fn switch<'v>(
    branches: &'v [(Node, Node)],
    default: Option<&'v Node>,
    frame: &'v Frame<'v>,
) -> Result<Value<'v>> {
    for (case, then) in branches {
        if truth(evaluate(case, frame)?.as_deref()) {
            return evaluate(then, frame);
        }
    }
    match default {
        Some(node) => evaluate(node, frame),
        None => Err(Error::value("no branch holds and there is no default").operator("$switch")),
    }
}

/// All values are computed before the first variable is set: they do not see each other.
fn bind<'v>(
    variables: &'v [(Box<str>, Node)],
    body: &'v Node,
    frame: &'v Frame<'v>,
) -> Result<Value<'v>> {
    let mut values = Vec::with_capacity(variables.len());
    for (name, node) in variables {
        let value = evaluate(node, frame)?;
        value.as_deref().map_or(Ok(()), |value| frame.meter().check_depth(value))?;
        values.push((&**name, value));
    }
    keep(evaluate(body, &frame.with(&values))?, frame)
}

/// A value that outlives the variables it was computed from.
fn keep(value: Value<'_>, frame: &Frame<'_>) -> Result<Value<'static>> {
    Ok(match value {
        Some(value) => owned(frame.meter().own(value)?),
        None => None,
    })
}

/// The array that an operator goes through; `None` for null.
fn input<'v>(node: &'v Node, frame: &'v Frame<'v>, operator: &'static str) -> Result<Value<'v>> {
    let value = evaluate(node, frame)?;
    match value.as_deref() {
        Some(Bson::Array(_)) => Ok(value),
        other if is_null(other) => Ok(None),
        other => {
            let found = type_name(other);
            Err(Error::value(format!("input must be an array, not {found}")).operator(operator))
        }
    }
}

fn items(value: &Bson) -> &[Bson] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn map<'v>(each: &'v Loop, frame: &'v Frame<'v>) -> Result<Value<'v>> {
    let Some(input) = input(&each.input, frame, "$map")? else { return Ok(owned(Bson::Null)) };
    let meter = frame.meter();
    let mut results = Vec::new();
    for item in items(&input) {
        let variables = [(&*each.name, Some(Cow::Borrowed(item)))];
        let inner = frame.with(&variables);
        let value = evaluate(&each.body, &inner)?.unwrap_or(Cow::Owned(Bson::Null));
        results.push(meter.own(value)?);
    }
    Ok(owned(Bson::Array(results)))
}

fn filter<'v>(each: &'v Loop, limit: Option<&'v Node>, frame: &'v Frame<'v>) -> Result<Value<'v>> {
    let Some(input) = input(&each.input, frame, "$filter")? else { return Ok(owned(Bson::Null)) };
    let most = limit.map_or(Ok(usize::MAX), |limit| filter_limit(limit, frame))?;
    let meter = frame.meter();
    let mut results = Vec::new();
    for item in items(&input) {
        if results.len() == most {
            break;
        }
        let mark = meter.mark();
        let holds = {
            let variables = [(&*each.name, Some(Cow::Borrowed(item)))];
            let inner = frame.with(&variables);
            truth(evaluate(&each.body, &inner)?.as_deref())
        };
        meter.settle(mark, 0)?;
        if holds {
            results.push(meter.copy(item)?);
        }
    }
    Ok(owned(Bson::Array(results)))
}

fn filter_limit(limit: &Node, frame: &Frame<'_>) -> Result<usize> {
    let value = evaluate(limit, frame)?;
    let refused = || Error::value("limit must be a whole number from 1").operator("$filter");
    match value.as_deref() {
        None | Some(Bson::Null) => Ok(usize::MAX),
        Some(other) => {
            let number = Number::of(other).and_then(Number::integer).filter(|number| *number > 0);
            number.and_then(|number| usize::try_from(number).ok()).ok_or_else(refused)
        }
    }
}

fn reduce<'v>(reduction: &'v Reduction, frame: &'v Frame<'v>) -> Result<Value<'v>> {
    let Some(input) = input(&reduction.input, frame, "$reduce")? else {
        return Ok(owned(Bson::Null));
    };
    let meter = frame.meter();
    let mark = meter.mark();
    let mut value = keep(evaluate(&reduction.initial, frame)?, frame)?;
    for item in items(&input) {
        let next = {
            let variables = [
                ("value", value.as_deref().map(Cow::Borrowed)),
                ("this", Some(Cow::Borrowed(item))),
            ];
            let inner = frame.with(&variables);
            keep(evaluate(&reduction.body, &inner)?, &inner)?
        };
        value = next;
        let made = value.as_deref().map_or(0, weight);
        meter.settle(mark, made)?;
        value.as_deref().map_or(Ok(()), |value| meter.check_depth(value))?;
    }
    Ok(value)
}
