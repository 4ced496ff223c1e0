//! Which way to the documents? By their ids, by ranges of an index, or through the whole collection.
//!
//! Whatever the plan, the filter decides about each document again: a plan only promises not to miss any.

use bson::Bson;

use crate::filter::{Constraint, Filter};
use crate::key::{KeyRange, Prefix, ranges};
use crate::order::{Direction, Field, Order};

/// Most ranges that one plan visits. A filter with more combinations of values uses fewer fields of the index.
const RANGES_MAX: usize = 1000;

/// An index as the planner sees it.
#[derive(Clone, Debug)]
pub struct Index {
    /// Its fields.
    pub pattern: Order,
    /// Some document has several keys in it, or may have had ([`crate::key::Entries::multikey`]).
    pub multikey: bool,
    /// Some key was cut ([`crate::key::Entries::truncated`]).
    pub truncated: bool,
}

/// How to get at the documents.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// The documents with these ids, ascending and distinct.
    Ids(Vec<Bson>),
    /// The documents with keys in these ranges, which are ascending and do not overlap. A document may have several keys.
    Index {
        /// The place of the index in the list given to [`Plan::choose`].
        index: usize,
        /// Where to look.
        ranges: Vec<KeyRange>,
        /// Visit the keys from the last to the first.
        reverse: bool,
    },
    /// Every document.
    Scan,
}

/// A way to the documents, and whether they come in the wanted order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The way.
    pub access: Access,
    /// The documents come in the order asked for, so that a limit may end the visit early.
    pub ordered: bool,
}

impl Plan {
    /// Chooses among the ids, `indexes` and a scan.
    pub fn choose(filter: &Filter, order: &Order, indexes: &[Index]) -> Self {
        if let Some(Constraint::Points(ids)) = filter.constraint("_id", false) {
            let ordered = order.is_empty() || ids.len() <= 1;
            return Self { access: Access::Ids(ids), ordered };
        }
        let candidates = indexes
            .iter()
            .enumerate()
            .map(|(place, index)| Candidate::new(place, index, filter, order));
        let best = candidates
            .filter(Candidate::is_useful)
            .reduce(|best, next| if next.score() > best.score() { next } else { best });
        best.map_or(Self { access: Access::Scan, ordered: order.is_empty() }, Candidate::into_plan)
    }
}

/// What one index could do.
struct Candidate {
    place: usize,
    /// Leading fields bound to points.
    points: usize,
    /// The field after them is bound to a range.
    ranged: bool,
    ranges: Vec<KeyRange>,
    /// The direction in which the keys have the wanted order, if they have.
    reading: Option<Direction>,
    /// That order is more than none at all.
    sorts: bool,
}

impl Candidate {
    fn new(place: usize, index: &Index, filter: &Filter, order: &Order) -> Self {
        let mut prefixes = vec![Prefix::empty()];
        let mut single = Vec::new();
        let mut range = None;
        for field in index.pattern.fields() {
            match filter.constraint(&field.path.to_string(), index.multikey) {
                Some(Constraint::Points(values)) if prefixes.len() * values.len() <= RANGES_MAX => {
                    prefixes = extend(&prefixes, &values, field.direction);
                    single.push(values.len() <= 1);
                }
                Some(constraint @ Constraint::Range { .. }) => {
                    range = Some((constraint, field.direction));
                    break;
                }
                _ => break,
            }
        }
        let reading = match index.multikey || index.truncated {
            false => reading_direction(index.pattern.fields(), &single, order),
            true => order.is_empty().then_some(Direction::Ascending),
        };
        Self {
            place,
            points: single.len(),
            ranged: range.is_some(),
            ranges: all_ranges(&prefixes, range),
            sorts: reading.is_some() && !order.is_empty(),
            reading,
        }
    }

    fn is_useful(&self) -> bool {
        self.points > 0 || self.ranged || self.sorts
    }

    fn score(&self) -> (usize, bool, bool) {
        (self.points, self.ranged, self.sorts)
    }

    fn into_plan(self) -> Plan {
        let reverse = self.reading == Some(Direction::Descending);
        let access = Access::Index { index: self.place, ranges: self.ranges, reverse };
        Plan { access, ordered: self.reading.is_some() }
    }
}

fn extend(prefixes: &[Prefix], values: &[Bson], direction: Direction) -> Vec<Prefix> {
    prefixes
        .iter()
        .flat_map(|prefix| values.iter().map(|value| prefix.then(value, direction)))
        .collect()
}

fn all_ranges(prefixes: &[Prefix], range: Option<(Constraint, Direction)>) -> Vec<KeyRange> {
    let mut all: Vec<KeyRange> = match range {
        None => prefixes.iter().map(Prefix::range).collect(),
        Some((constraint, direction)) => {
            prefixes.iter().flat_map(|prefix| ranges(prefix, &constraint, direction)).collect()
        }
    };
    all.sort();
    // Cut keys may make ranges meet; each key must be visited once.
    all.dedup_by(|next, kept| {
        let meets = next.from < kept.to;
        if meets && next.to > kept.to {
            kept.to = std::mem::take(&mut next.to);
        }
        meets
    });
    all
}

/// The direction in which an index gives `order`, if it does. `single[i]` tells that the field `i` has at most one value in
/// the ranges; such a field never disturbs the order.
fn reading_direction(fields: &[Field], single: &[bool], order: &Order) -> Option<Direction> {
    if single.contains(&false) && !order.is_empty() {
        return None;
    }
    let constant =
        |wanted: &Field| fields[..single.len()].iter().any(|field| field.path == wanted.path);
    let mut rest = fields[single.len()..].iter();
    let mut reading = None;
    for wanted in order.fields() {
        if constant(wanted) {
            continue;
        }
        let field = rest.next().filter(|field| field.path == wanted.path)?;
        let direction = if field.direction == wanted.direction {
            Direction::Ascending
        } else {
            Direction::Descending
        };
        if *reading.get_or_insert(direction) != direction {
            return None;
        }
    }
    Some(reading.unwrap_or(Direction::Ascending))
}
