//! Which fields of the result? Inclusion or exclusion, with dotted paths that go through arrays.
//!
//! Of an array a part may be asked for: `$slice`, `$elemMatch`, and `a.$`, the item that the query matched (`part.rs`).

mod part;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::collections::BTreeMap;

use bson::{Bson, Document};

use self::part::Part;
use crate::error::{Error, Kind, Result};
use crate::number::Number;
use crate::path::Path;

/// Most fields in one projection.
const FIELDS_MAX: usize = 1000;

/// Most `$elemMatch` in one projection: each may hold patterns.
const ITEM_FILTERS_MAX: usize = 16;

/// A parsed projection.
#[derive(Clone, Debug)]
pub struct Projection {
    mode: Mode,
    fields: Fields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Include,
    Exclude,
}

/// What is named at and below one field.
#[derive(Clone, Debug)]
enum Node {
    Whole,
    /// What is named below.
    Below(Fields),
    /// Some items of an array.
    Items(Part),
}

type Fields = BTreeMap<Box<str>, Node>;

impl Projection {
    /// Reads `{"a":1,"b.c":1}` or `{"a":0}`. `_id` is in the result of an inclusion unless it is excluded.
    ///
    /// # Errors
    /// `InvalidValue` for a mixture of inclusion and exclusion, `InvalidOperator` for an operator, `Conflict` for a path
    /// below another one, `InvalidPath`, `TooLarge`.
    pub fn parse(document: &Document) -> Result<Self> {
        if document.len() > FIELDS_MAX {
            return Err(Error::new(
                Kind::TooLarge,
                format!("projection has over {FIELDS_MAX} fields"),
            ));
        }
        let mut mode = None;
        let mut id = None;
        let mut fields = Fields::new();
        let mut item_filters = 0;
        for (name, value) in document {
            let (wanted, path, node) = parse_field(name, value).map_err(|error| error.at(name))?;
            if name == "_id" && wanted.is_some() {
                id = wanted;
                continue;
            }
            if wanted.is_some_and(|wanted| *mode.get_or_insert(wanted) != wanted) {
                return Err(Error::value("projection mixes inclusion and exclusion").at(name));
            }
            item_filters += usize::from(matches!(node, Node::Items(Part::Matching(_))));
            add(&mut fields, &path, node)?;
        }
        if item_filters > ITEM_FILTERS_MAX {
            let message = format!("projection has over {ITEM_FILTERS_MAX} conditions on items");
            return Err(Error::new(Kind::TooLarge, message).operator("$elemMatch"));
        }
        // Only `_id` was named, or nothing at all: then all other fields follow from it.
        let mode = mode.or(id).unwrap_or(Mode::Exclude);
        if mode == id.unwrap_or(Mode::Include) {
            fields.entry("_id".into()).or_insert(Node::Whole);
        }
        Ok(Self { mode, fields })
    }

    /// Whether a field is `a.$`, so that [`Projection::apply`] has to know which item was matched.
    pub fn needs_position(&self) -> bool {
        any_node(&self.fields, &|node| matches!(node, Node::Items(Part::Matched)))
    }

    /// The named part of `document`, in the document's order of fields. `position` is the item that the filter matched
    /// ([`crate::Filter::position`]); where it is not known, a field `a.$` is left out.
    pub fn apply(&self, document: Document, position: Option<usize>) -> Document {
        match self.mode {
            Mode::Include => include(&self.fields, document, position),
            Mode::Exclude => exclude(&self.fields, document, position),
        }
    }
}

/// What one field of a projection asks for: a mode unless it fits both, a path, and what of the values there.
fn parse_field(name: &str, value: &Bson) -> Result<(Option<Mode>, Path, Node)> {
    if let Bson::Document(document) = value {
        let part = Part::parse(document)?;
        let path = parse_name(name)?;
        let mode = match part {
            Part::Slice { .. } => None,
            Part::Matching(_) | Part::Matched => Some(Mode::Include),
        };
        if matches!(part, Part::Matching(_)) && path.segments().len() > 1 {
            return Err(Error::value("can only stand at a field at the top").operator("$elemMatch"));
        }
        return Ok((mode, path, Node::Items(part)));
    }
    let mode = parse_mode(value)?;
    match name.strip_suffix(".$") {
        Some(_) if mode == Mode::Exclude => Err(Error::value("a matched item cannot be left out")),
        Some(name) => Ok((Some(mode), parse_name(name)?, Node::Items(Part::Matched))),
        None => Ok((Some(mode), parse_name(name)?, Node::Whole)),
    }
}

fn parse_mode(value: &Bson) -> Result<Mode> {
    let truth = match value {
        Bson::Boolean(truth) => Some(*truth),
        other => Number::of(other).map(|number| number.compare(Number::Int(0)).is_ne()),
    };
    match truth {
        Some(true) => Ok(Mode::Include),
        Some(false) => Ok(Mode::Exclude),
        None => Err(Error::value("projection needs 1 or 0")),
    }
}

fn parse_name(name: &str) -> Result<Path> {
    let path = Path::parse(name)?;
    if path.segments().iter().any(|segment| segment.name.starts_with('$')) {
        let message = "only the last part of a path may be $";
        return Err(Error::new(Kind::InvalidPath, message));
    }
    Ok(path)
}

fn add(fields: &mut Fields, path: &Path, node: Node) -> Result<()> {
    let collision =
        || Error::new(Kind::Conflict, "projection names a field and a part of it").at(path);
    let (last, parents) = path.segments().split_last().expect("a path has a segment");
    let mut level = fields;
    for segment in parents {
        let below = || Node::Below(Fields::new());
        level = match level.entry(segment.name.clone()).or_insert_with(below) {
            Node::Below(fields) => fields,
            Node::Whole | Node::Items(_) => return Err(collision()),
        };
    }
    match level.insert(last.name.clone(), node) {
        None => Ok(()),
        Some(_) => Err(collision()),
    }
}

fn any_node(fields: &Fields, test: &dyn Fn(&Node) -> bool) -> bool {
    fields.values().any(|node| match node {
        Node::Below(fields) => any_node(fields, test),
        node => test(node),
    })
}

fn include(fields: &Fields, document: Document, position: Option<usize>) -> Document {
    let kept = document.into_iter().filter_map(|(name, value)| {
        let value = match fields.get(name.as_str())? {
            Node::Whole => value,
            Node::Below(fields) => include_below(fields, value, position)?,
            Node::Items(part) => part.of(value, position)?,
        };
        Some((name, value))
    });
    kept.collect()
}

/// Parts of a scalar do not exist, so it is left out.
fn include_below(fields: &Fields, value: Bson, position: Option<usize>) -> Option<Bson> {
    match value {
        Bson::Document(document) => Some(Bson::Document(include(fields, document, position))),
        Bson::Array(items) => {
            let items = items.into_iter().filter_map(|item| include_below(fields, item, position));
            Some(Bson::Array(items.collect()))
        }
        _ => None,
    }
}

fn exclude(fields: &Fields, document: Document, position: Option<usize>) -> Document {
    let kept = document.into_iter().filter_map(|(name, value)| {
        let value = match fields.get(name.as_str()) {
            None => value,
            Some(Node::Whole) => return None,
            Some(Node::Below(fields)) => exclude_below(fields, value, position),
            Some(Node::Items(part)) => part.of(value, position)?,
        };
        Some((name, value))
    });
    kept.collect()
}

fn exclude_below(fields: &Fields, value: Bson, position: Option<usize>) -> Bson {
    match value {
        Bson::Document(document) => Bson::Document(exclude(fields, document, position)),
        Bson::Array(items) => {
            let items = items.into_iter().map(|item| exclude_below(fields, item, position));
            Bson::Array(items.collect())
        }
        scalar => scalar,
    }
}
