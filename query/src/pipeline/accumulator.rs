//! What a group gathers from its documents.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bson::{Bson, Document};

use super::parse::Parser;
use crate::budget::Budget;
use crate::compare::compare;
use crate::error::{Error, Result};
use crate::expression::fold::{Deviation, Mean, Sum};
use crate::expression::{Expression, Scope, weight};
use crate::key::encode;
use crate::needs::Needs;

/// What the state of one accumulator takes by itself.
pub(super) const STATE_BYTES: u64 = 128;

#[derive(Clone, Debug)]
pub(super) struct Accumulator {
    kind: Kind,
    expression: Expression,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Sum,
    Avg,
    Min,
    Max,
    First,
    Last,
    Push,
    AddToSet,
    StdDevPop,
    StdDevSamp,
    MergeObjects,
}

/// Every accumulator. `$count` is a sum of ones.
const KINDS: &[(&str, Kind)] = &[
    ("$sum", Kind::Sum),
    ("$avg", Kind::Avg),
    ("$min", Kind::Min),
    ("$max", Kind::Max),
    ("$first", Kind::First),
    ("$last", Kind::Last),
    ("$push", Kind::Push),
    ("$addToSet", Kind::AddToSet),
    ("$stdDevPop", Kind::StdDevPop),
    ("$stdDevSamp", Kind::StdDevSamp),
    ("$mergeObjects", Kind::MergeObjects),
];

#[derive(Debug)]
pub(super) enum State {
    Sum(Sum),
    Mean(Mean),
    Deviation(Deviation, bool),
    /// The least value if true, the greatest otherwise.
    Extreme(Option<Bson>, bool),
    First(Option<Bson>),
    Last(Bson),
    List(Vec<Bson>),
    Set(BTreeMap<Vec<u8>, Bson>),
    Merged(Document),
}

impl Accumulator {
    /// Reads `{"$sum":"$n"}`.
    pub(super) fn parse(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document().filter(|document| document.len() == 1);
        let single = document.and_then(|document| document.iter().next());
        let (name, operand) = single.ok_or_else(|| Error::value("needs one accumulator"))?;
        if name == "$count" {
            let empty = operand.as_document().is_some_and(Document::is_empty);
            let one = parser.expression(&Bson::Int32(1));
            return match empty {
                true => Ok(Self { kind: Kind::Sum, expression: one? }),
                false => Err(Error::value("needs an empty document").operator("$count")),
            };
        }
        let known = KINDS.iter().find(|(known, _)| known == name);
        let (_, kind) = known.ok_or_else(|| Error::unknown_operator(name))?;
        let operand = match operand {
            Bson::Array(items) => match items.as_slice() {
                [single] => single,
                _ => return Err(Error::value("takes one argument").operator(name.clone())),
            },
            other => other,
        };
        let expression = parser.expression(operand);
        let expression = expression.map_err(|error| error.operator(name.clone()))?;
        Ok(Self { kind: *kind, expression })
    }

    /// A sum of ones.
    pub(super) fn count(parser: &mut Parser<'_>) -> Result<Self> {
        Ok(Self { kind: Kind::Sum, expression: parser.expression(&Bson::Int32(1))? })
    }

    pub(super) fn add_needs(&self, needs: &mut Needs) {
        self.expression.add_needs(needs);
    }

    pub(super) fn start(&self) -> State {
        match self.kind {
            Kind::Sum => State::Sum(Sum::default()),
            Kind::Avg => State::Mean(Mean::default()),
            Kind::StdDevPop => State::Deviation(Deviation::default(), false),
            Kind::StdDevSamp => State::Deviation(Deviation::default(), true),
            Kind::Min => State::Extreme(None, true),
            Kind::Max => State::Extreme(None, false),
            Kind::First => State::First(None),
            Kind::Last => State::Last(Bson::Null),
            Kind::Push => State::List(Vec::new()),
            Kind::AddToSet => State::Set(BTreeMap::new()),
            Kind::MergeObjects => State::Merged(Document::new()),
        }
    }

    /// Adds one document to a state. `kept` counts the bytes that the states hold.
    pub(super) fn add(
        &self,
        state: &mut State,
        scope: &Scope<'_>,
        budget: &Budget,
        kept: &mut u64,
    ) -> Result<()> {
        // What stands first is known once there was a document.
        if matches!(state, State::First(Some(_))) {
            return Ok(());
        }
        let before = *kept;
        self.expression.show(scope, |value| state.add(value, kept))?;
        match kept.checked_sub(before) {
            Some(more) => budget.keep(more),
            None => {
                budget.release(before - *kept);
                Ok(())
            }
        }
    }
}

impl State {
    fn add(&mut self, value: Option<Cow<'_, Bson>>, kept: &mut u64) -> Result<()> {
        let minds_missing = matches!(self, Self::First(_) | Self::Last(_));
        let missing = minds_missing.then_some(Cow::Owned(Bson::Null));
        let Some(value) = value.or(missing) else { return Ok(()) };
        match self {
            Self::First(first) => *first = Some(kept_value(value, kept)),
            Self::Last(last) => replace(last, value, kept),
            Self::Sum(sum) => sum.add(&value),
            Self::Mean(mean) => mean.add(&value),
            Self::Deviation(deviation, _) => deviation.add(&value),
            Self::Extreme(..) | Self::Merged(_) if is_nothing(&value) => {}
            Self::Extreme(Some(best), is_least) => {
                let order = compare(&value, best);
                if if *is_least { order.is_lt() } else { order.is_gt() } {
                    replace(best, value, kept);
                }
            }
            Self::Extreme(best, _) => *best = Some(kept_value(value, kept)),
            Self::List(items) => items.push(kept_value(value, kept)),
            Self::Set(items) => {
                let mut key = Vec::new();
                encode(&value, &mut key);
                if let Entry::Vacant(place) = items.entry(key) {
                    *kept += 64 + place.key().len() as u64;
                    place.insert(kept_value(value, kept));
                }
            }
            Self::Merged(merged) => {
                let Bson::Document(document) = value.into_owned() else {
                    return Err(Error::value("takes only documents").operator("$mergeObjects"));
                };
                for (name, value) in document {
                    *kept += 64 + name.len() as u64 + weight(&value);
                    merged.insert(name, value);
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Bson {
        match self {
            Self::Sum(sum) => sum.value(),
            Self::Mean(mean) => mean.value(),
            Self::Deviation(deviation, is_sample) => deviation.value(is_sample),
            Self::Extreme(best, _) => best.unwrap_or(Bson::Null),
            Self::First(first) => first.unwrap_or(Bson::Null),
            Self::Last(last) => last,
            Self::List(items) => Bson::Array(items),
            Self::Set(items) => Bson::Array(items.into_values().collect()),
            Self::Merged(document) => Bson::Document(document),
        }
    }
}

fn is_nothing(value: &Bson) -> bool {
    matches!(value, Bson::Null | Bson::Undefined)
}

/// A value that stays.
fn kept_value(value: Cow<'_, Bson>, kept: &mut u64) -> Bson {
    *kept += weight(&value);
    value.into_owned()
}

fn replace(place: &mut Bson, value: Cow<'_, Bson>, kept: &mut u64) {
    *kept = (*kept + weight(&value)).saturating_sub(weight(place));
    *place = value.into_owned();
}

#[test]
fn every_accumulator_is_documented() {
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    crate::testing::check_documented("accumulators", &names);
}
