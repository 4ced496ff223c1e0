//! What do the first stages ask of the collection?

use super::geo_near::GeoNear;
use super::segment::Stage;
use super::{Part, Pipeline};
use crate::filter::Filter;
use crate::order::Order;

/// What the first stages ask of the collection. Whoever reads it may serve as much of this as an index allows: every stage
/// runs over what was read all the same, except for `$geoNear`, which only the reader can run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Source<'p> {
    /// The `$geoNear` that the pipeline begins with.
    pub geo_near: Option<&'p GeoNear>,
    /// What the `$match` stages at the beginning ask; an `$expr` in them is not part of it.
    pub filter: Filter,
    /// The order of the `$sort` behind them.
    pub order: Option<&'p Order>,
    /// How many documents that match, in this order, are enough: the sum of a `$skip` and a `$limit`.
    pub limit: Option<u64>,
}

pub(super) fn source(pipeline: &Pipeline) -> Source<'_> {
    let mut source = Source {
        geo_near: pipeline.geo_near.as_ref(),
        filter: Filter::all(),
        order: None,
        limit: None,
    };
    let Some(Part::Pure(segment)) = pipeline.parts.first() else { return source };
    let mut rest = segment.stages.as_slice();
    let mut is_whole = true;
    while let Some((Stage::Match(select), behind)) = rest.split_first() {
        source.filter = source.filter.and(select.filter.clone());
        is_whole &= select.expressions.is_empty();
        rest = behind;
    }
    if let Some((Stage::Sort(sort), behind)) = rest.split_first() {
        source.order = Some(&sort.order);
        rest = behind;
    }
    // What `$expr` takes away must be made up for by further documents, so that no number is enough.
    source.limit = limit(rest).filter(|_| is_whole);
    source
}

/// How many documents `$skip` and `$limit` at the beginning let through.
pub(super) fn limit(stages: &[Stage]) -> Option<u64> {
    match stages {
        [Stage::Limit(limit), ..] => Some(*limit),
        [Stage::Skip(skip), Stage::Limit(limit), ..] => Some(skip.saturating_add(*limit)),
        _ => None,
    }
}
