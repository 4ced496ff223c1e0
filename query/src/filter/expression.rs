//! `$expr`: a condition that is computed from the whole document.

use bson::{Bson, Document};

use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::expression::{Expression, Limits, Scope};
use crate::needs::Needs;

/// Steps of an expression that cost as much as one condition.
const NODES_PER_CONDITION: usize = 4;

/// The condition of one `$expr`.
#[derive(Clone, Debug)]
pub(super) struct Computed(Expression);

impl Computed {
    /// # Errors
    /// Those of [`Expression::parse`]. `InvalidValue` for a variable: nothing outside of a lookup sets one, and a filter
    /// knows no time.
    pub(super) fn parse(operand: &Bson) -> Result<Self> {
        let expression = Expression::parse(operand, &Limits::default())?;
        if let Some(name) = expression.variables().next() {
            return Err(Error::value(format!("nothing sets the variable $${name}")));
        }
        if operand.to_string().contains("$$NOW") {
            return Err(Error::value("$$NOW is for pipelines; send the date itself"));
        }
        Ok(Self(expression))
    }

    /// Whether the expression is true of `document`.
    ///
    /// # Errors
    /// Those of the expression, and `TooLarge` when `budget` is used up.
    pub(super) fn holds(&self, document: &Document, budget: &Budget) -> Result<bool> {
        self.0.holds(&Scope::new(document, 0, budget))
    }

    pub(super) fn add_needs(&self, needs: &mut Needs) {
        self.0.add_needs(needs);
    }

    /// What a match costs, in conditions.
    pub(super) fn cost(&self) -> usize {
        1 + self.0.nodes() / NODES_PER_CONDITION
    }
}
