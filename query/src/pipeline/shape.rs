//! `$project`, `$addFields` and `$unset`: which fields, and what is in them.
//!
//! All computed fields see the document as it came in. Paths go through arrays: `{"a.b":1}` on an array `a` sets `b` in each
//! item.

use bson::{Bson, Document};

use super::parse::{Parser, check_field};
use super::segment::Setting;
use crate::budget::Budget;
use crate::error::{Error, Kind, Result};
use crate::expression::{Expression, Meter, VALUE_DEPTH_MAX, weight_of_document};
use crate::needs::Needs;
use crate::number::Number;

#[derive(Clone, Debug)]
pub(super) struct Shape {
    mode: Mode,
    tree: Tree,
    computed: Vec<(String, Expression)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Only the named fields remain.
    Include,
    /// The named fields go.
    Exclude,
    /// All fields remain, and some are computed.
    Add,
}

/// What is said about the fields of a document, in the order written.
type Tree = Vec<(Box<str>, Branch)>;

#[derive(Clone, Debug)]
enum Branch {
    Include,
    Exclude,
    /// The computed value with this number.
    Compute(usize),
    Part(Tree),
}

impl Shape {
    /// Reads the operand of `$project`.
    pub(super) fn project(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document().filter(|document| !document.is_empty());
        let document = document.ok_or_else(|| Error::value("needs a document of fields"))?;
        let mut reader = Reader { parser, shape: Self::new(Mode::Include), keeps: None };
        for (name, value) in document {
            reader.field("", name, value)?;
        }
        let keeps = reader.keeps;
        let mut shape = reader.shape;
        let id = shape.tree.iter().position(|(name, _)| **name == *"_id");
        let id_is_excluded = id.is_some_and(|index| matches!(shape.tree[index].1, Branch::Exclude));
        let includes = keeps.unwrap_or(!id_is_excluded);
        shape.mode = if includes { Mode::Include } else { Mode::Exclude };
        match id {
            None if includes => shape.tree.insert(0, ("_id".into(), Branch::Include)),
            Some(index) if id_is_excluded == includes => {
                // What is named against the mode is what the mode does by itself once it is not named.
                shape.tree.remove(index);
            }
            _ => {}
        }
        Ok(shape)
    }

    /// Reads the operand of `$addFields`.
    pub(super) fn add_fields(operand: &Bson, parser: &mut Parser<'_>) -> Result<Self> {
        let document = operand.as_document().filter(|document| !document.is_empty());
        let document = document.ok_or_else(|| Error::value("needs a document of fields"))?;
        let mut reader = Reader { parser, shape: Self::new(Mode::Add), keeps: None };
        for (name, value) in document {
            reader.field("", name, value)?;
        }
        Ok(reader.shape)
    }

    /// Reads the operand of `$unset`: a path or an array of such.
    pub(super) fn unset(operand: &Bson, parser: &Parser<'_>) -> Result<Self> {
        let paths = match operand {
            Bson::Array(items) if !items.is_empty() => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        if paths.len() > parser.limits.fields_max {
            return Err(parser.too_many_fields());
        }
        let mut shape = Self::new(Mode::Exclude);
        for path in paths {
            let path = path.as_str().ok_or_else(|| Error::value("needs field paths"))?;
            shape.put(path, Branch::Exclude)?;
        }
        Ok(shape)
    }

    /// What must go in, if `behind` must come out.
    pub(super) fn needs(&self, behind: Needs) -> Needs {
        let mut needs = match self.mode {
            Mode::Include => Needs::nothing(),
            Mode::Exclude | Mode::Add => behind,
        };
        for (name, branch) in &self.tree {
            match branch {
                Branch::Include | Branch::Part(_) => needs.add(name),
                Branch::Exclude | Branch::Compute(_) => {}
            }
        }
        self.computed.iter().for_each(|(_, expression)| expression.add_needs(&mut needs));
        needs
    }

    fn new(mode: Mode) -> Self {
        Self { mode, tree: Tree::new(), computed: Vec::new() }
    }

    fn put(&mut self, path: &str, branch: Branch) -> Result<()> {
        check_field(path)?;
        let collision =
            || Error::new(Kind::Conflict, "stage names a field and a part of it").at(path);
        let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
        let mut level = &mut self.tree;
        for name in parents.split('.').filter(|name| !name.is_empty()) {
            let index = level.iter().position(|(known, _)| **known == *name);
            let index = index.unwrap_or_else(|| {
                level.push((name.into(), Branch::Part(Tree::new())));
                level.len() - 1
            });
            level = match &mut level[index].1 {
                Branch::Part(tree) => tree,
                _ => return Err(collision()),
            };
        }
        if level.iter().any(|(known, _)| **known == *last) {
            return Err(collision());
        }
        level.push((last.into(), branch));
        Ok(())
    }

    pub(super) fn apply(
        &self,
        document: Document,
        setting: &Setting<'_>,
        budget: &Budget,
    ) -> Result<Document> {
        let meter = Meter::new(budget);
        meter.step(self.tree.len() + document.len())?;
        let mut values = Vec::with_capacity(self.computed.len());
        for (path, expression) in &self.computed {
            let value = expression.evaluate(&setting.scope(&document, budget));
            values.push(value.map_err(|error| error.at(path))?);
        }
        let work = Work { mode: self.mode, values: &values, meter: &meter };
        let document = work.document(&self.tree, document)?;
        if self.computed.is_empty() { Ok(document) } else { checked(document, budget) }
    }
}

/// Refuses a document that nests too deep for what comes behind; reading it is paid for.
pub(super) fn checked(document: Document, budget: &Budget) -> Result<Document> {
    budget.step(weight_of_document(&document) / 256)?;
    let nests = document.values().map(crate::document::depth).max().unwrap_or(0);
    if nests > VALUE_DEPTH_MAX {
        let message = format!("result nests deeper than {VALUE_DEPTH_MAX}");
        return Err(Error::new(Kind::TooDeep, message));
    }
    Ok(document)
}

struct Reader<'r, 'l> {
    parser: &'r mut Parser<'l>,
    shape: Shape,
    /// Whether fields other than `_id` are included; none before the first.
    keeps: Option<bool>,
}

impl Reader<'_, '_> {
    fn field(&mut self, above: &str, name: &str, value: &Bson) -> Result<()> {
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        check_field(&path)?;
        self.parser.count_field()?;
        match value {
            Bson::Document(part) if !is_operator(part) => {
                if part.is_empty() && self.shape.mode == Mode::Include {
                    return Err(Error::value("an empty document is no projection").at(path));
                }
                if part.is_empty() {
                    return self.computed(path, value);
                }
                part.iter().try_for_each(|(name, value)| self.field(&path, name, value))
            }
            _ if self.shape.mode == Mode::Add => self.computed(path, value),
            _ => match wanted(value) {
                Some(wanted) => {
                    if path != "_id" {
                        self.keep(wanted).map_err(|error| error.at(&path))?;
                    }
                    let branch = if wanted { Branch::Include } else { Branch::Exclude };
                    self.shape.put(&path, branch)
                }
                None => {
                    self.keep(true).map_err(|error| error.at(&path))?;
                    self.computed(path, value)
                }
            },
        }
    }

    fn keep(&mut self, wanted: bool) -> Result<()> {
        if *self.keeps.get_or_insert(wanted) == wanted {
            return Ok(());
        }
        Err(Error::value("projection mixes inclusion and exclusion"))
    }

    fn computed(&mut self, path: String, value: &Bson) -> Result<()> {
        let expression = self.parser.expression(value).map_err(|error| error.at(&path))?;
        self.shape.put(&path, Branch::Compute(self.shape.computed.len()))?;
        self.shape.computed.push((path, expression));
        Ok(())
    }
}

fn is_operator(document: &Document) -> bool {
    document.keys().next().is_some_and(|key| key.starts_with('$'))
}

/// `1` and `0`, `true` and `false`; anything else is an expression.
fn wanted(value: &Bson) -> Option<bool> {
    match value {
        Bson::Boolean(wanted) => Some(*wanted),
        other => Number::of(other).map(|number| number.compare(Number::Int(0)).is_ne()),
    }
}

/// One document in work.
struct Work<'w> {
    mode: Mode,
    values: &'w [Option<Bson>],
    meter: &'w Meter<'w>,
}

impl Work<'_> {
    fn document(&self, tree: &Tree, document: Document) -> Result<Document> {
        let mut result = Document::new();
        let named = |name: &str| tree.iter().find(|(known, _)| **known == *name);
        self.meter.step(document.len().saturating_mul(1 + tree.len() / 16))?;
        for (name, value) in document {
            let value = match named(&name) {
                None if self.mode == Mode::Include => None,
                None | Some((_, Branch::Include)) => Some(value),
                Some((_, Branch::Exclude)) => None,
                // Of an inclusion, what is computed stands behind what is included.
                Some((_, Branch::Compute(_))) if self.mode == Mode::Include => None,
                Some((_, Branch::Compute(index))) => self.computed(*index)?,
                Some((_, Branch::Part(tree))) => self.below(tree, value)?,
            };
            if let Some(value) = value {
                result.insert(name, value);
            }
        }
        for (name, branch) in tree {
            let value = match branch {
                _ if result.contains_key(name) => None,
                Branch::Compute(index) => self.computed(*index)?,
                Branch::Part(tree) if computes(tree) => {
                    Some(Bson::Document(self.document(tree, Document::new())?))
                }
                _ => None,
            };
            if let Some(value) = value {
                result.insert(&**name, value);
            }
        }
        Ok(result)
    }

    fn computed(&self, index: usize) -> Result<Option<Bson>> {
        self.values[index].as_ref().map(|value| self.meter.copy(value)).transpose()
    }

    /// A scalar has no parts: an inclusion leaves it out, an exclusion as it is, a computed part takes its place.
    fn below(&self, tree: &Tree, value: Bson) -> Result<Option<Bson>> {
        Ok(match value {
            Bson::Document(document) => Some(Bson::Document(self.document(tree, document)?)),
            Bson::Array(items) => {
                self.meter.step(items.len())?;
                let mut results = Vec::with_capacity(items.len());
                for item in items {
                    results.extend(self.below(tree, item)?);
                }
                Some(Bson::Array(results))
            }
            _ if computes(tree) => Some(Bson::Document(self.document(tree, Document::new())?)),
            scalar => Some(scalar).filter(|_| self.mode != Mode::Include),
        })
    }
}

/// Whether anything in a part is computed.
fn computes(tree: &Tree) -> bool {
    tree.iter().any(|(_, branch)| match branch {
        Branch::Compute(_) => true,
        Branch::Part(tree) => computes(tree),
        Branch::Include | Branch::Exclude => false,
    })
}
