//! Array filters: `{"x.price":{"$gt":5}}` is about an item that a path of an update calls `x`.

use bson::{Bson, Document};

use super::matches::Asking;
use super::{Condition, Filter, Limits, parse};
use crate::error::{Error, Kind, Result};

/// Conditions of one array filter: it is asked about many items.
const CONDITIONS_MAX: usize = 100;

/// A filter on items under a name.
#[derive(Clone, Debug)]
pub(crate) struct NamedFilter {
    name: Box<str>,
    filter: Filter,
}

impl NamedFilter {
    /// # Errors
    /// Those of a filter; `InvalidValue` unless all its fields begin with one name, a small letter and then letters and
    /// digits.
    pub(crate) fn parse(document: &Document) -> Result<Self> {
        let limits = Limits { conditions_max: CONDITIONS_MAX, ..Limits::default() };
        let filter = parse::parse_for_items(document, &limits)?;
        let mut names = Vec::new();
        collect_names(&filter, &mut names);
        let Some(name) = names.first().map(|name| Box::<str>::from(*name)) else {
            return Err(Error::value("array filter names no item"));
        };
        if names.iter().any(|other| **other != *name) {
            return Err(Error::value("array filter is about more than one name"));
        }
        let plain = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|character| character.is_ascii_alphanumeric());
        if !plain {
            let message = "the name of an array filter is a small letter, then letters and digits";
            return Err(Error::new(Kind::InvalidPath, message).at(name));
        }
        Ok(Self { name, filter })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether an item of an array passes.
    pub(crate) fn matches(&self, item: &Bson) -> bool {
        holds(&self.filter, item, &Asking::unmetered())
    }
}

fn collect_names<'f>(filter: &'f Filter, names: &mut Vec<&'f str>) {
    for condition in &filter.conditions {
        match condition {
            Condition::Field(path, _) => names.push(path.field()),
            Condition::Or(filters) | Condition::Nor(filters) => {
                filters.iter().for_each(|filter| collect_names(filter, names));
            }
            Condition::Expression(_) => {}
        }
    }
}

fn holds(filter: &Filter, item: &Bson, asking: &Asking<'_>) -> bool {
    filter.conditions.iter().all(|condition| match condition {
        Condition::Field(path, tests) => {
            asking.named_item_passes(item, &path.segments()[1..], tests)
        }
        Condition::Or(filters) => filters.iter().any(|filter| holds(filter, item, asking)),
        Condition::Nor(filters) => !filters.iter().any(|filter| holds(filter, item, asking)),
        Condition::Expression(_) => false,
    })
}
