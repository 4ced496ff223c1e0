//! What a rule is made of.

use std::ops::Range;

use bson::Bson;

use crate::path::Path;

/// Where something stands in the source, in bytes.
pub(super) type Span = Range<usize>;

/// A condition.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) shape: Shape,
}

#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a rule has at most 256 of them, most of them comparisons"
)]
pub(super) enum Shape {
    Truth(bool),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare(Operator, Operand, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

/// A value that is compared.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) span: Span,
    pub(super) source: Source,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Literal(Bson),
    List(Vec<Operand>),
    Now,
    /// `auth` itself, which is compared with null only.
    Auth,
    Openid,
    Uid,
    LoginType,
    Roles,
    Doc(Path),
    Data(Path),
    /// Text with values in it.
    Template(Vec<Part>),
    Get(Box<Lookup>),
}

/// A piece of a text that is put together.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    Value(Operand),
}

/// `get(…)` and what is taken from its result.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) collection: String,
    pub(super) id: Vec<Part>,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Name(String),
    Value(Operand),
}

impl Operator {
    /// The operator for the same comparison with its sides exchanged. `in` has none.
    pub(super) fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual | Self::In => self,
        }
    }
}

impl Node {
    /// Whether `is` holds for some value in here, those in arguments of `get` included.
    pub(super) fn any_source(&self, is: &dyn Fn(&Source) -> bool) -> bool {
        match &self.shape {
            Shape::Truth(_) => false,
            Shape::All(nodes) | Shape::Any(nodes) => nodes.iter().any(|node| node.any_source(is)),
            Shape::Not(node) => node.any_source(is),
            Shape::Compare(_, left, right) => left.any_source(is) || right.any_source(is),
        }
    }

    /// The fields of the document on which arguments of `get` depend.
    pub(super) fn keys(&self) -> Vec<&Path> {
        let mut keys = Vec::new();
        self.each_clause(&mut |clause| {
            if let Shape::Compare(_, left, right) = &clause.shape {
                left.collect_keys(false, &mut keys);
                right.collect_keys(false, &mut keys);
            }
        });
        keys
    }

    /// Shows every clause: the comparisons, and what is true or false by itself.
    pub(super) fn each_clause<'n>(&'n self, see: &mut dyn FnMut(&'n Node)) {
        match &self.shape {
            Shape::Truth(_) | Shape::Compare(..) => see(self),
            Shape::All(nodes) | Shape::Any(nodes) => {
                nodes.iter().for_each(|node| node.each_clause(see));
            }
            Shape::Not(node) => node.each_clause(see),
        }
    }
}

impl Operand {
    pub(super) fn any_source(&self, is: &dyn Fn(&Source) -> bool) -> bool {
        is(&self.source) || self.inner().any(|inner| inner.any_source(is))
    }

    /// The values that this one is made from.
    pub(super) fn inner(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match &self.source {
            Source::List(items) => Box::new(items.iter()),
            Source::Template(parts) => Box::new(values(parts)),
            Source::Get(lookup) => {
                let steps = lookup.steps.iter().filter_map(|step| match step {
                    Step::Value(value) => Some(value),
                    Step::Name(_) => None,
                });
                Box::new(values(&lookup.id).chain(steps))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Collects the fields of the document on which the argument of some `get` in here depends.
    pub(super) fn collect_keys<'o>(&'o self, in_get: bool, keys: &mut Vec<&'o Path>) {
        match &self.source {
            Source::Doc(path) if in_get && !keys.contains(&path) => keys.push(path),
            _ => {}
        }
        let in_get = in_get || matches!(self.source, Source::Get(_));
        self.inner().for_each(|inner| inner.collect_keys(in_get, keys));
    }
}

fn values(parts: &[Part]) -> impl Iterator<Item = &Operand> {
    parts.iter().filter_map(|part| match part {
        Part::Value(value) => Some(value),
        Part::Text(_) => None,
    })
}
