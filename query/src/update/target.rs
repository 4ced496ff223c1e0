//! Paths that stand for several places: `a.$`, `a.$[].b`, `a.$[name].b`.

use bson::{Bson, Document};

use super::{FILTERED_MAX, Options};
use crate::error::{Error, Kind, Result};
use crate::filter::NamedFilter;
use crate::path::{Path, Segment};

/// Most items that one update looks at to find its places.
const ITEMS_MAX: usize = 100_000;

/// Most bytes, roughly, that one update puts into places found so: as much as MongoDB allows a whole document.
const GROWTH_BYTES_MAX: usize = 16 << 20;

/// What a value takes in memory besides its text.
const VALUE_BYTES: usize = 32;

/// Most array filters, and how many identifiers one update may so have.
const FILTERS_MAX: usize = 16;

/// One part of a path that stands for places.
#[derive(Clone, Debug)]
enum Step {
    Named(Segment),
    /// `$`: the item that the query matched.
    Matched,
    /// `$[]`: every item.
    Each,
    /// `$[name]`: the items that pass the array filter at this place in the list.
    Filtered(usize),
}

/// A path that stands for places.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    steps: Box<[Step]>,
    /// About how many bytes each place may take more of.
    weight: usize,
}

impl Pattern {
    pub(super) fn needs_position(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Matched))
    }
}

/// The array filters of an update, and which of them its paths name.
#[derive(Debug)]
pub(super) struct Filters {
    filters: Vec<NamedFilter>,
    used: Vec<bool>,
    /// Parts of paths that ask a filter. Each asks about the same items again, so they are bounded.
    asked: usize,
}

impl Filters {
    pub(super) fn parse(options: &Options<'_>) -> Result<Self> {
        if options.array_filters.len() > FILTERS_MAX {
            let message = format!("update has over {FILTERS_MAX} array filters");
            return Err(Error::new(Kind::TooLarge, message));
        }
        let mut filters: Vec<NamedFilter> = Vec::new();
        for document in options.array_filters {
            let filter = NamedFilter::parse(document)?;
            if filters.iter().any(|other| other.name() == filter.name()) {
                let message = format!("two array filters are about {}", filter.name());
                return Err(Error::value(message));
            }
            filters.push(filter);
        }
        Ok(Self { used: vec![false; filters.len()], filters, asked: 0 })
    }

    /// What `path` stands for, or `None` if each part is a name. `operand` goes to each place.
    pub(super) fn pattern(&mut self, path: &Path, operand: &Bson) -> Result<Option<Pattern>> {
        if !path.segments().iter().any(|segment| segment.name.starts_with('$')) {
            return Ok(None);
        }
        if path.field().starts_with('$') {
            let message = "a path may not begin with $";
            return Err(Error::new(Kind::InvalidPath, message).at(path));
        }
        let steps: Box<[Step]> =
            path.segments().iter().map(|segment| self.step(segment)).collect::<Result<_>>()?;
        if steps.iter().filter(|step| matches!(step, Step::Matched)).count() > 1 {
            let message = "a path may have only one $, for one item is known";
            return Err(Error::new(Kind::InvalidPath, message).at(path));
        }
        let weight = weight(operand) + steps.len() * VALUE_BYTES;
        Ok(Some(Pattern { steps, weight }))
    }

    /// The filters, each of which must have been named by a path.
    pub(super) fn finish(self) -> Result<Vec<NamedFilter>> {
        match self.used.iter().position(|used| !used) {
            Some(unused) => {
                let name = self.filters[unused].name();
                Err(Error::value(format!("no path uses the array filter about {name}")))
            }
            None => Ok(self.filters),
        }
    }

    fn step(&mut self, segment: &Segment) -> Result<Step> {
        let name = match &*segment.name {
            "$" => return Ok(Step::Matched),
            "$[]" => return Ok(Step::Each),
            name if !name.starts_with('$') => return Ok(Step::Named(segment.clone())),
            name => name.strip_prefix("$[").and_then(|name| name.strip_suffix(']')),
        };
        let name = name.ok_or_else(|| {
            Error::new(
                Kind::InvalidPath,
                "a field name may not begin with $, but for $ and $[name]",
            )
        })?;
        let place = self.filters.iter().position(|filter| filter.name() == name);
        let place =
            place.ok_or_else(|| Error::value(format!("no array filter is about {name}")))?;
        self.used[place] = true;
        self.asked += 1;
        if self.asked > FILTERED_MAX {
            let message = format!("update asks array filters in over {FILTERED_MAX} places");
            return Err(Error::new(Kind::TooLarge, message));
        }
        Ok(Step::Filtered(place))
    }
}

/// Finds the places that steps stand for in a document.
pub(super) struct Finder<'u> {
    filters: &'u [NamedFilter],
    /// The item that the query matched.
    position: Option<usize>,
    items_left: usize,
    growth_bytes_left: usize,
}

impl<'u> Finder<'u> {
    pub(super) fn new(filters: &'u [NamedFilter], position: Option<usize>) -> Self {
        Self { filters, position, items_left: ITEMS_MAX, growth_bytes_left: GROWTH_BYTES_MAX }
    }

    /// The paths of the places, in the order of the items.
    pub(super) fn places(&mut self, document: &Document, pattern: &Pattern) -> Result<Vec<Path>> {
        let mut places = Vec::new();
        let Some((Step::Named(first), rest)) = pattern.steps.split_first() else {
            return Ok(places);
        };
        let mut parts = vec![first.clone()];
        self.go(document.get(&first.name), rest, &mut parts, &mut places)?;
        let growth_bytes = places.len().saturating_mul(pattern.weight);
        self.growth_bytes_left =
            self.growth_bytes_left.checked_sub(growth_bytes).ok_or_else(|| {
                let mib = GROWTH_BYTES_MAX >> 20;
                let message = format!("update puts more than {mib} MiB into many places");
                Error::new(Kind::TooLarge, message)
            })?;
        Ok(places)
    }

    /// Recursive, as deep as a path is long.
    fn go(
        &mut self,
        value: Option<&Bson>,
        steps: &[Step],
        parts: &mut Vec<Segment>,
        places: &mut Vec<Path>,
    ) -> Result<()> {
        let Some((step, rest)) = steps.split_first() else {
            places.push(Path::of(parts));
            return Ok(());
        };
        match step {
            Step::Named(segment) => self.enter(value, segment.clone(), rest, parts, places),
            Step::Matched => {
                let position = self.position.ok_or_else(|| {
                    Error::value("the query matched no item of an array, which $ could mean")
                })?;
                self.enter(value, Segment::at(position), rest, parts, places)
            }
            Step::Each | Step::Filtered(_) => {
                let items = value
                    .and_then(Bson::as_array)
                    .ok_or_else(|| Error::value(format!("{} is not an array", Path::of(parts))))?;
                self.items_left = self.items_left.checked_sub(items.len()).ok_or_else(|| {
                    let message = format!("update looks at over {ITEMS_MAX} items of arrays");
                    Error::new(Kind::TooLarge, message)
                })?;
                for (position, item) in items.iter().enumerate() {
                    if self.wants(step, item) {
                        self.enter(value, Segment::at(position), rest, parts, places)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn enter(
        &mut self,
        value: Option<&Bson>,
        segment: Segment,
        rest: &[Step],
        parts: &mut Vec<Segment>,
        places: &mut Vec<Path>,
    ) -> Result<()> {
        let child = match value {
            Some(Bson::Document(document)) => document.get(&segment.name),
            Some(Bson::Array(items)) => segment.position.and_then(|position| items.get(position)),
            _ => None,
        };
        parts.push(segment);
        self.go(child, rest, parts, places)?;
        parts.pop();
        Ok(())
    }

    fn wants(&self, step: &Step, item: &Bson) -> bool {
        match step {
            Step::Filtered(place) => self.filters[*place].matches(item),
            _ => true,
        }
    }
}

/// About how many bytes a value takes. Recursive, as `depth` is, for values whose nesting is bounded.
fn weight(value: &Bson) -> usize {
    let below = match value {
        Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => text.len(),
        Bson::Binary(binary) => binary.bytes.len(),
        Bson::Array(items) => items.iter().map(weight).sum(),
        Bson::Document(document) => weight_of_fields(document),
        Bson::JavaScriptCodeWithScope(code) => code.code.len() + weight_of_fields(&code.scope),
        Bson::RegularExpression(regex) => regex.pattern.as_str().len(),
        _ => 0,
    };
    VALUE_BYTES + below
}

fn weight_of_fields(document: &Document) -> usize {
    document.iter().map(|(name, value)| VALUE_BYTES + name.len() + weight(value)).sum()
}
