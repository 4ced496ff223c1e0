//! Which fields of the result? Inclusion or exclusion, with dotted paths that go through arrays.

use std::collections::BTreeMap;

use bson::{Bson, Document};

use crate::error::{Error, Kind, Result};
use crate::number::Number;
use crate::path::Path;

/// Most fields in one projection.
const FIELDS_MAX: usize = 1000;

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
    Part(Fields),
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
        for (name, value) in document {
            let wanted = parse_mode(name, value)?;
            if name == "_id" {
                id = Some(wanted);
                continue;
            }
            if *mode.get_or_insert(wanted) != wanted {
                return Err(Error::value("projection mixes inclusion and exclusion").at(name));
            }
            add(&mut fields, &Path::parse(name)?)?;
        }
        // Only `_id` was named, or nothing at all: then all other fields follow from it.
        let mode = mode.or(id).unwrap_or(Mode::Exclude);
        if mode == id.unwrap_or(Mode::Include) {
            fields.entry("_id".into()).or_insert(Node::Whole);
        }
        Ok(Self { mode, fields })
    }

    /// The named part of `document`, in the document's order of fields.
    pub fn apply(&self, document: Document) -> Document {
        match self.mode {
            Mode::Include => include(&self.fields, document),
            Mode::Exclude => exclude(&self.fields, document),
        }
    }
}

fn parse_mode(name: &str, value: &Bson) -> Result<Mode> {
    let truth = match value {
        Bson::Boolean(truth) => Some(*truth),
        Bson::Document(document) if document.keys().any(|key| key.starts_with('$')) => {
            let operator = document.keys().next().cloned().unwrap_or_default();
            return Err(Error::unknown_operator(&operator).at(name));
        }
        other => Number::of(other).map(|number| number.compare(Number::Int(0)).is_ne()),
    };
    match truth {
        Some(true) => Ok(Mode::Include),
        Some(false) => Ok(Mode::Exclude),
        None => Err(Error::value("projection needs 1 or 0").at(name)),
    }
}

fn add(fields: &mut Fields, path: &Path) -> Result<()> {
    let collision =
        || Error::new(Kind::Conflict, "projection names a field and a part of it").at(path);
    if path.segments().iter().any(|segment| segment.name.starts_with('$')) {
        return Err(
            Error::new(Kind::InvalidPath, "positional projection is not supported").at(path)
        );
    }
    let (last, parents) = path.segments().split_last().expect("a path has a segment");
    let mut level = fields;
    for segment in parents {
        level = match level.entry(segment.name.clone()).or_insert_with(|| Node::Part(Fields::new()))
        {
            Node::Part(fields) => fields,
            Node::Whole => return Err(collision()),
        };
    }
    match level.insert(last.name.clone(), Node::Whole) {
        None => Ok(()),
        Some(_) => Err(collision()),
    }
}

fn include(fields: &Fields, document: Document) -> Document {
    let kept = document.into_iter().filter_map(|(name, value)| {
        let value = match fields.get(name.as_str())? {
            Node::Whole => value,
            Node::Part(fields) => include_below(fields, value)?,
        };
        Some((name, value))
    });
    kept.collect()
}

/// Parts of a scalar do not exist, so it is left out.
fn include_below(fields: &Fields, value: Bson) -> Option<Bson> {
    match value {
        Bson::Document(document) => Some(Bson::Document(include(fields, document))),
        Bson::Array(items) => Some(Bson::Array(
            items.into_iter().filter_map(|item| include_below(fields, item)).collect(),
        )),
        _ => None,
    }
}

fn exclude(fields: &Fields, document: Document) -> Document {
    let kept = document.into_iter().filter_map(|(name, value)| match fields.get(name.as_str()) {
        None => Some((name, value)),
        Some(Node::Whole) => None,
        Some(Node::Part(fields)) => Some((name, exclude_below(fields, value))),
    });
    kept.collect()
}

fn exclude_below(fields: &Fields, value: Bson) -> Bson {
    match value {
        Bson::Document(document) => Bson::Document(exclude(fields, document)),
        Bson::Array(items) => {
            Bson::Array(items.into_iter().map(|item| exclude_below(fields, item)).collect())
        }
        scalar => scalar,
    }
}
