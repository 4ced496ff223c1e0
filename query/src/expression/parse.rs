//! From a value to an [`Expression`].

use std::sync::Arc;

use bson::{Bson, Document};

use super::node::{DESCEND, KEEP, Loop, Node, PRUNE, Reduction, Variable};
use super::registry::{self, Operator, Shape};
use super::{Expression, Limits, text_regex};
use crate::error::{Error, Kind, Result};
use crate::search::Search;

/// Most parts of one field path, as in [`crate::path`].
const PARTS_MAX: usize = 100;

/// Most variables in one `$let`.
const VARIABLES_MAX: usize = 100;

pub(super) fn parse(value: &Bson, limits: &Limits) -> Result<Expression> {
    let mut parser =
        Parser { limits, depth: 0, nodes: 0, patterns: 0, bound: Vec::new(), free: Vec::new() };
    let node = parser.node(value)?;
    let Parser { nodes, patterns, free: variables, .. } = parser;
    Ok(Expression { node, nodes, patterns, variables })
}

struct Parser<'l> {
    limits: &'l Limits,
    depth: usize,
    nodes: usize,
    patterns: usize,
    /// The variables that the operators around this place set, the innermost last.
    bound: Vec<Box<str>>,
    free: Vec<Box<str>>,
}

impl Parser<'_> {
    fn node(&mut self, value: &Bson) -> Result<Node> {
        self.enter()?;
        let node = match value {
            Bson::String(text) if text.starts_with('$') => self.path(text)?,
            Bson::Array(items) => {
                let items = items.iter().map(|item| self.node(item)).collect::<Result<Vec<_>>>()?;
                constant_array(items)
            }
            Bson::Document(document) => self.document(document)?,
            constant => Node::Literal(constant.clone()),
        };
        self.depth -= 1;
        Ok(node)
    }

    fn enter(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes_max {
            let message = format!("expression has over {} parts", self.limits.nodes_max);
            return Err(Error::new(Kind::TooLarge, message));
        }
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            let message = format!("expression nests deeper than {}", self.limits.depth_max);
            return Err(Error::new(Kind::TooDeep, message));
        }
        Ok(())
    }

    /// `$a.b` is short for `$$CURRENT.a.b`.
    fn path(&mut self, text: &str) -> Result<Node> {
        let Some(rest) = text.strip_prefix("$$") else {
            let names = names(text.get(1..).unwrap_or_default(), text)?;
            return Ok(Node::Path(Variable::Current, names));
        };
        let (name, below) = match rest.split_once('.') {
            Some((name, below)) => (name, names(below, text)?),
            None => (rest, Box::default()),
        };
        let variable = match name {
            "ROOT" => Variable::Root,
            "CURRENT" => Variable::Current,
            "NOW" => Variable::Now,
            "REMOVE" => Variable::Remove,
            DESCEND | PRUNE | KEEP => return Ok(Node::Literal(Bson::Symbol(name.to_owned()))),
            _ => {
                check_variable(name, true).map_err(|error| error.at(text))?;
                self.use_variable(name);
                Variable::Named(name.into())
            }
        };
        Ok(Node::Path(variable, below))
    }

    fn use_variable(&mut self, name: &str) {
        let known = |names: &[Box<str>]| names.iter().any(|known| **known == *name);
        if !known(&self.bound) && !known(&self.free) {
            self.free.push(name.into());
        }
    }

    fn document(&mut self, document: &Document) -> Result<Node> {
        match document.iter().next() {
            Some((operator, operand)) if operator.starts_with('$') => {
                if document.len() > 1 {
                    let message = "an expression has one operator and nothing beside it";
                    return Err(
                        Error::new(Kind::InvalidOperator, message).operator(operator.to_owned())
                    );
                }
                let node = self.operator(operator, operand);
                node.map_err(|error| error.operator(operator.to_owned()))
            }
            _ => self.fields(document),
        }
    }

    fn fields(&mut self, document: &Document) -> Result<Node> {
        let mut fields = Vec::with_capacity(document.len());
        for (name, value) in document {
            if name.starts_with('$') {
                return Err(Error::unknown_operator(name));
            }
            if name.contains('.') || name.is_empty() {
                let message = "a field name may not be empty or contain a dot";
                return Err(Error::new(Kind::InvalidPath, message).at(name));
            }
            fields.push((name.as_str().into(), self.node(value).map_err(|error| error.at(name))?));
        }
        Ok(Node::Document(fields))
    }

    fn operator(&mut self, name: &str, operand: &Bson) -> Result<Node> {
        match name {
            "$literal" => Ok(Node::Literal(operand.clone())),
            // No difference here, where `{"$const":1}` is only another word.
            "$const" => Ok(Node::Literal(operand.clone())),
            "$and" => Ok(Node::And(self.list(operand, 0, usize::MAX)?)),
            "$or" => Ok(Node::Or(self.list(operand, 0, usize::MAX)?)),
            "$ifNull" => Ok(Node::IfNull(self.list(operand, 2, usize::MAX)?)),
            "$cond" => self.condition(operand),
            "$switch" => self.switch(operand),
            "$let" => self.bind(operand),
            "$map" => {
                let [input, body, name, _] = named(operand, ["input", "in", "?as", "?"])?;
                Ok(Node::Map(Box::new(self.each(input, body, name)?)))
            }
            "$filter" => {
                let [input, body, name, limit] =
                    named(operand, ["input", "cond", "?as", "?limit"])?;
                let limit = limit.map(|limit| self.node(limit).map(Box::new)).transpose()?;
                Ok(Node::Filter(Box::new(self.each(input, body, name)?), limit))
            }
            "$reduce" => self.reduce(operand),
            _ => {
                let operator = registry::find(name).ok_or_else(|| Error::unknown_operator(name))?;
                self.call(operator, operand)
            }
        }
    }

    /// An array of arguments; anything else is the only one.
    fn list(&mut self, operand: &Bson, least: usize, most: usize) -> Result<Vec<Node>> {
        let items = match operand {
            Bson::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        if !(least..=most).contains(&items.len()) {
            let wanted = match (least, most) {
                (least, most) if least == most => format!("{least}"),
                (least, usize::MAX) => format!("at least {least}"),
                (least, most) => format!("{least} to {most}"),
            };
            return Err(Error::value(format!("takes {wanted} arguments, not {}", items.len())));
        }
        items.iter().map(|item| self.node(item)).collect()
    }

    fn condition(&mut self, operand: &Bson) -> Result<Node> {
        let parts: [Node; 3] = match operand {
            Bson::Document(_) => {
                let [when, then, other] = named(operand, ["if", "then", "else"])?;
                [self.required(when)?, self.required(then)?, self.required(other)?]
            }
            _ => {
                let parts = self.list(operand, 3, 3)?;
                parts.try_into().map_err(|_| Error::value("takes 3 arguments"))?
            }
        };
        Ok(Node::Condition(Box::new(parts)))
    }

    fn required(&mut self, operand: Option<&Bson>) -> Result<Node> {
        self.node(operand.ok_or_else(|| Error::value("lacks an argument"))?)
    }

    fn switch(&mut self, operand: &Bson) -> Result<Node> {
        let [branches, default] = named(operand, ["branches", "?default"])?;
        let branches = branches.and_then(Bson::as_array).filter(|branches| !branches.is_empty());
        let branches = branches.ok_or_else(|| Error::value("needs an array of branches"))?;
        let mut parsed = Vec::with_capacity(branches.len());
        for branch in branches {
            let [case, then] = named(branch, ["case", "then"])?;
            parsed.push((self.required(case)?, self.required(then)?));
        }
        let default = default.map(|default| self.node(default).map(Box::new)).transpose()?;
        Ok(Node::Switch(parsed, default))
    }

    fn bind(&mut self, operand: &Bson) -> Result<Node> {
        let [variables, body] = named(operand, ["vars", "in"])?;
        let variables = variables.and_then(Bson::as_document);
        let variables = variables.ok_or_else(|| Error::value("vars must be a document"))?;
        if variables.len() > VARIABLES_MAX {
            let message = format!("sets over {VARIABLES_MAX} variables");
            return Err(Error::new(Kind::TooLarge, message));
        }
        let mut bound = Vec::with_capacity(variables.len());
        for (name, value) in variables {
            check_variable(name, false)?;
            bound.push((Box::from(name.as_str()), self.node(value)?));
        }
        let names = bound.iter().map(|(name, _): &(Box<str>, Node)| name.clone()).collect();
        let body = self.with(names, body)?;
        Ok(Node::Let(bound, Box::new(body)))
    }

    fn with(&mut self, names: Vec<Box<str>>, body: Option<&Bson>) -> Result<Node> {
        let outer = self.bound.len();
        self.bound.extend(names);
        let node = self.required(body);
        self.bound.truncate(outer);
        node
    }

    fn each(
        &mut self,
        input: Option<&Bson>,
        body: Option<&Bson>,
        name: Option<&Bson>,
    ) -> Result<Loop> {
        let name = match name {
            None => "this",
            Some(name) => name.as_str().ok_or_else(|| Error::value("as must be a string"))?,
        };
        check_variable(name, false)?;
        let input = self.required(input)?;
        let body = self.with(vec![name.into()], body)?;
        Ok(Loop { input, name: name.into(), body })
    }

    fn reduce(&mut self, operand: &Bson) -> Result<Node> {
        let [input, initial, body] = named(operand, ["input", "initialValue", "in"])?;
        let (input, initial) = (self.required(input)?, self.required(initial)?);
        let body = self.with(vec!["this".into(), "value".into()], body)?;
        Ok(Node::Reduce(Box::new(Reduction { input, initial, body })))
    }

    fn call(&mut self, operator: &'static Operator, operand: &Bson) -> Result<Node> {
        let arguments: Vec<Option<Node>> = match (operator.shape, operand) {
            (Shape::List(least, most), _) => {
                self.list(operand, least, most)?.into_iter().map(Some).collect()
            }
            (Shape::Date, Bson::Document(document)) if !is_operator(document) => {
                let [date, zone] = named(operand, ["date", "?timezone"])?;
                vec![Some(self.required(date)?), self.optional(zone)?]
            }
            (Shape::Date, _) => self.list(operand, 1, 1)?.into_iter().map(Some).collect(),
            (Shape::Named(names), _) => self.named_arguments(names, operand)?,
        };
        let regex = match operator.regex {
            true => self.regex(&arguments)?,
            false => None,
        };
        Ok(Node::Call(operator, arguments, regex))
    }

    fn optional(&mut self, operand: Option<&Bson>) -> Result<Option<Node>> {
        operand.map(|operand| self.node(operand)).transpose()
    }

    fn named_arguments(
        &mut self,
        names: &[&'static str],
        operand: &Bson,
    ) -> Result<Vec<Option<Node>>> {
        let found = find_named(operand, names)?;
        found.into_iter().map(|operand| self.optional(operand)).collect()
    }

    /// A pattern that is a constant is compiled once. Another one would be compiled for each document, which no bound on
    /// steps covers, so it is refused.
    fn regex(&mut self, arguments: &[Option<Node>]) -> Result<Option<Arc<Search>>> {
        self.patterns += 1;
        if self.patterns > self.limits.patterns_max {
            let message =
                format!("expression has over {} regular expressions", self.limits.patterns_max);
            return Err(Error::new(Kind::TooLarge, message));
        }
        let constant = |index: usize| match arguments.get(index) {
            Some(Some(Node::Literal(value))) => Ok(Some(value)),
            None | Some(None) => Ok(None),
            Some(Some(_)) => Err(Error::value("regex and options must be constants")),
        };
        let (pattern, options) = (constant(1)?, constant(2)?);
        text_regex::compile(pattern, options, self.limits.pattern_bytes_max)
            .map(|regex| regex.map(Arc::new))
    }
}

/// An array of constants is one constant: a list of a thousand names costs nothing then.
fn constant_array(items: Vec<Node>) -> Node {
    if !items.iter().all(|item| matches!(item, Node::Literal(_))) {
        return Node::Array(items);
    }
    let values = items.into_iter().map(|item| match item {
        Node::Literal(value) => value,
        _ => Bson::Null,
    });
    Node::Literal(Bson::Array(values.collect()))
}

fn is_operator(document: &Document) -> bool {
    document.keys().next().is_some_and(|key| key.starts_with('$'))
}

fn names(text: &str, whole: &str) -> Result<Box<[Box<str>]>> {
    let refused = |message: String| Error::new(Kind::InvalidPath, message).at(whole);
    if text.split('.').any(str::is_empty) {
        return Err(refused("field path has an empty part".to_owned()));
    }
    if text.split('.').count() > PARTS_MAX {
        return Err(refused(format!("field path has over {PARTS_MAX} parts")));
    }
    if text.contains('\0') || text.split('.').any(|name| name.starts_with('$')) {
        return Err(refused("a field name may not begin with $ or contain NUL".to_owned()));
    }
    Ok(text.split('.').map(Box::from).collect())
}

/// The names of variables are words. Those that begin with a capital are the system's.
pub(crate) fn check_variable(name: &str, used: bool) -> Result<()> {
    let word = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let first = name.chars().next();
    match first {
        Some(first) if word && (first.is_lowercase() || !first.is_ascii()) => Ok(()),
        _ if used => Err(Error::value("unknown variable")),
        _ => Err(Error::value(format!("a variable may not be called {name:?}"))),
    }
}

/// Arguments by name: those that begin with `?` may be left out, all others must be there.
fn named<'o, const N: usize>(
    operand: &'o Bson,
    names: [&'static str; N],
) -> Result<[Option<&'o Bson>; N]> {
    let found = find_named(operand, &names)?;
    Ok(std::array::from_fn(|index| found.get(index).copied().flatten()))
}

fn find_named<'o>(operand: &'o Bson, names: &[&'static str]) -> Result<Vec<Option<&'o Bson>>> {
    let bare = |name: &&'static str| name.trim_start_matches('?');
    let Bson::Document(document) = operand else {
        return Err(Error::value("needs a document of arguments"));
    };
    if let Some(unknown) = document.keys().find(|key| !names.iter().any(|name| bare(name) == **key))
    {
        let name: String = unknown.chars().take(40).collect();
        return Err(Error::value(format!("has no argument {name:?}")));
    }
    names
        .iter()
        .map(|name| match document.get(bare(name)) {
            None if !name.starts_with('?') => {
                Err(Error::value(format!("lacks the argument {name:?}")))
            }
            value => Ok(value),
        })
        .collect()
}
