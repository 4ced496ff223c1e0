//! `$lookup`: documents of another collection, for each document.
//!
//! By equality of two fields, by a pipeline that sees variables of the document, or by both: then the pipeline gets what
//! the equality lets through.

use bson::{Bson, Document};

use super::Pipeline;
use super::parse::{Parser, check_field, nested};
use super::segment::Setting;
use super::shape::checked;
use super::unwind::set;
use crate::budget::Budget;
use crate::error::{Error, Kind, Result};
use crate::expression::{Expression, Variables, weight_of_document};
use crate::filter::Filter;
use crate::needs::Needs;
use crate::path::{Path, Segment};

/// Most variables of one lookup.
const VARIABLES_MAX: usize = 100;

/// A parsed `$lookup`.
#[derive(Clone, Debug)]
pub struct Lookup {
    from: String,
    target: String,
    equality: Option<(Path, Path)>,
    variables: Vec<(Box<str>, Expression)>,
    pipeline: Option<Pipeline>,
}

impl Lookup {
    pub(super) fn parse(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document().ok_or_else(|| Error::value("needs a document"))?;
        let known = ["from", "as", "localField", "foreignField", "let", "pipeline"];
        if let Some(unknown) = document.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Error::value("has no such option").at(unknown));
        }
        let text = |name: &'static str| match document.get(name) {
            None => Ok(None),
            Some(Bson::String(text)) if !text.is_empty() => Ok(Some(text.as_str())),
            Some(_) => Err(Error::value("needs a string").at(name)),
        };
        let lacks = |name: &str| Error::value(format!("lacks {name}"));
        let from = text("from")?.ok_or_else(|| lacks("from"))?.to_owned();
        let target = text("as")?.ok_or_else(|| lacks("as"))?.to_owned();
        check_field(&target)?;
        let equality = match (text("localField")?, text("foreignField")?) {
            (Some(local), Some(foreign)) => Some((Path::parse(local)?, Path::parse(foreign)?)),
            (None, None) => None,
            _ => return Err(lacks("localField or foreignField")),
        };
        let variables = variables(document.get("let"), parser)?;
        let pipeline = match document.get("pipeline") {
            None if equality.is_none() => return Err(lacks("localField or pipeline")),
            None if !variables.is_empty() => return Err(lacks("pipeline, which let is for")),
            None => None,
            Some(stages) => {
                let names = variables.iter().map(|(name, _)| name.clone());
                Some(nested(stages, names.collect(), false, parser)?)
            }
        };
        Ok(Self { from, target, equality, variables, pipeline })
    }

    /// The name of the other collection.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The path of the list of what is found.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The field of the other collection that must be equal, if the lookup is by equality: what an index can serve.
    pub fn foreign_field(&self) -> Option<&Path> {
        self.equality.as_ref().map(|(_, foreign)| foreign)
    }

    /// The pipeline that runs over the other collection, or over what [`Lookup::filter`] lets through.
    pub fn pipeline(&self) -> Option<&Pipeline> {
        self.pipeline.as_ref()
    }

    /// What must go in, if `behind` must come out.
    pub(super) fn needs(&self, behind: Needs) -> Needs {
        let mut needs = behind;
        if let Some((local, _)) = &self.equality {
            needs.add(local.field());
        }
        self.variables.iter().for_each(|(_, expression)| expression.add_needs(&mut needs));
        needs
    }

    /// What a document of the other collection must match for this document. Without equality, all do.
    ///
    /// # Errors
    /// `InvalidPath` never, as the paths were parsed; `TooLarge` when the budget is used up.
    pub fn filter(&self, document: &Document, budget: &Budget) -> Result<Filter> {
        let Some((local, foreign)) = &self.equality else { return Ok(Filter::all()) };
        let mut values = Vec::new();
        local_values(document, local.segments(), &mut values);
        if values.is_empty() {
            // Nothing is equal to null, and to a field that is missing there.
            values.push(Bson::Null);
        }
        budget.step(1 + values.len() as u64)?;
        let path = foreign.to_string();
        match values.len() {
            1 => Filter::field_eq(&path, values.remove(0)),
            _ => Filter::field_in(&path, values),
        }
    }

    /// The variables that the pipeline sees for this document: those from outside, and those of `let`.
    ///
    /// # Errors
    /// Whatever an expression of `let` is refused for.
    pub fn variables(
        &self,
        document: &Document,
        setting: &Setting<'_>,
        budget: &Budget,
    ) -> Result<Variables> {
        let mut variables = setting.variables.clone();
        for (name, expression) in &self.variables {
            variables.set(name, expression.evaluate(&setting.scope(document, budget))?);
        }
        Ok(variables)
    }

    /// Puts what was found into the document.
    ///
    /// # Errors
    /// `TooDeep`, or `TooLarge` when the budget is used up.
    pub fn attach(
        &self,
        mut document: Document,
        found: Vec<Document>,
        budget: &Budget,
    ) -> Result<Document> {
        let bytes: u64 = found.iter().map(weight_of_document).sum();
        budget.step(1 + bytes / 64)?;
        let found = found.into_iter().map(Bson::Document).collect();
        set(&mut document, &self.target, Bson::Array(found));
        checked(document, budget)
    }
}

/// The values at the local field; of an array each item. A position in the path is one wherever there is an array.
fn local_values(document: &Document, path: &[Segment], values: &mut Vec<Bson>) {
    let Some((first, mut rest)) = path.split_first() else { return };
    let mut value = document.get(&first.name);
    while let (Some(Bson::Array(items)), Some((segment, behind))) = (value, rest.split_first())
        && let Some(position) = segment.position
    {
        (value, rest) = (items.get(position), behind);
    }
    match value {
        Some(Bson::Array(items)) if rest.is_empty() => values.extend(items.iter().cloned()),
        Some(value) if rest.is_empty() => values.push(value.clone()),
        Some(Bson::Document(inner)) => local_values(inner, rest, values),
        Some(Bson::Array(items)) => items
            .iter()
            .filter_map(Bson::as_document)
            .for_each(|inner| local_values(inner, rest, values)),
        _ => {}
    }
}

fn variables(
    operand: Option<&Bson>,
    parser: &mut Parser<'_>,
) -> Result<Vec<(Box<str>, Expression)>> {
    let document = match operand {
        None => return Ok(Vec::new()),
        Some(Bson::Document(document)) => document,
        Some(_) => return Err(Error::value("needs a document of variables").at("let")),
    };
    if document.len() > VARIABLES_MAX {
        let message = format!("sets over {VARIABLES_MAX} variables");
        return Err(Error::new(Kind::TooLarge, message).at("let"));
    }
    let mut variables = Vec::with_capacity(document.len());
    for (name, value) in document {
        crate::expression::check_variable(name, false)?;
        let expression = parser.expression(value).map_err(|error| error.at(name))?;
        variables.push((name.as_str().into(), expression));
    }
    Ok(variables)
}
