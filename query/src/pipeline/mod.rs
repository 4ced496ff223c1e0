//! What becomes of many documents? MongoDB's aggregation pipeline.
//!
//! `parse.rs` turns stages into a [`Pipeline`]: parts one after the other. A [`Segment`] is a function of the documents
//! that are pushed through it (`segment.rs`, one file per family of stages beside it). A [`Lookup`] and a facet need what
//! other collections hold, so that whoever can read those runs them; `plain.rs` does so over documents in memory, and is
//! what every other way to run a pipeline must agree with.
//!
//! `needs.rs` says which fields of the documents a pipeline can read, so that whoever has them as bytes decodes no others.
//!
//! Memory is bounded: documents are pushed one by one, and stages that must hold several (`$group`, `$sort`, `$bucketAuto`,
//! `$sample`) take their bytes from the budget. `$sort` before `$limit` holds only as many as the limit lets through.
//!
//! Decisions:
//! - Groups come out in the order in which they were first seen, the items of `$addToSet` in the order of values.
//! - `$expr` at the top of a `$match` or in its `$and` sees the variables of a lookup.
//! - Stages that write or that read statistics (`$out $merge $collStats $indexStats`) and `$graphLookup` are not offered.

mod accumulator;
mod bucket;
mod geo_near;
mod group;
mod keep;
mod lookup;
mod needs;
mod parse;
mod plain;
mod redact;
mod segment;
mod select;
mod shape;
mod sort;
mod source;
mod unwind;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use bson::Document;

pub use self::geo_near::GeoNear;
pub use self::lookup::Lookup;
pub use self::segment::{Flow, Run, Segment, Setting};
pub use self::source::Source;
use crate::error::Result;
use crate::needs::Needs;
use crate::{expression, filter};

/// How large a pipeline may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Stages, those of pipelines inside included.
    pub stages_max: usize,
    /// Nesting of pipelines: lookups and facets.
    pub nesting_max: usize,
    /// Pipelines in one facet: each sees every document.
    pub facets_max: usize,
    /// Fields and accumulators of one stage.
    pub fields_max: usize,
    /// Size of all expressions together.
    pub expression: expression::Limits,
    /// Size of each filter. Its bound on regular expressions counts for all filters together.
    pub filter: filter::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stages_max: 100,
            nesting_max: 4,
            facets_max: 50,
            fields_max: 1000,
            expression: expression::Limits::default(),
            filter: filter::Limits::default(),
        }
    }
}

/// A parsed pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    geo_near: Option<GeoNear>,
    parts: Vec<Part>,
}

/// A part of a pipeline. Its input is the output of the part before it.
#[derive(Clone, Debug)]
pub enum Part {
    /// Stages that need nothing but the documents.
    Pure(Segment),
    /// Adds documents of another collection to each document.
    Lookup(Box<Lookup>),
    /// Names and pipelines that all see the same documents; the result is one document of the lists that they give.
    Facet(Vec<(String, Pipeline)>),
}

impl Pipeline {
    /// Parses stages: documents of one field each.
    ///
    /// # Errors
    /// `InvalidOperator`, `InvalidValue` or `InvalidPath` naming stage and field; `TooLarge` or `TooDeep` beyond `limits`.
    pub fn parse(stages: &[Document], limits: &Limits) -> Result<Self> {
        parse::parse(stages, limits)
    }

    /// The parts in order. None at all hands every document on.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What the first stages ask of the collection. All but `$geoNear` is a hint: the parts apply it again.
    pub fn source(&self) -> Source<'_> {
        source::source(self)
    }

    /// The top-level fields that can be read of the documents that go in: without the others, what comes out is the same.
    pub fn needs(&self) -> Needs {
        needs::needs(self)
    }

    /// The names of all other collections that are read, each once.
    pub fn collections(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The recursion is as deep as pipelines nest, which the parser bounds.
    fn collect<'p>(&'p self, names: &mut Vec<&'p str>) {
        for part in &self.parts {
            match part {
                Part::Pure(_) => {}
                Part::Lookup(lookup) => {
                    names.push(lookup.from());
                    lookup.pipeline().into_iter().for_each(|inner| inner.collect(names));
                }
                Part::Facet(facets) => facets.iter().for_each(|(_, inner)| inner.collect(names)),
            }
        }
    }
}
