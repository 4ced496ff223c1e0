//! `$expr`: a condition that is computed from the whole document.

use bson::{Bson, Document};

use crate::budget::Budget;
use crate::error::{Error, Kind, Result};

/// The condition of one `$expr`.
#[derive(Clone, Debug)]
pub(super) struct Computed {
    /// What a match costs, in conditions.
    cost: usize,
}

impl Computed {
    /// # Errors
    /// `InvalidOperator`: expressions are not offered yet.
    pub(super) fn parse(_operand: &Bson) -> Result<Self> {
        Err(Error::new(Kind::InvalidOperator, "not offered yet").operator("$expr"))
    }

    /// Whether the expression is true of `document`.
    ///
    /// # Errors
    /// Those of the expression, and `TooLarge` when `budget` is used up.
    pub(super) fn holds(&self, _document: &Document, budget: &Budget) -> Result<bool> {
        budget.step(self.cost as u64)?;
        Ok(false)
    }

    /// What a match costs, in conditions.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }
}
