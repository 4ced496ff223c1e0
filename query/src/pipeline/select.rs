//! `$match`: a filter, and the `$expr` in it, which see the variables of a lookup.

use bson::{Bson, Document};

use super::parse::Parser;
use super::segment::Setting;
use crate::budget::Budget;
use crate::error::{Error, Kind, Result};
use crate::expression::Expression;
use crate::filter::Filter;

#[derive(Clone, Debug)]
pub(super) struct Match {
    pub(super) filter: Filter,
    pub(super) expressions: Vec<Expression>,
}

impl Match {
    pub(super) fn parse(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document();
        let document = document.ok_or_else(|| Error::value("needs a filter, a document"))?;
        let mut expressions = Vec::new();
        let rest = take_expressions(document, &mut expressions, parser, 0)?;
        Ok(Self { filter: parser.filter(&rest)?, expressions })
    }

    pub(super) fn matches(
        &self,
        document: &Document,
        setting: &Setting<'_>,
        budget: &Budget,
    ) -> Result<bool> {
        if !passes(&self.filter, document, budget)? {
            return Ok(false);
        }
        let scope = setting.scope(document, budget);
        for expression in &self.expressions {
            if !expression.holds(&scope)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Takes each `$expr` at the top and in `$and` out of a filter.
fn take_expressions(
    document: &Document,
    expressions: &mut Vec<Expression>,
    parser: &mut Parser<'_>,
    depth: usize,
) -> Result<Document> {
    if depth > parser.limits.filter.depth_max {
        return Err(Error::new(Kind::TooDeep, "filter nests too deep"));
    }
    let mut rest = Document::new();
    for (key, value) in document {
        match (key.as_str(), value) {
            ("$expr", value) => {
                let expression = parser.expression(value);
                expressions.push(expression.map_err(|error| error.operator("$expr"))?);
            }
            ("$and", Bson::Array(items)) => {
                let mut parts = Vec::with_capacity(items.len());
                for item in items {
                    parts.push(match item {
                        Bson::Document(part) => {
                            Bson::Document(take_expressions(part, expressions, parser, depth + 1)?)
                        }
                        other => other.clone(),
                    });
                }
                rest.insert("$and", Bson::Array(parts));
            }
            (key, value) => {
                rest.insert(key, value.clone());
            }
        }
    }
    Ok(rest)
}

/// Whether a document passes a filter, paid for by the number of its conditions.
pub(super) fn passes(filter: &Filter, document: &Document, budget: &Budget) -> Result<bool> {
    budget.step(1 + filter.conditions() as u64)?;
    filter.matches(document, budget)
}
