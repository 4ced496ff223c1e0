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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::{Expect, expect};

    use super::Projection;
    use crate::testing::{doc, text};

    fn check(document: &str, projections: &str, expected: &Expect) {
        let lines =
            projections.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
                let result = match Projection::parse(&doc(line)) {
                    Ok(projection) => text(&projection.apply(doc(document))),
                    Err(error) => format!("{:?}: {error}", error.kind),
                };
                format!("{line} -> {result}\n")
            });
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn inclusion_and_exclusion() {
        check(
            r#"{"_id":1,"a":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}"#,
            r#"
            {}
            {"a":1}
            {"a":true,"_id":false}
            {"_id":1}
            {"_id":0}
            {"d.x":1,"l.x":1}
            {"l":1,"_id":0}
            {"a.x":1}
            {"z":1}
            {"a":0}
            {"d.x":0,"l.x":0,"_id":0}
            {"a":0,"_id":1}
            {"d":{"$numberInt":"1"}}
            "#,
            &expect![[r#"
                {} -> {"_id":1,"a":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}
                {"a":1} -> {"_id":1,"a":1}
                {"a":true,"_id":false} -> {"a":1}
                {"_id":1} -> {"_id":1}
                {"_id":0} -> {"a":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}
                {"d.x":1,"l.x":1} -> {"_id":1,"d":{"x":1},"l":[{"x":1},[{"x":3}]]}
                {"l":1,"_id":0} -> {"l":[{"x":1,"y":2},5,[{"x":3}]]}
                {"a.x":1} -> {"_id":1}
                {"z":1} -> {"_id":1}
                {"a":0} -> {"_id":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}
                {"d.x":0,"l.x":0,"_id":0} -> {"a":1,"d":{"y":2},"l":[{"y":2},5,[{}]]}
                {"a":0,"_id":1} -> {"_id":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}
                {"d":{"$numberInt":"1"}} -> {"_id":1,"d":{"x":1,"y":2}}
            "#]],
        );
    }

    #[test]
    fn projections_that_are_none() {
        check(
            "{}",
            r#"
            {"a":1,"b":0}
            {"a":1,"a.b":1}
            {"a.b":1,"a":1}
            {"a.$":1}
            {"a":{"$slice":1}}
            {"a":"x"}
            {"a..b":1}
            "#,
            &expect![[r#"
                {"a":1,"b":0} -> InvalidValue: projection mixes inclusion and exclusion, at field b
                {"a":1,"a.b":1} -> Conflict: projection names a field and a part of it, at field a.b
                {"a.b":1,"a":1} -> Conflict: projection names a field and a part of it, at field a
                {"a.$":1} -> InvalidPath: positional projection is not supported, at field a.$
                {"a":{"$slice":1}} -> InvalidOperator: unknown operator, operator $slice, at field a
                {"a":"x"} -> InvalidValue: projection needs 1 or 0, at field a
                {"a..b":1} -> InvalidPath: field path has an empty part, at field a..b
            "#]],
        );
    }
}
