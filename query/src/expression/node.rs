//! The compiled form of an expression.

use std::sync::Arc;

use bson::Bson;

use super::registry::Operator;
use crate::needs::Needs;
use crate::search::Search;

/// What `$redact` is told about a document: its fields are kept and those below asked about. A client cannot write a
/// symbol, so that no value of a document can be mistaken for one of the three.
pub(crate) const DESCEND: &str = "DESCEND";
/// What `$redact` is told about a document: it is left out.
pub(crate) const PRUNE: &str = "PRUNE";
/// What `$redact` is told about a document: it is kept as it is.
pub(crate) const KEEP: &str = "KEEP";

#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A constant.
    Literal(Bson),
    /// A variable, and the names below it.
    Path(Variable, Box<[Box<str>]>),
    Document(Vec<(Box<str>, Node)>),
    Array(Vec<Node>),
    /// An operator that is given the values of all its arguments. An argument that is not written is `None`.
    Call(&'static Operator, Vec<Option<Node>>, Option<Arc<Search>>),
    And(Vec<Node>),
    Or(Vec<Node>),
    /// `if`, `then`, `else`.
    Condition(Box<[Node; 3]>),
    IfNull(Vec<Node>),
    Switch(Vec<(Node, Node)>, Option<Box<Node>>),
    Let(Vec<(Box<str>, Node)>, Box<Node>),
    Map(Box<Loop>),
    Filter(Box<Loop>, Option<Box<Node>>),
    Reduce(Box<Reduction>),
}

/// `$map` and `$filter`.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) input: Node,
    pub(super) name: Box<str>,
    pub(super) body: Node,
}

/// `$reduce`.
#[derive(Clone, Debug)]
pub(super) struct Reduction {
    pub(super) input: Node,
    pub(super) initial: Node,
    pub(super) body: Node,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Root,
    Current,
    Now,
    Remove,
    Named(Box<str>),
}

impl Node {
    /// Adds the fields of the document that are read. What a variable holds was read where it was set. The recursion is as
    /// deep as the expression, which the parser bounds.
    pub(super) fn add_needs(&self, needs: &mut Needs) {
        let mut add = |node: &Self| node.add_needs(needs);
        match self {
            Self::Literal(_)
            | Self::Path(Variable::Now | Variable::Remove | Variable::Named(_), _) => {}
            Self::Path(Variable::Root | Variable::Current, names) => match names.first() {
                Some(name) => needs.add(name),
                None => *needs = Needs::All,
            },
            Self::Document(fields) => fields.iter().for_each(|(_, node)| add(node)),
            Self::Array(nodes) | Self::And(nodes) | Self::Or(nodes) | Self::IfNull(nodes) => {
                nodes.iter().for_each(add);
            }
            Self::Call(_, arguments, _) => arguments.iter().flatten().for_each(add),
            Self::Condition(parts) => parts.iter().for_each(add),
            Self::Switch(branches, default) => {
                branches.iter().flat_map(|(case, then)| [case, then]).for_each(&mut add);
                default.as_deref().into_iter().for_each(add);
            }
            Self::Let(variables, body) => {
                variables.iter().for_each(|(_, node)| add(node));
                add(body);
            }
            Self::Map(each) => [&each.input, &each.body].into_iter().for_each(add),
            Self::Filter(each, limit) => {
                [&each.input, &each.body].into_iter().for_each(&mut add);
                limit.as_deref().into_iter().for_each(add);
            }
            Self::Reduce(reduction) => {
                let Reduction { input, initial, body } = &**reduction;
                [input, initial, body].into_iter().for_each(add);
            }
        }
    }
}
