//! `$bucketAuto`: a given number of ranges that hold about as many documents each.

use bson::{Bson, Document};

use super::accumulator::State;
use super::group::{Fields, finished, gathered, output};
use super::parse::{Parser, positive};
use super::segment::Setting;
use crate::budget::Budget;
use crate::compare::{compare, equal};
use crate::error::{Error, Result};
use crate::expression::{Expression, Variables, document_of, weight, weight_of_document};
use crate::needs::Needs;

#[derive(Clone, Debug)]
pub(super) struct Auto {
    by: Expression,
    buckets: u64,
    fields: Fields,
}

#[derive(Debug)]
pub(super) struct AutoState<'p> {
    auto: &'p Auto,
    held: Vec<(Bson, Document)>,
    kept: u64,
    /// As in the setting of the run, for the accumulators at its end.
    now_ms: i64,
    variables: Variables,
}

impl Auto {
    pub(super) fn parse(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document().ok_or_else(|| Error::value("needs a document"))?;
        let known = ["groupBy", "buckets", "output"];
        if let Some(unknown) = document.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Error::value("has no such option").at(unknown));
        }
        let by = document.get("groupBy").ok_or_else(|| Error::value("lacks groupBy"))?;
        let by = parser.expression(by).map_err(|error| error.at("groupBy"))?;
        let buckets = positive(document.get("buckets").unwrap_or(&Bson::Null));
        let buckets = buckets.map_err(|error| error.at("buckets"))?;
        Ok(Self { by, buckets, fields: output(document.get("output"), parser)? })
    }

    /// What must go in.
    pub(super) fn needs(&self) -> Needs {
        gathered(&self.by, &self.fields)
    }

    pub(super) fn start(&self) -> AutoState<'_> {
        let variables = Variables::default();
        AutoState { auto: self, held: Vec::new(), kept: 0, now_ms: 0, variables }
    }
}

impl AutoState<'_> {
    pub(super) fn push(
        &mut self,
        document: Document,
        setting: &Setting<'_>,
        budget: &Budget,
    ) -> Result<()> {
        if self.held.is_empty() {
            self.now_ms = setting.now_ms;
            self.variables = setting.variables.clone();
        }
        let value = self.auto.by.evaluate(&setting.scope(&document, budget))?;
        let value = value.unwrap_or(Bson::Null);
        let bytes = weight(&value) + weight_of_document(&document);
        budget.keep(bytes)?;
        self.kept += bytes;
        self.held.push((value, document));
        Ok(())
    }

    pub(super) fn finish(&mut self, budget: &Budget) -> Result<Vec<Document>> {
        let mut held = std::mem::take(&mut self.held);
        budget.step((held.len() as u64).saturating_mul(8))?;
        held.sort_by(|(a, _), (b, _)| compare(a, b));
        let mut results = Vec::new();
        let mut rest = held.as_slice();
        let size = share(held.len(), self.auto.buckets);
        while let Some((first, _)) = rest.first() {
            let is_last = results.len() as u64 + 1 == self.auto.buckets;
            let end = if is_last { rest.len() } else { end_of_bucket(rest, size) };
            let (bucket, behind) = rest.split_at(end);
            let max = behind.first().or(bucket.last()).map_or(Bson::Null, |(max, _)| max.clone());
            let id = Bson::Document(document_of([("min", first.clone()), ("max", max)]));
            let states = self.gathered(bucket, budget)?;
            results.push(finished(id, &self.auto.fields, states, budget)?);
            rest = behind;
        }
        budget.release(std::mem::take(&mut self.kept));
        Ok(results)
    }

    fn gathered(&mut self, bucket: &[(Bson, Document)], budget: &Budget) -> Result<Vec<State>> {
        let setting = Setting { now_ms: self.now_ms, seed: 0, variables: &self.variables };
        let fields = &self.auto.fields;
        let mut states: Vec<State> = fields.iter().map(|(_, field)| field.start()).collect();
        for (_, document) in bucket {
            let scope = setting.scope(document, budget);
            for ((name, accumulator), state) in fields.iter().zip(&mut states) {
                let added = accumulator.add(state, &scope, budget, &mut self.kept);
                added.map_err(|error| error.at(name))?;
            }
        }
        Ok(states)
    }
}

/// Documents for each bucket, at least one.
fn share(documents: usize, buckets: u64) -> usize {
    let share = (documents as f64 / buckets as f64).round() as usize;
    share.max(1)
}

/// Equal values are never in two buckets.
fn end_of_bucket(rest: &[(Bson, Document)], size: usize) -> usize {
    let end = size.min(rest.len());
    let last = &rest[end - 1].0;
    end + rest[end..].iter().take_while(|(value, _)| equal(value, last)).count()
}
