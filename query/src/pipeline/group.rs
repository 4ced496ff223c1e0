//! `$group`, and `$bucket`, which is a group by the range that a value is in.

use std::borrow::Cow;
use std::collections::HashMap;

use bson::{Bson, Document};

use super::accumulator::{Accumulator, STATE_BYTES, State};
use super::parse::{Parser, check_name};
use super::segment::Setting;
use super::shape::checked;
use crate::budget::Budget;
use crate::compare::compare;
use crate::error::{Error, Kind, Result};
use crate::expression::{Expression, weight};
use crate::key::encode;
use crate::needs::Needs;

/// Most boundaries of a `$bucket`.
const BOUNDARIES_MAX: usize = 1000;

/// What a group takes beyond its key and its accumulators.
const GROUP_BYTES: u64 = 160;

#[derive(Clone, Debug)]
pub(super) struct Group {
    by: Expression,
    ranges: Option<Ranges>,
    fields: Fields,
}

/// The named accumulators of a group.
pub(super) type Fields = Vec<(Box<str>, Accumulator)>;

#[derive(Clone, Debug)]
struct Ranges {
    /// Ascending. A bucket holds what is at least one boundary and below the next.
    boundaries: Vec<Bson>,
    default: Option<Bson>,
}

#[derive(Debug)]
pub(super) struct GroupState<'p> {
    group: &'p Group,
    places: HashMap<Vec<u8>, usize>,
    /// The key of the document at hand.
    key: Vec<u8>,
    groups: Vec<(Bson, Vec<State>)>,
    kept: u64,
}

impl Group {
    /// Reads the operand of `$group`.
    pub(super) fn parse(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document().ok_or_else(|| Error::value("needs a document"))?;
        let by = document.get("_id").ok_or_else(|| Error::value("lacks _id, what to group by"))?;
        let by = parser.expression(by).map_err(|error| error.at("_id"))?;
        let others = document.iter().filter(|(name, _)| *name != "_id");
        Ok(Self { by, ranges: None, fields: parse_fields(others, parser)? })
    }

    /// All values of an expression with how often they occur, in a field of this name.
    pub(super) fn counting(by: Expression, name: &str, parser: &mut Parser<'_>) -> Result<Self> {
        let fields = vec![(name.into(), Accumulator::count(parser)?)];
        Ok(Self { by, ranges: None, fields })
    }

    /// Reads the operand of `$bucket`.
    pub(super) fn bucket(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document().ok_or_else(|| Error::value("needs a document"))?;
        let known = ["groupBy", "boundaries", "default", "output"];
        if let Some(unknown) = document.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Error::value("has no such option").at(unknown));
        }
        let by = document.get("groupBy").ok_or_else(|| Error::value("lacks groupBy"))?;
        let by = parser.expression(by).map_err(|error| error.at("groupBy"))?;
        let boundaries = constant(document.get("boundaries"), parser)?;
        let boundaries = match boundaries {
            Some(Bson::Array(items)) if items.len() > 1 => items,
            _ => return Err(Error::value("needs at least two boundaries").at("boundaries")),
        };
        if boundaries.len() > BOUNDARIES_MAX {
            let message = format!("has over {BOUNDARIES_MAX} boundaries");
            return Err(Error::new(Kind::TooLarge, message).at("boundaries"));
        }
        if boundaries.windows(2).any(|pair| compare(&pair[0], &pair[1]).is_ge()) {
            return Err(Error::value("boundaries must ascend").at("boundaries"));
        }
        let default = constant(document.get("default"), parser)?;
        let fields = output(document.get("output"), parser)?;
        Ok(Self { by, ranges: Some(Ranges { boundaries, default }), fields })
    }

    /// What must go in.
    pub(super) fn needs(&self) -> Needs {
        gathered(&self.by, &self.fields)
    }

    pub(super) fn start(&self) -> GroupState<'_> {
        GroupState {
            group: self,
            places: HashMap::new(),
            key: Vec::new(),
            groups: Vec::new(),
            kept: 0,
        }
    }
}

pub(super) fn parse_fields<'d>(
    fields: impl Iterator<Item = (&'d String, &'d Bson)>,
    parser: &mut Parser<'_>,
) -> Result<Fields> {
    let mut parsed = Fields::new();
    for (name, operand) in fields {
        check_name(name)?;
        parser.count_field()?;
        let accumulator = Accumulator::parse(operand, parser).map_err(|error| error.at(name))?;
        parsed.push((name.as_str().into(), accumulator));
    }
    Ok(parsed)
}

/// The accumulators of a bucket; without any it counts.
pub(super) fn output(operand: Option<&Bson>, parser: &mut Parser<'_>) -> Result<Fields> {
    match operand {
        None => Ok(vec![("count".into(), Accumulator::count(parser)?)]),
        Some(Bson::Document(document)) => parse_fields(document.iter(), parser),
        Some(_) => Err(Error::value("needs a document of accumulators").at("output")),
    }
}

/// The fields that a group reads of its documents.
pub(super) fn gathered(by: &Expression, fields: &Fields) -> Needs {
    let mut needs = Needs::nothing();
    by.add_needs(&mut needs);
    fields.iter().for_each(|(_, accumulator)| accumulator.add_needs(&mut needs));
    needs
}

/// A value that no document can change.
fn constant(operand: Option<&Bson>, parser: &mut Parser<'_>) -> Result<Option<Bson>> {
    let Some(operand) = operand else { return Ok(None) };
    let expression = parser.expression(operand)?;
    let value = expression.constant().cloned();
    value.map(Some).ok_or_else(|| Error::value("needs constants"))
}

impl Ranges {
    /// What stands for the bucket of a value.
    fn bucket(&self, value: &Bson) -> Result<&Bson> {
        let above = self.boundaries.partition_point(|bound| compare(bound, value).is_le());
        let inside = above > 0 && above < self.boundaries.len();
        let lower = inside.then(|| &self.boundaries[above - 1]);
        let missed = || Error::value("value is in no bucket and there is no default");
        lower.or(self.default.as_ref()).ok_or_else(|| missed().operator("$bucket"))
    }
}

impl GroupState<'_> {
    pub(super) fn push(
        &mut self,
        document: &Document,
        setting: &Setting<'_>,
        budget: &Budget,
    ) -> Result<()> {
        let scope = setting.scope(document, budget);
        let group = self.group;
        let place = group.by.show(&scope, |value| {
            let value = value.unwrap_or(Cow::Owned(Bson::Null));
            let value = match &group.ranges {
                Some(ranges) => Cow::Borrowed(ranges.bucket(&value)?),
                None => value,
            };
            self.place(value, budget)
        })?;
        let (_, states) = &mut self.groups[place];
        for ((name, accumulator), state) in self.group.fields.iter().zip(states) {
            let added = accumulator.add(state, &scope, budget, &mut self.kept);
            added.map_err(|error| error.at(name))?;
        }
        Ok(())
    }

    /// Where the group of a value is.
    fn place(&mut self, value: Cow<'_, Bson>, budget: &Budget) -> Result<usize> {
        self.key.clear();
        encode(&value, &mut self.key);
        budget.step(1 + self.group.fields.len() as u64 + self.key.len() as u64 / 16)?;
        match self.places.get(&self.key) {
            Some(place) => Ok(*place),
            None => self.open(value.into_owned(), budget),
        }
    }

    fn open(&mut self, value: Bson, budget: &Budget) -> Result<usize> {
        let key = self.key.clone();
        let states = self.group.fields.len() as u64 * STATE_BYTES;
        let bytes = GROUP_BYTES + key.len() as u64 + weight(&value) + states;
        budget.keep(bytes)?;
        self.kept += bytes;
        let place = self.groups.len();
        self.places.insert(key, place);
        let fields = self.group.fields.iter();
        self.groups.push((value, fields.map(|(_, accumulator)| accumulator.start()).collect()));
        Ok(place)
    }

    pub(super) fn finish(&mut self, budget: &Budget) -> Result<Vec<Document>> {
        budget.release(std::mem::take(&mut self.kept));
        self.places.clear();
        let mut groups = std::mem::take(&mut self.groups);
        if self.group.ranges.is_some() {
            groups.sort_by(|(a, _), (b, _)| compare(a, b));
        }
        let documents = groups.into_iter();
        documents.map(|(id, states)| finished(id, &self.group.fields, states, budget)).collect()
    }
}

/// `_id` and what the accumulators gathered.
pub(super) fn finished(
    id: Bson,
    fields: &Fields,
    states: Vec<State>,
    budget: &Budget,
) -> Result<Document> {
    let mut document = Document::new();
    document.insert("_id", id);
    for ((name, _), state) in fields.iter().zip(states) {
        document.insert(&**name, state.finish());
    }
    checked(document, budget)
}
