//! What is computed from a document? MongoDB's aggregation expressions.
//!
//! `parse.rs` compiles a value into an [`Expression`] once, `evaluate.rs` asks it about a document, `scope.rs` is what it
//! sees meanwhile. The operators are plain functions from values to values, one file per family; `registry.rs` lists them
//! all. `fold.rs` holds the sums and averages that accumulators of a pipeline share.
//!
//! Everything is metered: an operator costs steps, a value that it makes costs bytes until it is dropped (`meter.rs`).
//!
//! Decisions:
//! - A `Decimal128` takes part in arithmetic as the double nearest to it, as everywhere in this crate.
//! - A variable that nobody set is refused when it is asked for; a pipeline refuses it when it is parsed.
//! - Names of time zones come from a bundled copy of the tz database, so that every machine gives the same answer.

mod evaluate;
mod meter;
mod node;
mod parse;
mod registry;
mod scope;

mod argument;
mod arithmetic;
mod array;
mod compare;
mod convert;
mod date;
mod object;
mod set;
mod text;
mod text_regex;

pub(crate) mod fold;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::borrow::Cow;

use bson::{Bson, Document};

pub(crate) use self::compare::truth;
pub use self::meter::weight_of_document;
pub(crate) use self::meter::{Meter, weight};
pub(crate) use self::node::{DESCEND, KEEP, PRUNE};
pub(crate) use self::parse::check_variable;
pub use self::scope::{Scope, Variables};

use self::node::Node;
use crate::error::Result;
use crate::needs::Needs;

/// Nesting of a value that an expression binds or a stage hands on: more than a stored document has, for results wrap
/// documents, and little enough for every recursion over values.
pub(crate) const VALUE_DEPTH_MAX: usize = 200;

/// How large an expression may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Operators, fields and constants.
    pub nodes_max: usize,
    /// Nesting.
    pub depth_max: usize,
    /// Length of one regular expression.
    pub pattern_bytes_max: usize,
    /// Regular expressions in one expression: each may take two megabytes once compiled.
    pub patterns_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nodes_max: 10_000, depth_max: 100, pattern_bytes_max: 1024, patterns_max: 16 }
    }
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    node: Node,
    nodes: usize,
    patterns: usize,
    variables: Vec<Box<str>>,
}

impl Expression {
    /// Compiles an expression: `"$a.b"`, `{"$add":["$a",1]}`, a document or an array of such, or a constant.
    ///
    /// # Errors
    /// `InvalidOperator`, `InvalidValue` or `InvalidPath` naming the operator; `TooDeep` or `TooLarge` beyond `limits`.
    pub fn parse(value: &Bson, limits: &Limits) -> Result<Self> {
        parse::parse(value, limits)
    }

    /// The value for one document; `None` is a missing one.
    ///
    /// # Errors
    /// `InvalidValue` naming the operator that cannot take what it finds; `TooLarge` when the budget is used up;
    /// `TooDeep` for a value that nests too deep.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Option<Bson>> {
        let frame = evaluate::Frame::new(scope);
        let value = evaluate::evaluate(&self.node, &frame)?;
        Ok(value.map(Cow::into_owned))
    }

    /// Shows the value for one document to whoever only looks at it: what the document holds already is not copied.
    ///
    /// # Errors
    /// As [`Expression::evaluate`], and those of `see`.
    pub(crate) fn show<T>(
        &self,
        scope: &Scope<'_>,
        see: impl FnOnce(Option<Cow<'_, Bson>>) -> Result<T>,
    ) -> Result<T> {
        let frame = evaluate::Frame::new(scope);
        see(evaluate::evaluate(&self.node, &frame)?)
    }

    /// Whether the value counts as true: everything but false, null, zero and a missing value.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool> {
        let frame = evaluate::Frame::new(scope);
        Ok(truth(evaluate::evaluate(&self.node, &frame)?.as_deref()))
    }

    /// The names of the variables that it takes from outside, without `$$`, each once.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|name| &**name)
    }

    /// How many operators, fields and constants it has: what one evaluation costs if no array is involved.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Adds the top-level fields of `$$ROOT` and `$$CURRENT` that it reads.
    pub(crate) fn add_needs(&self, needs: &mut Needs) {
        self.node.add_needs(needs);
    }

    /// How many regular expressions it has.
    pub(crate) fn patterns(&self) -> usize {
        self.patterns
    }

    /// The value, if no document can change it.
    pub(crate) fn constant(&self) -> Option<&Bson> {
        match &self.node {
            Node::Literal(value) => Some(value),
            _ => None,
        }
    }
}

/// `{name: value}`, as operators make it.
pub(crate) fn document_of<const N: usize>(fields: [(&str, Bson); N]) -> Document {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
