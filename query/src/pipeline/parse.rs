//! From stages to a [`Pipeline`].

use bson::{Bson, Document};

use super::bucket::Auto;
use super::geo_near::GeoNear;
use super::group::Group;
use super::keep::Sample;
use super::lookup::Lookup;
use super::segment::{Segment, Stage};
use super::select::Match;
use super::shape::Shape;
use super::sort::Sort;
use super::source;
use super::unwind::Unwind;
use super::{Limits, Part, Pipeline};
use crate::error::{Error, Kind, Result};
use crate::expression::Expression;
use crate::filter::Filter;
use crate::number::Number;
use crate::path::Path;

/// Known by name, so that the refusal can say so.
const NOT_OFFERED: [&str; 5] = ["$graphLookup", "$collStats", "$indexStats", "$out", "$merge"];

pub(super) fn parse(stages: &[Document], limits: &Limits) -> Result<Pipeline> {
    let mut parser = Parser {
        limits,
        stages: 0,
        nesting: 0,
        fields: 0,
        nodes: 0,
        expression_patterns: 0,
        filter_patterns: 0,
        variables: Vec::new(),
        is_facet: false,
    };
    parser.pipeline(stages)
}

/// Counts what a pipeline and all pipelines in it take together.
pub(super) struct Parser<'l> {
    pub(super) limits: &'l Limits,
    stages: usize,
    nesting: usize,
    /// Fields of the stage at hand.
    fields: usize,
    nodes: usize,
    expression_patterns: usize,
    filter_patterns: usize,
    /// The variables that the lookups around this place set.
    variables: Vec<Box<str>>,
    is_facet: bool,
}

impl Parser<'_> {
    fn pipeline(&mut self, stages: &[Document]) -> Result<Pipeline> {
        let mut pipeline = Pipeline { geo_near: None, parts: Vec::new() };
        for (number, stage) in stages.iter().enumerate() {
            self.stages += 1;
            if self.stages > self.limits.stages_max {
                let message = format!("pipeline has over {} stages", self.limits.stages_max);
                return Err(Error::new(Kind::TooLarge, message));
            }
            let mut fields = stage.iter();
            let (Some((name, operand)), None) = (fields.next(), fields.next()) else {
                let message = format!("stage {} must have one field, its name", number + 1);
                return Err(Error::value(message));
            };
            self.fields = 0;
            let parsed = self.stage(name, operand, number == 0, &mut pipeline);
            parsed.map_err(|error| error.operator(name.clone()))?;
        }
        for part in &mut pipeline.parts {
            if let Part::Pure(segment) = part {
                limit_sorts(&mut segment.stages);
            }
        }
        Ok(pipeline)
    }

    fn stage(
        &mut self,
        name: &str,
        operand: &Bson,
        is_first: bool,
        pipeline: &mut Pipeline,
    ) -> Result<()> {
        match name {
            "$geoNear" if self.is_facet || !is_first => {
                let message = "must be the first stage, and not in a facet";
                return Err(Error::new(Kind::InvalidOperator, message));
            }
            "$geoNear" => pipeline.geo_near = Some(GeoNear::parse(operand, self)?),
            "$lookup" => pipeline.parts.push(Part::Lookup(Box::new(Lookup::parse(operand, self)?))),
            "$facet" => pipeline.parts.push(Part::Facet(self.facet(operand)?)),
            _ => {
                let stages = self.pure(name, operand)?;
                match pipeline.parts.last_mut() {
                    Some(Part::Pure(segment)) => segment.stages.extend(stages),
                    _ => pipeline.parts.push(Part::Pure(Segment { stages })),
                }
            }
        }
        Ok(())
    }

    /// Most stages are one; those that are short for others are two.
    fn pure(&mut self, name: &str, operand: &Bson) -> Result<Vec<Stage>> {
        let stage = match name {
            "$match" => Stage::Match(Match::parse(operand, self)?),
            "$project" => Stage::Shape(Shape::project(operand, self)?),
            "$addFields" | "$set" => Stage::Shape(Shape::add_fields(operand, self)?),
            "$unset" => Stage::Shape(Shape::unset(operand, self)?),
            "$group" => Stage::Group(Group::parse(operand, self)?),
            "$sort" => Stage::Sort(Sort::parse(operand)?),
            "$skip" => Stage::Skip(natural(operand)?),
            "$limit" => Stage::Limit(positive(operand)?),
            "$unwind" => Stage::Unwind(Unwind::parse(operand)?),
            "$bucket" => Stage::Group(Group::bucket(operand, self)?),
            "$bucketAuto" => Stage::Auto(Auto::parse(operand, self)?),
            "$sample" => Stage::Sample(Sample::parse(operand)?),
            "$redact" => Stage::Redact(self.expression(operand)?),
            "$replaceWith" => Stage::Replace(self.expression(operand)?),
            "$replaceRoot" => {
                let document = operand.as_document().filter(|document| document.len() == 1);
                let root = document.and_then(|document| document.get("newRoot"));
                let root = root.ok_or_else(|| Error::value("needs a document with newRoot"))?;
                Stage::Replace(self.expression(root)?)
            }
            "$sortByCount" => return self.sort_by_count(operand),
            "$count" => return self.count(operand),
            name if NOT_OFFERED.contains(&name) => {
                return Err(Error::new(Kind::InvalidOperator, "stage is not offered"));
            }
            name => return Err(Error::unknown_operator(name)),
        };
        Ok(vec![stage])
    }

    fn sort_by_count(&mut self, operand: &Bson) -> Result<Vec<Stage>> {
        let by = self.expression(operand)?;
        let group = Group::counting(by, "count", self)?;
        let order = Document::from_iter([("count".to_owned(), Bson::Int32(-1))]);
        Ok(vec![Stage::Group(group), Stage::Sort(Sort::parse(&Bson::Document(order))?)])
    }

    fn count(&mut self, operand: &Bson) -> Result<Vec<Stage>> {
        let name = operand.as_str().ok_or_else(|| Error::value("needs a field name"))?;
        check_name(name)?;
        if name == "_id" {
            return Err(Error::value("field may not be _id"));
        }
        let by = self.expression(&Bson::Null)?;
        let group = Group::counting(by, name, self)?;
        let id = Bson::String("_id".to_owned());
        Ok(vec![Stage::Group(group), Stage::Shape(Shape::unset(&id, self)?)])
    }

    fn facet(&mut self, operand: &Bson) -> Result<Vec<(String, Pipeline)>> {
        if self.is_facet {
            let message = "a facet may not stand in a facet";
            return Err(Error::new(Kind::InvalidOperator, message));
        }
        let document = operand.as_document().filter(|document| !document.is_empty());
        let document = document.ok_or_else(|| Error::value("needs a document of pipelines"))?;
        if document.len() > self.limits.facets_max {
            let message = format!("has over {} pipelines", self.limits.facets_max);
            return Err(Error::new(Kind::TooLarge, message));
        }
        let mut facets = Vec::with_capacity(document.len());
        for (name, stages) in document {
            check_name(name)?;
            let pipeline = nested(stages, Vec::new(), true, self);
            facets.push((name.clone(), pipeline.map_err(|error| error.at(name))?));
        }
        Ok(facets)
    }

    /// An expression, within what is left for all of them.
    pub(super) fn expression(&mut self, value: &Bson) -> Result<Expression> {
        let limits = crate::expression::Limits {
            nodes_max: self.limits.expression.nodes_max.saturating_sub(self.nodes),
            patterns_max: self
                .limits
                .expression
                .patterns_max
                .saturating_sub(self.expression_patterns),
            ..self.limits.expression.clone()
        };
        let expression = Expression::parse(value, &limits)?;
        self.nodes += expression.nodes();
        self.expression_patterns += expression.patterns();
        let known = |name: &&str| self.variables.iter().any(|known| **known == **name);
        if let Some(unknown) = expression.variables().find(|name| !known(name)) {
            return Err(Error::value("variable is not set").at(format_args!("$${unknown}")));
        }
        Ok(expression)
    }

    /// A filter. Its regular expressions count for all filters together, as each takes memory.
    pub(super) fn filter(&mut self, document: &Document) -> Result<Filter> {
        self.filter_patterns += document.values().map(patterns).sum::<usize>();
        let most = self.limits.filter.patterns_max;
        if self.filter_patterns > most {
            let message = format!("pipeline has over {most} regular expressions");
            return Err(Error::new(Kind::TooLarge, message));
        }
        Filter::parse(document, &self.limits.filter)
    }

    pub(super) fn count_field(&mut self) -> Result<()> {
        self.fields += 1;
        if self.fields > self.limits.fields_max { Err(self.too_many_fields()) } else { Ok(()) }
    }

    pub(super) fn too_many_fields(&self) -> Error {
        Error::new(Kind::TooLarge, format!("stage has over {} fields", self.limits.fields_max))
    }
}

/// A pipeline in a stage of another one. Variables of a lookup are seen by all pipelines in it.
pub(super) fn nested(
    stages: &Bson,
    variables: Vec<Box<str>>,
    is_facet: bool,
    parser: &mut Parser<'_>,
) -> Result<Pipeline> {
    let items = stages.as_array().map(Vec::as_slice);
    let items = items.ok_or_else(|| Error::value("needs a pipeline, an array"))?;
    let documents: Option<Vec<Document>> =
        items.iter().map(|item| item.as_document().cloned()).collect();
    let documents = documents.ok_or_else(|| Error::value("a stage must be a document"))?;
    if parser.nesting == parser.limits.nesting_max {
        let message = format!("pipelines nest deeper than {}", parser.limits.nesting_max);
        return Err(Error::new(Kind::TooDeep, message));
    }
    let outer = (parser.variables.len(), parser.is_facet);
    parser.variables.extend(variables);
    parser.is_facet |= is_facet;
    parser.nesting += 1;
    let pipeline = parser.pipeline(&documents);
    parser.nesting -= 1;
    parser.variables.truncate(outer.0);
    parser.is_facet = outer.1;
    pipeline
}

/// A sort holds no more than the limit behind it lets through.
fn limit_sorts(stages: &mut [Stage]) {
    for index in 0..stages.len() {
        let most = source::limit(&stages[index + 1..]);
        if let Stage::Sort(sort) = &mut stages[index] {
            sort.most = most;
        }
    }
}

/// How many regular expressions may be in a part of a filter. The recursion is as deep as the text was allowed to nest.
fn patterns(value: &Bson) -> usize {
    match value {
        Bson::RegularExpression(_) => 1,
        Bson::Array(items) => items.iter().map(patterns).sum(),
        Bson::Document(document) => {
            let own = usize::from(document.contains_key("$regex"));
            own + document
                .iter()
                .filter(|(name, _)| *name != "$regex")
                .map(|(_, value)| patterns(value))
                .sum::<usize>()
        }
        _ => 0,
    }
}

pub(super) fn natural(value: &Bson) -> Result<u64> {
    let number = Number::of(value).and_then(Number::integer);
    let number = number.and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| Error::value("needs a whole number from 0"))
}

pub(super) fn positive(value: &Bson) -> Result<u64> {
    let number = natural(value).ok().filter(|number| *number > 0);
    number.ok_or_else(|| Error::value("needs a whole number from 1"))
}

/// A path that a stage writes to.
pub(super) fn check_field(path: &str) -> Result<()> {
    Path::parse(path)?;
    if path.split('.').any(|name| name.starts_with('$')) {
        return Err(Error::new(Kind::InvalidPath, "a field name may not begin with $").at(path));
    }
    Ok(())
}

/// The name of a field at the top of a result.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.contains('.') {
        return Err(Error::new(Kind::InvalidPath, "a field name may not contain a dot").at(name));
    }
    check_field(name)
}
